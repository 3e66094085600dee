"""The oracle itself: against the textbook's examples, its own definition pixel by pixel, and torch."""

import numpy as np
import pytest
from cases import RAGGED, draw_case, parameters, w_shape, x_shape

from fastconv import reference as ref


def test_textbook_example_of_a_filter():
    x = np.array([[1, 1, 1, 0, 0], [0, 1, 1, 1, 0], [0, 0, 1, 1, 1], [0, 0, 1, 1, 0], [0, 1, 1, 0, 0]])
    w = np.array([[1, 0, 1], [0, 1, 0], [1, 0, 1]])
    y = ref.conv2d(x[None, None], w[None, None])
    np.testing.assert_array_equal(y[0, 0], [[4, 3, 4], [2, 4, 3], [2, 3, 4]])


@pytest.mark.parametrize(
    "size, kernel, padding, stride, expected", [(10, 5, 0, 1, 6), (5, 3, 1, 2, 3), (7, 3, 0, 2, 3)]
)
def test_textbook_sizes(size, kernel, padding, stride, expected):
    y = ref.conv2d(np.ones((1, 1, size, size)), np.ones((1, 1, kernel, kernel)), None, stride, padding)
    assert y.shape == (1, 1, expected, expected)


def by_pixel(x, w, stride, padding, dilation, groups):
    """The definition, one product at a time, as (y index, x index, w index) triples."""
    (sh, sw), (ph, pw), (dh, dw) = ((v, v) if isinstance(v, int) else v for v in (stride, padding, dilation))
    channels, filters = w[1], w[0] // groups
    out_h = (x[2] + 2 * ph - dh * (w[2] - 1) - 1) // sh + 1
    out_w = (x[3] + 2 * pw - dw * (w[3] - 1) - 1) // sw + 1
    for n, k, p, q, c, r, s in np.ndindex(x[0], w[0], out_h, out_w, channels, w[2], w[3]):
        i, j = p * sh + r * dh - ph, q * sw + s * dw - pw
        if 0 <= i < x[2] and 0 <= j < x[3]:
            yield (n, k, p, q), (n, k // filters * channels + c, i, j), (k, c, r, s)


@pytest.mark.parametrize("name", ["unequal.strides", "stride.and.dilation", "padding.beyond.kernel"])
def test_three_passes_by_definition(name):
    case = next(c for c in RAGGED if c["name"] == name) | {"N": 1, "C": 2, "K": 4, "groups": 2}
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal(x_shape(case)), rng.standard_normal(w_shape(case))
    arguments = parameters(case)
    y = np.zeros_like(ref.conv2d(x, w, None, *arguments))
    dy, dx, dw = rng.standard_normal(y.shape), np.zeros_like(x), np.zeros_like(w)
    for at_y, at_x, at_w in by_pixel(x.shape, w.shape, *arguments):
        y[at_y] += w[at_w] * x[at_x]
        dx[at_x] += w[at_w] * dy[at_y]
        dw[at_w] += x[at_x] * dy[at_y]
    np.testing.assert_allclose(ref.conv2d(x, w, None, *arguments), y, rtol=0, atol=1e-12)
    np.testing.assert_allclose(ref.conv2d_input(x.shape, w, dy, *arguments), dx, rtol=0, atol=1e-12)
    np.testing.assert_allclose(ref.conv2d_weight(x, w.shape, dy, *arguments), dw, rtol=0, atol=1e-12)


def test_blas_versions_agree_with_the_plain_ones(monkeypatch):
    rng = np.random.default_rng(1)
    cases = [*RAGGED, *(draw_case(rng) for _ in range(100))]
    for i, case in enumerate(cases):
        # Blocks of all images, of some, and of some rows.
        monkeypatch.setattr(ref, "_BLOCK_BYTES", (2**22, 2**15, 2**9)[i % 3])
        x, w = rng.standard_normal(x_shape(case)), rng.standard_normal(w_shape(case))
        b, arguments = rng.standard_normal(case["K"]), parameters(case)
        y = ref.conv2d(x, w, b, *arguments)
        dy = rng.standard_normal(y.shape)
        pairs = (
            (ref.blas_conv2d(x, w, b, *arguments), y),
            (ref.blas_conv2d_input(x.shape, w, dy, *arguments), ref.conv2d_input(x.shape, w, dy, *arguments)),
            (ref.blas_conv2d_weight(x, w.shape, dy, *arguments), ref.conv2d_weight(x, w.shape, dy, *arguments)),
        )
        for actual, expected in pairs:
            np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-10, err_msg=str(case))


def test_blas_versions_keep_float32():
    x, w = np.ones((1, 2, 5, 5), np.float32), np.ones((3, 2, 3, 3), np.float32)
    y = ref.blas_conv2d(x, w)
    assert y.dtype == ref.blas_conv2d_input(x.shape, w, y).dtype == ref.blas_conv2d_weight(x, w.shape, y).dtype == "f4"


def test_gradients_of_the_rest_by_differences():
    rng = np.random.default_rng(2)
    x, weight, bias = rng.standard_normal((3, 2, 4, 5)), rng.standard_normal(2), rng.standard_normal(2)
    dy, direction, h = rng.standard_normal(x.shape), rng.standard_normal(x.shape), 1e-6

    def slope(f):
        return (f(x + h * direction) - f(x - h * direction)) / (2 * h)

    dx, d_weight, d_bias = ref.batch_norm2d_backward(dy, x, weight)
    numeric = slope(lambda x: (ref.batch_norm2d(x, weight, bias)[0] * dy).sum())
    assert (dx * direction).sum() == pytest.approx(numeric, rel=1e-6)
    normal = (ref.batch_norm2d(x, np.ones(2), np.zeros(2))[0] * dy).sum(axis=(0, 2, 3))
    np.testing.assert_allclose(d_weight, normal)
    np.testing.assert_allclose(d_bias, dy.sum(axis=(0, 2, 3)))

    numeric = slope(lambda x: (ref.relu(x) * dy).sum())
    assert (ref.relu_backward(dy, x) * direction).sum() == pytest.approx(numeric, rel=1e-6)

    labels = [0, 4, 2]
    gradient = ref.cross_entropy(x[:, 0, 0], labels)[1]
    numeric = slope(lambda x: ref.cross_entropy(x[:, 0, 0], labels)[0])
    assert (gradient * direction[:, 0, 0]).sum() == pytest.approx(numeric, rel=1e-6)


