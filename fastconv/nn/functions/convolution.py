"""Convolutions of one and three dimensions on those of two."""

from __future__ import annotations

import numpy as np

from ..._native.tape import wrap
from ...checks import integer, integers
from ...creation import zeros
from ...functions import index_add, stack
from .. import functional as F
from .arguments import Array, Size, check_array, check_dtypes, of_tensors

__all__ = ["conv3d", "conv_transpose1d", "conv_transpose3d"]


def _row(value: Size, name: str, least: int) -> tuple[int, int]:
    """A parameter of one dimension for both: `least`, which changes nothing, for the height."""
    return least, integers(value, name, least, 1)[0]


def _check_transposed(op, input, weight, stride, padding, output_padding, dilation) -> None:
    """Refuse what does not fit, by the sizes that were passed: these functions compute on others."""
    dims, sizes = weight.ndim - 2, f"input of size {list(input.shape)} and weight of size {list(weight.shape)}"
    channels, expected = input.shape[-dims - 1], weight.shape[0]
    if channels != expected:
        raise RuntimeError(
            f"Given transposed=1, weight of size {list(weight.shape)}, expected input{list(input.shape)} to have "
            f"{expected} channels, but got {channels} channels instead"
        )
    steps, gaps = integers(stride, "stride", 1, dims), integers(dilation, "dilation", 1, dims)
    pads, mores = integers(padding, "padding", 0, dims), integers(output_padding, "output_padding", 0, dims)
    lengths = zip(input.shape[-dims:], weight.shape[2:], steps, pads, mores, gaps, strict=True)
    out = [(n - 1) * step - 2 * pad + gap * (taps - 1) + more + 1 for n, taps, step, pad, more, gap in lengths]
    if min(out) < 1:
        raise RuntimeError(
            f"{op}: output size {' x '.join(map(str, out))} is too small, for {sizes}, stride={stride}, "
            f"padding={padding}, dilation={dilation}"
        )


def conv_transpose1d(
    input: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Size = 1,
    padding: Size = 0,
    output_padding: Size = 0,
    groups: int = 1,
    dilation: Size = 1,
) -> Array:
    """:func:`conv_transpose2d` of signals.

    Parameters
    ----------
    input : (N, C, L) or (C, L)
    weight : (C, K / groups, S)
    bias : (K,), optional
    stride, padding, output_padding, groups, dilation
        As in :func:`conv_transpose2d`.

    Returns
    -------
    (N, K, Q) or (K, Q)
    """
    check_array("conv_transpose1d", input), check_array("conv_transpose1d", weight, "weight")
    if input.ndim not in (2, 3) or weight.ndim != 3:
        raise RuntimeError(
            f"conv_transpose1d: expected input (N, C, L) or (C, L) and weight (C, K / groups, S), got input of size "
            f"{list(input.shape)} and weight of size {list(weight.shape)}"
        )
    _check_transposed("conv_transpose1d", input, weight, stride, padding, output_padding, dilation)
    y = F.conv_transpose2d(
        input.reshape(*input.shape[:-1], 1, input.shape[-1]),
        weight.reshape(*weight.shape[:2], 1, weight.shape[2]),
        bias,
        _row(stride, "stride", 1),
        _row(padding, "padding", 0),
        _row(output_padding, "output_padding", 0),
        groups,
        _row(dilation, "dilation", 1),
    )
    return y.reshape(*y.shape[:-2], y.shape[-1])


