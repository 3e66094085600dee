"""Drawn calls of tensors' functions, beside torch: dtypes, promotion, shapes, indices, gradients and errors.

    python -m tests.fuzz_torch --cases 10000 --seed 0
    python -m tests.fuzz_torch --seed 0 --only 17            one case alone
    python -m tests.fuzz_torch --kind get                    indices alone; `set`: what is assigned by them

Case i of seed s is always the same. A case is a line of Python, which both libraries evaluate on equal operands. They
agree if both return the same (values, dtypes, shapes, gradients), or if both raise and fastconv's error is of torch's
type. Exit status 1 if any case differs.
"""

from __future__ import annotations

import argparse
import re
import sys
import warnings
from typing import Any

import numpy as np

DTYPES = ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64"]
FLOATS = ["bfloat16", "float16", "float32", "float64"]
SHAPES = [(), (0,), (1,), (3,), (2, 3), (2, 1), (1, 3), (2, 0), (2, 3, 4), (4, 1, 3)]
TOLERANCE = {"bfloat16": 1.6e-2, "float16": 2e-3, "float32": 2e-6, "float64": 1e-12}

BINARY = ["add", "sub", "mul", "div", "pow", "floor_divide", "remainder", "maximum", "minimum"]
COMPARISONS = ["eq", "ne", "lt", "le", "gt", "ge"]
OPERATORS = ["+", "-", "*", "/", "**", "//", "%", "&", "|", "^", "==", "!=", "<", "<=", ">", ">="]
IN_PLACE = ["+=", "-=", "*=", "/=", "//=", "%=", "&=", "|=", "^="]
UNARY = ["neg", "abs", "exp", "log", "sqrt", "tanh", "sigmoid", "relu", "isnan", "isfinite"]
SHAPE_METHODS = ["reshape", "view", "transpose", "squeeze", "unsqueeze", "flatten", "permute", "expand", "t"]
REDUCTIONS = ["sum", "mean", "max", "min", "argmax", "argmin", "any", "all", "var", "std", "norm"]

