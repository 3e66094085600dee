"""Files of data sets: written whole or not at all, fetched with a checksum, unpacked into their folder only."""

from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import IO, Any

from fastconv.files import atomic_write, download

__all__ = ["atomic_write", "chosen", "extract", "fetch", "fetch_archive", "has_md5", "load_mat", "open_unpacked"]
__all__ += ["unpack"]

CHUNK = 1 << 20


def fetch(url: str, path: Path, md5: str, size: int | None = None) -> None:
    """Fetch `url` to `path`; what is at an HTTPS address comes by HTTPS.

    Parameters
    ----------
    url : str
    path : Path
        Appears when everything has arrived and has been checked.
    md5 : str
        Checksum published for the file, hexadecimal.
    size : int, optional
        Length published for the file, in bytes; nothing longer is received.

    Raises
    ------
    RuntimeError
        If the server cannot be reached or sends something else; nothing is left behind.
    """
    download(url, path, "md5", md5, size)


def has_md5(path: Path, md5: str) -> bool:
    """Whether there is a file at `path` with this checksum."""
    import hashlib

    if not path.is_file():
        return False
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest() == md5


def open_unpacked(path: Path) -> IO[bytes]:
    """The file at `path`, read through gzip or xz if it begins as their files do, whatever its name says."""
    with open(path, "rb") as file:
        start = file.read(6)
    if start.startswith(b"\x1f\x8b"):
        import gzip

        return gzip.open(path)  # type: ignore[return-value]
    if start == b"\xfd7zXZ\0":
        import lzma

        return lzma.open(path)  # type: ignore[return-value]
    return open(path, "rb")


def chosen(value: str, name: str, choices: Sequence[str]) -> str:
    """`value`, if it is one of the `choices` for the argument `name`."""
    if not isinstance(value, str):
        raise ValueError(f"Expected type str for argument {name}, but got type {type(value)}.")
    if value not in choices:
        raise ValueError(
            f"Unknown value '{value}' for argument {name}. Valid values are {{{str(list(choices))[1:-1]}}}."
        )
    return value


def load_mat(path: Path) -> dict[str, Any]:
    """What is in a MATLAB file, by name, with axes of length 1 left out; SciPy reads it.

    Raises
    ------
    ImportError
        If SciPy is not installed.
    RuntimeError
        If the file is damaged.
    """
    try:
        from scipy.io import loadmat
    except ImportError:
        raise ImportError(f'{path} needs SciPy, which comes with: pip install "fastconv[train]"') from None
    try:
        return loadmat(path, squeeze_me=True)
    except FileNotFoundError:
        raise
    except Exception as error:  # SciPy's reader raises errors of many kinds
        raise RuntimeError(f"{path} is damaged or no MATLAB file: {type(error).__name__}: {error}") from error


def fetch_archive(url: str, folder: Path, md5: str, into: Path | None = None) -> None:
    """Fetch an archive to `folder`, if it is not there whole, and unpack it there or `into` another folder."""
    archive = folder / url.rpartition("/")[2]
    if not has_md5(archive, md5):
        fetch(url, archive, md5)
    unpack(archive, into or folder)


def unpack(archive: Path, folder: Path) -> None:
    """Unpack the regular files of a .tar, .tar.gz or .zip archive into `folder`, each whole or not at all.

    Links, devices and what would lie outside the folder are left out.

    Raises
    ------
    RuntimeError
        If the archive is damaged.
    """
    import lzma
    import tarfile
    import zipfile
    import zlib

    def write(name: str, open_member: Callable[[], IO[bytes]]) -> None:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name:
            return
        with open_member() as source, atomic_write(folder / path, durable=False) as target:
            while chunk := source.read(CHUNK):
                target.write(chunk)

    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as packed:
                for info in packed.infolist():
                    if not info.is_dir():
                        write(info.filename, lambda info=info: packed.open(info))  # type: ignore[misc]
        else:
            with tarfile.open(archive) as tar:
                for member in tar:
                    if member.isfile():
                        write(member.name, lambda member=member: tar.extractfile(member))  # type: ignore[misc,return-value]
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, lzma.LZMAError, OSError) as error:
        raise RuntimeError(f"{archive} cannot be unpacked into {folder}: {error}") from error


def extract(archive: Path, folder: Path, names: dict[str, str], limit: int) -> None:
    """Unpack some files of a .tar.gz archive into `folder`.

    Only regular files are unpacked, and nothing is written under a name that the archive chooses: links, devices and
    paths that lead out of the folder have no effect.

    Parameters
    ----------
    archive : Path
    folder : Path
    names : dict
        Path in the archive of each file wanted, and its name in `folder`.
    limit : int
        Largest size of one of them in bytes.

    Raises
    ------
    RuntimeError
        If the archive is damaged, lacks a file or holds a larger one.
    """
    import tarfile
    import zlib

    wanted = dict(names)
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                # Of what is not wanted, too: to step over it is to unpack it.
                if member.size > limit:
                    raise RuntimeError(f"{archive}: {member.name} has {member.size:,} bytes, more than {limit:,}")
                if member.offset > limit * (len(names) + 1):
                    raise RuntimeError(
                        f"{archive} goes on after {member.offset:,} bytes, and lacks {', '.join(wanted)}"
                    )
                if member.name not in wanted or not member.isfile():
                    continue
                source = tar.extractfile(member)
                with atomic_write(folder / wanted.pop(member.name)) as target:
                    while chunk := source.read(CHUNK):
                        target.write(chunk)
                if not wanted:
                    return
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise RuntimeError(f"{archive} cannot be unpacked into {folder}: {error}") from error
    raise RuntimeError(f"{archive} lacks {', '.join(wanted)}")
