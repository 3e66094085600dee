"""How a tensor prints."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from ._native.tape import TensorBase
from .dtypes import bool_, convert, dtype_of, float32, int64

__all__ = ["set_options", "text_of"]

_PROFILES: dict[str, dict[str, Any]] = {
    "default": {"precision": 4, "threshold": 1000, "edgeitems": 3, "linewidth": 75, "sci_mode": None},
    "short": {"precision": 2, "threshold": 1000, "edgeitems": 2, "linewidth": 80, "sci_mode": None},
    "full": {"precision": 4, "threshold": 2**62, "edgeitems": 3, "linewidth": 80, "sci_mode": None},
}
_options = dict(_PROFILES["default"])


def set_options(
    profile: str | None,
    precision: int | None,
    threshold: int | None,
    edgeitems: int | None,
    linewidth: int | None,
    sci_mode: bool | None,
) -> None:
    """Change what is no None; a profile first."""
    if profile is not None:
        if profile.lower() not in _PROFILES:
            raise ValueError(f"profile must be one of {', '.join(_PROFILES)}, got {profile!r}")
        _options.update(_PROFILES[profile.lower()])
    given = {"precision": precision, "threshold": threshold, "edgeitems": edgeitems, "linewidth": linewidth}
    _options.update({name: value for name, value in given.items() if value is not None}, sci_mode=sci_mode)


def text_of(t: TensorBase) -> str:
    """The tensor as torch writes it, long ones in short."""
    array = convert(t._array, float32) if t._array.dtype.kind == "V" else t._array
    dtype = dtype_of(t._array)
    options: dict[str, Any] = {
        "separator": ", ",
        "prefix": "tensor(",
        "max_line_width": _options["linewidth"],
        "threshold": min(_options["threshold"], sys.maxsize),
        **{name: _options[name] for name in ("precision", "edgeitems")},
    }
    if array.dtype.kind == "f":
        finite = array[np.isfinite(array)].astype(np.float64)
        whole = bool(np.all(finite == np.rint(finite)))
        size = np.abs(finite[finite != 0])
        wide = size.size and (size.max() / size.min() > 1000 or size.max() > 1e8 or size.min() < 1e-4)
        if whole and (not size.size or size.max() < 1e8):
            options["floatmode"] = "maxprec"
        else:
            options["floatmode"] = "fixed"
            if wide if _options["sci_mode"] is None else _options["sci_mode"]:
                options["formatter"] = {"float_kind": lambda x: f"{x:.{_options['precision']}e}"}
    if array.dtype.kind == "b" and not array.all():
        options["formatter"] = {"bool": lambda x: "False" if not x else " True" if array.any() else "True"}
    elif array.dtype.kind == "b":
        options["formatter"] = {"bool": str}
    body = np.array2string(array, **options) if array.size else "[]"
    body = body.replace(", ...,", ",  ...,")
    details = [body]
    if not array.size and array.ndim != 1:
        details.append(f"size={array.shape}")
    if dtype not in (float32, int64, bool_) or (not array.size and dtype != float32):
        details.append(f"dtype={dtype}")
    if t._node is not None:
        details.append(f"grad_fn={t._node!r}")
    elif t._requires_grad:
        details.append("requires_grad=True")
    return f"tensor({', '.join(details)})"
