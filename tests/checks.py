"""What tests share: norm-wise errors, the three passes beside the reference, and programs of their own."""

import math
import os
import subprocess
import sys

import numpy as np
from cases import fenced, parameters, w_shape, x_shape

from fastconv import backends, ops, reference
from fastconv._native import runtime
from fastconv._native.tuning import PASSES

# Norm-wise: float32 carries 6e-8 an operation, which blocked sums of some thousand random terms raise to about 3e-7;
# float64 carries 1e-16. Ten times more than that is a bug.
TOLERANCE = {np.dtype(np.float32): 2e-6, np.dtype(np.float64): 1e-13}


def assert_near(actual, expected, floor: float = 0.0, tolerance: float | None = None) -> None:
    """``||actual - expected|| <= tolerance * max(||expected||, floor)``, and equal shapes."""
    assert isinstance(actual, np.ndarray)
    assert actual.shape == expected.shape, f"shape {actual.shape}, expected {expected.shape}"
    assert actual.dtype in TOLERANCE, actual.dtype
    tolerance = tolerance or TOLERANCE[actual.dtype]
    error = np.linalg.norm(np.subtract(actual, expected, dtype=np.float64))
    bound = tolerance * max(np.linalg.norm(expected), floor)
    assert error <= bound, f"error {error:.2e}, at most {bound:.2e} expected"


def spread(a: np.ndarray, b: np.ndarray, terms: int) -> float:
    """The norm that `terms` random products of elements of a and b have, where no outputs happen to cancel."""
    size = max(a.size * b.size, 1)
    norms = [np.linalg.norm(array.astype(np.float64)) for array in (a, b)]  # float16 would overflow
    return float(norms[0] * norms[1] * np.sqrt(terms / size))


class Unchanged:
    """While entered, arrays may not change."""

    def __init__(self, *arrays):
        self.arrays = [array for array in arrays if array is not None]

    def __enter__(self):
        self.copies = [array.copy() for array in self.arrays]

    def __exit__(self, kind, *rest):
        if kind is None:
            for array, copy in zip(self.arrays, self.copies, strict=True):
                assert np.array_equal(array, copy, equal_nan=True), "an input was written to"


# Layouts of operands that already lie in memory as they should.
AS_GIVEN = (lambda array: array,) * 3


def passes_of(module, kind: str = "conv2d") -> list:
    """The three functions of a convolution in ops, or in the reference."""
    return [getattr(module, kind + suffix) for suffix in ("", "_input", "_weight")]


class Passes:
    """A convolution, and its three passes by the reference.

    The reference takes most of the time, so it is asked once for all that is held against it: every instruction set,
    layout and number of threads. `draw_dy` makes the gradient of a result of the shape that it is given.
    """

    def __init__(self, x, w, b, draw_dy, *arguments, kind: str = "conv2d"):
        forward, input_gradient, weight_gradient = passes_of(reference, kind)
        y64 = forward(x, w, b, *arguments)
        dy = draw_dy(y64.shape)
        dx64, dw64 = input_gradient(x.shape, w, dy, *arguments), weight_gradient(x, w.shape, dy, *arguments)
        self.kind, self.operands, self.b, self.arguments = kind, (x, w, dy), b, arguments
        self.expected = y64, dx64, dw64
        # Each output sums so many products, if all its taps meet the image; of a transposed one, each input is in them.
        terms = (x if kind == "conv_transpose2d" else y64).size * math.prod(w.shape[1:])
        self.floors = spread(x, w, terms), spread(w, dy, terms), spread(x, dy, terms)

    @classmethod
    def of_case(cls, case: dict, rng: np.random.Generator, dtype, bias: bool = True):
        """On normal random numbers."""
        x = rng.standard_normal(x_shape(case)).astype(dtype)
        w = rng.standard_normal(w_shape(case)).astype(dtype)
        b = rng.standard_normal(case["K"]).astype(dtype) if bias else None
        return cls(x, w, b, lambda shape: rng.standard_normal(shape).astype(dtype), *parameters(case))

    def by_form(self, form: str, memory_format: str = "contiguous") -> list:
        """The three functions of ops, forced to take a form; each returns None where that form is impossible."""
        x, w, _ = self.operands

        def taking(name, function):
            def run(*operands):
                options = {"memory_format": memory_format, "force": form}
                # Residues of a stride take the form by themselves: "phases (panels)".
                if form not in ops.explain(x.shape, w.shape, *self.arguments, x.dtype, **options)[name]:
                    return None
                with backends.force(form):
                    return function(*operands)

            return run

        return [taking(*pair) for pair in zip(PASSES, passes_of(ops), strict=True)]

    def check(self, layouts=(fenced,) * 3, functions=None, tolerances=(None,) * 3, isas=None) -> int:
        """Hold three functions, those of ops if none are given, against the reference, on operands in these layouts.

        isas is the fixture, where all instruction sets shall be held. A function may leave a pass to others by
        returning None; returns how many passes were done. The operands must stay as they were.
        """
        forward, input_gradient, weight_gradient = functions or passes_of(ops, self.kind)
        x, w, dy = (layout(array) for layout, array in zip(layouts, self.operands, strict=True))
        done = 0
        for isa in isas() if isas else [runtime.get_isa()]:
            with Unchanged(x, w, dy, self.b):
                y = forward(x, w, self.b, *self.arguments)
                dx = input_gradient(x.shape, w, dy, *self.arguments)
                dw = weight_gradient(x, w.shape, dy, *self.arguments)
            results = {"y": y, "dx": dx, "dw": dw}.items()
            for (name, result), *bounds in zip(results, self.expected, self.floors, tolerances, strict=True):
                if result is None:
                    continue
                try:
                    assert_near(result, *bounds)
                except AssertionError as error:
                    error.add_note(f"{name} on {isa}")
                    raise
                done += 1
        return done


def check_passes(
    case: dict,
    rng: np.random.Generator,
    dtype,
    layouts=(fenced,) * 3,
    bias: bool = True,
    tolerance: float | None = None,
    isas=None,
) -> None:
    """The three passes of a case on normal random numbers, against the reference."""
    Passes.of_case(case, rng, dtype, bias).check(layouts, tolerances=(tolerance,) * 3, isas=isas)


def output_of(program: str, *arguments: object, **environment: str) -> str:
    """The standard output of a Python program, which may not fail, hang or complain."""
    command = [sys.executable, "-c", program, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=os.environ | environment)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout
