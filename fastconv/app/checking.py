"""``fastconv check``: which of torch's names a program uses that fastconv lacks, found by reading it.

A program is parsed, never run, and so are the modules that lie beside it and that it imports. What stands for a module,
class or function of torch is known from the imports; of all else, an attribute is reported with "perhaps" if torch's
tensors or modules have it and fastconv's have not.
"""

from __future__ import annotations

import ast
import contextlib
import inspect
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from fastconv import nn
from fastconv._tensor import Tensor
from fastconv.as_torch import METHODS, MODULES, VERSIONS, MissingNameError, lookup

__all__ = ["Missing", "check"]

# Calls that are False on every machine: what depends on them is never reached.
NEVER = {f"torch.{name}.is_available" for name in ("cuda", "xpu", "accelerator", "mps", "backends.mps")}

# What an attribute of unknown kind may as well belong to.
BUILTINS = (str, bytes, list, tuple, dict, set, int, float, complex, slice, BaseException)


@dataclass(frozen=True, order=True)
class Missing:
    """A name that a program uses and that fastconv lacks.

    Attributes
    ----------
    path : str
    line : int
    name : str
        As in torch: ``torch.fft``, ``torch.matmul(out=)``; of a method, ``.lu``.
    sure : bool
        False if it may belong to something else, or need not be there.
    """

    path: str
    line: int
    name: str
    sure: bool = True

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {'' if self.sure else 'perhaps '}{self.name}"


def check(paths: Iterable[str]) -> list[Missing]:
    """What the programs in these files lack, in the order of files and lines; of a folder, all the Python in it.

    Hidden folders in it, and virtual environments, are left out.

    Raises
    ------
    OSError
        If a file cannot be read.
    ValueError
        If one that was named is no Python, or a folder holds none that can be read.
    """
    trees: dict[str, ast.Module] = {}
    for path in paths:
        if not os.path.isdir(path):
            _read(path, os.path.dirname(path), trees)
            continue
        files, read = _programs(path), 0
        if not files:
            raise ValueError(f"{path}: holds no Python file")
        for file in files:
            try:
                _read(file, path, trees)
                read += 1
            except ValueError as error:  # Python 2, which many programs keep unused
                wrong = error
        if not read:
            raise ValueError(f"{path}: holds no file that is Python; the last: {wrong}")
    own: dict[str, bool] = {}
    for name, called in (pair for tree in trees.values() for pair in _defined(tree)):
        own[name] = own.get(name, False) or called
    found: set[Missing] = set()
    for path, tree in trees.items():
        found |= _Reader(path, tree, own).found
    return sorted(found)


def _programs(folder: str) -> list[str]:
    """The Python files in a folder, but for what is hidden and what pip has installed there."""
    found: list[Path] = []
    for place, folders, files in os.walk(folder):
        folders[:] = [
            name
            for name in folders
            if not name.startswith(".") and not os.path.exists(os.path.join(place, name, "pyvenv.cfg"))
        ]
        found += [Path(place, name) for name in files if name.endswith(".py")]
    return [str(file) for file in sorted(found)]


