"""The named cases that tests and benchmarks share, and drawn ones.

A case is a dict of the sizes of a convolution: name, N, C, H, W (images), K, R, S (filters), stride, padding, dilation
and groups.
"""

import numpy as np


def make_case(name, N, C, H, W, K, R, S, stride=1, padding=(0, 0), dilation=1, groups=1) -> dict:
    return {
        "name": name,
        "N": N,
        "C": C,
        "H": H,
        "W": W,
        "K": K,
        "R": R,
        "S": S,
        "stride": stride,
        "padding": padding,
        "dilation": dilation,
        "groups": groups,
    }


# Layers that people train.
SUITE = (
    make_case("cos324.conv1_b8", 8, 3, 32, 32, 3, 5, 5),
    make_case("cos324.conv2_b8", 8, 3, 14, 14, 16, 5, 5),
    make_case("cos324.conv1_b128", 128, 3, 32, 32, 3, 5, 5),
    make_case("cos324.conv2_b128", 128, 3, 14, 14, 16, 5, 5),
    make_case("lenet.conv2_b128", 128, 6, 14, 14, 16, 5, 5),
    make_case("alexnet.conv1", 16, 3, 224, 224, 64, 11, 11, stride=4, padding=(2, 2)),
    make_case("alexnet.conv2", 16, 64, 27, 27, 192, 5, 5, padding=(2, 2)),
    make_case("vgg.conv1_1", 8, 3, 224, 224, 64, 3, 3, padding=(1, 1)),
    make_case("vgg.conv1_2", 4, 64, 224, 224, 64, 3, 3, padding=(1, 1)),
    make_case("vgg.conv2_2", 8, 128, 112, 112, 128, 3, 3, padding=(1, 1)),
    make_case("vgg.conv3_2", 8, 256, 56, 56, 256, 3, 3, padding=(1, 1)),
    make_case("vgg.conv4_2", 8, 512, 28, 28, 512, 3, 3, padding=(1, 1)),
    make_case("vgg.conv5_1", 16, 512, 14, 14, 512, 3, 3, padding=(1, 1)),
    make_case("resnet.conv1", 16, 3, 224, 224, 64, 7, 7, stride=2, padding=(3, 3)),
    make_case("resnet.l1.3x3", 16, 64, 56, 56, 64, 3, 3, padding=(1, 1)),
    make_case("resnet.l2.3x3", 16, 128, 28, 28, 128, 3, 3, padding=(1, 1)),
    make_case("resnet.l3.3x3", 16, 256, 14, 14, 256, 3, 3, padding=(1, 1)),
    make_case("resnet.l4.3x3", 16, 512, 7, 7, 512, 3, 3, padding=(1, 1)),
    make_case("resnet.l2.3x3s2", 16, 128, 56, 56, 128, 3, 3, stride=2, padding=(1, 1)),
    make_case("resnet.l1.1x1a", 16, 64, 56, 56, 256, 1, 1),
    make_case("resnet.l1.1x1b", 16, 256, 56, 56, 64, 1, 1),
    make_case("resnet.l3.1x1", 16, 1024, 14, 14, 256, 1, 1),
    make_case("resnet.l2.down", 16, 256, 56, 56, 512, 1, 1, stride=2),
    make_case("cifar.r18.l1_b128", 128, 64, 32, 32, 64, 3, 3, padding=(1, 1)),
    make_case("cifar.r18.l3_b128", 128, 256, 8, 8, 256, 3, 3, padding=(1, 1)),
    make_case("mobilenet.dw3x3", 16, 144, 56, 56, 144, 3, 3, padding=(1, 1), groups=144),
    make_case("mobilenet.dw3x3s2", 16, 144, 56, 56, 144, 3, 3, stride=2, padding=(1, 1), groups=144),
    make_case("resnext.g32", 16, 128, 56, 56, 128, 3, 3, padding=(1, 1), groups=32),
    make_case("deeplab.d2", 4, 256, 28, 28, 256, 3, 3, padding=(2, 2), dilation=2),
    make_case("inception.1x7", 16, 192, 17, 17, 192, 1, 7, padding=(0, 3)),
    make_case("densenet.3x3", 16, 128, 28, 28, 32, 3, 3, padding=(1, 1)),
    make_case("edge.1ch_512", 1, 1, 512, 512, 1, 3, 3, padding=(1, 1)),
)

