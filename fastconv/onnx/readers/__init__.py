"""How the operators of a graph are computed: a family a file."""

from . import (  # noqa: F401  (they fill READERS)
    activations,
    arithmetic,
    convolution,
    losses,
    normalisation,
    pooling,
    recurrent,
    reduction,
    resize,
    selection,
    shapes,
)
from .dtypes import NUMPY_TYPES, array_of_tensor

__all__ = ["NUMPY_TYPES", "array_of_tensor"]
