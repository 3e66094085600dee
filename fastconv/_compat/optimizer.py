"""Names of ``torch.optim.optimizer`` that are not public, and that optimizers of others import."""

from typing import Any

__all__ = ["required"]

required: Any = object()  # the default of an option that has none
_params_t = Any