# Small ones whose sizes lie around and off the kernels' tiles, or are odd in some other way.
RAGGED = (
    make_case("one.pixel", 1, 1, 1, 1, 1, 1, 1),
    make_case("one.output", 1, 3, 5, 5, 2, 5, 5),
    make_case("one.row", 2, 3, 1, 37, 5, 1, 3, padding=(0, 1)),
    make_case("one.column", 2, 3, 37, 1, 5, 3, 1, padding=(1, 0)),
    make_case("padding.only.rows", 1, 2, 2, 9, 3, 3, 3, padding=(4, 1)),
    make_case("padding.beyond.kernel", 1, 2, 3, 3, 4, 2, 2, padding=(5, 6)),
    make_case("kernel.over.padding", 2, 2, 3, 3, 4, 7, 5, padding=(2, 1)),
    make_case("even.kernel", 2, 4, 9, 11, 6, 2, 4, padding=(1, 2)),
    make_case("stride.over.kernel", 2, 3, 17, 19, 5, 2, 2, stride=5),
    make_case("stride.over.image", 2, 3, 7, 6, 5, 3, 3, stride=(9, 11)),
    make_case("unequal.strides", 2, 5, 19, 23, 7, 3, 5, stride=(3, 2), padding=(2, 1)),
    make_case("unequal.dilations", 2, 5, 23, 29, 7, 3, 5, padding=(1, 3), dilation=(4, 3)),
    make_case("stride.and.dilation", 2, 5, 25, 27, 7, 3, 3, stride=(2, 3), padding=(3, 2), dilation=(3, 2)),
    make_case("stride.divides.dilation", 1, 4, 21, 21, 6, 3, 3, stride=2, padding=(2, 2), dilation=2),
    make_case("rows.left.over", 1, 3, 10, 10, 4, 3, 3, stride=4),
    make_case("pointwise.ragged", 3, 17, 5, 7, 13, 1, 1),
    make_case("pointwise.strided", 2, 17, 9, 8, 13, 1, 1, stride=2),
    make_case("pointwise.padded", 1, 6, 5, 7, 9, 1, 1, padding=(2, 1)),
    make_case("tiles.exact", 1, 16, 8, 16, 12, 3, 3, padding=(1, 1)),
    make_case("tiles.plus.one", 1, 17, 9, 17, 13, 3, 3, padding=(1, 1)),
    make_case("tiles.minus.one", 1, 15, 7, 15, 11, 3, 3, padding=(1, 1)),
    make_case("wide.row", 1, 2, 3, 301, 3, 3, 3, padding=(1, 1)),
    make_case("tall.column", 1, 2, 301, 3, 3, 3, 3, padding=(1, 1)),
    make_case("many.channels", 1, 301, 4, 5, 3, 3, 3, padding=(1, 1)),
    make_case("many.filters", 1, 3, 4, 5, 301, 3, 3, padding=(1, 1)),
    make_case("many.small.images", 67, 3, 6, 6, 4, 5, 5),
    make_case("large.kernel", 1, 2, 25, 27, 3, 17, 19, padding=(8, 9)),
    make_case("groups.ragged", 2, 15, 9, 11, 21, 3, 3, padding=(1, 1), groups=3),
    make_case("groups.strided", 3, 6, 13, 13, 9, 5, 5, stride=4, padding=(2, 2), groups=3),
    make_case("groups.pointwise", 2, 24, 5, 7, 36, 1, 1, groups=4),
    make_case("groups.one.channel.in", 2, 6, 9, 9, 18, 3, 3, padding=(1, 1), groups=6),
    make_case("groups.one.filter.out", 2, 18, 9, 9, 6, 3, 3, padding=(1, 1), groups=6),
    make_case("depthwise.odd", 2, 19, 11, 13, 19, 3, 3, padding=(1, 1), groups=19),
    make_case("depthwise.5x5", 2, 7, 15, 18, 7, 5, 5, padding=(2, 2), groups=7),
    make_case("depthwise.7x7.strided", 2, 5, 21, 23, 5, 7, 7, stride=2, padding=(3, 3), groups=5),
    make_case("depthwise.dilated", 2, 5, 17, 19, 5, 3, 3, padding=(3, 2), dilation=(3, 2), groups=5),
    make_case("depthwise.unpadded", 1, 4, 34, 35, 4, 3, 3, groups=4),
    make_case("depthwise.multiplied", 1, 3, 11, 33, 12, 3, 3, stride=(1, 2), padding=(1, 1), groups=3),
)


