"""How the operators of a graph are computed: a family a file."""

from . import activations, arithmetic, convolution, losses, normalisation, pooling, reduction, resize, selection, shapes  # noqa: F401  (they fill READERS)
from .dtypes import NUMPY_TYPES, array_of_tensor

__all__ = ["NUMPY_TYPES", "array_of_tensor"]
