"""Methods written anew so that a layer may wait for the two that follow it: batch norm, an addition, a rectifier.

In the source of a method, ``norm(x)`` of a chosen layer becomes ``defer(norm, x)`` wherever the text shows that its
result is read just once, by an addition or as the only argument of a call, in this statement or in a later one of the
same block. That addition becomes ``plus(a, b)`` and that call ``then(f, y)``. So the layer may be computed when all
three are known; all else is evaluated as before, and in the same order.

What is evaluated while the layer waits could write to x. So the call follows at once, upon the layer or upon the
addition, and calls between layer and addition, as of a block's shortcut, may only be there if x is the result of a call
and they mention no variable of that.
"""

from __future__ import annotations

import ast
import functools
import inspect
import operator
import textwrap
import types
from collections.abc import Callable, Container, Sequence
from typing import Any, ClassVar, NamedTuple

__all__ = ["Deferred", "Forward", "Steps", "rewritten", "steps_of"]


class Steps(NamedTuple):
    """What a rewritten method calls in place of a call, an addition, ``+=``, and a call."""

    defer: Callable[[Any, Any], Any]
    plus: Callable[[Any, Any], Any]
    plus_in_place: Callable[[Any, Any], Any]
    then: Callable[..., Any]


class Deferred:
    """What a layer is to compute, and what is to be added to it."""

    __slots__ = "add", "layer", "residual", "x"

    def __init__(self, layer: Any, x: Any) -> None:
        self.layer, self.x, self.residual, self.add = layer, x, None, operator.add

    def now(self) -> Any:
        y = self.layer(self.x)
        return y if self.residual is None else self.add(y, self.residual)


def steps_of(can_wait: Callable[[Any, Any], bool], at_once: Callable[[Any, Any, Any, Any], Any]) -> Steps:
    """Steps that put off what ``can_wait(layer, x)``.

    ``at_once(layer, function, x, residual)`` then returns ``function(layer(x) + residual)``, without the addition if
    the residual is None, or NotImplemented: each is called by itself then.
    """

    def defer(layer: Any, x: Any) -> Any:
        return Deferred(layer, x) if can_wait(layer, x) else layer(x)

    def add(a: Any, b: Any, how: Callable[[Any, Any], Any]) -> Any:
        if type(a) is Deferred:
            if b is None or type(b) is Deferred:
                return how(a.now(), b.now() if b is not None else b)
            a.residual, a.add = b, how
            return a
        if type(b) is Deferred:
            if a is None or how is operator.iadd:
                return how(a, b.now())
            b.residual, b.add = a, lambda y, residual: residual + y
            return b
        return how(a, b)

    def then(function: Any, y: Any, **how: Any) -> Any:
        if type(y) is not Deferred:
            return function(y, **how)
        result = at_once(y.layer, function, y.x, y.residual)
        return function(y.now(), **how) if result is NotImplemented else result

    return Steps(defer, lambda a, b: add(a, b, operator.add), lambda a, b: add(a, b, operator.iadd), then)


class Forward:
    """What stands in a module for the forward() of its class: that method with steps.

    A copy, and what is loaded from a file, makes it anew of its module's class. Subclasses set the attributes.

    Attributes
    ----------
    steps : Steps
    layers : set of types
        Those of the module's children that may wait.
    known : dict
        By methods of classes what stands for them, for those that call their children by no name.
    """

    steps: ClassVar[Steps]
    layers: ClassVar[frozenset[type]]
    known: ClassVar[dict[Any, Any]] = {}
    made: ClassVar[dict[Any, Any]] = {}

    def __init__(self, module: Any) -> None:
        self.module = module
        self.method: Any = None  # of the module's class, for which `function` stands
        self.function: Callable[..., Any] | None = None

    @classmethod
    def of(cls, module: Any) -> None:
        """Give it to a module of whose forward() something changes."""
        if "forward" not in module.__dict__:
            forward = cls(module)
            if forward.make() is not None:
                module.__dict__["forward"] = forward

    def make(self) -> Callable[..., Any] | None:
        self.function = None
        self.method = method = type(self.module).forward
        names = frozenset(name for name, child in self.module._modules.items() if type(child) in self.layers)
        if names and method in self.known:
            self.function = self.known[method]
        elif names and isinstance(method, types.FunctionType):
            key = type(self), method, names
            if key not in self.made:
                self.made[key] = rewritten(method, names, self.steps)
            self.function = self.made[key]
        return self.function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.method is not type(self.module).forward:
            self.make()
        return (self.function or self.method)(self.module, *args, **kwargs)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.module,)

    # Who reads a method's source and signature, as compilers of models do, finds the method of the class.
    __class__ = property(lambda self: types.MethodType)
    __self__ = property(lambda self: self.module)
    __func__ = property(lambda self: type(self.module).forward)

    def __getattr__(self, name: str) -> Any:
        if name == "module":
            raise AttributeError(name)
        return getattr(self.__func__, name)


