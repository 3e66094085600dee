"""An unpickler that executes nothing.

A pickle is a program: Python's unpickler imports what it names and calls it. Here :mod:`pickletools` reads the
opcodes, which executes nothing, and those that build containers, strings and numbers are followed. A name leads to an
object of a table or is refused, and only the functions of the table are called; each checks what it is given.
"""

from __future__ import annotations

import io
import pickletools
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable, Mapping
from pickle import UnpicklingError
from typing import Any, BinaryIO

import numpy as np

__all__ = ["Unpickler", "UnpicklingError"]

_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_VALUES = {"BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT"}
_VALUES |= {"BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"}
_EMPTY = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple, "EMPTY_SET": set}
_SHORT_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_DICTS = (dict, OrderedDict, Counter, defaultdict)
_SIZED = (str, bytes, bytearray, list, tuple, dict, set, frozenset)
_BLOCKED = ("os", "posix", "nt", "sys")  # no list of safe globals can name what is in these modules


class _Clipped:
    """A file that is asked for no more than it has: a length in a pickle can be anything, and is allocated at once.

    It tells no position, which :mod:`pickletools` would ask for at every opcode.
    """

    def __init__(self, file: BinaryIO, size: int) -> None:
        self.readline = file.readline
        self.read: Callable[[int], bytes] = file.read  # of memory, which allocates what there is
        if not isinstance(file, io.BytesIO):
            self.read = lambda count: file.read(min(count, size))


