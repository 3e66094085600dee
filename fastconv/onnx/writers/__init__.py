"""What writes a call of each function as operators: a family a file, by the functions' names and arguments."""

from __future__ import annotations

from types import CodeType
from typing import Any

from ... import functions, linalg
from ...nn import functional
from ..graph import WRITERS
from . import activations, arithmetic, convolution, losses, normalisation, pooling, recurrent, resize, shapes  # noqa: F401  (they fill WRITERS)

__all__ = ["CODES", "PUBLIC"]


def _code(function: Any) -> CodeType | None:
    """The code of a function under its decorators; None of what has none."""
    while hasattr(function, "__wrapped__"):
        function = function.__wrapped__
    return getattr(function, "__code__", None)


# The functions with a writer, by their code; and the names of those without.
CODES: dict[Any, Any] = {_code(function): function for function in WRITERS}

PUBLIC: dict[Any, str] = {}
for module, prefix in ((functions, "fastconv"), (linalg, "fastconv.linalg"), (functional, "nn.functional")):
    for name in module.__all__:
        code = _code(getattr(module, name))
        if code is not None and code not in CODES:
            PUBLIC[code] = f"{prefix}.{name}"