def x_shape(case: dict) -> tuple[int, int, int, int]:
    """(N, C, H, W)."""
    return case["N"], case["C"], case["H"], case["W"]


def w_shape(case: dict) -> tuple[int, int, int, int]:
    """(K, C / groups, R, S)."""
    return case["K"], case["C"] // case["groups"], case["R"], case["S"]


def parameters(case: dict) -> tuple:
    """What follows the arrays in the argument lists: stride, padding, dilation, groups."""
    return case["stride"], case["padding"], case["dilation"], case["groups"]


def shrunk(case: dict) -> dict:
    """The case on one or two images of a few windows, its channels, filters and parameters kept."""
    span_h = case["dilation"] * (case["R"] - 1) + 1
    span_w = case["dilation"] * (case["S"] - 1) + 1
    room = 4 * case["stride"]
    return case | {
        "N": min(case["N"], 2),
        "H": min(case["H"], span_h + room),
        "W": min(case["W"], span_w + room + 1),
    }


def draw_case(rng: np.random.Generator) -> dict:
    """A random convolution of at most some million operations; one in twenty has no image."""

    def between(low: int, high: int) -> int:
        return int(rng.integers(low, high + 1))

    kind = rng.choice(["dense", "grouped", "depthwise", "pointwise"], p=[0.5, 0.2, 0.15, 0.15])
    most = int(rng.choice([3, 9, 40]))
    groups = {"grouped": between(2, 6), "depthwise": between(1, most)}.get(str(kind), 1)
    channels_per_group = 1 if kind == "depthwise" else between(1, max(1, most // groups))
    filters_per_group = between(1, 2) if kind == "depthwise" else between(1, max(1, most // groups))
    kernel = (1, 1) if kind == "pointwise" else (between(1, 5), between(1, 5))
    if rng.random() < 0.05:
        kernel = (between(1, 11), between(1, 11))
    stride = (1, 1) if rng.random() < 0.5 else (between(1, 4), between(1, 4))
    dilation = (1, 1) if rng.random() < 0.6 else (between(1, 4), between(1, 4))
    padding: tuple[int, int] | str
    padding = tuple(between(0, k) for k in kernel) if rng.random() < 0.7 else (0, 0)
    if stride == (1, 1) and rng.random() < 0.3:
        padding = "same"
    pads = (0, 0) if padding == "same" else padding
    room = int(rng.choice([4, 12, 36]))
    size = [max(1, d * (k - 1) + 1 - 2 * p) + between(0, room) for k, d, p in zip(kernel, dilation, pads, strict=True)]
    images = 0 if rng.random() < 0.05 else between(1, 4)
    case = make_case(
        "drawn",
        images,
        groups * channels_per_group,
        *size,
        groups * filters_per_group,
        *kernel,
        stride,
        padding,
        dilation,
        groups,
    )
    cost = channels_per_group * case["K"] * kernel[0] * kernel[1] * size[0] * size[1]
    if images * cost > 4_000_000:
        case["N"] = 1
    return case


# ---------------------------------------------------------------------------------------------------------------------
# Layouts: each makes an array of the same shape and values that lies in memory in its own way


def fenced(array: np.ndarray) -> np.ndarray:
    """C-contiguous, at an address that only its elements are aligned to, NaN before and after it."""
    fence = 37
    buffer = np.full(array.size + 2 * fence, np.nan, array.dtype)
    inner = buffer[fence : fence + array.size].reshape(array.shape)
    inner[...] = array
    return inner


def channels_last(array: np.ndarray) -> np.ndarray:
    """Channels next to each other, as NHWC arrays have them, seen as NCHW."""
    return np.moveaxis(fenced(np.moveaxis(array, 1, -1)), -1, 1)


def turned(array: np.ndarray) -> np.ndarray:
    """All axes in the opposite order in memory."""
    return fenced(array.T).T


def reversed_rows(array: np.ndarray) -> np.ndarray:
    """Rows from last to first: a negative stride."""
    return fenced(array[..., ::-1, :])[..., ::-1, :]


def reversed_all(array: np.ndarray) -> np.ndarray:
    """Every stride negative."""
    every = (slice(None, None, -1),) * array.ndim
    return fenced(array[every])[every]


def sliced(array: np.ndarray) -> np.ndarray:
    """Every second element of every axis of a larger array, NaN between them."""
    larger = np.full([2 * n + 1 for n in array.shape], np.nan, array.dtype)
    inner = larger[tuple(slice(1, 2 * n + 1, 2) for n in array.shape)]
    inner[...] = array
    return inner


def cropped(array: np.ndarray) -> np.ndarray:
    """The middle of a larger array, NaN around it: dense rows with gaps between them."""
    larger = np.full([n + 3 for n in array.shape], np.nan, array.dtype)
    inner = larger[tuple(slice(1, n + 1) for n in array.shape)]
    inner[...] = array
    return inner


def read_only(array: np.ndarray) -> np.ndarray:
    """Not writeable."""
    inner = fenced(array)
    inner.flags.writeable = False
    return inner


def foreign(array: np.ndarray) -> np.ndarray:
    """The other byte order."""
    return array.astype(array.dtype.newbyteorder())


def misaligned(array: np.ndarray) -> np.ndarray:
    """A field of packed records, one byte off."""
    records = np.zeros(array.shape, np.dtype([("tag", np.uint8), ("value", array.dtype)]))
    records["value"] = array
    return records["value"]


LAYOUTS = {
    function.__name__: function
    for function in (
        fenced,
        channels_last,
        turned,
        reversed_rows,
        reversed_all,
        sliced,
        cropped,
        read_only,
        foreign,
        misaligned,
    )
}


def draw_strided_case(rng: np.random.Generator) -> dict:
    """A convolution with a stride that Winograd's filtering can do: filters of 2 to 5 taps for each residue of the
    stride, and whole vectors of channels or, without the input gradient, any number of them."""
    groups, stride = int(rng.choice([1, 1, 2])), int(rng.choice([2, 2, 3, 4]))
    channels, filters = groups * int(rng.choice([1, 3, 4, 7, 16, 32, 48])), groups * int(rng.choice([1, 3, 8, 17, 40]))
    kernel = int(rng.choice([2, 2, 3, 4, 5])) * stride - int(rng.integers(0, stride))
    padding = tuple(int(p) for p in rng.integers(0, kernel + 3, 2))
    size = [max(1, kernel - 2 * p) + int(rng.integers(0, 25)) for p in padding]
    return make_case(
        "drawn", int(rng.integers(1, 4)), channels, *size, filters, kernel, kernel, stride, padding, 1, groups
    )