_NAMES = {step: f"_fastconv_{step}" for step in Steps._fields}


def rewritten(method: types.FunctionType, layers: Container[str], steps: Steps) -> Callable[..., Any] | None:
    """The function so written anew; None if nothing would change, or its source is not to be had.

    Parameters
    ----------
    method : function
        Its first parameter is the module.
    layers : container of str
        Names of the module's attributes that may wait.
    steps : Steps
    """
    code = method.__code__
    arguments = code.co_varnames[: code.co_argcount]
    if not arguments or not set(code.co_freevars) <= {"__class__"}:
        return None
    try:
        source = "".join(inspect.findsource(code)[0])
        if code not in _codes(source):  # the file has changed since
            return None
        lines, first = inspect.getsourcelines(code)
        [function] = ast.parse(textwrap.dedent("".join(lines))).body
    except (OSError, TypeError, SyntaxError, ValueError):
        return None
    if not isinstance(function, ast.FunctionDef) or any(map(_is_private, ast.walk(function))):
        return None
    # Decorators, annotations and defaults, which are evaluated where a function is defined, are the method's own.
    function.returns, function.decorator_list, function.args.defaults = None, [], []
    function.args.kw_defaults = [None if d is None else ast.Constant(None) for d in function.args.kw_defaults]
    for argument in ast.walk(function.args):
        if isinstance(argument, ast.arg):
            argument.annotation = None
    ast.increment_lineno(function, first - 1)
    variables = {*code.co_varnames, *code.co_cellvars} - {arguments[0]}
    rewriter = _Rewriter(arguments[0], variables, layers)
    rewriter.block(function.body)
    if not rewriter.changed:
        return None
    found = dict(zip(_NAMES.values(), steps, strict=True))
    result = _made(function, method, (*found, *code.co_freevars), found)
    result.__defaults__, result.__kwdefaults__ = method.__defaults__, method.__kwdefaults__
    result.__qualname__ = method.__qualname__
    return result


def _made(
    function: ast.FunctionDef, method: types.FunctionType, names: Sequence[str], found: dict[str, Any]
) -> types.FunctionType:
    """The function of a tree, which finds `names` beside the names of its module: what is found, and its class."""
    maker = ast.FunctionDef(
        name="maker",
        args=ast.arguments([], [ast.arg(name) for name in names], None, [], [], None, []),
        body=[function, ast.Return(ast.Name(function.name, ast.Load()))],
        decorator_list=[],
        type_params=[],
    )
    tree = ast.fix_missing_locations(ast.Module([maker], []))
    made: dict[str, Any] = {}
    exec(compile(tree, method.__code__.co_filename, "exec", dont_inherit=True), method.__globals__, made)
    cells = dict(zip(method.__code__.co_freevars, method.__closure__ or (), strict=True))
    return made["maker"](*(found[name] if name in found else cells[name].cell_contents for name in names))


@functools.lru_cache(maxsize=8)
def _codes(source: str) -> list[types.CodeType]:
    """All functions of a file."""
    codes = [compile(source, "", "exec", dont_inherit=True)]
    for code in codes:
        codes.extend(const for const in code.co_consts if isinstance(const, types.CodeType))
    return codes


def _is_private(node: ast.AST) -> bool:
    """Whether it is a name that a class changes, ``__name``."""
    name = getattr(node, "id", None) or getattr(node, "attr", None) or getattr(node, "arg", None)
    return isinstance(name, str) and name.startswith("__") and not name.endswith("__")


def _mentions(node: ast.AST, name: str) -> bool:
    return any(isinstance(n, ast.Name) and n.id == name for n in ast.walk(node))


def _leaves(node: ast.AST) -> bool:
    """Whether a statement may leave the block before its end, or do what cannot be followed."""
    kinds = (ast.Return, ast.Raise, ast.Break, ast.Continue, ast.Yield, ast.YieldFrom, ast.Await, ast.Try, ast.With)
    return any(isinstance(n, (*kinds, ast.FunctionDef, ast.Lambda, ast.Delete)) for n in ast.walk(node))


