"""Published weights and models, by torch.hub's names: looked for on this machine, weights downloaded if need be."""

from __future__ import annotations

import builtins
import os
import re
from pathlib import Path
from typing import Any

__all__ = ["HASH_REGEX", "download_url_to_file", "get_dir", "list", "load", "load_state_dict_from_url", "set_dir"]

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
    try:
        return load(found, map_location=map_location, weights_only=weights_only)
    except (RuntimeError, EOFError) as error:
        raise RuntimeError(f"{error}; if {found} is damaged, remove it to have it downloaded again") from error


def load(
    repo_or_dir: str | os.PathLike[str],
    model: str,
    *args: Any,
    source: str = "github",
    trust_repo: Any = None,
    force_reload: bool = False,
    verbose: bool = True,
    skip_validation: bool = False,
    **kwargs: Any,
) -> Any:
    """A model of torchvision's, or what a function of a folder's ``hubconf.py`` returns.

    Parameters
    ----------
    repo_or_dir : str
        ``"pytorch/vision"``, of any version, which is :mod:`fastconv.vision.models`; with ``source="local"`` a folder.
    model : str
        The function's name.
    source : {'github', 'local'}
    trust_repo, force_reload, verbose, skip_validation
        Of torch's interface: no repository is downloaded.
    *args, **kwargs
        Of the function.

    Raises
    ------
    RuntimeError
        If it is another repository, or there is no such function.
    """
    functions = _functions(os.fspath(repo_or_dir), source)
    if model not in functions:
        raise RuntimeError(f"Cannot find callable {model} in hubconf of {repo_or_dir}; it has {', '.join(functions)}")
    return functions[model](*args, **kwargs)


def list(
    github: str | os.PathLike[str],
    force_reload: bool = False,
    skip_validation: bool = False,
    trust_repo: Any = None,
    verbose: bool = True,
    source: str = "github",
) -> builtins.list[str]:
    """The names that :func:`load` knows for `github`, a repository or a folder."""
    return [*_functions(os.fspath(github), source)]


def _functions(place: str, source: str) -> dict[str, Any]:
    """What :func:`load` can call, by its name."""
    if source not in ("github", "local"):
        raise ValueError(f'Unknown source: "{source}". Allowed values: "github" | "local".')
    if source == "github":
        if place.partition(":")[0] != "pytorch/vision":
            raise RuntimeError(
                f"fastconv downloads no programs: fetch the repository {place} yourself, look at it, and load it with "
                "source='local' from its folder"
            )
        from .vision import models

        return {name: models.get_model_builder(name) for name in models.list_models()}
    import importlib.util
    import sys

    path = os.path.join(os.path.expanduser(place), "hubconf.py")
    if not os.path.isfile(path):
        raise RuntimeError(f"{place} has no hubconf.py")
    spec: Any = importlib.util.spec_from_file_location("hubconf", path)
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, os.path.dirname(path))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(os.path.dirname(path))
    return {name: value for name, value in vars(module).items() if callable(value) and not name.startswith("_")}
