"""Damaged and forged files of weights: each is refused or loaded, executes nothing and claims no memory.

``python -m tests.fuzz_files [SECONDS] [SEED]`` goes on for that long (60) and prints what was found.
"""

import io
import json
import os
import pickle
import struct
import sys
import tempfile
import time
import tracemalloc
from collections import Counter, OrderedDict

import numpy as np

import fastconv
from fastconv.serialization import archive, legacy, safetensors, storage, unpickler  # noqa: F401  (late imports execute)

REFUSED = (RuntimeError, pickle.UnpicklingError, ValueError, EOFError)
ENOUGH = 8_000_000  # bytes that loading a file of some kilobytes may take at its peak


def samples() -> list[bytes]:
    """Files in both formats, with what their pickles can hold."""
    base = fastconv.arange(24.0).reshape(2, 3, 4)
    state = OrderedDict(weight=base, part=base[1], bias=fastconv.ones(3, dtype=fastconv.float16))
    everything = {
        "state": state,
        "parameter": fastconv.nn.Parameter(fastconv.ones(2, 2)),
        "numbers": [1, 2.5, True, None, 2**70, 1j, np.float64(3), np.arange(4)],
        "texts": ("a", b"b", bytearray(b"c")),
        "others": {1, 2},
        "counts": Counter("aab"),
        "dtype": fastconv.float32,
    }
    files = []
    for newer in (True, False):
        file = io.BytesIO()
        fastconv.save(everything, file, _use_new_zipfile_serialization=newer)
        files.append(file.getvalue())
    return [*files, safetensors_file()]


def safetensors_file() -> bytes:
    """A file of every element type, put together by hand."""
    sizes = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1, "I64": 8, "U8": 1, "BOOL": 1}
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    body = b""
    for name, size in sizes.items():
        data = np.arange(6, dtype=np.uint8).repeat(size).tobytes()
        place = [len(body), len(body) + len(data)]
        header[f"layer.{name}"] = {"dtype": name, "shape": [2, 3], "data_offsets": place}
        body += data
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + body


def mutated(content: bytes, rng: np.random.Generator) -> bytes:
    """`content` with some bytes changed, or a part moved, or its end cut off."""
    data = np.frombuffer(content, np.uint8).copy()
    kind = rng.integers(6)
    if kind == 0:
        return data[: rng.integers(len(data))].tobytes()
    if kind == 1:
        start, to = rng.integers(0, len(data) - 40, 2)
        data[to : to + 40] = data[start : start + 40]
    elif kind == 2:  # sizes and offsets that are far too large
        place = rng.integers(0, len(data) - 8)
        data[place : place + 8] = np.frombuffer(struct.pack("<Q", 2 ** int(rng.integers(20, 64)) - 1), np.uint8)
    else:
        places = rng.integers(0, min(len(data), 1500) if kind == 3 else len(data), rng.integers(1, 9))
        data[places] = rng.integers(0, 256, len(places))
    return data.tobytes()


def reseal(content: bytes) -> bytes:
    """An archive with its checksums made right again, so that what is behind them is reached."""
    import zipfile

    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for info in archive.infolist():
                info.CRC = None  # not verified
            records = {i.filename: archive.open(i).read() for i in archive.infolist()}
    except Exception:
        return content
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in records.items():
            archive.writestr(name, data)
    return file.getvalue()


INDEX = {"metadata": {}, "weight_map": {"layer.F32": "part.safetensors", "layer.I64": "part.safetensors"}}
executed: list[str] = []  # what was, while a file was loaded
watching = False


def watch(event: str, arguments: tuple[object, ...]) -> None:
    """An audit hook: files of weights have no code, processes or connections to offer."""
    if watching and event.startswith(("exec", "os.", "subprocess.", "socket.", "ctypes.", "pickle.", "compile")):
        code = getattr(arguments[0], "co_filename", "") if arguments else ""
        if not str(code).startswith((sys.prefix, sys.base_prefix, os.path.dirname(fastconv.__file__))):  # late imports
            executed.append(f"{event}{arguments!r:.200}")


def load_torchs(content: bytes, folder: str, rng: np.random.Generator) -> None:
    """Load a file of torch's, from memory or from the disk."""
    if rng.integers(2):
        fastconv.load(io.BytesIO(content))
        return
    path = os.path.join(folder, "a.pth")
    with open(path, "wb") as file:
        file.write(content)
    fastconv.load(path)


def load_safetensors(content: bytes, folder: str, rng: np.random.Generator) -> None:
    """Load a safetensors file, mapped or not, or by a damaged index."""
    part, index = os.path.join(folder, "part.safetensors"), os.path.join(folder, "a.safetensors.index.json")
    with open(part, "wb") as file:
        file.write(content)
    if rng.integers(4):
        tensors = fastconv.load(part, mmap=bool(rng.integers(2)))
    else:
        with open(part, "wb") as file, open(index, "wb") as names:
            file.write(safetensors_file())
            names.write(mutated(json.dumps(INDEX).encode(), rng))
        tensors = fastconv.load(index)
    for tensor in tensors.values():
        tensor.float().sum()


def try_one(content: bytes, kind: int, folder: str, rng: np.random.Generator) -> bool:
    """Whether the file was loaded; anything but that and a clear refusal is raised."""
    global watching
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    watching = True
    try:
        (load_safetensors if kind == 2 else load_torchs)(content, folder, rng)
    except REFUSED as error:
        assert str(error)
        return False
    finally:
        watching = False
        assert not executed, executed
        peak = tracemalloc.get_traced_memory()[1] - before
        assert peak < ENOUGH, f"a file of {len(content)} bytes took {peak} bytes"
    return True


def run(rounds: int | None, seconds: float, seed: int) -> tuple[int, int]:
    """Load mutated files; returns how many, and how many of them were loaded."""
    rng = np.random.default_rng(seed)
    files, done, loaded = samples(), 0, 0
    end = time.monotonic() + seconds
    sys.addaudithook(watch)
    tracemalloc.start()
    try:
        with tempfile.TemporaryDirectory() as folder:
            while time.monotonic() < end if rounds is None else done < rounds:
                kind = done % 3
                content = mutated(files[kind], rng)
                if kind == 0 and rng.integers(2):
                    content = reseal(content)
                loaded += try_one(content, kind, folder, rng)
                done += 1
    finally:
        tracemalloc.stop()
    return done, loaded


if __name__ == "__main__":
    print(run(None, float(sys.argv[1]) if len(sys.argv) > 1 else 60.0, int(sys.argv[2]) if len(sys.argv) > 2 else 0))
