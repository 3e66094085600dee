"""Blocks of networks for images, and boxes in images, by torchvision.ops' names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import layer_passes, nn
from .._native.tape import apply
from .._tensor import Tensor
from ..checks import integer, integers, number
from ..creation import from_numpy, ones, zeros
from ..dtypes import float32, float64, int32, int64
from ..functions import cat, maximum, minimum, stack
from ..nn.functions.resize import transposed_taps
from ..random import fill_bernoulli

__all__ = [
    "MLP",
    "Conv2dNormActivation",
    "FrozenBatchNorm2d",
    "Permute",
    "RoIAlign",
    "SqueezeExcitation",
    "StochasticDepth",
    "batched_nms",
    "box_area",
    "box_convert",
    "box_iou",
    "clip_boxes_to_image",
    "generalized_box_iou",
    "nms",
    "remove_small_boxes",
    "roi_align",
    "sigmoid_focal_loss",
    "stochastic_depth",
]


class Conv2dNormActivation(nn.Sequential):
    """A convolution, a norm and an activation.

    Parameters
    ----------
    in_channels, out_channels, kernel_size, stride, groups, dilation
        Of the convolution.
    padding : int, sequence of int or "same", optional
        By default what keeps the size at a stride of 1.
    norm_layer, activation_layer : callable or None
        Called with the number of channels, and with `inplace`.
    inplace : bool or None
        None: the activation is called without it.
    bias : bool, optional
        Of the convolution; by default without a norm alone.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Sequence[int] = 3,
        stride: int | Sequence[int] = 1,
        padding: int | Sequence[int] | str | None = None,
        groups: int = 1,
        norm_layer: Callable[..., nn.Module] | None = nn.BatchNorm2d,
        activation_layer: Callable[..., nn.Module] | None = nn.ReLU,
        dilation: int | Sequence[int] = 1,
        inplace: bool | None = True,
        bias: bool | None = None,
    ) -> None:
        if padding is None:
            sizes = zip(integers(kernel_size, "kernel_size", 1, 2), integers(dilation, "dilation", 1, 2), strict=True)
            padding = tuple((k - 1) // 2 * d for k, d in sizes)
            padding = padding[0] if padding[0] == padding[1] else padding
        bias = norm_layer is None if bias is None else bias
        layers = [nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias)]
        if norm_layer is not None:
            layers.append(norm_layer(out_channels))
        if activation_layer is not None:
            layers.append(activation_layer() if inplace is None else activation_layer(inplace=inplace))
        super().__init__(*layers)
        self.out_channels = out_channels


class SqueezeExcitation(nn.Module):
    """Channels scaled by what their means say (Hu et al., 2018).

    Parameters
    ----------
    input_channels, squeeze_channels : int
        How many there are, and between the two layers that decide.
    activation, scale_activation : callable
        Between these, and after them.
    """

    activation: Any
    avgpool: Any
    fc1: Any
    fc2: Any
    scale_activation: Any

    def __init__(
        self,
        input_channels: int,
        squeeze_channels: int,
        activation: Callable[..., nn.Module] = nn.ReLU,
        scale_activation: Callable[..., nn.Module] = nn.Sigmoid,
    ) -> None:
        super().__init__()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv2d(input_channels, squeeze_channels, 1)
        self.fc2 = nn.Conv2d(squeeze_channels, input_channels, 1)
        self.activation = activation()
        self.scale_activation = scale_activation()

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) to the same."""
        scale = self.activation(self.fc1(self.avgpool(input)))
        return self.scale_activation(self.fc2(scale)) * input


class MLP(nn.Sequential):
    """Linear layers, each but the last with a norm and an activation, and dropout.

    Parameters
    ----------
    in_channels : int
    hidden_channels : sequence of int
        Outputs of each layer.
    norm_layer, activation_layer : callable or None
    inplace : bool, optional
        Of activations and dropout.
    bias : bool
    dropout : float
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: Sequence[int],
        norm_layer: Callable[..., nn.Module] | None = None,
        activation_layer: Callable[..., nn.Module] | None = nn.ReLU,
        inplace: bool | None = None,
        bias: bool = True,
        dropout: float = 0.0,
    ) -> None:
        place = {} if inplace is None else {"inplace": inplace}
        layers: list[nn.Module] = []
        for width in hidden_channels[:-1]:
            layers.append(nn.Linear(in_channels, width, bias))
            if norm_layer is not None:
                layers.append(norm_layer(width))
            if activation_layer is not None:
                layers.append(activation_layer(**place))
            layers.append(nn.Dropout(dropout, **place))
            in_channels = width
        layers += [nn.Linear(in_channels, hidden_channels[-1], bias), nn.Dropout(dropout, **place)]
        super().__init__(*layers)