@of_tensors
def conv_transpose3d(
    input: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Size = 1,
    padding: Size = 0,
    output_padding: Size = 0,
    groups: int = 1,
    dilation: Size = 1,
) -> Array:
    """:func:`conv_transpose2d` of volumes: that of each slice by each tap of the depth, added where they meet.

    Parameters
    ----------
    input : (N, C, D, H, W) or (C, D, H, W)
    weight : (C, K / groups, T, R, S)
    bias : (K,), optional
    stride, padding, output_padding, groups, dilation
        As in :func:`conv_transpose2d`, with three integers where that has two.

    Returns
    -------
    (N, K, O, P, Q) or (K, O, P, Q)
    """
    check_array("conv_transpose3d", weight, "weight")
    check_dtypes("conv_transpose3d", input=input, weight=weight, bias=bias)
    if input.ndim not in (4, 5) or weight.ndim != 5:
        raise RuntimeError(
            "conv_transpose3d: expected 4-D (one volume) or 5-D (batched) input and 5-D weight, got input of size "
            f"{list(input.shape)} and weight of size {list(weight.shape)}"
        )
    _check_transposed("conv_transpose3d", input, weight, stride, padding, output_padding, dilation)
    step, *steps = integers(stride, "stride", 1, 3)
    gap, *gaps = integers(dilation, "dilation", 1, 3)
    pad, *pads = integers(padding, "padding", 0, 3)
    more, *mores = integers(output_padding, "output_padding", 0, 3)
    if more >= max(step, gap):
        raise RuntimeError(
            "output padding must be smaller than either stride or dilation, got for the depth "
            f"output_padding={more}, stride={step}, dilation={gap}"
        )
    x = input if input.ndim == 5 else input.unsqueeze(0)
    n, c, depth, h, w = x.shape
    taps, channels = weight.shape[2], weight.shape[1] * integer(groups, "groups", 1)
    reach = (depth - 1) * step + (taps - 1) * gap + 1 + more
    filters = weight.reshape(weight.shape[0], weight.shape[1] * taps, *weight.shape[3:])
    images = x.permute(0, 2, 1, 3, 4).reshape(n * depth, c, h, w)
    planes = F.conv_transpose2d(images, filters, None, steps, pads, mores, groups, gaps)
    size = planes.shape[2:]
    planes = planes.reshape(n, depth, channels, taps, *size).permute(0, 2, 3, 1, 4, 5)
    places = np.arange(taps)[:, None] * gap + np.arange(depth) * step
    y = zeros(n, channels, reach, *size, dtype=x.dtype)
    y = index_add(y, 2, wrap(places.ravel()), planes.reshape(n, channels, taps * depth, *size))
    y = y[:, :, pad : reach - pad]
    if bias is not None:
        y = y + bias.reshape(-1, 1, 1, 1)
    return y if input.ndim == 5 else y.squeeze(0)


@of_tensors
def conv3d(
    input: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Size = 1,
    padding: Size | str = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> Array:
    """3-D convolution of many channels, as a 2-D one of as many more channels as the filter is deep.

    Parameters
    ----------
    input : (N, C, D, H, W) or (C, D, H, W)
    weight : (K, C / groups, T, R, S)
    bias : (K,), optional
    stride, padding, dilation, groups
        As in :func:`conv2d`, with three integers where that has two.

    Returns
    -------
    (N, K, O, P, Q) or (K, O, P, Q)
    """
    check_array("conv3d", weight, "weight")
    check_dtypes("conv3d", input=input, weight=weight, bias=bias)
    if input.ndim not in (4, 5) or weight.ndim != 5:
        raise RuntimeError(
            "conv3d: expected 4-D (one volume) or 5-D (batched) input and 5-D weight, got input of size "
            f"{list(input.shape)} and weight of size {list(weight.shape)}"
        )
    groups = integer(groups, "groups", 1)
    stride, dilation = integers(stride, "stride", 1, 3), integers(dilation, "dilation", 1, 3)
    taps = weight.shape[2]
    span = dilation[0] * (taps - 1)
    if isinstance(padding, str):
        if padding == "same" and stride[0] != 1:
            raise ValueError(f"padding='same' needs stride 1, got stride={stride!r}")
        front, back = (span // 2, span - span // 2) if padding == "same" else (0, 0)
        plane_padding: Size | str = padding
    else:
        padding = integers(padding, "padding", 0, 3)
        front = back = padding[0]
        plane_padding = padding[1:]
    x = input if input.ndim == 5 else input.unsqueeze(0)
    if x.shape[1] != weight.shape[1] * groups:
        raise RuntimeError(
            f"Given groups={groups}, weight of size {list(weight.shape)}, expected input{list(input.shape)} to have "
            f"{weight.shape[1] * groups} channels, but got {x.shape[1]} channels instead"
        )
    depth = x.shape[2] + front + back
    if depth < span + 1 or not taps:
        raise RuntimeError(
            f"conv3d: kernel larger than the padded input: padded depth {depth}, kernel depth {span + 1} (weight of "
            f"size {list(weight.shape)}, input of size {list(input.shape)})"
        )
    x = F.pad(x, (0, 0, 0, 0, front, back)) if front or back else x
    n, c, _, h, w = x.shape
    out = (depth - span - 1) // stride[0] + 1
    last = (out - 1) * stride[0] + 1
    # (N, C, T, O, H, W): the slices that each tap of the depth meets, which become channels of their own.
    slices = [x[:, :, t * dilation[0] : t * dilation[0] + last : stride[0]] for t in range(taps)]
    images = stack(slices, 2).permute(0, 3, 1, 2, 4, 5).reshape(n * out, c * taps, h, w)
    filters = weight.reshape(weight.shape[0], weight.shape[1] * taps, *weight.shape[3:])
    y = F.conv2d(images, filters, bias, stride[1:], plane_padding, dilation[1:], groups)
    y = y.reshape(n, out, *y.shape[1:]).permute(0, 2, 1, 3, 4)
    return y if input.ndim == 5 else y.squeeze(0)
