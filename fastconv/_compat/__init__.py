"""What exists only because programs written for torch name it: GPUs, scripting, automatic precision, old tensor types.

The answers are those that torch gives on a machine without a GPU. Nothing imports this package; a module of
fastconv whose programs' names end here looks them up with :func:`find` when they are first used.
"""

import importlib
import importlib.util
from typing import Any

__all__ = ["find"]


def find(module: str, name: str) -> Any:
    """The attribute `name` that a module of fastconv has for torch's programs only.

    Parameters
    ----------
    module : str
        The name of that module. What it lacks stands in the module of the same name below this one; what
        ``fastconv`` itself lacks, in ``_names``.
    name : str

    Raises
    ------
    AttributeError
        If there is no such name.
    """
    if name[0] != "_":
        twin = importlib.import_module(__name__ + module.removeprefix("fastconv"))
        names = twin if module != "fastconv" else importlib.import_module(f"{__name__}._names")
        if name in names.__all__:
            return getattr(names, name)
        if hasattr(twin, "__path__") and importlib.util.find_spec(f"{twin.__name__}.{name}") is not None:
            return importlib.import_module(f"{twin.__name__}.{name}")
    raise AttributeError(f"module {module!r} has no attribute {name!r}")
