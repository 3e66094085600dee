"""Files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import BinaryIO

__all__ = ["replacing"]


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
