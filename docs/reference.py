"""Writes the pages of the reference from the modules' ``__all__``: every public name, with its docstring."""

import importlib
import inspect
import textwrap
from pathlib import Path
from types import ModuleType
from typing import Any

# A page: its title, and the modules whose names stand on it.
PAGES = {
    "functions": ("Functions", ["fastconv"]),
    "tensor": ("Tensor", ["fastconv.Tensor"]),
    "nn": ("Layers and losses", ["fastconv.nn"]),
    "functional": ("Layers as functions", ["fastconv.nn.functional", "fastconv.nn.grad"]),
    "init": (
        "Initial weights; utilities of layers",
        ["fastconv.nn.init", "fastconv.nn.utils", "fastconv.nn.parameter"],
    ),
    "autograd": ("Gradients", ["fastconv.autograd", "fastconv.utils.checkpoint"]),
    "optim": ("Optimizers and schedules", ["fastconv.optim", "fastconv.optim.lr_scheduler"]),
    "data": ("Loaders and data sets", ["fastconv.utils.data", "fastconv.vision.datasets"]),
    "transforms": ("Transforms", ["fastconv.vision.transforms", "fastconv.vision.transforms.functional"]),
    "transforms_v2": ("Transforms, version 2", ["fastconv.vision.transforms.v2"]),
    "models": ("Networks", ["fastconv.vision.models"]),
    "vision": ("Images and boxes", ["fastconv.vision.io", "fastconv.vision.ops", "fastconv.vision.utils"]),
    "training": ("Training, and what it left", ["fastconv.app.train", "fastconv.app.predict", "fastconv.summaries"]),
    "files": ("Files", ["fastconv.serialization", "fastconv.onnx", "fastconv.hub", "fastconv.utils.tensorboard"]),
    "distributed": ("Several processes", ["fastconv.distributed"]),
    "linalg": ("Linear algebra, random numbers", ["fastconv.linalg", "fastconv.distributions", "fastconv.random"]),
    "control": ("Forms, programs, PyTorch", ["fastconv.backends", "fastconv.as_torch", "fastconv.pytorch"]),
    "arrays": ("On arrays alone", ["fastconv.ops", "fastconv.reference"]),
}
ABOUT = """\
Every public name, from its docstring. Examples, which tests run, take it that there was::

    import numpy as np
    import fastconv
    from fastconv import nn
    from fastconv.nn import functional as F
"""


def write(folder: Path) -> None:
    """Write the pages, each only if it changed, so that Sphinx reads no others again."""
    folder.mkdir(exist_ok=True)
    index = ["Reference", "=========", "", ABOUT, "", ".. toctree::", "   :maxdepth: 1", ""]
    described: dict[int, str] = {}
    for page, (title, modules) in PAGES.items():
        index.append(f"   {page}")
        lines = [title, "=" * len(title), ""]
        for name in modules:
            lines += tensor() if name == "fastconv.Tensor" else of_module(name, described)
        keep(folder / f"{page}.rst", lines)
    keep(folder / "index.rst", index)


def keep(path: Path, lines: list[str]) -> None:
    text = "\n".join(lines) + "\n"
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def tensor() -> list[str]:
    return [".. autoclass:: fastconv.Tensor", "   :members:", "   :undoc-members:", ""]


def of_module(name: str, described: dict[int, str]) -> list[str]:
    """The module's names, a family after the other; `described` keeps where each object was described first."""
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        return [name, "-" * len(name), "", f"This page was made without it: {error}", ""]
    about = (inspect.getdoc(module) or "").partition("\n\n")[0]
    lines = [name, "-" * len(name), "", *([about, ""] if name != "fastconv" else []), f".. currentmodule:: {name}", ""]
    families: dict[str, list[str]] = {}
    for public in module.__all__:
        families.setdefault(family_of(module, public), []).append(public)
    modules = families.pop("modules", [])
    if modules:
        lines += ["Modules: " + ", ".join(f"``{name}.{public}``" for public in sorted(modules)) + ".", ""]
    for family, names in sorted(families.items(), key=lambda item: (item[0] == "constants", item[0])):
        if len(families) > 1:
            title = family.replace("_", " ").capitalize()
            lines += [title, "~" * len(title), ""]
        for public in sorted(names, key=str.lower):
            if public != "Tensor":
                lines += entry(module, public, described)
    return lines


def family_of(module: ModuleType, public: str) -> str:
    """The last part of the name of the module that a function or class comes from."""
    value = getattr(module, public)
    if inspect.ismodule(value):
        return "modules"
    if not callable(value):
        return "constants"
    return value.__module__.rpartition(".")[2].lstrip("_")


def entry(module: ModuleType, public: str, described: dict[int, str]) -> list[str]:
    value: Any = getattr(module, public)
    name = f"{module.__name__}.{public}"
    if not callable(value):
        return [f".. py:data:: {name}", "", f"   {textwrap.shorten(repr(value), 200)}".replace("*", r"\*"), ""]
    kind = "class" if inspect.isclass(value) else "function"
    first = described.setdefault(id(value), name)
    if first != name:
        return [f".. py:{kind}:: {name}", "", f"   The same as :py:obj:`{first}`.", ""]
    if kind == "function":
        return [f".. autofunction:: {name}", ""]
    if not inspect.getdoc(value):  # an enum of published weights, or a class that says no more than its family
        members = ", ".join(f"``{member}``" for member in getattr(value, "__members__", ()))
        return [f".. py:class:: {name}", "", f"   {'Members: ' + members if members else 'See its family.'}", ""]
    return [f".. autoclass:: {name}", "   :members:", "   :exclude-members: extra_repr", ""]
