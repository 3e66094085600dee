"""Files of data sets: written whole or not at all, fetched with a checksum, unpacked by known names only."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

__all__ = ["atomic_write", "extract", "fetch", "has_md5"]

CHUNK = 1 << 20


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[IO[bytes]]:
    """A binary file that appears at `path` when the block ends, and not at all if it fails."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{os.urandom(4).hex()}.part")
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def fetch(url: str, path: Path, md5: str, size: int) -> None:
    """Fetch `url` over HTTPS to `path`.

    Parameters
    ----------
    url : str
    path : Path
        Appears when everything has arrived and has been checked.
    md5 : str
        Checksum published for the file, hexadecimal.
    size : int
        Length published for the file, in bytes; nothing longer is received.

    Raises
    ------
    RuntimeError
        If the server cannot be reached or sends something else; nothing is left behind.
    """
    import hashlib
    import http.client
    import urllib.request

    digest = hashlib.md5(usedforsecurity=False)
    received = 0
    request = urllib.request.Request(url, headers={"User-Agent": "fastconv"})
    try:
        with urllib.request.urlopen(request, timeout=60) as response, _progress(path.name, size) as bar:
            if not response.url.startswith("https://"):
                raise RuntimeError(f"{url} leads to {response.url}, which is not HTTPS")
            with atomic_write(path) as file:
                while chunk := response.read(CHUNK):
                    received += len(chunk)
                    if received > size:
                        raise RuntimeError(f"{url} sends more than the {size:,} bytes published for {path.name}")
                    digest.update(chunk)
                    file.write(chunk)
                    bar.update(len(chunk))
                if received < size:
                    raise RuntimeError(
                        f"{url} broke off after {received:,} of the {size:,} bytes published for {path.name}"
                    )
                if digest.hexdigest() != md5:
                    raise RuntimeError(
                        f"{url} has another MD5 checksum ({digest.hexdigest()}) than published for {path.name} ({md5})"
                    )
    except (OSError, http.client.HTTPException) as error:  # urllib's errors and timeouts are OSErrors
        raise RuntimeError(
            f"could not download {url} to {path}: {error}. A copy of the file put there by other means serves as well"
        ) from error


def _progress(name: str, size: int) -> Any:
    """A progress bar where tqdm is installed."""
    try:
        from tqdm import tqdm
    except ImportError:

        class Silent(contextlib.nullcontext):
            def __enter__(self) -> "Silent":
                return self

            def update(self, count: int) -> None:
                pass

        print(f"Downloading {name} ({size / 1e6:.1f} MB)")
        return Silent()
    return tqdm(desc=name, total=size, unit="B", unit_scale=True)


def has_md5(path: Path, md5: str) -> bool:
    """Whether there is a file at `path` with this checksum."""
    import hashlib

    if not path.is_file():
        return False
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest() == md5


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