class Unpickler:
    """Reads pickles from a file that stands where one begins, and leaves it behind the one that was read.

    Parameters
    ----------
    file : binary file
        Of a known size, which bounds the memory that a pickle can claim.
    functions, constants : mapping of str to object
        By "module.name": what a pickle may call, and what it may only name.
    safe : mapping of str to object
        What the user trusts: is called, made and filled as Python's unpickler would.
    load_storage : callable
        Given the tuple by which a pickle refers to a storage.
    encoding : str
        How strings of Python 2 become strings; "bytes" leaves them as they are.
    """

    def __init__(
        self,
        file: BinaryIO,
        size: int,
        functions: Mapping[str, Callable[..., Any]],
        constants: Mapping[str, Any],
        safe: Mapping[str, Any],
        load_storage: Callable[[tuple[Any, ...]], Any] | None = None,
        encoding: str = "utf-8",
    ) -> None:
        self._file: Any = _Clipped(file, size)
        self._functions, self._constants, self._safe = functions, constants, safe
        self._callable = {id(function) for function in (*functions.values(), *safe.values())}
        self._load_storage = load_storage
        self._encoding = encoding
        # A few bytes of a pickle can ask for a copy of a large string, again and again. No honest one copies much.
        self._allowance = 4 * size + 1_000_000

    def load(self) -> Any:
        """The object of the next pickle.

        Raises
        ------
        UnpicklingError
            If the pickle is damaged, or asks for anything that is not allowed; the message names it.
        """
        try:
            return self._run()
        except (UnpicklingError, MemoryError):
            raise
        except RuntimeError as error:  # of `load_storage`, whose messages name the file
            if not isinstance(error, RecursionError):
                raise
            raise UnpicklingError("the pickle is damaged (it is nested too deeply)") from None
        except Exception as error:  # an empty stack, an unknown memo, a value of the wrong kind
            raise UnpicklingError(f"the pickle is damaged ({type(error).__name__}: {error})") from None

    def _run(self) -> Any:
        stack: list[Any] = []
        marks: list[int] = []
        memo: dict[int, Any] = {}

        def after_mark() -> list[Any]:
            start = marks.pop()
            items = stack[start:]
            del stack[start:]
            return items

        for opcode, argument, _ in pickletools.genops(self._file):
            name = opcode.name
            if name in ("BINPUT", "LONG_BINPUT"):
                memo[argument] = stack[-1]
            elif name in _VALUES:
                stack.append(argument)
            elif name in ("BINGET", "LONG_BINGET"):
                stack.append(memo[argument])
            elif name == "MEMOIZE":
                memo[len(memo)] = stack[-1]
            elif name in _CONSTANTS:
                stack.append(_CONSTANTS[name])
            elif name == "MARK":
                marks.append(len(stack))
            elif name == "TUPLE":
                stack.append(tuple(after_mark()))
            elif name in _SHORT_TUPLES:
                count = _SHORT_TUPLES[name]
                if len(stack) < count:
                    raise IndexError("too few values for a tuple")
                stack[-count:] = [tuple(stack[-count:])]
            elif name in _EMPTY:
                stack.append(_EMPTY[name]())
            elif name in ("SHORT_BINSTRING", "BINSTRING"):
                raw = argument.encode("latin-1")
                stack.append(raw if self._encoding == "bytes" else raw.decode(self._encoding))
            elif name in ("APPEND", "APPENDS"):
                items = [stack.pop()] if name == "APPEND" else after_mark()
                if type(stack[-1]) is not list:
                    raise UnpicklingError(f"Can only append to lists, but got {type(stack[-1])}")
                stack[-1].extend(items)
            elif name == "ADDITEMS":
                items = after_mark()
                if type(stack[-1]) is not set:
                    raise UnpicklingError(f"Can only add to sets, but got {type(stack[-1])}")
                stack[-1].update(map(_key, items))
            elif name in ("SETITEM", "SETITEMS"):
                items = after_mark() if name == "SETITEMS" else [stack.pop(-2), stack.pop()]
                if type(stack[-1]) not in _DICTS:
                    raise UnpicklingError(f"Can only set items of dicts, but got {type(stack[-1])}")
                for key, value in zip(items[::2], items[1::2], strict=True):
                    stack[-1][_key(key)] = value
            elif name in ("GLOBAL", "STACK_GLOBAL"):
                if name == "STACK_GLOBAL":
                    attribute, module = stack.pop(), stack.pop()
                else:
                    module, _, attribute = argument.partition(" ")
                stack.append(self._global(module, attribute))
            elif name == "REDUCE":
                arguments, function = stack.pop(), stack.pop()
                stack.append(self._call(function, arguments))
            elif name == "NEWOBJ":
                arguments, cls = stack.pop(), stack.pop()
                if not isinstance(cls, type) or not self._trusts(cls):
                    raise UnpicklingError(
                        "Can only create new object for nn.Parameter or classes allowlisted via `add_safe_globals` "
                        f"but got {_say(cls)}"
                    )
                stack.append(cls.__new__(cls, *arguments))
            elif name == "BUILD":
                state = stack.pop()
                self._build(stack[-1], state)
            elif name == "BINPERSID":
                stack.append(self._storage(stack.pop()))
            elif name == "STOP":
                return stack.pop()
            elif name not in ("PROTO", "FRAME"):
                raise UnpicklingError(f"Unsupported operand {opcode.code!r} ({name})")
        raise UnpicklingError("the pickle has no end")

    def _global(self, module: Any, attribute: Any) -> Any:
        if type(module) is not str or type(attribute) is not str:
            raise UnpicklingError("the pickle is damaged (a name is no string)")
        module = "builtins" if module == "__builtin__" else module  # its name in Python 2, and so in protocol 2
        name = f"{module}.{attribute}"
        if module.partition(".")[0] in _BLOCKED:
            raise UnpicklingError(f"Trying to load unsupported GLOBAL {name} whose module {module} is blocked.")
        for table in (self._functions, self._constants, self._safe):
            if name in table:
                return table[name]
        shown = name.removeprefix("builtins.")
        raise UnpicklingError(
            f"Unsupported global: GLOBAL {shown} was not an allowed global by default. Please use "
            f"`fastconv.serialization.add_safe_globals([{shown}])` or the "
            f"`fastconv.serialization.safe_globals([{shown}])` context manager to allowlist this global if you trust "
            "this class/function."
        )

    def _trusts(self, cls: type[Any]) -> bool:
        return any(cls is trusted for trusted in self._safe.values())

    def _call(self, function: Any, arguments: Any) -> Any:
        if id(function) not in self._callable:
            raise UnpicklingError(f"Trying to call reduce for unrecognized function {_say(function)}")
        if type(arguments) is not tuple:
            raise UnpicklingError("the pickle is damaged (the arguments of a call are no tuple)")
        self._charge(arguments)
        return function(*arguments)

    def _charge(self, values: tuple[Any, ...]) -> None:
        self._allowance -= sum(len(value) for value in values if type(value) in _SIZED)
        if self._allowance < 0:
            raise UnpicklingError("the pickle asks for far more memory than the file has bytes")

    def _build(self, instance: Any, state: Any) -> None:
        kind = type(instance)
        if kind is OrderedDict:  # as Module.state_dict()'s `_metadata`
            instance.__dict__.update({key: value for key, value in state.items() if not hasattr(kind, key)})
        elif kind is np.ndarray or isinstance(instance, np.dtype):
            self._charge(state)
            _check_numpy_state(instance, state)
            instance.__setstate__(state)
        elif self._trusts(kind):
            if hasattr(instance, "__setstate__"):
                instance.__setstate__(state)
                return
            slots = None
            if type(state) is tuple and len(state) == 2:
                state, slots = state
            instance.__dict__.update(state or {})
            for key, value in (slots or {}).items():
                setattr(instance, key, value)
        else:
            raise UnpicklingError(
                "Can only build Tensor, Parameter, OrderedDict or types allowlisted via `add_safe_globals`, "
                f"but got {_say(instance)}"
            )

    def _storage(self, reference: Any) -> Any:
        if type(reference) is not tuple or self._load_storage is None:
            raise UnpicklingError(f"persistent_load id must be tuple or int, but got {type(reference)}")
        if not reference or reference[0] not in ("storage", b"storage"):
            raise UnpicklingError(f"Only persistent_load of storage is allowed, but got {_say(reference[:1])}")
        return self._load_storage(reference)


