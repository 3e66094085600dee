"""torch's zip archives: uncompressed records, each at a multiple of 64 bytes."""

from __future__ import annotations

import hashlib
import io
import mmap
import os
import struct
import zipfile
import zlib
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

__all__ = ["MAGIC", "Archive", "read_into", "write"]

MAGIC = b"PK\x03\x04"
_ALIGNMENT = 64
_LOCAL_HEADER = struct.Struct("<4s22xHH")  # signature, lengths of name and extra field
_SIGNED_EXTRA = struct.Struct("<HH")
_LARGE = 1 << 18  # bytes whose checksum another thread computes


def write(file: BinaryIO, records: dict[str, Any]) -> None:
    """Write an archive of these records, bytes by name, under the root ``archive`` that torch gives to buffers."""
    digest = hashlib.blake2b(digest_size=16)
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in records.items():
            digest.update(name.encode() + str(_write(archive, name, data)).encode())
        # Torch tells files apart by it; here equal contents have equal numbers.
        _write(archive, ".data/serialization_id", f"{int.from_bytes(digest.digest()):040d}".encode()[:40])


def _write(archive: zipfile.ZipFile, name: str, data: Any) -> int:
    """Write a record whose data begins at a multiple of 64; returns its checksum."""
    info = zipfile.ZipInfo(f"archive/{name}")
    info.file_size, info.CRC = memoryview(data).nbytes, 0
    assert archive.fp is not None
    large = info.file_size * 1.05 > zipfile.ZIP64_LIMIT  # then a field of 20 bytes is added
    header = len(info.FileHeader(large)) + _SIGNED_EXTRA.size
    padding = -(archive.fp.tell() + header) % _ALIGNMENT
    info.extra = _SIGNED_EXTRA.pack(0x4246, padding) + b"Z" * padding  # "FB", as torch calls it
    with archive.open(info, "w", force_zip64=large) as record:
        record.write(data)
    return info.CRC


class Archive:
    """The records of an archive.

    Parameters
    ----------
    file : binary file
        That can be sought.
    name : str
        How messages call it.

    Raises
    ------
    RuntimeError
        If the file is truncated or otherwise no such archive.
    """

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file, self._name = file, name
        self._size = file.seek(0, os.SEEK_END)
        self._map: mmap.mmap | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._sums: list[tuple[str, Future[int]]] = []
        try:
            with zipfile.ZipFile(file) as archive:
                self._records = {info.filename.partition("/")[2]: info for info in archive.infolist()}
        except Exception as error:  # zipfile raises many kinds for what is damaged
            raise RuntimeError(
                f"{name}: truncated or corrupt: PytorchStreamReader failed reading zip archive: {error} "
                f"({self._size:,} bytes)"
            ) from None
        # Records do not overlap; so what is read in all is no more than the file holds.
        if sum(info.compress_size for info in self._records.values()) > self._size:
            raise RuntimeError(f"{name}: corrupt: its records claim more than its {self._size:,} bytes")

    def __contains__(self, record: str) -> bool:
        return record in self._records

    def size(self, record: str) -> int:
        """Bytes of a record."""
        return self._info(record).file_size

    def read(self, record: str, later: bool = False) -> np.ndarray:
        """A record's bytes, whose checksum has been verified, or `later` is by :meth:`verify`."""
        start, size = self._locate(record)
        data = np.empty(size, np.uint8)
        self._file.seek(start)
        if read_into(self._file, data) != size:
            raise RuntimeError(f"{self._name}: truncated in its record {record}")
        if later and size >= _LARGE:  # a checksum takes longer than the reading
            if self._pool is None:
                from concurrent.futures import ThreadPoolExecutor

                self._pool = ThreadPoolExecutor(max_workers=os.cpu_count())
            self._sums.append((record, self._pool.submit(zlib.crc32, data)))
        else:
            self._check(record, zlib.crc32(data))
        return data

    def verify(self) -> None:
        """Wait for all checksums, and verify them."""
        for record, checksum in self._sums:
            self._check(record, checksum.result())
        if self._pool is not None:
            self._pool.shutdown()

    def _check(self, record: str, checksum: int) -> None:
        if checksum != self._info(record).CRC:
            raise RuntimeError(f"{self._name}: corrupt: the checksum of its record {record} is wrong")

    def map(self, record: str) -> np.ndarray:
        """A record's bytes, which are read when they are looked at; what is written to them stays in memory."""
        start, size = self._locate(record)
        if self._map is None:
            self._map = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_COPY)
        data = np.frombuffer(self._map, np.uint8, size, start)
        return data if start % 8 == 0 else data.copy()  # other programs' archives align nothing

    def _info(self, record: str) -> zipfile.ZipInfo:
        try:
            return self._records[record]
        except KeyError:
            raise RuntimeError(
                f"{self._name}: has no record {record}; it is corrupt or no file of torch.save"
            ) from None

    def _locate(self, record: str) -> tuple[int, int]:
        """Where a record's bytes begin in the file, and how many they are."""
        info = self._info(record)
        if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size or info.flag_bits & 1:
            raise RuntimeError(
                f"{self._name}: its record {record} is compressed or encrypted, which torch.save's are not"
            )
        header = b""
        if 0 <= info.header_offset < self._size:
            self._file.seek(info.header_offset)
            header = self._file.read(_LOCAL_HEADER.size)
        if len(header) == _LOCAL_HEADER.size and header.startswith(MAGIC):
            _, name_size, extra_size = _LOCAL_HEADER.unpack(header)
            start = info.header_offset + _LOCAL_HEADER.size + name_size + extra_size
            if start + info.file_size <= self._size:
                return start, info.file_size
        raise RuntimeError(f"{self._name}: truncated or corrupt: its record {record} is not where it should be")


def read_into(file: BinaryIO, data: np.ndarray) -> int:
    """Fill `data` from a file that may give less than it is asked for; returns the bytes that came."""
    view, done = memoryview(data), 0
    while done < len(view):
        if isinstance(file, io.IOBase) and hasattr(file, "readinto"):
            count = file.readinto(view[done:])
        else:
            part = file.read(len(view) - done)
            count = len(part)
            view[done : done + count] = part
        if not count:
            break
        done += count
    return done
