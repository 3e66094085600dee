"""A slice of the fuzzing that ``fuzz.py`` does for hours, and every bad argument that it knows, one by one."""

import warnings

import fuzz_invalid
import fuzz_valid
import numpy as np
import pytest


def test_drawn_valid_arguments(guarded):
    for index in range(1000):
        fuzz_valid.run_case(0, index)
        guarded.check()


def test_drawn_invalid_arguments():
    outcomes = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for index in range(3000):
            outcomes.append(fuzz_invalid.check_call(*fuzz_invalid.draw(0, index)))
    assert outcomes.count("refused") > 2000


@pytest.mark.parametrize("name", list(fuzz_invalid.ENTRIES))
def test_bad_arguments_are_refused(name):
    """By an error of the right kind that names the value, before anything large is allocated."""
    kinds = fuzz_invalid.ENTRIES[name][1]
    good = {key: kind.good for key, kind in kinds.items()}
    if name not in fuzz_invalid.NO_GOOD_CALL:
        fuzz_invalid.call(name, good)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for key, kind in kinds.items():
            for value in kind.bad:
                fuzz_invalid.check_call(name, good | {key: value}, [key], True)
            for value in kind.maybe:
                fuzz_invalid.check_call(name, good | {key: value}, [key], False)


def test_a_case_is_always_the_same():
    for seed, index in ((0, 17), (3, 99)):
        first, second = fuzz_invalid.draw(seed, index), fuzz_invalid.draw(seed, index)
        assert first[0] == second[0]
        assert [fuzz_invalid.described(v) for v in first[1].values()] == [
            fuzz_invalid.described(v) for v in second[1].values()
        ]
        assert fuzz_valid.run_case(seed, index) == fuzz_valid.run_case(seed, index)


def test_findings_are_reported(monkeypatch):
    """A call that accepts, forgets the value, raises another kind of error or takes too much memory."""

    def check(function, value, certain=True):
        monkeypatch.setitem(fuzz_invalid.ENTRIES, "it", (function, {"x": fuzz_invalid.Kind(1)}))
        return fuzz_invalid.check_call("it", {"x": value}, ["x"], certain)

    def refuse(x):
        raise ValueError("bad value")

    def large(x):
        np.ones(2**25)
        raise ValueError(f"bad {x}")

    with pytest.raises(AssertionError, match="was accepted"):
        check(lambda x: x, -1)
    assert check(lambda x: x, -1, certain=False) == "accepted"
    with pytest.raises(AssertionError, match="without the value"):
        check(refuse, -1)
    with pytest.raises(AssertionError, match="raised AttributeError"):
        check(lambda x: x.shape, -1)
    with pytest.raises(AssertionError, match=r"took \d+ MB"):
        check(large, -1)