def _say(value: Any) -> str:
    """A short text that calls no method of the value."""
    return f"{value.__module__}.{value.__qualname__}" if isinstance(value, type) else f"a {type(value).__name__}"


def _key(key: Any) -> Any:
    """A key of a dict, or a member of a set, whose hash is computed quickly: tuples hash all that is in them."""
    left, todo = 1000, [key]
    while todo:
        item = todo.pop()
        left -= 1
        if left < 0 or isinstance(item, list | dict | set | bytearray | np.ndarray):
            raise UnpicklingError(f"a key is unhashable or too large: a {type(key).__name__}")
        if isinstance(item, tuple):
            todo += item[: left + 1]
    return key


# ---------------------------------------------------------------------------------------------------------
# What is allowed beside tensors
# ---------------------------------------------------------------------------------------------------------

_FACTORIES = (None, int, float, str, bool, list, tuple, dict, set)


def _ordered_dict(items: list[Any] = []) -> OrderedDict:  # noqa: B006  (not changed)
    return OrderedDict([(_key(key), value) for key, value in items])


def _counter(items: dict[Any, Any] | None = None) -> Counter:
    return Counter({_key(key): value for key, value in (items or {}).items()})


def _default_dict(factory: type[Any] | None = None) -> defaultdict:
    if factory not in _FACTORIES:
        raise UnpicklingError(f"a defaultdict that makes {_say(factory)} is not allowed")
    return defaultdict(factory)


def _set(items: list[Any] = []) -> set[Any]:  # noqa: B006
    return set(map(_key, items))


def _frozenset(items: list[Any] = []) -> frozenset:  # noqa: B006
    return frozenset(map(_key, items))


def _encode(text: str, encoding: str) -> bytes:
    """How Python 3 writes bytes in protocol 2."""
    if encoding != "latin1":
        raise UnpicklingError(f"text is encoded as {encoding!r}, expected 'latin1'")
    return text.encode("latin-1")


def _bytearray(data: bytes | str = b"", encoding: str = "latin-1") -> bytearray:
    if type(data) not in (bytes, str) or encoding not in ("latin-1", "latin1"):
        raise UnpicklingError(f"a bytearray is made of a {type(data).__name__}, expected bytes")
    return bytearray(data if type(data) is bytes else data.encode("latin-1"))


