"""Published weights, by torch.hub's names: looked for on this machine, and downloaded if they are not there."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

__all__ = ["HASH_REGEX", "download_url_to_file", "get_dir", "load_state_dict_from_url", "set_dir"]

HASH_REGEX = re.compile(r"-([a-f0-9]*)\.")  # the part of a file's name that its checksum begins with
_dir: str | None = None


def get_dir() -> str:
    """The folder that torch keeps downloads in: what :func:`set_dir` set, ``$TORCH_HOME/hub`` or the default."""
    home = os.environ.get("TORCH_HOME") or os.path.join(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "torch")
    return _dir if _dir is not None else os.path.join(os.path.expanduser(home), "hub")


def set_dir(d: str | os.PathLike[str]) -> None:
    """Keep downloads in the folder `d` from now on."""
    global _dir
    _dir = os.path.expanduser(d)


def download_url_to_file(
    url: str, dst: str | os.PathLike[str], hash_prefix: str | None = None, progress: bool = True
) -> None:
    """Fetch `url` to the file `dst`, which appears when everything has arrived and has been checked.

    Parameters
    ----------
    url : str
    dst : path
    hash_prefix : str, optional
        What the SHA-256 checksum begins with, hexadecimal.
    progress : bool
        Show a bar on stderr, tqdm's where it is installed.

    Raises
    ------
    RuntimeError
        If the server cannot be reached, breaks off or sends something else; nothing is left behind.
    """
    from .files import download

    download(url, Path(dst).expanduser(), "sha256", hash_prefix, progress=progress)


def load_state_dict_from_url(
    url: str,
    model_dir: str | os.PathLike[str] | None = None,
    map_location: Any = None,
    progress: bool = True,
    check_hash: bool = False,
    file_name: str | None = None,
    weights_only: bool = True,
) -> Any:
    """The weights at `url`, which are downloaded if they are not on this machine.

    Parameters
    ----------
    url : str
    model_dir : path, optional
        Where the file is, or is put. By default it is looked for in ``$FASTCONV_HOME/checkpoints``, if that is set, and
        in torch's ``checkpoints`` in the folder :func:`get_dir`, and put into the first of them.
    map_location, weights_only
        See :func:`fastconv.load`.
    progress : bool
        Show how the download goes.
    check_hash : bool
        Refuse a download whose SHA-256 checksum does not begin as the file's name says, ``name-<checksum>.pth``.
    file_name : str, optional
        The file's name; by default the last part of `url`.

    Raises
    ------
    RuntimeError
        If the file is not there and cannot be downloaded; the message says where it was looked for.
    """
    from urllib.parse import unquote, urlparse

    from .serialization import load

    name = file_name or os.path.basename(unquote(urlparse(url).path))
    if not name:
        raise RuntimeError(f"{url!r} names no file; file_name= says how it is to be called")
    home = os.environ.get("FASTCONV_HOME")
    folders = [Path(model_dir)] if model_dir is not None else [Path(get_dir(), "checkpoints")]
    if model_dir is None and home:
        folders.insert(0, Path(home, "checkpoints"))
    paths = [folder.expanduser() / name for folder in folders]
    found = next((path for path in paths if path.is_file()), None)
    if found is None:
        expected = HASH_REGEX.search(name) if check_hash else None
        try:
            download_url_to_file(url, paths[0], expected[1] if expected else None, progress)
        except (RuntimeError, OSError) as error:
            looked = "\n".join(f"  {path}" for path in paths)
            raise RuntimeError(
                f"there are no weights {name} on this machine, looked for as\n{looked}\nand they cannot be downloaded: "
                f"{error}"
            ) from error
        found = paths[0]
    return load(found, map_location=map_location, weights_only=weights_only)