@pytest.mark.parametrize("mode", ["zeros", "reflect", "replicate", "circular"])
@pytest.mark.parametrize("pads", [(0, 0, 0, 0), (1, 2, 3, 1), (5, 0, 0, 4), (0, 4, 3, 0)])
def test_padding_agrees_with_numpy_and_its_gradient_is_the_adjoint(mode, pads):
    rng = np.random.default_rng(3)
    x = rng.standard_normal((2, 3, 5, 6))
    left, right, top, bottom = pads
    names = {"zeros": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}
    y = ref.pad2d(x, pads, mode)
    np.testing.assert_array_equal(y, np.pad(x, [(0, 0), (0, 0), (top, bottom), (left, right)], names[mode]))
    dy = rng.standard_normal(y.shape)
    assert (y * dy).sum() == pytest.approx((x * ref.pad2d_backward(dy, pads, mode)).sum(), rel=1e-12)


@pytest.mark.filterwarnings("ignore:Using padding='same'")
def test_agrees_with_torch():
    torch = pytest.importorskip("torch")
    F = torch.nn.functional
    rng = np.random.default_rng(4)

    def check(expected, *pairs):
        """torch's output and the gradients that its backward leaves, beside the reference's."""
        dy = pairs[0][2]
        expected.backward(torch.tensor(dy))
        np.testing.assert_allclose(pairs[0][1], expected.detach().numpy(), rtol=1e-10, atol=1e-10)
        for tensor, actual in pairs[1:]:
            np.testing.assert_allclose(actual, tensor.grad.numpy(), rtol=1e-10, atol=1e-10)

    for _ in range(60):
        case = draw_case(rng)
        if case["N"] == 0:
            continue
        x, w, b = (rng.standard_normal(shape) for shape in (x_shape(case), w_shape(case), case["K"]))
        arguments = parameters(case)
        tx, tw, tb = (torch.tensor(a, requires_grad=True) for a in (x, w, b))
        y = ref.conv2d(x, w, b, *arguments)
        dy = rng.standard_normal(y.shape)
        check(
            F.conv2d(tx, tw, tb, *arguments),
            (None, y, dy),
            (tx, ref.conv2d_input(x.shape, w, dy, *arguments)),
            (tw, ref.conv2d_weight(x, w.shape, dy, *arguments)),
            (tb, ref.bias_gradient(dy)),
        )
        if case["padding"] == "same":
            continue
        stride, padding, dilation, groups = arguments
        extra = tuple(int(rng.integers(0, max(s, d))) for s, d in zip(stride, dilation, strict=True))
        tx, tw = (torch.tensor(a, requires_grad=True) for a in (dy, w))
        try:
            expected = F.conv_transpose2d(tx, tw, None, stride, padding, extra, groups, dilation)
        except RuntimeError:  # too much padding for an output
            continue
        y = ref.conv_transpose2d(dy, w, None, stride, padding, extra, groups, dilation)
        dz = rng.standard_normal(y.shape)
        rest = (dz, stride, padding, extra, groups, dilation)
        check(
            expected,
            (None, y, dz),
            (tx, ref.conv_transpose2d_input(dy.shape, w, *rest)),
            (tw, ref.conv_transpose2d_weight(dy, w.shape, *rest)),
        )

    for _ in range(60):
        kernel, stride = (tuple(int(v) for v in rng.integers(1, 5, 2)) for _ in range(2))
        padding = tuple(int(rng.integers(0, k // 2 + 1)) for k in kernel)
        dilation = tuple(int(v) for v in rng.integers(1, 3, 2))
        ceil_mode, include = bool(rng.integers(2)), bool(rng.integers(2))
        divisor = int(rng.integers(1, 9)) if rng.random() < 0.3 else None
        x = rng.integers(-3, 4, (2, 3, *rng.integers(7, 12, 2))).astype(np.float64)

        tx = torch.tensor(x, requires_grad=True)
        expected, places = F.max_pool2d(tx, kernel, stride, padding, dilation, ceil_mode, return_indices=True)
        y, indices = ref.max_pool2d(x, kernel, stride, padding, dilation, ceil_mode)
        np.testing.assert_array_equal(indices, places.numpy())
        dy = rng.standard_normal(y.shape)
        check(expected, (None, y, dy), (tx, ref.max_pool2d_backward(dy, indices, x.shape)))

        tx = torch.tensor(x, requires_grad=True)
        rest = (kernel, stride, padding, ceil_mode, include, divisor)
        y = ref.avg_pool2d(x, *rest)
        dy = rng.standard_normal(y.shape)
        check(F.avg_pool2d(tx, *rest), (None, y, dy), (tx, ref.avg_pool2d_backward(dy, x.shape, *rest)))

        tx = torch.tensor(x, requires_grad=True)
        size = tuple(int(v) for v in rng.integers(1, 14, 2))
        y = ref.adaptive_avg_pool2d(x, size)
        dy = rng.standard_normal(y.shape)
        check(F.adaptive_avg_pool2d(tx, size), (None, y, dy), (tx, ref.adaptive_avg_pool2d_backward(dy, x.shape)))