def _complex(real: float, imag: float) -> complex:
    return complex(float(real), float(imag))


def _check_numbers(dtype: Any) -> None:
    if not isinstance(dtype, np.dtype) or dtype.kind not in "biufc":
        raise UnpicklingError(
            f"a NumPy array holds {dtype if isinstance(dtype, np.dtype) else _say(dtype)}, not numbers"
        )


def _numpy_dtype(code: Any, align: Any = False, copy: Any = True) -> np.dtype:
    code = code.decode("ascii") if type(code) is bytes else code
    if type(code) is not str or len(code) > 3:
        raise UnpicklingError(f"a NumPy dtype {code!r:.40} is not allowed")
    dtype = np.dtype(code, False, True)  # a copy, for its byte order comes next and is set in place
    _check_numbers(dtype)
    return dtype


def _numpy_scalar(dtype: np.dtype, data: bytes) -> np.generic:
    _check_numbers(dtype)
    data = data.encode("latin-1") if type(data) is str else data
    return np.frombuffer(data, dtype.newbyteorder("="), 1)[0] if dtype.isnative else np.frombuffer(data, dtype, 1)[0]


def _numpy_reconstruct(kind: Any, shape: Any, code: Any) -> np.ndarray:
    """An empty array, to which `BUILD` gives its dtype, shape and contents."""
    if kind is not np.ndarray:
        raise UnpicklingError(f"an array of {_say(kind)}, expected numpy.ndarray")
    return np.empty(0, np.int8)


def _numpy_from_buffer(data: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray:
    _check_numbers(dtype)
    _check_sizes(shape, dtype, data)
    return np.frombuffer(data, dtype).reshape(shape, order="F" if order == "F" else "C").copy()


def _check_sizes(shape: Any, dtype: np.dtype, data: Any) -> None:
    if type(shape) is not tuple or not all(type(n) is int and n >= 0 for n in shape):
        raise UnpicklingError("the pickle is damaged (an array's shape is no tuple of integers)")
    count = 1
    for n in shape:
        count *= n
    if type(data) not in (bytes, bytearray) or count * dtype.itemsize != len(data):
        raise UnpicklingError(f"an array of shape {list(shape)} and {dtype} does not have as many bytes")


def _check_numpy_state(instance: Any, state: Any) -> None:
    """Refuse what NumPy's `__setstate__` could be told beside the state of plain numbers."""
    if isinstance(instance, np.dtype):
        if instance is np.dtype(instance.str):
            raise UnpicklingError("the pickle would change a NumPy dtype that it has not made")
        if type(state) is not tuple or len(state) < 2 or state[1] not in ("<", ">", "|", "=", b"<", b">", b"|", b"="):
            raise UnpicklingError("the pickle is damaged (the state of a NumPy dtype)")
        if any(part not in (None, -1, 0) for part in state[2:]):
            raise UnpicklingError("a NumPy dtype with fields is not allowed")
    else:
        _, shape, dtype, _, data = state
        _check_numbers(dtype)
        _check_sizes(shape, dtype, data)


PLAIN_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": _ordered_dict,
    "collections.Counter": _counter,
    "collections.defaultdict": _default_dict,
    "builtins.set": _set,
    "builtins.frozenset": _frozenset,
    "builtins.bytearray": _bytearray,
    "builtins.complex": _complex,
    "_codecs.encode": _encode,
    "numpy.dtype": _numpy_dtype,
    "numpy.core.multiarray.scalar": _numpy_scalar,
    "numpy._core.multiarray.scalar": _numpy_scalar,
    "numpy.core.multiarray._reconstruct": _numpy_reconstruct,
    "numpy._core.multiarray._reconstruct": _numpy_reconstruct,
    "numpy.core.numeric._frombuffer": _numpy_from_buffer,
    "numpy._core.numeric._frombuffer": _numpy_from_buffer,
}
PLAIN_CONSTANTS: dict[str, Any] = {
    "numpy.ndarray": np.ndarray,
    **{f"builtins.{kind.__name__}": kind for kind in _FACTORIES if kind not in (None, set)},
}
