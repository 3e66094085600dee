"""The programs of ``beside_torch.txt``, run by torch and by fastconv: the same values, or the same kind of error."""

import warnings
from pathlib import Path

import numpy as np
import pytest

import fastconv
import fastconv.nn.functional
import fastconv.utils.data

torch = pytest.importorskip("torch")
PROGRAMS = [
    program
    for program in Path(__file__).with_name("beside_torch.txt").read_text().split("\n\n")
    if not program.startswith("#")
]


def plain(x):
    """A result as lists, numbers and strings that can be compared."""
    if isinstance(x, (tuple, list)):
        return [plain(part) for part in x]
    if isinstance(x, (bool, int, float, type(None))):
        return x
    if hasattr(x, "detach"):
        return [plain(x.dtype), *x.shape, *x.detach().double().reshape(-1).tolist()]
    return str(x).replace("torch.", "")


def outcome(program, library):
    scope = {"t": library, "nn": library.nn, "F": library.nn.functional, "np": np}
    grad_mode = library.is_grad_enabled()
    library.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            exec(program, scope)
            return plain(scope["result"])
        except Exception as error:
            return error
        finally:
            library.set_grad_enabled(grad_mode)


def check_alike(ours, theirs):
    if isinstance(theirs, list):
        assert isinstance(ours, list) and len(ours) == len(theirs)
        half = {"float16", "bfloat16"} & set(map(str, theirs))
        for a, b in zip(ours, theirs, strict=True):
            if isinstance(b, float):
                assert a == pytest.approx(b, rel=4e-3 if half else 1e-5, abs=1e-6, nan_ok=True)
            else:
                check_alike(a, b)
    else:
        assert ours == pytest.approx(theirs, nan_ok=True) if isinstance(theirs, float) else ours == theirs


@pytest.mark.parametrize("program", PROGRAMS)
def test_program(program):
    theirs, ours = outcome(program, torch), outcome(program, fastconv)
    if isinstance(theirs, Exception):
        assert isinstance(ours, type(theirs)), (ours, theirs)
    else:
        assert not isinstance(ours, Exception), repr(ours)
        check_alike(ours, theirs)
