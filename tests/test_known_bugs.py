"""Bugs that convolution and pooling code has had elsewhere, each with the input that showed it.

A comment names the public threads. The results are compared with the float64 reference, into poisoned and guarded
memory.
"""

import numpy as np
import pytest
from cases import RAGGED, channels_last, fenced, misaligned, parameters, reversed_all, sliced, turned, w_shape, x_shape
from checks import assert_near, check_passes

from fastconv import ops, reference

pytestmark = pytest.mark.usefixtures("isa", "guarded")


def normal(*shape, dtype=np.float32, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def ones(*shape):
    return np.ones(shape, np.float32)


def nothing(*shape):
    """Zeros of any size that take no memory."""
    return np.broadcast_to(np.float32(0), shape)


def check(x, w, *arguments):
    """The three passes of one convolution against the reference."""
    y64 = reference.conv2d(x, w, None, *arguments)
    assert_near(ops.conv2d(x, w, None, *arguments), y64)
    dy = normal(*y64.shape, dtype=x.dtype, seed=1)
    assert_near(ops.conv2d_input(x.shape, w, dy, *arguments), reference.conv2d_input(x.shape, w, dy, *arguments))
    assert_near(ops.conv2d_weight(x, w.shape, dy, *arguments), reference.conv2d_weight(x, w.shape, dy, *arguments))


# ---- sizes -----------------------------------------------------------------------------------------------------------


# pytorch#9404: the unfolded image had more elements than an int counts
def test_dilated_kernel_on_a_large_image():
    y = ops.conv2d(nothing(1, 64, 1167, 1167), ones(1, 64, 5, 5), ones(1), dilation=2)
    assert y.shape == (1, 1, 1159, 1159)
    assert (y == 1).all()


# tensorflow#47525
def test_unfolded_image_beyond_2_to_the_31():
    y = ops.conv2d(nothing(1, 32, 2800, 2800), ones(1, 32, 3, 3), ones(1), padding=1)
    assert y.shape == (1, 1, 2800, 2800)
    assert (y == 1).all()


# mlx#4258
def test_padded_size_beyond_int32():
    padding = 2**31 - 1
    with pytest.raises(MemoryError, match="images of 4294967302 x 4294967302 pixels"):
        ops.conv2d(ones(4, 1, 8, 8), ones(5, 1, 3, 3), stride=3, padding=padding)
    # Of these windows one sees the image: the others start 2^29 and more pixels away from it.
    x, w, b = normal(1, 2, 8), normal(3, 2, 3), normal(3)
    y = ops.conv1d(x, w, b, 2**29, padding)
    expected = np.repeat(b[None, :, None], 9, axis=2).astype(np.float64)
    expected[..., 4:5] = reference.conv1d(x[..., 1:4], w, b)
    assert_near(y, expected)
    dx = ops.conv1d_input(x.shape, w, y, 2**29, padding)
    assert_near(dx[..., 1:4], reference.conv1d_input((1, 2, 3), w, y[..., 4:5]))
    assert not dx[..., [0, 4, 5, 6, 7]].any()
    dw = ops.conv1d_weight(x, w.shape, y, 2**29, padding)
    assert_near(dw, reference.conv1d_weight(x[..., 1:4], w.shape, y[..., 4:5]))


# pytorch#73191, pytorch#73190
def test_pooling_window_beyond_the_address_space():
    for kernel, dilation in [(2**31, 2**31), (2**60, 2**60), (3, 2**59), ((2**40, 1), 1)]:
        with pytest.raises(RuntimeError, match=f"dilation={dilation}"):
            ops.max_pool2d(ones(1, 1, 8, 8), kernel, dilation=dilation)
    with pytest.raises(ValueError, match=f"kernel_size={2**64}"):
        ops.avg_pool2d(ones(1, 1, 8, 8), 2**64)
    # The padding keeps the window inside: what it sees is one column.
    y, _ = ops.max_pool2d(normal(1, 1, 8, 8), 2, 1, (0, 1), (1, 3))
    np.testing.assert_array_equal(y, reference.max_pool2d(normal(1, 1, 8, 8), 2, 1, (0, 1), (1, 3))[0])


# The same for the kernels' own memory, which holds padded rows: computed where it can be, refused where not.
@pytest.mark.parametrize("huge", [2**45, 2**59])
def test_parameters_beyond_any_memory(huge):
    x, w, y, one = normal(1, 1, 8, 8), normal(1, 1, 2, 2), normal(1, 1, 8, 8), normal(1, 1, 1, 1)
    for call in (
        lambda: ops.conv2d(x, w, None, 1, huge // 2, huge),
        lambda: ops.conv2d_input(x.shape, w, y, 1, huge // 2, huge),
        lambda: ops.conv2d_weight(x, w.shape, y, 1, huge // 2, huge),
        lambda: ops.conv_transpose2d(one, w, None, 1, huge // 2, 0, 1, huge),
        lambda: ops.max_pool2d(x, (1, huge), 1, (0, huge // 2)),
        lambda: ops.max_pool2d(x, 2, 1, (0, huge // 2), (1, huge)),
        lambda: ops.max_pool2d(x, huge, ceil_mode=True),
        lambda: ops.avg_pool2d(x, huge, 1, huge // 2),
        lambda: ops.avg_pool2d_backward(normal(1, 1, 9, 9), x.shape, huge, 1, huge // 2),
    ):
        with pytest.raises(MemoryError):
            call()
    # Strides that no second window takes, dilations that no second tap takes.
    np.testing.assert_array_equal(ops.conv2d(x, w, None, huge), ops.conv2d(x, w, None, 8))
    np.testing.assert_array_equal(ops.conv2d(x, one, None, 1, 0, huge), ops.conv2d(x, one))
    np.testing.assert_array_equal(ops.max_pool2d(x, 2, huge)[0], ops.max_pool2d(x, 2, 8)[0])
    np.testing.assert_array_equal(ops.avg_pool2d(x, 2, huge), ops.avg_pool2d(x, 2, 8))


# pytorch#27598, pytorch#41767, cumo#307: a division by zero killed the process
def test_stride_of_zero():
    x, w, y = ones(1, 1, 8, 8), ones(1, 1, 3, 3), ones(1, 1, 6, 6)
    for call in (
        lambda: ops.conv2d(x, w, stride=0),
        lambda: ops.conv2d_input(x.shape, w, y, stride=(0, 1)),
        lambda: ops.conv2d_weight(x, w.shape, y, stride=(1, 0)),
        lambda: ops.conv1d(ones(1, 1, 8), ones(1, 1, 3), stride=0),
        lambda: ops.conv_transpose2d(x, w, stride=0),
        lambda: ops.max_pool2d(x, 2, 0),
        lambda: ops.avg_pool2d(x, 2, (1, 0)),
    ):
        with pytest.raises(ValueError, match="stride must be positive"):
            call()


# pytorch#17247
def test_kernel_larger_than_the_padded_input():
    with pytest.raises(RuntimeError, match="padded input per channel 3 x 3, kernel 7 x 7"):
        ops.conv2d(ones(1, 1, 3, 3), ones(1, 1, 7, 7))
    with pytest.raises(RuntimeError, match="padded input per channel 5 x 5, kernel 7 x 7"):
        ops.conv2d_input((1, 1, 3, 3), ones(1, 1, 7, 7), ones(1, 1, 1, 1), padding=1)


# pytorch#3039
def test_weight_of_another_rank():
    for shape in [(3, 3), (3,), (), (4, 3, 3), (1, 4, 3, 3, 3)]:
        with pytest.raises(RuntimeError, match=f"4-D weight.*{len(shape)}-D weight"):
            ops.conv2d(ones(1, 3, 8, 8), np.ones(shape, np.float32))


# ---- layouts ---------------------------------------------------------------------------------------------------------


# pytorch#1246, pytorch#16018, pytorch#55781, pytorch#192212
def test_weights_that_are_views():
    x = normal(2, 3, 12, 12)
    check(x, normal(4, 3, 6, 6)[:, :, ::2, ::2])
    check(x, normal(4, 3, 7, 3, 3)[:, :, 5])
    check(x, normal(8, 6, 3, 3)[::2, 1::2])
    check(x, normal(1, 3, 3, 3).repeat(4, 0)[:, ::-1])


# candle#3735
def test_backward_of_a_transposed_kernel():
    x = normal(2, 4, 9, 9)
    check(x, normal(4, 6, 3, 3).swapaxes(0, 1))
    check(x, normal(6, 4, 3, 5).swapaxes(2, 3))
    check(x, normal(3, 3, 4, 6).T)


# pytorch#82060: strides of dimensions of size 1 carry no meaning
def test_one_channel_in_mixed_layouts():
    for x_layout in (fenced, channels_last, turned):
        for w_layout in (fenced, channels_last, turned):
            check(x_layout(normal(2, 1, 9, 8)), w_layout(normal(5, 1, 3, 3)), 1, 1)
            check(x_layout(normal(2, 5, 9, 8)), w_layout(normal(1, 5, 3, 3)), 1, 1)


# modular#6712
def test_wide_padding_on_a_permuted_input():
    for kernel in (2, 3, 5):
        x, w = channels_last(normal(2, 5, 6, 7)), normal(4, 5, kernel, kernel)
        check(x, w, 1, kernel - 1)
        first = ops.conv2d(x, w, padding=kernel - 1)
        for _ in range(3):
            np.testing.assert_array_equal(ops.conv2d(x, w, padding=kernel - 1), first)


# pytorch#68868
def test_grouped_weight_gradient_at_large_strides():
    for stride in (2, 3, 4):
        check(normal(2, 6, 13, 14), normal(9, 2, 3, 3), stride, 1, 1, 3)


# numpy#23349: such a view counts as contiguous, its stride stays negative
def test_negative_stride_along_a_dimension_of_one():
    x = normal(1, 1, 10, 20)[::-1, ::-1]
    assert x.flags.c_contiguous
    check(x, normal(3, 1, 3, 3)[:, ::-1])
    y, indices = ops.max_pool2d(x, 2)
    np.testing.assert_array_equal(y, reference.max_pool2d(x, 2)[0])
    assert_near(
        ops.max_pool2d_backward(y[::-1], indices[::-1], x.shape), reference.max_pool2d_backward(y, indices, x.shape)
    )


# PyWavelets#839, cython#1605
def test_read_only_files(tmp_path):
    x, w = normal(1, 3, 8, 8), normal(4, 3, 3, 3)
    for name, array in (("x", x), ("w", w)):
        array.tofile(tmp_path / name)
    mapped_x = np.memmap(tmp_path / "x", np.float32, "r", shape=x.shape)
    mapped_w = np.memmap(tmp_path / "w", np.float32, "r", shape=w.shape)
    check(mapped_x, mapped_w)
    y, indices = ops.max_pool2d(mapped_x, 2)
    y.flags.writeable = indices.flags.writeable = False
    ops.max_pool2d_backward(y, indices, x.shape)
    ops.avg_pool2d_backward(ops.avg_pool2d(mapped_x, 2), x.shape, 2)


# bottleneck#104, cython#6160
@pytest.mark.parametrize("dtype", [">f4", ">f8", "<f4", "<f8"])
def test_both_byte_orders(dtype):
    x, w = normal(1, 3, 8, 8, dtype=dtype), normal(4, 3, 3, 3, dtype=dtype)
    check(x, w)
    y, indices = ops.max_pool2d(x, 2)
    np.testing.assert_array_equal(y, reference.max_pool2d(x, 2)[0])
    swapped = indices.astype(indices.dtype.newbyteorder())
    dy = y.astype(dtype)
    assert_near(ops.max_pool2d_backward(dy, swapped, x.shape), reference.max_pool2d_backward(y, indices, x.shape))
    b = normal(4, dtype=dtype)
    assert_near(ops.conv2d(x, w, b), reference.conv2d(x, w, b))


# numpy#16660, numpy#26775
def test_misaligned_arrays(tmp_path):
    x, w = normal(1, 3, 8, 8), normal(4, 3, 3, 3)
    check(misaligned(x), misaligned(w))
    (tmp_path / "x").write_bytes(b"?" + x.tobytes())
    check(np.memmap(tmp_path / "x", np.float32, "r", offset=1, shape=x.shape), w)
    b = misaligned(normal(4))
    assert_near(ops.conv2d(x, w, b), reference.conv2d(x, w, b))


# ---- pooling ---------------------------------------------------------------------------------------------------------


# pytorch#45357
def test_ceil_mode_window_outside_the_input():
    x = normal(1, 1, 6, 7)
    y, indices = ops.max_pool2d(x, 1, 2, ceil_mode=True)
    assert y.shape == (1, 1, 3, 4)
    np.testing.assert_array_equal(y, x[:, :, ::2, ::2])
    np.testing.assert_array_equal(ops.avg_pool2d(x, 1, 2, ceil_mode=True), x[:, :, ::2, ::2])
    assert indices.max() < 42


# pytorch#36977
def test_average_pooling_with_ceil_mode_is_finite():
    for count_include_pad in (True, False):
        x = normal(1, 1, 5, 5)
        arguments = (2, 2, 1, True, count_include_pad)
        y = ops.avg_pool2d(x, *arguments)
        assert np.isfinite(y).all()
        assert_near(y, reference.avg_pool2d(x, *arguments))


# tract#2851, executorch#18616
def test_divisor_does_not_count_what_hangs_over():
    x = np.arange(1, 6, dtype=np.float32).reshape(1, 1, 1, 5)
    np.testing.assert_array_equal(ops.avg_pool2d(x, (1, 2), ceil_mode=True), [[[[1.5, 3.5, 5.0]]]])
    np.testing.assert_array_equal(
        ops.avg_pool2d(x, (1, 2), ceil_mode=True, divisor_override=4), [[[[0.75, 1.75, 1.25]]]]
    )
    dy = ones(1, 1, 1, 3)
    np.testing.assert_array_equal(ops.avg_pool2d_backward(dy, x.shape, (1, 2), ceil_mode=True), [[[[0.5] * 4 + [1.0]]]])


# FastNN#5
def test_windows_of_nothing_but_padding_are_refused():
    for pool in (ops.max_pool2d, ops.avg_pool2d):
        with pytest.raises(ValueError, match=r"at most half.*padding=3, kernel_size=3"):
            pool(ones(1, 1, 1, 1), 3, 3, 3)


# pytorch#7645, burn#5662
def test_nan_wins_the_maximum():
    x = np.array([1, np.nan, 5, 6], np.float32).reshape(1, 1, 1, 4)
    for order in (x, x[..., ::-1], np.roll(x, 1, axis=-1)):
        y, index = ops.max_pool2d(order, (1, 4))
        assert np.isnan(y).all()
        assert np.isnan(order.ravel()[index.item()])


# pytorch#1466
def test_windows_of_minus_infinity_have_a_valid_index():
    x = np.full((1, 2, 5, 5), -np.inf, np.float32)
    y, indices = ops.max_pool2d(x, 3, 2, 1)
    assert (y == -np.inf).all()
    assert indices.min() >= 0
    assert indices.max() < 25
    assert_near(
        ops.max_pool2d_backward(ones(*y.shape), indices, x.shape).sum(keepdims=True)[0, 0, 0], np.array([float(y.size)])
    )


# NNlib#205
def test_overlapping_windows_add_their_gradients():
    x = np.zeros((1, 1, 5, 5), np.float32)
    x[0, 0, 2, 2] = 1
    y, indices = ops.max_pool2d(x, 3, 2)
    dx = ops.max_pool2d_backward(ones(*y.shape), indices, x.shape)
    np.testing.assert_array_equal(dx, 4 * x)


# executorch#21687, ggml#591, openvino#38208: memory is poisoned before each call
def test_gradients_are_added_into_zeros():
    case = next(c for c in RAGGED if c["name"] == "stride.over.kernel")
    x = normal(2, 3, 9, 9)
    y, indices = ops.max_pool2d(x, 3, 2)
    for _ in range(2):
        check_passes(case, np.random.default_rng(0), np.float32)
        assert_near(ops.max_pool2d_backward(y, indices, x.shape), reference.max_pool2d_backward(y, indices, x.shape))
        assert_near(ops.avg_pool2d_backward(y, x.shape, 3, 2), reference.avg_pool2d_backward(y, x.shape, 3, 2))
        dy = ops.adaptive_avg_pool2d(x, 4)
        assert_near(ops.adaptive_avg_pool2d_backward(dy, x.shape), reference.adaptive_avg_pool2d_backward(dy, x.shape))


# NNlib#763
def test_empty_batch_has_a_weight_gradient_of_zeros():
    for groups in (1, 2, 4):
        x, dy = ones(0, 4, 8, 8), ones(0, 8, 6, 6)
        dw = ops.conv2d_weight(x, (8, 4 // groups, 3, 3), dy, groups=groups)
        np.testing.assert_array_equal(dw, np.zeros((8, 4 // groups, 3, 3)))


# pytorch#99519
def test_transposed_convolution_of_one_channel():
    for layout in (fenced, channels_last, reversed_all):
        x, w = layout(normal(2, 1, 6, 7)), layout(normal(1, 3, 3, 3))
        assert_near(ops.conv_transpose2d(x, w, None, 2, 1, 1), reference.conv_transpose2d(x, w, None, 2, 1, 1))


# pytorch#42578, pytorch#42582
def test_adaptive_output_sizes_that_are_none_or_huge():
    x = ones(1, 1, 8, 8)
    with pytest.raises(ValueError, match=r"output_size.*\[\]"):
        ops.adaptive_avg_pool2d(x, [])
    with pytest.raises(ValueError, match=r"output_size.*9000000000000000000"):
        ops.adaptive_avg_pool2d(x, 9 * 10**18)
    with pytest.raises(MemoryError, match=rf"\[1, 1, {2**60}, 1\]"):
        ops.adaptive_avg_pool2d(x, (2**60, 1))


# XNNPACK#10454
@pytest.mark.parametrize("bad", [-1, 64, -(2**31), 2**31 - 1])
def test_indices_outside_the_image_are_refused(bad):
    y, indices = ops.max_pool2d(normal(2, 3, 8, 8), 2)
    indices[1, 2, 3, 3] = bad
    with pytest.raises(RuntimeError, match=f"indices from .*{bad}.* are outside the 8 x 8 pixels"):
        ops.max_pool2d_backward(y, indices, (2, 3, 8, 8))


# ---- axes ------------------------------------------------------------------------------------------------------------


# pytorch#37844, pytorch#24504, tinygrad#17805
def test_axes_are_not_swapped():
    x, w = normal(2, 3, 17, 19), normal(4, 3, 3, 5)
    check(x, w, 1, (0, 1))
    check(x, w, 1, (2, 0))
    check(x, w, 1, 0, (2, 3))
    check(x, w, (3, 2))
    check(x, w, (2, 3), (0, 1), (2, 3))
    y, indices = ops.max_pool2d(x, (3, 5), (2, 1), (0, 1), (2, 3))
    y64, places = reference.max_pool2d(x, (3, 5), (2, 1), (0, 1), (2, 3))
    np.testing.assert_array_equal(y, y64)
    np.testing.assert_array_equal(indices, places)
    assert_near(ops.avg_pool2d(x, (3, 5), (2, 1), (0, 1)), reference.avg_pool2d(x, (3, 5), (2, 1), (0, 1)))
    np.testing.assert_array_equal(ops.pad2d(x, (1, 0, 0, 2)), np.pad(x, [(0, 0), (0, 0), (0, 2), (1, 0)]))


# ---- sums and threads ------------------------------------------------------------------------------------------------


# pytorch#68048: above 2^24, adding one to a float32 changes nothing
def test_long_sums_of_ones_do_not_stall():
    many = 2**25
    dy = ones(1, 1, 2**12, 2**13)
    assert ops.bias_gradient(dy) == many
    repeated = np.broadcast_to(ones(1), (2**5, 1, 2**10, 2**10))
    for view in (dy.reshape(many, 1, 1, 1), dy.reshape(1, 1, many, 1), repeated, sliced(ones(1, 1, 2**9, 2**9))):
        assert ops.bias_gradient(view) == view.size


# The same for the weight gradient, whose sum is as long.
def test_long_weight_gradients_do_not_stall():
    x = np.broadcast_to(ones(1), (2, 1, 2**12, 2**12))
    dw = ops.conv2d_weight(x, (1, 1, 1, 1), x)
    assert dw.item() == 2**25


# cython#2316, pytorch#88718, pytorch#2201
def test_no_race_and_no_dependence_on_the_number_of_threads(threads):
    for name in ("many.small.images", "groups.strided", "depthwise.5x5", "pointwise.ragged", "many.channels"):
        case = next(c for c in RAGGED if c["name"] == name)
        case = case | {"N": 12, "H": case["H"] + 24, "W": case["W"] + 24}
        arguments = parameters(case)
        x, w = normal(*x_shape(case)), normal(*w_shape(case))
        threads(1)
        y = ops.conv2d(x, w, None, *arguments)
        dx, dw = ops.conv2d_input(x.shape, w, y, *arguments), ops.conv2d_weight(x, w.shape, y, *arguments)
        assert_near(dw, reference.conv2d_weight(x, w.shape, y, *arguments))
        for number in (2, 3, 8):
            threads(number)
            for _ in range(2):
                np.testing.assert_array_equal(ops.conv2d(x, w, None, *arguments), y)
                np.testing.assert_array_equal(ops.conv2d_input(x.shape, w, y, *arguments), dx)
                np.testing.assert_array_equal(ops.conv2d_weight(x, w.shape, y, *arguments), dw)
