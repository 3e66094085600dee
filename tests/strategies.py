"""Hypothesis strategies: convolutions and poolings of any shape, and arrays in any layout."""

import numpy as np
from cases import LAYOUTS, make_case
from hypothesis import strategies as st

layouts = st.sampled_from(sorted(LAYOUTS))
dtypes = st.sampled_from([np.float32, np.float64])
seeds = st.integers(0, 2**32 - 1)


@st.composite
def convolutions(draw) -> dict:
    """A case whose kernel fits into its padded images; the simplest is one pixel under a 1x1 kernel."""
    groups = draw(st.integers(1, 4))
    channels = groups * draw(st.integers(1, 5))
    filters = groups * draw(st.integers(1, 5))
    kernel = draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    stride = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    dilation = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    padding = draw(st.tuples(st.integers(0, 5), st.integers(0, 5)))
    if stride == (1, 1) and draw(st.booleans()):
        padding = "same"
    pads = (0, 0) if padding == "same" else padding
    size = [
        max(1, d * (k - 1) + 1 - 2 * p) + draw(st.integers(0, 20))
        for k, d, p in zip(kernel, dilation, pads, strict=True)
    ]
    images = draw(st.integers(0, 3))
    return make_case("drawn", images, channels, *size, filters, *kernel, stride, padding, dilation, groups)


@st.composite
def poolings(draw) -> tuple[tuple[int, int, int, int], dict]:
    """An image shape, and the keyword arguments of max pooling (average pooling takes no dilation)."""
    kernel = draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    stride = draw(st.none() | st.tuples(st.integers(1, 5), st.integers(1, 5)))
    dilation = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    padding = tuple(draw(st.integers(0, k // 2)) for k in kernel)
    size = [
        max(1, d * (k - 1) + 1 - 2 * p) + draw(st.integers(0, 12))
        for k, d, p in zip(kernel, dilation, padding, strict=True)
    ]
    shape = (draw(st.integers(0, 3)), draw(st.integers(1, 5)), *size)
    arguments = {
        "kernel_size": kernel,
        "stride": stride,
        "padding": padding,
        "dilation": dilation,
        "ceil_mode": draw(st.booleans()),
    }
    return shape, arguments