# Further functions, with what their arguments are drawn as: {x} a tensor of any dtype, {f} one of floats, {y} another
# that broadcasts to it, {n} a number, {d} a dimension of the first, {k} True or False, {b} a mask like it, {i} a small
# integer, {j} places along dimension 0.
NUMERIC = (
    "add",
    "sub",
    "mul",
    "div",
    "pow",
    "remainder",
    "fmod",
    "floor_divide",
    "atan2",
    "hypot",
    "logaddexp",
    "xlogy",
)
COMPARED = ("maximum", "minimum", "fmax", "fmin", "isclose", "logical_and", "logical_or", "logical_xor")
ELEMENTARY = (
    *("sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "asinh", "acosh", "atanh", "exp", "exp2", "expm1"),
    *(
        "log",
        "log1p",
        "log2",
        "log10",
        "sqrt",
        "rsqrt",
        "reciprocal",
        "square",
        "floor",
        "ceil",
        "round",
        "trunc",
        "frac",
    ),
    *("sign", "erf", "erfc", "neg", "abs", "tanh", "sigmoid", "relu", "nan_to_num", "deg2rad", "logit"),
    *("positive", "isnan", "isinf", "isfinite", "logical_not", "signbit", "bitwise_not"),
)
TOTALS = ("prod", "amax", "amin")
CALLS = [
    *[f"lib.{name}({{x}})" for name in ELEMENTARY],
    *[f"lib.{name}({{f}})" for name in ELEMENTARY],
    *[f"{{x}}.{name}_()" for name in ELEMENTARY if not name.startswith(("is", "signbit", "positive", "logical"))],
    *[f"lib.{name}({{x}}, {{y}})" for name in (*NUMERIC, *COMPARED)],
    *[f"lib.{name}({{f}}, other={{y}})" for name in (*NUMERIC, *COMPARED) if name not in ("pow", "isclose")],
    *[f"{{x}}.{name}_({{y}})" for name in NUMERIC if name not in ("hypot", "logaddexp")],
    *[f"{{f}}.{name}_({{n}})" for name in ("add", "sub", "mul", "div", "pow", "remainder", "fmod", "floor_divide")],
    *[f"lib.{name}({{x}}, {{y}}, out={{o}})" for name in ("add", "sub", "mul", "div", "maximum", "minimum")],
    *[f"lib.{name}({{x}}, out={{o}})" for name in ("sin", "exp", "sqrt", "abs", "neg", "tanh", "sigmoid", "log")],
    *[f"lib.{name}({{x}}, out={{o}})" for name in ("square", "floor", "ceil", "round")],
    *[f"lib.{name}({{x}}, {{d}}, out={{o}})" for name in ("sum", "mean")],
    "lib.clamp({x}, {n}, {n}, out={o})",
    "lib.cat(({x}, {y}), dim={d}, out={o})",
    "lib.stack(({x}, {x}), out={o})",
    *[f"lib.{name}({{f}}, {{d}})" for name in ("cumsum", "cumprod", "logsumexp", "prod", "softmax", "log_softmax")],
    *[
        f"lib.{name}({{x}}, {{d}})"
        for name in ("cumsum", "cumprod", "prod", "amax", "amin", "any", "all", "count_nonzero")
    ],
    *[
        f"lib.{name}({{x}}, dim={{d}}, keepdim={{k}})"
        for name in ("prod", "amax", "amin", "logsumexp", "median", "std", "var")
    ],
    *[f"{{f}}.{name}({{d}}, keepdim={{k}})" for name in ("mean", "sum", "std", "var", "norm", "max", "min", "median")],
    *[
        f"lib.{name}({{f}})"
        for name in ("prod", "amax", "amin", "median", "std_mean", "var_mean", "aminmax", "nansum", "nanmean")
    ],
    *[f"lib.{name}({{x}}, {{d}})[0]" for name in ("sort", "cummax", "cummin")],
    "lib.sort({x}, dim={d}, descending={k})[0]",
    "lib.topk({x}, {i}, {d}, largest={k})[0]",
    "lib.kthvalue({f}, {i}, {d})[0]",
    "lib.argsort({x}, dim={d}, stable=True)",
    "lib.diff({x}, dim={d})",
    "lib.flip({x}, ({d},))",
    "lib.roll({x}, {i}, {d})",
    "lib.rot90({x}, {i})",
    "lib.repeat_interleave({x}, {i}, {d})",
    "{x}.repeat(2, 1, 3)",
    "lib.tile({x}, (2, 2))",
    "lib.movedim({x}, {d}, 0)",
    "lib.unflatten({x}, {d}, (-1, 1))",
    "lib.unbind({x}, {d})[0]",
    "lib.chunk({x}, 2, {d})[-1]",
    "lib.split({x}, {i}, {d})[0]",
    "lib.split({x}, 2, dim={d})[-1]",
    "lib.tensor_split({x}, 2, {d})[1]",
    "lib.narrow({x}, {d}, 0, 1)",
    "lib.select({x}, {d}, 0)",
    "lib.diagonal({x}, {i})",
    "lib.diag({x})",
    "lib.tril({x}, {i})",
    "lib.triu({x}, -1)",
    "lib.trace({x})",
    "lib.index_select({x}, 0, {j})",
    "lib.index_add({f}, 0, {j}, {f}[:1])",
    "lib.index_fill({x}, 0, {j}, {n})",
    "lib.gather({x}, 0, lib.zeros_like({x}, dtype=lib.int64))",
    "lib.scatter({x}, 0, lib.zeros_like({x}, dtype=lib.int64), {n})",
    "{x}.scatter_(0, lib.zeros_like({x}, dtype=lib.int64), {x} * 2)",
    "lib.scatter_add({f}, 0, lib.zeros_like({f}, dtype=lib.int64), {f})",
    "lib.take_along_dim({f}, {f}.argsort(dim={d}, stable=True), {d})",
    "lib.masked_fill({x}, {b}, {n})",
    "{x}.masked_fill_({b}, {n})",
    "lib.masked_select({x}, {b})",
    "lib.where({b}, {x}, {y})",
    "lib.where({b}, {f}, {n})",
    "lib.clamp({f}, min={n})",
    "lib.clamp({x}, max={n})",
    "{x}.clamp_({n}, {n})",
    "lib.clamp_min({x}, {n})",
    "lib.lerp({f}, {f} * 2, 0.3)",
    "lib.addcmul({x}, {x}, {x}, value={n})",
    "lib.addcdiv({f}, {f}, {f}, value={n})",
    "lib.dist({f}, {f} + 1)",
    "lib.norm({f}, p={p}, dim={d})",
    "lib.einsum('...i,...i->...', {f}, {f})",
    "lib.outer({x}, {x})",
    "lib.dot({f}, {f})",
    "lib.cat(({x}, {y}), dim={d})",
    "lib.stack(({x}, {x}), dim={d})",
    "lib.vstack(({x}, {x}))",
    "lib.meshgrid({x}, {x}, indexing='ij')[1]",
    "lib.broadcast_to({x}, (2, 3, 4))",
    "lib.nonzero({x})",
    "lib.unique({x})",
    "lib.bincount({x})",
    "lib.isin({x}, {y})",
    "lib.equal({x}, {y})",
    "lib.allclose({f}, {f} + 1e-9)",
    "{x}.sum({d}, dtype={t})",
    "{x}.cumsum({d}, dtype={t})",
    "{x}.to({t})",
    "{x}.new_full((2,), {n})",
    "lib.full_like({x}, {n})",
    "lib.result_type({x}, {y})",
    "lib.result_type({x}, {n})",
    "lib.promote_types({t}, {t})",
    "lib.can_cast({t}, {t})",
    "{x}.unfold({d}, 1, 1)",
    "{x}.squeeze({d})",
    "{x}.expand(-1, -1)",
    "{x}.view(-1)",
    "{x}.T",
]
# In place on a part of {v}: what comes of {v} itself is compared.
PARTS = ["{v}[0]", "{v}[..., 0]", "{v}[:, 1:]", "{v}.T", "{v}.view(-1)[::2]", "{v}.select(0, 0)", "{v}.narrow(0, 0, 1)"]
CHANGES = [
    *(
        "zero_()",
        "fill_({n})",
        "add_({n})",
        "mul_({n})",
        "sub_(1, alpha={n})",
        "div_(2)",
        "copy_({v}[0, 0])",
        "clamp_(0, 1)",
    ),
    *(
        "neg_()",
        "exp_()",
        "abs_()",
        "relu_()",
        "masked_fill_({v} > 0, 1)",
        "pow_(2)",
        "index_fill_(0, {j}, 1)",
        "floor_()",
    ),
    *(
        "add_({v}.detach())",
        "mul_({y})",
        "remainder_(2)",
        "lerp_({v}.detach() + 1, 0.5)",
        "sigmoid_()",
        "__setitem__(0, {n})",
    ),
]


# Slices and elements by a tensor of their places {i}, with another {s} of what goes there, or by a mask {b}.
SLICES = [
    *(f"{{x}}.{name}({{d}}, {{i}}, {{s}})" for name in ("index_add", "index_copy", "index_fill")),
    *(f"{{x}}.{name}({{d}}, {{i}}, {{s}})" for name in ("scatter", "scatter_add")),
    *(f"{{x}}.{name}({{d}}, {{i}}, {{s}})" for name in ("index_add_", "index_copy_", "scatter_", "scatter_add_")),
    *(f"{{x}}.{name}({{d}}, {{i}}, {{n}})" for name in ("index_fill", "scatter", "index_fill_", "scatter_")),
    *(f"{{x}}.{name}({{d}}, {{i}})" for name in ("index_select", "gather")),
    "{x}.index_add({d}, {i}, {s}, alpha=2)",
    "{x}.scatter({d}, {i}, {s}, reduce='add')",
    "{x}.scatter_reduce({d}, {i}, {s}, 'sum')",
    "{x}.take({i})",
    "lib.take_along_dim({x}, {i}, {d})",
    "{x}.masked_scatter({b}, {s})",
    "{x}.masked_scatter_({b}, {s})",
    "{x}.masked_select({b})",
    "{x}.masked_fill({b}, {n})",
]


class Draw:
    """One case: the line, and the operands by name, each as a function of the library."""

    def __init__(self, seed: int, index: int) -> None:
        self.rng = np.random.default_rng([seed, index])
        self.names: dict[str, Any] = {}
        self.bfloat16: set[str] = set()  # those of the names whose tensors are rounded to bfloat16

    def one_of(self, choices):
        return choices[self.rng.integers(len(choices))]

    def chance(self, p: float) -> bool:
        return bool(self.rng.random() < p)

    def array(self, shape=None, dtypes=DTYPES) -> np.ndarray:
        shape = self.one_of(SHAPES) if shape is None else shape
        kind = self.one_of(dtypes)
        self.rounds = kind == "bfloat16"
        dtype = np.dtype("float32" if self.rounds else kind)
        low = -4 if dtype.kind in "if" else 0
        values = self.rng.integers(low, 5 if dtype.kind != "b" else 2, shape)
        if dtype.kind == "f":
            values = values + self.rng.integers(0, 4, shape) / 4
        return np.asarray(values).astype(dtype)

    def tensor(self, shape=None, dtypes=DTYPES, grad: float = 0.3) -> str:
        """A tensor among the operands; its name."""
        name = f"t{len(self.names)}"
        array = self.array(shape, dtypes)
        self.names[name] = (array, array.dtype.kind == "f" and self.chance(grad))
        if self.rounds:
            self.bfloat16.add(name)
        return name

    def number(self) -> str:
        kind = self.rng.integers(10)
        if kind < 3:
            return str(self.rng.integers(-3, 6))
        if kind < 6:
            return str(self.rng.integers(-3, 6) / 2)
        if kind == 6:
            return self.one_of(["True", "False"])
        if kind == 7:
            return self.one_of(["300", "-129", "70000", "0", "0.0"])
        return (
            f"np.{self.one_of(['float64', 'float32', 'int64', 'int32', 'float16', 'uint8'])}({self.rng.integers(0, 4)})"
        )

    def operand(self) -> str:
        return self.tensor() if self.chance(0.6) else self.number()

    def pair(self) -> tuple[str, str]:
        """Two operands, one of them a tensor at least."""
        x, y = self.tensor(), self.operand()
        return (x, y) if self.chance(0.7) else (y, x)

    def dim(self, ndim: int) -> str:
        return str(self.rng.integers(-ndim - 1, ndim + 1))

    def ndim(self, name: str) -> int:
        return self.names[name][0].ndim

    def dtype(self) -> str:
        return f"lib.{self.one_of([*DTYPES, 'bfloat16'])}"

    # The kinds of lines

    def binary(self) -> str:
        function = self.one_of(BINARY)
        x, y = self.pair() if function not in ("maximum", "minimum") else (self.tensor(), self.tensor())
        if function in ("add", "sub") and self.chance(0.2):
            return f"lib.{function}({x}, {y}, alpha={self.number()})"
        return f"lib.{function}({x}, {y})"

    def operator(self) -> str:
        x, y = self.pair()
        return f"{x} {self.one_of(OPERATORS)} {y}"

    def comparison(self) -> str:
        return f"{self.tensor()}.{self.one_of(COMPARISONS)}({self.operand()})"

    def in_place(self) -> str:
        return f"{self.tensor(grad=0)} {self.one_of(IN_PLACE)} {self.operand()}"

    def unary(self) -> str:
        function, x = self.one_of([*UNARY, "~"]), self.tensor()
        return f"~{x}" if function == "~" else f"lib.{function}({x})" if self.chance(0.5) else f"{x}.{function}()"

    def reduction(self) -> str:
        x, function = self.tensor(), self.one_of(REDUCTIONS)
        ndim = self.ndim(x)
        arguments = []
        if self.chance(0.7):
            dim = self.dim(ndim)
            if function in ("sum", "mean", "var", "std", "any", "all") and self.chance(0.3):
                dim = f"({dim}, {self.dim(ndim)})"
            numpys = function != "norm" and self.chance(0.3)
            arguments.append(f"{'axis' if numpys else 'dim'}={dim}")
            if self.chance(0.4):
                arguments.append("keepdims=True" if numpys else "keepdim=True")
        if function == "norm":
            arguments.append(f"p={self.one_of(['2', '1', '0.5', 'float(chr(105) + chr(110) + chr(102))', '3'])}")
        if function in ("var", "std") and self.chance(0.4):
            arguments.append(f"correction={self.rng.integers(3)}")
        if function in ("sum", "mean") and self.chance(0.3):
            arguments.append(f"dtype={self.dtype()}")
        arguments = ", ".join(arguments)
        return f"{x}.{function}({arguments})" if self.chance(0.5) else f"lib.{function}({x}, {arguments})"

    def softmax(self) -> str:
        x = self.tensor(dtypes=DTYPES[-3:])
        return f"lib.{self.one_of(['softmax', 'log_softmax'])}({x}, {self.dim(self.ndim(x))})"

    def choice(self) -> str:
        if self.chance(0.5):
            return f"lib.where({self.tensor(dtypes=['bool'])}, {self.operand()}, {self.operand()})"
        x = self.tensor(dtypes=DTYPES[1:])
        if self.chance(0.5):
            low, high = (self.one_of(["None", "-1", "2", "0.5", "1"]) for _ in range(2))
        else:
            low, high = (self.one_of(["None", self.tensor(dtypes=DTYPES[1:])]) for _ in range(2))
        return f"{x}.clamp({low}, {high})"

    def join(self) -> str:
        first = self.tensor()
        shape = self.names[first][0].shape
        others = [self.tensor(shape if self.chance(0.8) else None) for _ in range(self.rng.integers(3))]
        function = self.one_of(["cat", "stack"])
        return f"lib.{function}([{', '.join([first, *others])}], {self.dim(len(shape))})"

    def shape(self) -> str:
        x = self.tensor()
        ndim = self.ndim(x)
        size = self.names[x][0].size
        lengths = [self.one_of([-1, 1, 2, 3, size]) for _ in range(self.rng.integers(1, 4))]
        method = self.one_of(
            ["reshape", "view", "transpose", "squeeze", "unsqueeze", "flatten", "permute", "expand", "t"]
        )
        if method in ("reshape", "view"):
            arguments = ", ".join(map(str, lengths))
        elif method in ("transpose", "flatten"):
            arguments = f"{self.dim(ndim)}, {self.dim(ndim)}"
        elif method in ("squeeze", "unsqueeze"):
            arguments = self.dim(ndim)
        elif method == "permute":
            arguments = ", ".join(map(str, self.rng.permutation(ndim))) if ndim else "()"
        elif method == "expand":
            shape = self.names[x][0].shape
            arguments = ", ".join(str(self.one_of([n, -1, 2])) for n in ((2,) * self.rng.integers(2) + shape)) or "()"
        else:
            arguments = ""
        return f"{x}.{method}({arguments})"

    def matmul(self) -> str:
        shapes = [(3,), (2, 3), (3, 2), (2, 2, 3), (1, 3, 2), (), (3, 1)]
        dtypes = DTYPES[-3:-1] if self.chance(0.3) else ["float32"]
        x, y = self.tensor(self.one_of(shapes), dtypes), self.tensor(self.one_of(shapes), dtypes)
        return f"{x} @ {y}"

    def index_of(self, shape) -> str:
        items = []
        for dim in range(self.rng.integers(1, len(shape) + 2)):
            n = shape[dim] if dim < len(shape) else 2
            kind = self.rng.integers(13)
            if kind < 3:
                items.append(str(self.rng.integers(-n - 1, n + 1)))
            elif kind < 5:
                limits = [str(self.one_of(["", -1, 0, 1, 2, 5])) for _ in range(2)]
                items.append(":".join(limits + ([str(self.one_of([1, 2]))] if self.chance(0.3) else [])))
            elif kind == 5:
                items.append("None")
            elif kind == 6:
                items.append("..." if "..." not in items else "None")
            elif kind == 7:
                items.append(self.one_of(["True", "False"]) if self.chance(0.3) else "0")
            elif kind == 8:
                items.append(str([int(i) for i in self.rng.integers(-n, max(n, 1), self.one_of([1, 2]))]))
            elif kind < 11:
                places = self.rng.integers(-n, max(n, 1), self.one_of([(), (1,), (2,), (2, 1)]))
                items.append(self.constant(places.astype(self.one_of(["int64", "int32", "int16"]))))
            elif kind == 11:
                width = min(self.one_of([1, 1, 2]), len(shape) - dim)
                if width > 0:
                    mask = self.rng.integers(0, 2, shape[dim : dim + width]).astype(self.one_of(["bool", "uint8"]))
                    items.append(self.constant(mask))
            else:
                items.append(f"np.array({[int(i) for i in self.rng.integers(0, max(n, 1), 2)]})")
        return ", ".join(items) or "..."

    def constant(self, array: np.ndarray) -> str:
        name = f"i{len(self.names)}"
        self.names[name] = (array, False)
        return name

    def get(self) -> str:
        x = self.tensor(self.one_of([(3,), (2, 3), (3, 3, 3), (2, 3, 4), (2, 2, 2, 2), ()]), ["float32", "int64"])
        return f"{x}[{self.index_of(self.names[x][0].shape)}]"

    def set(self) -> str:
        x = self.tensor(self.one_of([(3,), (2, 3), (3, 3, 3), (2, 3, 4)]), ["float32", "int64", "uint8"], grad=0)
        index = self.index_of(self.names[x][0].shape)
        value = self.tensor(self.one_of([(), (1,), (3,), (2,), (2, 3)]), grad=0) if self.chance(0.5) else "7"
        return f"{x}[{index}] = {value}"

    def creation(self) -> str:
        kind = self.rng.integers(6)
        dtype = f", dtype={self.dtype()}" if self.chance(0.3) else ""
        if kind == 0:
            leaves = ", ".join(self.number() for _ in range(self.rng.integers(4)))
            if "np.float" in leaves:  # which torch takes for integers where they are Python floats, and fastconv always
                dtype = ""
            return (
                f"lib.tensor([{leaves}]{dtype})" if self.chance(0.7) else f"lib.tensor([[{leaves}], [{leaves}]]{dtype})"
            )
        if kind == 1:
            return f"lib.arange({', '.join(self.number() for _ in range(self.rng.integers(1, 4)))}{dtype})"
        if kind == 2:
            return f"lib.full({self.one_of(SHAPES)}, {self.number()}{dtype})"
        if kind == 3:
            return f"lib.{self.one_of(['zeros', 'ones'])}_like({self.tensor()}{dtype})"
        if kind == 4:
            return f"lib.linspace({self.number()}, {self.number()}, {self.rng.integers(0, 5)})"
        return f"lib.full_like({self.tensor()}, {self.number()}{dtype})"

    def cast(self) -> str:
        x = self.tensor()
        return self.one_of([f"{x}.to({self.dtype()})", f"{x}.type_as({self.tensor()})", f"{x}.tolist()", f"{x}.item()"])

    def filled(self, template: str, **known: str) -> str:
        """A line of :data:`CALLS` with its arguments."""
        for letter in ("v", "x", "f"):
            if f"{{{letter}}}" in template and letter not in known:
                kinds = FLOATS if letter == "f" else [*DTYPES, "bfloat16"]
                known[letter] = self.tensor(dtypes=kinds, grad=0 if "_(" in template and self.chance(0.9) else 0.5)
        first = next((known[letter] for letter in ("v", "x", "f") if letter in known), None)
        shape = self.names.get(first, self.names["t0"])[0].shape if first else ()
        arguments = {
            "y": lambda: self.tensor(shape if self.chance(0.6) else None, [*DTYPES, "bfloat16"]),
            "o": lambda: self.tensor((0,) if self.chance(0.5) else shape, [*DTYPES, "bfloat16"], grad=0),
            "b": lambda: self.tensor(shape, ["bool"]),
            "j": lambda: self.constant(self.rng.integers(0, max(shape[0] if shape else 1, 1), 1)),
            "n": self.number,
            "d": lambda: (
                self.dim(len(shape))
                if self.chance(0.3)
                else str(self.rng.integers(-len(shape), len(shape)) if shape else 0)
            ),
            "k": lambda: self.one_of(["True", "False"]),
            "i": lambda: str(self.rng.integers(0, 3)),
            "p": lambda: self.one_of(["2", "1", "0.5", "3", "0"]),
            "t": self.dtype,
        }
        return re.sub(r"\{(\w)\}", lambda match: known.get(match[1]) or arguments[match[1]](), template)

    def call(self) -> str:
        return self.filled(self.one_of(CALLS))

    def slices(self) -> str:
        template = self.one_of(SLICES)
        x = self.tensor(grad=0 if "_(" in template else 0.5)
        array = self.names[x][0]
        dim = int(self.dim(array.ndim)) if self.chance(0.1) else int(self.rng.integers(max(array.ndim, 1)))
        length = array.shape[dim] if -array.ndim <= dim < array.ndim else 1
        vectors = [(), (1,), (1,), (2,), (2,), (0,), (2, 1)]
        shape = self.one_of(vectors if "index" in template else [*vectors, *[array.shape] * 7])
        low, high = (0, max(length, 1)) if self.chance(0.8) else (-length - 1, length + 2)
        places = self.rng.integers(low, high, shape).astype(self.one_of([*["int64"] * 8, "int32", "uint8", "float32"]))
        source = list(shape)
        if "index" in template and array.ndim:
            source = list(array.shape)
            source[dim if abs(dim) < array.ndim else 0] = places.size
        source = tuple(source) if self.chance(0.7) else None
        arguments = {
            "i": lambda: self.constant(places),
            "s": lambda: self.tensor(source, [array.dtype.name] if self.chance(0.9) else DTYPES),
            "b": lambda: self.tensor(array.shape if self.chance(0.7) else None, ["bool"] * 9 + ["uint8"]),
            "n": self.number,
            "d": lambda: str(dim),
        }
        return re.sub(r"\{(\w)\}", lambda match: x if match[1] == "x" else arguments[match[1]](), template)

    def part(self) -> str:
        v = self.tensor(self.one_of([(2, 3), (3, 3), (2, 3, 4)]), [*FLOATS, "float32", "int64"], grad=0.6)
        base = self.one_of([v, f"({v} * 1)", f"({v} * 1)", f"({v}.clone())"])
        change = self.filled(f"{self.one_of(PARTS)}.{self.one_of(CHANGES)}", v="V")
        return f"(V := {base}, {change})[0]" if self.chance(0.8) else f"(V := {base}, W := V * 1, {change}, W * V)[3]"

    def line(self, kind: str | None = None) -> str:
        """A line of any kind, or of that one."""
        kinds = {
            self.binary: 5, self.operator: 5, self.comparison: 2, self.in_place: 2, self.unary: 2, self.reduction: 4,
            self.softmax: 1, self.choice: 2, self.join: 2, self.shape: 3, self.matmul: 1, self.get: 6, self.set: 4,
            self.creation: 2, self.cast: 1, self.call: 25, self.part: 5, self.slices: 5,
        }  # fmt: skip
        if kind is not None:
            return {function.__name__: function for function in kinds}[kind]()
        weights = np.array(list(kinds.values()), float)
        return list(kinds)[self.rng.choice(len(kinds), p=weights / weights.sum())]()


def run(lib, line: str, names: dict, rounded: set[str]) -> tuple[Any, dict]:
    """What the library makes of the line, and the tensors among the operands."""
    tensors = {
        name: lib.tensor(array, **({"dtype": lib.bfloat16} if name in rounded else {}), requires_grad=grad)
        for name, (array, grad) in names.items()
    }
    scope = {"lib": lib, "np": np, **tensors}
    target = line.split()[0] if any(f" {operator} " in line for operator in IN_PLACE) else None
    if target is not None or "] = " in line:
        exec(line, scope)
        result = scope[target or line.split("[")[0]]
    else:
        result = eval(line, scope)
    outputs = [y for y in (result if isinstance(result, tuple) else (result,)) if getattr(y, "requires_grad", False)]
    if outputs:
        sum(y.sum().double() for y in outputs).backward()
    return result, tensors


def plain(x: Any) -> Any:
    """A result as arrays and numbers that can be compared."""
    if hasattr(x, "detach"):
        dtype = str(x.dtype).removeprefix("torch.")
        x = (x.detach().float() if dtype == "bfloat16" else x.detach()).numpy()
        return dtype, x.shape, x
    if isinstance(x, tuple):
        return tuple(plain(part) for part in x)
    if isinstance(x, np.dtype) or str(x).startswith("torch."):
        return str(x).removeprefix("torch."), (), np.zeros(())
    return type(x).__name__, (), np.asarray(x)


def difference(ours: Any, theirs: Any, through: str | None = None, lost: float = 1) -> str | None:
    """How two results differ; they went `through` another dtype, which may have had fewer digits, or `lost` some."""
    if isinstance(theirs, tuple) and theirs and isinstance(theirs[0], tuple):
        return next((d for d in map(difference, ours, theirs) if d), None)
    if ours[:2] != theirs[:2]:
        return f"fastconv {ours[:2]}, torch {theirs[:2]}"
    tolerance = lost * max(TOLERANCE.get(dtype, 0) for dtype in (theirs[0], through))
    mine, other = (np.asarray(x, np.float64) for x in (ours[2], theirs[2]))
    if not np.allclose(mine, other, rtol=tolerance, atol=tolerance, equal_nan=True):
        return f"fastconv {ours[2].tolist()}, torch {theirs[2].tolist()}"
    return None


# Where of equal elements any may be chosen, and get the gradient.
AMONG_EQUALS = ["kthvalue", "median", "topk"]


def in_order(result: tuple) -> tuple:
    dtype, shape, array = result
    return dtype, shape, np.sort(array, None)


def lost_digits(line: str) -> float:
    """By how much larger than the gradient are those that cancel out in it: of ``t + n * t / t`` at most 4 n are."""
    number = re.match(r"lib.addcdiv\(.*value=(.*)\)", line)
    return 1 + 4 * abs(float(eval(number[1], {"np": np}))) if number else 1


# What torch refuses and fastconv allows: part of the line, and torch's words.
BEYOND_TORCH = [
    ("] = ", "masked_fill_ only supports boolean masks"),
    ("] = ", "Index put requires the source and destination dtypes match"),  # a value of one element
    ("] = ", "without overflow"),  # the same
    ("where", "without overflow"),  # among no elements
    ("", "derivative for aten::remainder"),  # of a number by a tensor
    ("True", "Subtraction, the `-` operator, with a bool tensor"),  # True is 1
    ("False", "Subtraction, the `-` operator, with a bool tensor"),
    ("**", "Subtraction, the `-` operator, with a bool tensor"),  # in the gradient
    ("pow", "Subtraction, the `-` operator, with a bool tensor"),
    ("sum", "Autograd not support dtype"),
    ("clamp", "output with shape"),
    ("isin", "Unsupported input type"),
    ("atan2", "Negation, the `-` operator, on a bool tensor"),  # in the gradient
    ("logaddexp", "Subtraction, the `-` operator, with a bool tensor"),  # the same
    ("cumsum", "not implemented"),
    ("__setitem__", "can't assign a numpy"),
    ("unique", "_unique2"),
    ("scatter", "derivative for aten::scatter is not implemented"),  # with reduce='add'
    ("scatter", "returned an invalid gradient"),  # of nothing
    ("index_copy", "Index to scalar can have only 1 value"),  # in the gradient
    ("pow", "INTERNAL ASSERT FAILED"),  # True or False to the power of a tensor that requires a gradient
    ("**", "INTERNAL ASSERT FAILED"),
    ("out=", "Found dtype"),  # one that holds the result
]


# What fastconv refuses and torch, for want of a check, takes: part of the line, and fastconv's words.
BEYOND_FASTCONV = [
    ("take_along_dim", "out of bounds"),  # an index is taken modulo the length
    ("cummin", "Dimension out of range"),  # of nothing
    ("cummax", "Dimension out of range"),
]


def check(seed: int, index: int, kind: str | None = None) -> str | None:
    """How the case differs, None if it does not; with `kind` a case of that kind."""
    import torch

    import fastconv

    draw = Draw(seed, index)
    line = draw.line(kind)
    outcomes = []
    for lib in (torch, fastconv):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                outcomes.append(run(lib, line, draw.names, draw.bfloat16))
            except Exception as error:
                outcomes.append(error)
    theirs, ours = outcomes
    operands = [
        f"{name} {'b' * (name in draw.bfloat16)}{array.dtype}{list(array.shape)} {array.tolist()}{' grad' * grad}"
        for name, (array, grad) in draw.names.items()
    ]
    story = f"case {index}: {line}   with {', '.join(operands)}"
    if isinstance(theirs, Exception):
        if isinstance(ours, Exception):
            # Of several faults fastconv sees an index out of bounds first; which kind index_add and index_select raise
            # depends on torch's loops.
            words = ("Index put requires", "value tensor of shape", "can't assign a numpy", "a view of a leaf")
            if "index_add" in line or "index_select" in line:
                words = (*words, "index out of range in self", "indexing axis dim should be positive")
            late = any(part in str(theirs) for part in words)
            return (
                None
                if late or isinstance(ours, type(theirs))
                else f"{story}\n    fastconv {ours!r}\n    torch {theirs!r}"
            )
        if any(part in line and words in str(theirs) for part, words in BEYOND_TORCH):
            return None
        return f"{story}\n    fastconv {ours[0]!r}\n    torch {theirs!r}"
    if isinstance(ours, Exception):
        unchanged = "] = " in line and np.array_equal(theirs[0].numpy(), draw.names[line.split("[")[0]][0])
        if any(part in line and words in str(ours) for part, words in BEYOND_FASTCONV):
            return None
        if "out of bounds" in str(ours) and (
            unchanged or (("[" in line or "index_" in line) and theirs[0].numel() == 0)
        ):
            return None  # of nothing torch takes any index
        return f"{story}\n    fastconv {ours!r}\n    torch {theirs[0]!r}"
    found = difference(plain(ours[0]), plain(theirs[0]), "float32" if "out=" in line else None)
    if found is None:
        for name, tensor in theirs[1].items():
            mine = ours[1][name]
            if not tensor.is_leaf:
                continue
            if (tensor.grad is None) != (mine.grad is None):
                found = f"gradient of {name}: fastconv {mine.grad!r}, torch {tensor.grad!r}"
            elif tensor.grad is not None:
                # In place the result is rounded first; a number of more digits gets a sum in the result's dtype; and
                # squares in atan2's gradient are of the dtypes of its operands.
                through = None
                if "atan2" in line:
                    through = max((plain(t)[0] for t in theirs[1].values()), key=lambda d: TOLERANCE.get(d, 0))
                elif hasattr(theirs[0], "dtype") and ("_(" in line or not tensor.ndim):
                    through = plain(theirs[0])[0]
                found = difference(plain(mine.grad), plain(tensor.grad), through, lost_digits(line))
                if found and any(part in line for part in AMONG_EQUALS):
                    found = difference(*(in_order(plain(t.grad)) for t in (mine, tensor)), through)
                found = found and f"gradient of {name}: {found}"
            if found:
                break
    return found and f"{story}\n    {found}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz_torch", description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=10000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="run this case alone")
    parser.add_argument("--kind", help="draw lines of this kind alone: get, set, slices, call, part ...")
    options = parser.parse_args()
    cases = range(options.cases) if options.only is None else [options.only]
    differences = [found for found in (check(options.seed, index, options.kind) for index in cases) if found]
    print("\n".join(differences))
    print(f"{len(cases)} cases of seed {options.seed}, {len(differences)} differ")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