class Permute(nn.Module):
    """The dimensions in another order."""

    def __init__(self, dims: Sequence[int]) -> None:
        super().__init__()
        self.dims = dims

    def forward(self, x: Tensor) -> Tensor:
        """Any shape to the same lengths in this order."""
        return x.permute(*self.dims)


class FrozenBatchNorm2d(nn.Module):
    """Batch norm whose statistics, weight and bias are buffers, and stay."""

    def __init__(self, num_features: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        for name, make in (("weight", ones), ("bias", zeros), ("running_mean", zeros), ("running_var", ones)):
            self.register_buffer(name, make(num_features))

    def load_state_dict(self, state_dict: Any, strict: bool = True) -> Any:
        """As every module's; a batch norm's count of batches is left out."""
        return super().load_state_dict(
            {name: value for name, value in state_dict.items() if name != "num_batches_tracked"}, strict
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same."""
        return nn.functional.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.weight.shape[0]}, eps={self.eps})"


def stochastic_depth(input: Tensor, p: float, mode: str, training: bool = True) -> Tensor:
    """Set the whole batch, or whole images, to zero with probability `p`, and scale the rest by ``1 / (1 - p)``.

    Parameters
    ----------
    input : (N, ...)
    p : float
        In [0, 1].
    mode : {"batch", "row"}
    training : bool
        If False, the input is returned as it is.
    """
    if not 0 <= number(p, "p") <= 1:
        raise ValueError(f"drop probability has to be between 0 and 1, but got {p}")
    if mode not in ("batch", "row"):
        raise ValueError(f"mode has to be either 'batch' or 'row', but got {mode}")
    if not training or p == 0:
        return input
    shape = (input.shape[0] if mode == "row" else 1,) + (1,) * (input.ndim - 1)
    keep = np.empty(shape, input.dtype)
    fill_bernoulli(keep, 1 - p, None)
    return input * from_numpy(keep / keep.dtype.type(1 - p) if p < 1 else keep)


class StochasticDepth(nn.Module):
    """Whole branches dropped at random, in training (Huang et al., 2016); see :func:`stochastic_depth`."""

    def __init__(self, p: float, mode: str) -> None:
        super().__init__()
        self.p = p
        self.mode = mode

    def forward(self, input: Tensor) -> Tensor:
        """(N, ...) to the same."""
        return stochastic_depth(input, self.p, self.mode, self.training)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(p={self.p}, mode={self.mode})"


# ---------------------------------------------------------------------------------------------------------------------
# Boxes: (x1, y1, x2, y2), with x1 < x2 and y1 < y2
# ---------------------------------------------------------------------------------------------------------------------


def _boxes(boxes: Tensor, name: str = "boxes") -> Tensor:
    """The boxes, in a dtype in which their areas can be computed."""
    if not isinstance(boxes, Tensor) or boxes.ndim != 2 or boxes.shape[1] != 4:
        raise RuntimeError(f"{name} should be a tensor of size (n, 4), got {getattr(boxes, 'shape', boxes)}")
    if boxes.is_floating_point():
        return boxes if boxes.dtype in (float32, float64) else boxes.float()
    return boxes if boxes.dtype in (int32, int64) else boxes.int()


def _areas(boxes: np.ndarray) -> np.ndarray:
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def box_area(boxes: Tensor) -> Tensor:
    """The areas (n,) of boxes (n, 4)."""
    boxes = _boxes(boxes)
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def _shared_and_union(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """The areas of the intersection and of the union of all pairs."""
    sizes = (minimum(a[:, None, 2:], b[:, 2:]) - maximum(a[:, None, :2], b[:, :2])).clamp(min=0)
    shared = sizes[:, :, 0] * sizes[:, :, 1]
    return shared, box_area(a)[:, None] + box_area(b) - shared


def box_iou(boxes1: Tensor, boxes2: Tensor) -> Tensor:
    """Intersection over union of all pairs of boxes: (n, 4) and (m, 4) to (n, m)."""
    shared, union = _shared_and_union(_boxes(boxes1, "boxes1"), _boxes(boxes2, "boxes2"))
    return shared / union


def generalized_box_iou(boxes1: Tensor, boxes2: Tensor) -> Tensor:
    """:func:`box_iou` less the share of the least box around each pair that neither fills (Rezatofighi et al., 2019).

    (n, 4) and (m, 4) to (n, m), from -1 to 1; of boxes far apart it has a gradient still.
    """
    a, b = _boxes(boxes1, "boxes1"), _boxes(boxes2, "boxes2")
    shared, union = _shared_and_union(a, b)
    sizes = (maximum(a[:, None, 2:], b[:, 2:]) - minimum(a[:, None, :2], b[:, :2])).clamp(min=0)
    around = sizes[:, :, 0] * sizes[:, :, 1]
    return shared / union - (around - union) / around


def box_convert(boxes: Tensor, in_fmt: str, out_fmt: str) -> Tensor:
    """Boxes (n, 4) in other coordinates.

    Parameters
    ----------
    boxes : (..., 4)
    in_fmt, out_fmt : {"xyxy", "xywh", "cxcywh"}
        Two corners, a corner and the sizes, or the centre and the sizes.
    """
    for name, value in (("in_fmt", in_fmt), ("out_fmt", out_fmt)):
        if value not in ("xyxy", "xywh", "cxcywh"):
            raise ValueError(f"Unsupported Bounding Box Conversions: {name} is {value!r}, not xyxy, xywh or cxcywh")
    if in_fmt == out_fmt:
        return boxes.clone()
    first, second = boxes[..., :2], boxes[..., 2:]
    if in_fmt == "cxcywh":
        first, second = first - 0.5 * second, first + 0.5 * second
    elif in_fmt == "xywh":
        second = first + second
    if out_fmt == "cxcywh":
        first, second = (first + second) / 2, second - first
    elif out_fmt == "xywh":
        second = second - first
    return cat([first, second], -1)


def clip_boxes_to_image(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Boxes (..., 4) whose corners are moved into an image of `size` (H, W)."""
    height, width = size
    x, y = boxes[..., 0::2].clamp(0, width), boxes[..., 1::2].clamp(0, height)
    return stack([x, y], -1).reshape(boxes.shape)


def remove_small_boxes(boxes: Tensor, min_size: float) -> Tensor:
    """Which boxes (n, 4) have both sides of at least `min_size`: their indices (m,), int64."""
    sizes = boxes.detach()[:, 2:] - boxes.detach()[:, :2]
    return (sizes >= min_size).all(1).nonzero()[:, 0]


def _overlaps(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union of all pairs."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=2)
    with np.errstate(invalid="ignore", divide="ignore"):
        return shared / (_areas(a)[:, None] + _areas(b)[None] - shared)


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """Boxes that overlap no better one by more than a threshold (non-maximum suppression).

    Parameters
    ----------
    boxes : (n, 4)
    scores : (n,)
    iou_threshold : float
        Intersection over union.

    Returns
    -------
    (m,) of int64
        The boxes that stay, the best first.
    """
    corners, values = _boxes(boxes).detach().numpy(), scores.detach().numpy()
    if values.shape != corners.shape[:1]:
        raise RuntimeError(
            f"boxes and scores should have same number of elements in dimension 0, got {corners.shape[0]} and "
            f"{list(values.shape)}"
        )
    left, kept = np.argsort(-values, kind="stable"), []
    while left.size:
        kept.append(left[0])
        overlaps = _overlaps(corners[left[:1]], corners[left[1:]])[0]
        left = left[1:][~(overlaps > iou_threshold)]
    return from_numpy(np.array(kept, np.int64))


def batched_nms(boxes: Tensor, scores: Tensor, idxs: Tensor, iou_threshold: float) -> Tensor:
    """:func:`nms` of each class by itself.

    Parameters
    ----------
    boxes : (n, 4)
    scores, idxs : (n,)
        `idxs` is the class of each box.
    iou_threshold : float

    Returns
    -------
    (m,) of int64
        The boxes that stay, the best first.
    """
    if not boxes.numel():
        return zeros(0, dtype=int64)
    if boxes.numel() <= 4000:  # classes are moved apart, so that boxes of two do not overlap
        offsets = idxs.to(boxes.dtype) * (boxes.detach().max() + 1)
        return nms(boxes + offsets[:, None], scores, iou_threshold)
    kept = []
    for one in np.unique(idxs.numpy()):
        places = np.flatnonzero(idxs.numpy() == one)
        chosen = from_numpy(places)
        kept.append(places[nms(boxes[chosen], scores[chosen], iou_threshold).numpy()])
    order = np.concatenate(kept)
    return from_numpy(order[np.argsort(-scores.detach().numpy()[order], kind="stable")])


def sigmoid_focal_loss(
    inputs: Tensor, targets: Tensor, alpha: float = 0.25, gamma: float = 2, reduction: str = "none"
) -> Tensor:
    """Binary cross entropy in which what is known well counts for little (Lin et al., 2017).

    ``-a_t (1 - p_t)^gamma log(p_t)`` with p_t the probability of the target and a_t `alpha` where it is 1, else
    ``1 - alpha``.

    Parameters
    ----------
    inputs, targets : Tensor of any one shape
        Logits, and 0 or 1.
    alpha : float
        In [0, 1], or -1 for no such weight.
    gamma : float
    reduction : {"none", "mean", "sum"}
    """
    if not (0 <= alpha <= 1) and alpha != -1:
        raise ValueError(f"Invalid alpha value: {alpha}. alpha must be in the range [0,1] or -1 for ignore.")
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(
            f"Invalid Value for arg 'reduction': '{reduction}' \n Supported reduction modes: 'none', 'mean', 'sum'"
        )
    p = inputs.sigmoid()
    loss = nn.functional.binary_cross_entropy_with_logits(inputs, targets, reduction="none")
    loss = loss * (1 - (p * targets + (1 - p) * (1 - targets))) ** gamma
    if alpha >= 0:
        loss = (alpha * targets + (1 - alpha) * (1 - targets)) * loss
    return loss if reduction == "none" else loss.mean() if reduction == "mean" else loss.sum()


def _bin_taps(start: float, size: float, bins: int, samples: int, length: int, dtype) -> tuple[np.ndarray, np.ndarray]:
    """The pixels along one dimension that each bin of a region is a mean of, by bilinear samples."""
    step = (np.arange(samples)[:, None] + 0.5) / samples
    at = start + (np.arange(bins) + step) * (size / bins)
    inside = (at >= -1) & (at <= length)
    at = np.clip(at, 0, length - 1)
    low = np.floor(at).astype(np.int64)
    t = at - low
    index = np.concatenate([low, np.minimum(low + 1, length - 1)])
    weight = np.concatenate([(1 - t) * inside, t * inside]) / samples
    return index, weight.astype(dtype)


def _roi_align(needs, x, regions, output_size, samples, offset, least):
    h, w = x.shape[2:]
    taps = []
    for region in regions:
        corners = region[1:] - offset
        sizes = np.maximum(corners[2:] - corners[:2], least)
        counts = [
            samples if samples > 0 else int(np.ceil(s / n)) for s, n in zip(sizes[::-1], output_size, strict=True)
        ]
        rows = _bin_taps(corners[1], sizes[1], output_size[0], max(counts[0], 1), h, x.dtype)
        cols = _bin_taps(corners[0], sizes[0], output_size[1], max(counts[1], 1), w, x.dtype)
        taps.append((int(region[0]), rows, cols))
    y = np.zeros((len(regions), x.shape[1], *output_size), x.dtype)
    for k, (image, rows, cols) in enumerate(taps):
        y[k] = layer_passes.resample(x[image], rows, cols)
    shape = x.shape

    def vjp(dy):
        dx = np.zeros(shape, dy.dtype)
        for k, (image, rows, cols) in enumerate(taps):
            dx[image] += layer_passes.resample(dy[k], transposed_taps(*rows, h), transposed_taps(*cols, w))
        return (dx,)

    return y, vjp, ()


def roi_align(
    input: Tensor,
    boxes: Tensor | Sequence[Tensor],
    output_size: int | Sequence[int],
    spatial_scale: float = 1.0,
    sampling_ratio: int = -1,
    aligned: bool = False,
) -> Tensor:
    """Regions of images in one size (He et al., 2017).

    Parameters
    ----------
    input : (N, C, H, W)
    boxes : (K, 5), or a (k, 4) for each image
        Regions (x1, y1, x2, y2), in the former with the image's number before them.
    output_size : int or (int, int)
        (P, Q): each region is divided into so many bins.
    spatial_scale : float
        By which boxes are multiplied.
    sampling_ratio : int
        Bilinear samples in each direction of a bin; if not positive as many as there are pixels, rounded up.
    aligned : bool
        Shift boxes by half a pixel, so that a pixel's value is that of its centre.

    Returns
    -------
    (K, C, P, Q)
    """
    if not isinstance(boxes, Tensor):
        for one in boxes:
            _boxes(one, "each of boxes")
        parts = [cat([from_numpy(np.full((len(b), 1), i, b.dtype)), b], 1) for i, b in enumerate(boxes)]
        boxes = cat(parts, 0) if parts else zeros(0, 5)
    if boxes.ndim != 2 or boxes.shape[1] != 5:
        raise RuntimeError(f"The boxes tensor shape should be (K, 5), got {list(boxes.shape)}")
    if input.ndim != 4:
        raise RuntimeError(f"roi_align expects input (N, C, H, W), got size {list(input.shape)}")
    regions = boxes.detach().numpy().astype(np.float64)
    if len(regions) and not (regions[:, 0].min() >= 0 and regions[:, 0].max() < input.shape[0]):
        raise RuntimeError(f"the boxes' images must be from 0 to {input.shape[0] - 1}, got {regions[:, 0]}")
    regions[:, 1:] *= number(spatial_scale, "spatial_scale")
    return apply(
        _roi_align,
        input,
        regions=regions,
        output_size=integers(output_size, "output_size", 1, 2),
        samples=integer(sampling_ratio, "sampling_ratio", -1),
        offset=0.5 if aligned else 0.0,
        least=-np.inf if aligned else 1.0,
    )


class RoIAlign(nn.Module):
    """See :func:`roi_align`; ``layer(input, rois)``."""

    def __init__(
        self,
        output_size: int | Sequence[int],
        spatial_scale: float,
        sampling_ratio: int,
        aligned: bool = False,
    ) -> None:
        super().__init__()
        self.output_size: int | Sequence[int] = output_size
        self.spatial_scale: float = spatial_scale
        self.sampling_ratio: int = sampling_ratio
        self.aligned: bool = aligned

    def forward(self, input: Tensor, rois: Tensor | Sequence[Tensor]) -> Tensor:
        return roi_align(input, rois, self.output_size, self.spatial_scale, self.sampling_ratio, self.aligned)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(output_size={self.output_size}, spatial_scale={self.spatial_scale}, "
            f"sampling_ratio={self.sampling_ratio}, aligned={self.aligned})"
        )
