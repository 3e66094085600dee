"""Published weights, by torch.hub's names: read from the folder that torch keeps them in, and never downloaded."""

from __future__ import annotations

import os
from typing import Any

__all__ = ["get_dir", "load_state_dict_from_url", "set_dir"]

_dir: str | None = None


def get_dir() -> str:
    """The folder that torch keeps downloads in: what :func:`set_dir` set, ``$TORCH_HOME/hub`` or the default."""
    home = os.environ.get("TORCH_HOME") or os.path.join(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "torch")
    return _dir if _dir is not None else os.path.join(os.path.expanduser(home), "hub")


def set_dir(d: str | os.PathLike[str]) -> None:
    """Keep downloads in the folder `d` from now on."""
    global _dir
    _dir = os.path.expanduser(d)


def load_state_dict_from_url(
    url: str,
    model_dir: str | None = None,
    map_location: Any = None,
    progress: bool = True,
    check_hash: bool = False,
    file_name: str | None = None,
    weights_only: bool = True,
) -> Any:
    """The weights that were downloaded from `url` before, by torch or by hand.

    Parameters
    ----------
    url : str
    model_dir : path, optional
        Where the file is; by default ``checkpoints`` in the folder :func:`get_dir`.
    map_location, weights_only
        See :func:`fastconv.load`.
    progress, check_hash
        Of torch's interface: nothing is downloaded.
    file_name : str, optional
        The file's name; by default the last part of `url`.

    Raises
    ------
    RuntimeError
        If the file is not there: nothing is downloaded.
    """
    from urllib.parse import urlparse

    folder = model_dir if model_dir is not None else os.path.join(get_dir(), "checkpoints")
    path = os.path.join(folder, file_name or os.path.basename(urlparse(url).path))
    if not os.path.isfile(path):
        raise RuntimeError(f"weights are not downloaded: fetch {url} by other means and put it at {path}")
    from .serialization import load

    return load(path, map_location=map_location, weights_only=weights_only)