def _read(path: str, folder: str, trees: dict[str, ast.Module]) -> None:
    """Parse a file, and the files that it imports from `folder` or from its own package."""
    if path in trees:
        return
    try:
        trees[path] = tree = ast.parse(Path(path).read_bytes(), path)
    except SyntaxError as error:
        raise ValueError(f"{path}:{error.lineno}: is no Python: {error.msg}") from None
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            targets = [(folder, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = folder
            if node.level:
                base = os.path.join(os.path.dirname(path), *[os.pardir] * (node.level - 1))
            module = node.module or ""
            targets = [(base, module), *((base, f"{module}.{alias.name}".strip(".")) for alias in node.names)]
        else:
            continue
        for base, name in targets:
            place = os.path.join(base, *name.split("."))
            for file in (f"{place}.py", os.path.join(place, "__init__.py")):
                if name and os.path.isfile(file):
                    with contextlib.suppress(ValueError):  # Python 2, which many programs keep unused
                        _read(os.path.normpath(file), folder, trees)


def _defined(tree: ast.Module) -> Iterator[tuple[str, bool]]:
    """The names of the program's own functions, methods and attributes, and whether they may be called."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name, True
        elif isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
            # A number or a sum, such as an AverageMeter's, is never called.
            called = not isinstance(node, ast.AugAssign) and not isinstance(node.value, ast.Constant | ast.BinOp)
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                for part in ast.walk(target):
                    if isinstance(part, ast.Attribute) and isinstance(part.ctx, ast.Store):
                        yield part.attr, called
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr, False
        elif isinstance(node, ast.keyword) and node.arg is not None:  # of a namespace, such as argparse's
            yield node.arg, False


@cache
def _missing_methods() -> frozenset[str]:
    """Attributes that torch's tensors and modules have, and neither fastconv's have nor Python's own types."""
    return frozenset(METHODS.read_text().split()).difference(*(dir(kind) for kind in (Tensor, nn.Module, *BUILTINS)))


def _root(node: ast.AST) -> str | None:
    """The name that a chain of attributes begins with, None if it begins with anything else."""
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None


class _Reader(ast.NodeVisitor):
    """Reads one file; :attr:`found` is what it lacks."""

    def __init__(self, path: str, tree: ast.Module, own: dict[str, bool]) -> None:
        self.path = path
        self.own = own
        self.found: set[Missing] = set()
        self.called: set[ast.AST] = set()  # what stands before the parentheses of a call
        self.doubts = 0  # how many attempts are around, that may fail
        self.torchs: dict[str, str] = {}  # what names of the file are in torch
        self.lines: dict[str, int] = {}  # where they are first imported
        self.functions = 0  # how many functions and classes are around
        self.others: set[str] = set()  # names of other modules
        self.rebound = {
            node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
        }
        for node in ast.walk(tree):  # beforehand, for functions stand before the imports of others
            if isinstance(node, ast.Import):
                for alias in node.names:
                    here = alias.asname or alias.name.partition(".")[0]
                    self._bind(node, here, alias.name, alias.asname is None)
            elif isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    name = f"{node.module}.{alias.name}" if not node.level else ""
                    self._bind(node, alias.asname or alias.name, name, False)
        self.visit(tree)

    def _bind(self, node: ast.stmt, here: str, name: str, to_root: bool) -> None:
        root = name.partition(".")[0]
        if root in VERSIONS:
            self.torchs[here] = root if to_root else name
            self.lines[here] = min(node.lineno, self.lines.get(here, node.lineno))
        else:
            self.others.add(here)

    def _report(self, node: ast.AST, name: str, sure: bool = True) -> None:
        self.found.add(Missing(self.path, node.lineno, name, sure and not self.doubts))

    # Imports

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            if alias.name.partition(".")[0] in VERSIONS and alias.name not in MODULES:
                self._report(node, alias.name)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        module = node.module or ""
        if node.level or module.partition(".")[0] not in VERSIONS:
            return
        if module not in MODULES:
            self._report(node, module)
            return
        for alias in node.names:
            if alias.name != "*":
                self._resolve(node, [*module.split("."), alias.name])

    # What may fail, and what is never reached

    def visit_Try(self, node: ast.Try) -> None:
        caught = " ".join(ast.unparse(handler.type) if handler.type else "Exception" for handler in node.handlers)
        attempt = any(name in caught for name in ("ImportError", "ModuleNotFound", "AttributeError", "Exception"))
        self.doubts += attempt
        for child in node.body:
            self.visit(child)
        self.doubts -= attempt
        for child in (*node.handlers, *node.orelse, *node.finalbody):
            self.visit(child)

    def visit_If(self, node: ast.If | ast.IfExp) -> None:
        self.visit(node.test)
        test, negated = node.test, False
        if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            test, negated = test.operand, True
        never = isinstance(test, ast.Call) and ".".join(self._chain(test.func) or ()) in NEVER
        for part, reached in ((node.body, not never or negated), (node.orelse, not (never and negated))):
            if reached:
                for child in part if isinstance(part, list) else [part]:
                    self.visit(child)

    visit_IfExp = visit_If

    # Names

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda) -> None:
        self.functions += 1
        self.generic_visit(node)
        self.functions -= 1

    visit_AsyncFunctionDef = visit_ClassDef = visit_Lambda = visit_FunctionDef

    def _chain(self, node: ast.AST) -> list[str] | None:
        """``nn.functional.relu`` as ["torch", "nn", "functional", "relu"]; None for what is not torch's."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if isinstance(node, ast.Name) and node.id in self.torchs:
            return [*self.torchs[node.id].split("."), *reversed(parts)]
        return None

    def _resolve(self, node: ast.AST, chain: list[str]) -> Any:
        """What a chain of names is in fastconv, or None; reports the first that is missing."""
        module, rest = chain[0], chain[1:]
        while rest and f"{module}.{rest[0]}" in MODULES:
            module = f"{module}.{rest.pop(0)}"
        if not rest:
            return None
        try:
            value = lookup(module, rest[0])
        except MissingNameError:
            stored = isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and len(rest) == 1
            if not stored and not rest[0].startswith("__"):
                self._report(node, f"{module}.{rest[0]}")
            return None
        for i, name in enumerate(rest[1:], 2):
            if isinstance(value, type) and issubclass(value, Tensor | nn.Module) and name in _missing_methods():
                self._report(node, ".".join([module, *rest[:i]]))
            value = getattr(value, name, None)
        return value

    def visit_Attribute(self, node: ast.Attribute) -> None:
        root = _root(node)
        chain = self._chain(node)
        if chain is not None and root is not None:
            doubt = root in self.rebound  # the program's own at that place, maybe
            if doubt and not self.functions and node.lineno < self.lines[root]:
                return  # it is, for it is imported further down
            self.doubts += doubt
            self._resolve(node, chain)
            self.doubts -= doubt
            return
        if root not in self.others and isinstance(node.ctx, ast.Load) and node.attr in _missing_methods():
            own = self.own.get(node.attr)
            if own is None or (node in self.called and not own):
                self._report(node, f".{node.attr}", sure=False)
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        self.called.add(node.func)
        self.generic_visit(node)
        chain = self._chain(node.func)
        if chain is None or _root(node.func) in self.rebound:
            return
        before = set(self.found)
        function = self._resolve(node.func, chain)
        if not callable(function) or self.found != before:
            return
        try:
            parameters = inspect.signature(function).parameters.values()
        except (TypeError, ValueError):  # a class or function that does not tell
            return
        if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
            return
        taken = {parameter.name for parameter in parameters if parameter.kind is not parameter.POSITIONAL_ONLY}
        taken.update(getattr(function, "other_names", ()))
        for keyword in node.keywords:
            if keyword.arg is not None and keyword.arg not in taken:
                self._report(keyword.value, f"{'.'.join(chain)}({keyword.arg}=)")
