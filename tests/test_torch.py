"""Drawn calls beside torch; :mod:`fuzz_torch` runs more of them."""

import fuzz_torch
import pytest


@pytest.mark.parametrize("block", range(6))
def test_drawn_calls_are_torchs(block):
    pytest.importorskip("torch")
    found = [fuzz_torch.check(2, index) for index in range(100 * block, 100 * block + 100)]
    assert not any(found), "\n".join(filter(None, found))
