"""How a tensor prints."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._native.tape import TensorBase
from .dtypes import bool_, convert, dtype_of, float32, int64

__all__ = ["text_of"]


def text_of(t: TensorBase) -> str:
    """The tensor as torch writes it, long ones in short."""
    array = convert(t._array, float32) if t._array.dtype.kind == "V" else t._array
    dtype = dtype_of(t._array)
    options: dict[str, Any] = {
        "separator": ", ",
        "precision": 4,
        "threshold": 1000,
        "edgeitems": 3,
        "prefix": "tensor(",
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
            if wide:
                options["formatter"] = {"float_kind": lambda x: f"{x:.4e}"}
    body = np.array2string(array, **options) if array.size else "[]"
    details = [body]
    if not array.size and array.ndim != 1:
        details.append(f"size={array.shape}")
    if dtype not in (float32, int64, bool_) or (not array.size and dtype != float32):
        details.append(f"dtype={dtype.name}")
    if t._node is not None:
        details.append(f"grad_fn={t._node!r}")
    elif t._requires_grad:
        details.append("requires_grad=True")
    return f"tensor({', '.join(details)})"
