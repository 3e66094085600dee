"""Reading the pickles of CIFAR without unpickling them.

A pickle is a program, and Python's unpickler runs it. Here the program's opcodes are read by :mod:`pickletools`,
which executes nothing, and only those that build dicts, lists, tuples, strings and numbers are followed. Where a
pickle asks for a function to be called, the request is kept as a :class:`Call`; a few names that NumPy's arrays need
are known, and any other is refused.
"""

import math
import pickletools
from typing import Any

import numpy as np

__all__ = ["Call", "as_array", "as_integers", "read_pickle"]

# What the pickle of an array of integers names, from Python 2's NumPy to NumPy 2.
KNOWN = {
    "_codecs encode",
    "numpy dtype",
    "numpy ndarray",
    "numpy.core.multiarray _reconstruct",
    "numpy._core.multiarray _reconstruct",
    "numpy.core.multiarray scalar",
    "numpy._core.multiarray scalar",
    "numpy.core.numeric _frombuffer",
    "numpy._core.numeric _frombuffer",
}
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
VALUES = {"BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"}
VALUES |= {"BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"}
EMPTY = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}
SHORT_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class Name(str):
    """A function or class that a pickle names: "module name"."""


class Call:
    """A call that a pickle asks for, and that is not made.

    Attributes
    ----------
    name : str
    arguments : tuple
    state : object
        What the pickle would hand to the result's ``__setstate__``.
    """

    def __init__(self, name: str, arguments: tuple[Any, ...]) -> None:
        self.name = name
        self.arguments = arguments
        self.state: Any = None


def read_pickle(data: bytes) -> Any:
    """What a pickle holds, with :class:`Call` in place of every object.

    Strings of Python 2 become bytes.

    Raises
    ------
    ValueError
        If it is damaged, or asks for anything that the pickle of an array of integers does not need.
    """
    stack: list[Any] = []
    marks: list[int] = []
    memo: dict[int, Any] = {}

    def after_mark() -> list[Any]:
        start = marks.pop()
        items = stack[start:]
        del stack[start:]
        return items

    try:
        for opcode, argument, _ in pickletools.genops(data):
            name = opcode.name
            if name in VALUES:
                stack.append(argument)
            elif name in ("BINPUT", "LONG_BINPUT"):
                memo[argument] = stack[-1]
            elif name == "MEMOIZE":
                memo[len(memo)] = stack[-1]
            elif name in ("SHORT_BINSTRING", "BINSTRING"):
                stack.append(argument.encode("latin-1"))
            elif name in ("BINGET", "LONG_BINGET"):
                stack.append(memo[argument])
            elif name in CONSTANTS:
                stack.append(CONSTANTS[name])
            elif name in EMPTY:
                stack.append(EMPTY[name]())
            elif name == "MARK":
                marks.append(len(stack))
            elif name == "APPENDS":
                items = after_mark()
                stack[-1].extend(items)
            elif name == "APPEND":
                item = stack.pop()
                stack[-1].append(item)
            elif name == "SETITEMS":
                items = after_mark()
                stack[-1].update(zip(map(_key, items[::2]), items[1::2], strict=True))
            elif name == "SETITEM":
                value, key = stack.pop(), stack.pop()
                stack[-1][_key(key)] = value
            elif name == "TUPLE":
                stack.append(tuple(after_mark()))
            elif name in SHORT_TUPLES:
                count = SHORT_TUPLES[name]
                stack[-count:] = [tuple(stack[-count:])]
            elif name in ("GLOBAL", "STACK_GLOBAL"):
                if name == "STACK_GLOBAL":
                    attribute, module = stack.pop(), stack.pop()
                    argument = f"{module} {attribute}"
                if argument not in KNOWN:
                    raise ValueError(f"it asks for {argument.replace(' ', '.')!r}, which no image data needs")
                stack.append(Name(argument))
            elif name == "REDUCE":
                arguments, function = stack.pop(), stack.pop()
                stack.append(_call(function, arguments))
            elif name == "BUILD":
                state = stack.pop()
                stack[-1].state = state
            elif name == "STOP":
                return stack.pop()
            elif name not in ("PROTO", "FRAME"):
                raise ValueError(f"it has the opcode {name}, which no image data needs")
    except ValueError:
        raise
    except Exception as error:  # an empty stack, an unknown memo, a value of the wrong kind
        raise ValueError(f"it is damaged ({type(error).__name__})") from None


def _key(key: Any) -> Any:
    """Keys of dicts are plain, so that hashing them is quick."""
    if not isinstance(key, str | bytes | int):
        raise ValueError(f"it has a key of type {type(key).__name__}")
    return key


def _call(function: Any, arguments: Any) -> Any:
    if not isinstance(function, Name) or not isinstance(arguments, tuple):
        raise ValueError("it calls something that is no function")
    if function == "_codecs encode":  # how Python 3 writes bytes in protocol 2
        text, encoding = arguments
        if encoding != "latin1":
            raise ValueError("it encodes text otherwise than in latin1")
        return text.encode("latin-1")
    return Call(str(function), arguments)


def as_array(value: Any) -> np.ndarray:
    """The array of integers, of one or two dimensions and in C order, that `value` of :func:`read_pickle` describes.

    Raises
    ------
    ValueError
        If it describes anything else.
    """
    if not isinstance(value, Call):
        raise ValueError(f"is a {type(value).__name__}, not an array")
    try:
        if value.name.endswith("_frombuffer"):
            buffer, kind, shape, order = value.arguments
            fortran = order != "C"
        else:
            _, shape, kind, fortran, buffer = value.state
        if len(shape) not in (1, 2):
            raise ValueError
        dtype = _integer_type(kind)
    except (TypeError, ValueError, AttributeError, IndexError):
        raise ValueError("is not an array of one or two dimensions") from None
    if dtype is None or fortran or not isinstance(buffer, bytes | bytearray):
        raise ValueError("is not an array of integers in C order")
    if not all(isinstance(n, int) and n >= 0 for n in shape) or math.prod(shape) * dtype.itemsize != len(buffer):
        raise ValueError(f"has the shape {shape}, but {len(buffer):,} bytes")
    return np.frombuffer(buffer, dtype).reshape(shape)


def _integer_type(kind: Call) -> np.dtype | None:
    """The dtype that a pickle describes, if it is one of integers."""
    code = kind.arguments[0]
    code = code.decode("latin-1") if isinstance(code, bytes) else code
    if code not in ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8"):
        return None
    # The byte order stands in what the dtype's __setstate__ is handed: (version, order, ...).
    order = kind.state[1] if kind.state is not None else "<"
    return np.dtype(code).newbyteorder(order.decode("latin-1") if isinstance(order, bytes) else order)


def as_integers(value: Any) -> list[Any]:
    """The integers in a list, in which NumPy's count as well, or in an array; what is no integer stays as it is.

    Raises
    ------
    ValueError
        If `value` of :func:`read_pickle` describes neither.
    """
    if not isinstance(value, list):
        array = as_array(value)
        if array.ndim != 1:
            raise ValueError(f"has the shape {array.shape}")
        return array.tolist()
    return [_scalar(item) if isinstance(item, Call) else item for item in value]


def _scalar(value: Call) -> Any:
    try:
        kind, data = value.arguments
        dtype = _integer_type(kind)
        if value.name.endswith(" scalar") and dtype is not None and len(data) == dtype.itemsize:
            return np.frombuffer(data, dtype)[0].item()
    except (TypeError, ValueError, AttributeError, IndexError):
        pass
    return value
