"""Max and average pooling, forward and backward."""

import pytest

from fastconv.app.contenders import POOLING

SHAPES = [(128, 3, 28, 28), (128, 64, 32, 32), (16, 64, 112, 112)]
WINDOWS = {"2x2s2": {"kernel": 2, "stride": 2, "padding": 0}, "3x3s2p1": {"kernel": 3, "stride": 2, "padding": 1}}


@pytest.mark.parametrize("op", POOLING)
@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "x".join(map(str, shape)))
def test_pool(shape, window, op, benchmark, against_peers):
    benchmark.group = f"pool {window} {'x'.join(map(str, shape))}"
    against_peers(dict(zip("NCHW", shape, strict=True)) | WINDOWS[window] | {"op": op})