class _Rewriter:
    """Rewrites the statements of a method, given the name of its first parameter, its other variables and the names of
    the layers."""

    def __init__(self, itself: str, variables: set[str], layers: Container[str]) -> None:
        self.itself, self.variables, self.layers, self.changed = itself, variables, layers, False

    def block(self, statements: list[ast.stmt]) -> None:
        made: dict[str, set[str]] = {}  # as `sources` has it
        for i, statement in enumerate(statements):
            mentioned, of_call = self.variables_in(statement), None
            if (name := self.assigned(statement)) is not None and isinstance(statement.value, ast.Call):
                of_call = self.reached(statement.value) - {name}
            for field in ("body", "orelse", "finalbody"):
                inner = getattr(statement, field, None)
                if (
                    inner
                    and isinstance(inner[0], ast.stmt)
                    and not isinstance(statement, (ast.FunctionDef, ast.ClassDef))
                ):
                    self.block(inner)
            for field, value in ast.iter_fields(statement):
                if isinstance(value, ast.expr):
                    setattr(statement, field, self.nested(value, made))
            self.follow(statements, i, made)
            made = {other: names for other, names in made.items() if other not in mentioned}
            if of_call is not None:
                made[name] = of_call

    # What may be written to while a layer waits

    def variables_in(self, node: ast.AST) -> set[str]:
        return {n.id for n in ast.walk(node) if isinstance(n, ast.Name)} & self.variables

    def reached(self, node: ast.AST) -> set[str]:
        """The variables whose memory an expression's value may share: what layers that may wait return is their own."""
        if self.is_layer(node) or self.is_step(node):
            return set()
        if isinstance(node, ast.Name):
            return {node.id} & self.variables
        return set().union(*map(self.reached, ast.iter_child_nodes(node)))

    def sources(self, x: ast.expr, made: dict[str, set[str]]) -> set[str] | None:
        """The variables by which a layer's operand can be reached, as far as the text tells: those in the call that
        makes it, which may return what it is given; None if it is not seen to be made by a call.

        `made` has them of each name that was assigned the result of a call, and that no statement has mentioned since.
        """
        if isinstance(x, ast.Call):
            return self.reached(x)
        return made[x.id] | {x.id} if isinstance(x, ast.Name) and x.id in made else None

    def undisturbed(
        self,
        layer: Any,
        between: list[ast.stmt],
        added: ast.expr,
        made: dict[str, set[str]],
        name: str | None = None,
    ) -> bool:
        """Whether a layer and its operand are not changed by these statements and in what is added, both evaluated
        after the layer's result was assigned to a name."""
        later = (*between, added)
        if any(self.touches(node, layer.func.attr) for node in later):
            return False
        if not between and not any(isinstance(n, ast.Call) for n in ast.walk(added)):
            return True
        names = self.sources(layer.args[0], made)
        return names is not None and not any((names - {name}) & self.variables_in(node) for node in later)

    def touches(self, node: ast.AST, layer: str) -> bool:
        """Whether a waiting layer may be read or changed there: it is named, the module is handed on, or a function is
        called that the method has defined."""
        owned = [n for n in ast.walk(node) if isinstance(n, ast.Attribute) and self.is_itself(n.value)]
        return (
            any(n.attr == layer for n in owned)
            or sum(map(self.is_itself, ast.walk(node))) > len(owned)
            or any(isinstance(n, ast.Call) and self.reached(n.func) for n in ast.walk(node) if not self.is_method(n))
        )

    def is_itself(self, node: ast.AST) -> bool:
        return isinstance(node, ast.Name) and node.id == self.itself

    @staticmethod
    def is_method(node: ast.AST) -> bool:
        return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)

    # What is read in the expression itself

    def nested(self, node: ast.expr, made: dict[str, set[str]]) -> ast.expr:
        """An expression in which calls of layers that an addition or a call takes are rewritten."""
        if isinstance(node, (ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)):
            return node
        for field, value in ast.iter_fields(node):
            if isinstance(value, ast.expr):
                setattr(node, field, self.nested(value, made))
            elif isinstance(value, list):
                value[:] = [self.nested(item, made) if isinstance(item, ast.expr) else item for item in value]
        if self.takes_one(node) and self.can_wait(node.args[0], made):
            return self.then(node, self.waiting(node.args[0]))
        return node

    def takes_one(self, node: ast.AST) -> bool:
        return (
            isinstance(node, ast.Call)
            and len(node.args) == 1
            and not isinstance(node.args[0], ast.Starred)
            and (not node.keywords or self.is_in_place(node))
            and not self.is_step(node)
        )

    @staticmethod
    def is_in_place(node: ast.Call) -> bool:
        """``relu(x, inplace=True)``, where x is read by nobody else."""
        return all(k.arg == "inplace" and isinstance(k.value, ast.Constant) for k in node.keywords)

    @staticmethod
    def is_step(node: ast.AST) -> bool:
        return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _NAMES.values()

    def is_layer(self, node: ast.AST) -> bool:
        """A call of a chosen layer with one argument."""
        return (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Name)
            and node.func.value.id == self.itself
            and node.func.attr in self.layers
            and len(node.args) == 1
            and not isinstance(node.args[0], ast.Starred)
            and not node.keywords
        )

    def can_wait(self, node: ast.AST, made: dict[str, set[str]]) -> bool:
        """A chosen layer's result, or its sum with something else."""
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            if self.is_layer(node.left):
                return not self.is_layer(node.right) and self.undisturbed(node.left, [], node.right, made)
            return self.is_layer(node.right)
        return self.is_layer(node)

    def waiting(self, node: Any) -> ast.expr:
        if self.is_layer(node):
            self.changed = True
            return self.call("defer", node.func, node.args[0])
        left, right = (self.waiting(side) if self.is_layer(side) else side for side in (node.left, node.right))
        return self.call("plus", left, right)

    def call(self, step: str, *arguments: Any) -> ast.Call:
        return ast.copy_location(ast.Call(ast.Name(_NAMES[step], ast.Load()), list(arguments), []), arguments[0])

    def then(self, node: Any, y: ast.expr) -> ast.Call:
        """A call of a function with y, and with the keywords that it has."""
        call = self.call("then", node.func, y)
        call.keywords = node.keywords
        return call

    # What a later statement reads

    def follow(self, statements: list[ast.stmt], i: int, made: dict[str, set[str]]) -> None:
        """Rewrite ``y = norm(x)`` (or ``norm(x) + z``) and the statements that take y, if each takes it once."""
        statement = statements[i]
        name = self.assigned(statement)
        if name is None or not self.can_wait(statement.value, made):
            return
        last, addition = i, None
        if self.is_layer(statement.value):
            j = self.next_use(statements, i, name)
            added = None if j is None else self.added(statements[j], name)
            if added is not None and self.undisturbed(statement.value, statements[i + 1 : j], added, made, name):
                last, addition = j, statements[j]
        if last + 1 == len(statements) or not self.rectifies(statements[last + 1], name):
            return
        statement.value = self.waiting(statement.value)
        if isinstance(addition, ast.AugAssign):
            value = self.call("plus_in_place", ast.copy_location(ast.Name(name, ast.Load()), addition), addition.value)
            statements[last] = ast.copy_location(ast.Assign([ast.Name(name, ast.Store())], value), addition)
        elif addition is not None:
            addition.value = self.call("plus", addition.value.left, addition.value.right)
        call = statements[last + 1]
        call.value = self.then(call.value, call.value.args[0])

    @staticmethod
    def assigned(statement: ast.stmt) -> str | None:
        """The one name that a statement assigns to."""
        if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
            target = statement.targets[0]
            return target.id if isinstance(target, ast.Name) else None
        return None

    @staticmethod
    def next_use(statements: list[ast.stmt], i: int, name: str) -> int | None:
        """The next statement that mentions a name, if all in between surely lead there."""
        for j in range(i + 1, len(statements)):
            if _mentions(statements[j], name):
                return j
            if _leaves(statements[j]):
                return None
        return None

    def added(self, statement: ast.stmt, name: str) -> ast.expr | None:
        """z, if a statement is ``y += z``, ``y = y + z`` or ``y = z + y``."""
        if isinstance(statement, ast.AugAssign):
            sides = statement.target, statement.value
        elif self.assigned(statement) == name and isinstance(statement.value, ast.BinOp):
            sides = statement.value.left, statement.value.right
        else:
            return None
        if isinstance(getattr(statement, "op", None) or statement.value.op, ast.Add):
            for y, z in (sides, sides[::-1]):
                if isinstance(y, ast.Name) and y.id == name and not _mentions(z, name):
                    return z
        return None

    def rectifies(self, statement: ast.stmt, name: str) -> bool:
        """``y = f(y)`` or ``return f(y)``."""
        value = getattr(statement, "value", None)
        return (
            (isinstance(statement, ast.Return) or self.assigned(statement) == name)
            and value is not None
            and self.takes_one(value)
            and isinstance(value.args[0], ast.Name)
            and value.args[0].id == name
            and not _mentions(value.func, name)
        )
