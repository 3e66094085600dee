"""The three passes of convolution over the table of layers."""

import pytest
from cases import SUITE

from fastconv.app.contenders import PASSES, operations


@pytest.mark.parametrize("op", PASSES)
@pytest.mark.parametrize("case", SUITE, ids=lambda case: case["name"])
def test_conv(case, op, benchmark, against_peers):
    benchmark.group = case["name"]
    against_peers(case | {"op": op}, operations(case))
