"""Damaged and forged files of `fastconv.save`: each is refused or loaded, executes nothing and claims no memory.

``python -m tests.fuzz_files [SECONDS] [SEED]`` goes on for that long (60) and prints what was found.
"""

import io
import pickle
import struct
import sys
import time
import tracemalloc
from collections import Counter, OrderedDict

import numpy as np

import fastconv

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
    for archive in (True, False):
        file = io.BytesIO()
        fastconv.save(everything, file, _use_new_zipfile_serialization=archive)
        files.append(file.getvalue())
    return files


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


def try_one(content: bytes) -> bool:
    """Whether the file was loaded; anything but that and a clear refusal is raised."""
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    try:
        fastconv.load(io.BytesIO(content))
    except REFUSED as error:
        assert str(error)
        return False
    finally:
        peak = tracemalloc.get_traced_memory()[1] - before
        assert peak < ENOUGH, f"a file of {len(content)} bytes took {peak} bytes"
    return True


def run(rounds: int | None, seconds: float, seed: int) -> tuple[int, int]:
    """Load mutated files; returns how many, and how many of them were loaded."""
    rng = np.random.default_rng(seed)
    files, done, loaded = samples(), 0, 0
    end = time.monotonic() + seconds
    tracemalloc.start()
    try:
        while time.monotonic() < end if rounds is None else done < rounds:
            content = mutated(files[done % 2], rng)
            loaded += try_one(reseal(content) if rng.integers(2) else content)
            done += 1
    finally:
        tracemalloc.stop()
    return done, loaded


if __name__ == "__main__":
    print(run(None, float(sys.argv[1]) if len(sys.argv) > 1 else 60.0, int(sys.argv[2]) if len(sys.argv) > 2 else 0))
