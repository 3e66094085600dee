"""Files that are written whole or not at all: by the program, or from the network."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["atomic_write", "download", "replacing"]


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A file to write to that takes the place of `path` at the end of the ``with`` block.

    It is written under a temporary name in the same folder, flushed to the disk and renamed, so that, whenever the
    machine stops, the old contents or the new ones are there. Where there is no regular file (a device, a pipe), it is
    written to as it is.
    """
    path = os.fspath(path)
    if os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path):
        with open(path, "wb") as file:
            yield file
        return
    folder, name = os.path.split(path)
    folder = folder or os.curdir
    # One fixed name: what a killed process left behind is removed by the next write; a link there is not followed.
    temporary = os.path.join(folder, f".{name}.tmp")
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(OSError, ValueError):
            os.unlink(temporary)
        if isinstance(error, ValueError):  # of open(), for a name with a NUL
            raise ValueError(f"{path!r}: cannot write: {error}") from error
        if isinstance(error, OSError):
            raise OSError(error.errno, f"cannot write: {error.strerror}", path) from error
        raise
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def atomic_write(path: Path, durable: bool = True) -> Iterator[BinaryIO]:
    """A binary file that appears at `path` when the block ends, and not at all if it fails.

    Unlike :func:`replacing` it makes the folder, and writes under a name of its own: several processes may write the
    same file at once. With `durable`, not even if the machine stops; thousands of small files would take long so.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{os.urandom(4).hex()}.part")
    try:
        with open(temporary, "xb") as file:
            yield file
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def download(
    url: str,
    path: Path,
    algorithm: str,
    expected: str | None,
    size: int | None = None,
    progress: bool = True,
) -> None:
    """Fetch `url` to `path`, which appears when everything has arrived and has been checked.

    What is at an HTTPS address comes by HTTPS.

    Parameters
    ----------
    url : str
    path : Path
    algorithm : str
        A hash function of hashlib's.
    expected : str or None
        The published checksum, or how it begins, hexadecimal; None checks nothing.
    size : int, optional
        The published length in bytes; nothing longer is received. By default it is what the server says.
    progress : bool
        Show a bar, tqdm's where it is installed.

    Raises
    ------
    RuntimeError
        If the server cannot be reached or sends something else; nothing is left behind.
    """
    import hashlib
    import http.client
    import urllib.request

    digest = hashlib.new(algorithm, usedforsecurity=False)
    received = 0
    try:
        request = urllib.request.Request(url, headers={"User-Agent": "fastconv"})
        with urllib.request.urlopen(request, timeout=60) as response:
            if url.startswith("https://") and not response.url.startswith("https://"):
                raise RuntimeError(f"{url} leads to {response.url}, which is not HTTPS")
            published = f"published for {path.name}"
            if size is None and hasattr(response, "headers"):
                length = response.headers.get("Content-Length") or ""
                size, published = (int(length) if length.isdigit() else None), "that it announced"
            with atomic_write(path) as file, _bar(path.name, size, progress) as bar:
                while chunk := response.read(1 << 20):
                    received += len(chunk)
                    if size is not None and received > size:
                        raise RuntimeError(f"{url} sends more than the {size:,} bytes {published}")
                    digest.update(chunk)
                    file.write(chunk)
                    bar.update(len(chunk))
                if size is not None and received < size:
                    raise RuntimeError(f"{url} broke off after {received:,} of the {size:,} bytes {published}")
                found = digest.hexdigest()
                if expected is not None and not found.startswith(expected):
                    raise RuntimeError(
                        f"{url} has another {algorithm.upper()} checksum ({found}) than published for {path.name} "
                        f"({expected}): invalid hash value"
                    )
    except (OSError, ValueError, http.client.HTTPException) as error:  # urllib's errors and timeouts are OSErrors
        raise RuntimeError(
            f"could not download {url} to {path}: {error}. A copy of the file put there by other means serves as well"
        ) from error


class _Bar:
    """Says on stderr how much has arrived, once for each tenth."""

    def __init__(self, name: str, size: int | None) -> None:
        self.size, self.received, self.tenths = size, 0, 0
        print(f"Downloading {name}" + (f" ({size / 1e6:.1f} MB)" if size else ""), file=sys.stderr, end="", flush=True)

    def __enter__(self) -> _Bar:
        return self

    def update(self, count: int) -> None:
        self.received += count
        while self.size and self.tenths < 10 and self.received * 10 >= self.size * (self.tenths + 1):
            self.tenths += 1
            print(f" {self.tenths * 10} %", file=sys.stderr, end="", flush=True)

    def __exit__(self, *failure: object) -> None:
        print(file=sys.stderr)


class _Silent(contextlib.nullcontext[Any]):
    """Shows nothing."""

    def __enter__(self) -> _Silent:
        return self

    def update(self, count: int) -> None:
        pass


def _bar(name: str, size: int | None, progress: bool) -> Any:
    """What shows how far a download has come."""
    if not progress:
        return _Silent()
    try:
        from tqdm import tqdm
    except ImportError:
        return _Bar(name, size)
    return tqdm(desc=name, total=size, unit="B", unit_scale=True)
