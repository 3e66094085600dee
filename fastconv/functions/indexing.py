"""Elements, rows and regions by their indices."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .._native.tape import TensorBase
from ..checks import brief

if TYPE_CHECKING:
    from .._tensor import Tensor

__all__ = [
    "bad_index",
    "plain_index",
]


def plain_index(index: object) -> tuple[tuple, bool]:
    """An index without tensors in it, and whether it is a basic one, which yields a view."""
    items = index if isinstance(index, tuple) else (index,)
    plain, basic, ellipsis = [], True, False
    for i in items:
        if isinstance(i, TensorBase):
            i = i._array
            if i.ndim == 0 and i.dtype.kind in "iu":
                i = i.item()
        if i is Ellipsis:
            ellipsis = True
        elif isinstance(i, (list, range)):
            i = np.asarray(i, dtype=np.int64 if not len(i) else None)
            basic = False
        elif isinstance(i, bool) or not (i is None or isinstance(i, (slice, int, np.integer))):
            basic = False
        plain.append(i)
    if basic and not ellipsis:
        plain.append(Ellipsis)  # an element, too, comes out as an array over the same memory
    return tuple(plain), basic


def bad_index(index: object, t: Tensor, error: IndexError) -> IndexError:
    """The error that says which index it was, and of which shape."""
    return IndexError(f"index {brief(index)} does not fit the shape {list(t.shape)}: {error}")
