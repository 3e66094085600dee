"""Layers and functions that are written to ONNX files, each with arrays to call it with.

:data:`CASES` is by name: the module, or the function of tensors, and its arrays.
"""

import numpy as np

import fastconv as T
from fastconv import nn
from fastconv.nn import functional as F

__all__ = ["CASES", "Function"]


class Function(nn.Module):
    """A function as a module."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *inputs):
        return self.function(*inputs)


r = np.random.default_rng(0)


def a(*shape):
    return r.standard_normal(shape).astype(np.float32)


def i(*shape):
    return r.integers(0, 5, shape)


ELEMENTARY = (
    "abs",
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atanh",
    "ceil",
    "cos",
    "cosh",
    "erf",
    "exp",
    "exp2",
    "expm1",
    "floor",
    "frac",
    "isfinite",
    "isinf",
    "isnan",
    "log",
    "log10",
    "log1p",
    "log2",
    "neg",
    "reciprocal",
    "round",
    "rsqrt",
    "sigmoid",
    "sign",
    "signbit",
    "sin",
    "sinh",
    "sqrt",
    "square",
    "tan",
    "tanh",
    "trunc",
    "relu",
)

CASES = {}


def f(name, function, *arrays):
    assert name not in CASES, name
    CASES[name] = function, arrays


def _set(x):
    y = x.clone()
    y[:, 1] = 0.0
    return y


def _iadd(x):
    y = x * 1
    y += 2
    y *= 3
    y -= x
    y /= 2
    return y


# Signals, images and volumes.
X2 = a(2, 4, 9, 8)
X1 = a(2, 4, 9)
X3 = a(2, 4, 5, 6, 7)

f("AdaptiveAvgPool1d", nn.AdaptiveAvgPool1d(3), X1)
f("AdaptiveAvgPool1d5", nn.AdaptiveAvgPool1d(5), X1)
f("AdaptiveAvgPool2d", nn.AdaptiveAvgPool2d((4, 3)), X2)
f("AdaptiveAvgPool2d_more", nn.AdaptiveAvgPool2d((12, 9)), X2)
f("AdaptiveAvgPool3d", nn.AdaptiveAvgPool3d((2, 3, 1)), X3)
f("AdaptiveMaxPool1d", nn.AdaptiveMaxPool1d(3), X1)
f("AdaptiveMaxPool2d", nn.AdaptiveMaxPool2d((3, 2)), X2)
f("AvgPool1d", nn.AvgPool1d(3, 2, 1), X1)
f("AvgPool2d", nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False), X2)
f("AvgPool2dceil", nn.AvgPool2d(3, 2, 1, ceil_mode=True), X2)
f("AvgPool2ddiv", nn.AvgPool2d(3, 2, 1, divisor_override=5), X2)
f("AvgPool3d", nn.AvgPool3d(2), X3)
f("BatchNorm1d", nn.BatchNorm1d(4), X1)
f("BatchNorm1d2", nn.BatchNorm1d(4), a(5, 4))
f("BatchNorm2d", nn.BatchNorm2d(4, affine=False), X2)
f("BatchNorm3d", nn.BatchNorm3d(4), X3)
f("BatchNorm2d_untracked", nn.BatchNorm2d(4, track_running_stats=False), X2)
f("CELU", nn.CELU(0.7), X2)
f("ChannelShuffle", nn.ChannelShuffle(2), X2)
f("CircularPad1d", nn.CircularPad1d(2), X1)
f("CircularPad2d", nn.CircularPad2d((1, 2, 3, 0)), X2)
f("ConstantPad1d", nn.ConstantPad1d(2, 1.5), X1)
f("ConstantPad2d", nn.ConstantPad2d((1, -2, 3, 0), -1), X2)
f("ConstantPad3d", nn.ConstantPad3d(1, 0.5), X3)
f("Conv1d", nn.Conv1d(4, 6, 3, 2, 1, 2, 2), X1)
f("Conv2d", nn.Conv2d(4, 6, (3, 2), (2, 1), (1, 0), 1, 2), X2)
f("Conv2dsame", nn.Conv2d(4, 6, (3, 4), padding="same", dilation=2), X2)
f("Conv2dvalid", nn.Conv2d(4, 6, 3, padding="valid"), X2)
f("Conv2dreflect", nn.Conv2d(4, 6, 3, padding=1, padding_mode="reflect"), X2)
f("Conv2dcircular", nn.Conv2d(4, 6, 3, padding=1, padding_mode="circular"), X2)
f("Conv2dreplicate", nn.Conv2d(4, 6, 3, padding=1, padding_mode="replicate"), X2)
f("Conv2dunbatched", nn.Conv2d(4, 6, 3), X2[0])
f("Conv3d", nn.Conv3d(4, 6, 3, padding=1, stride=2), X3)
f("ConvTranspose1d", nn.ConvTranspose1d(4, 6, 3, 2, 1, 1), X1)
f("ConvTranspose2d", nn.ConvTranspose2d(4, 6, 3, 2, 1, 1, 2, dilation=2), X2)
f("CosineSimilarity", nn.CosineSimilarity(), X2, a(2, 4, 9, 8))
f("Dropout", nn.Dropout(), X2)
f("Dropout2d", nn.Dropout2d(), X2)
f("AlphaDropout", nn.AlphaDropout(), X2)
f("ELU", nn.ELU(0.5), X2)
f("Embedding", nn.Embedding(7, 3), i(2, 5))
f("Flatten", nn.Flatten(), X2)
f("Flatten2", nn.Flatten(0, 1), X2)
f("Fold", nn.Fold((6, 7), (2, 3), padding=1, stride=2), a(2, 4 * 6, 4 * 4))
f("GELU", nn.GELU(), X2)
f("GELUtanh", nn.GELU("tanh"), X2)
f("GLU", nn.GLU(1), X2)
f("GRU", nn.GRU(4, 5, 2, bidirectional=True, batch_first=True), a(2, 6, 4))
f("GRUCell", nn.GRUCell(4, 5), a(2, 4))
f("LSTM", nn.LSTM(4, 5, 2, bidirectional=True), a(6, 2, 4))
f("LSTMCell", nn.LSTMCell(4, 5), a(2, 4))
f("RNN", nn.RNN(4, 5, nonlinearity="relu"), a(6, 2, 4))
f("RNNCell", nn.RNNCell(4, 5), a(2, 4))
f("GroupNorm", nn.GroupNorm(2, 4), X2)
f("Hardsigmoid", nn.Hardsigmoid(), X2 * 4)
f("Hardswish", nn.Hardswish(), X2 * 4)
f("Hardtanh", nn.Hardtanh(-0.5, 0.7), X2)
f("Identity", nn.Identity(), X2)
f("InstanceNorm1d", nn.InstanceNorm1d(4), X1)
f("InstanceNorm2d", nn.InstanceNorm2d(4, affine=True), X2)
f("InstanceNorm2dtrack", nn.InstanceNorm2d(4, track_running_stats=True), X2)
f("InstanceNorm3d", nn.InstanceNorm3d(4), X3)
f("LPPool1d", nn.LPPool1d(2, 3), abs(X1))
f("LPPool2d", nn.LPPool2d(3, 2, ceil_mode=False), abs(X2))
f("LayerNorm", nn.LayerNorm((9, 8)), X2)
f("LayerNorm1", nn.LayerNorm(8, elementwise_affine=False), X2)
f("LeakyReLU", nn.LeakyReLU(0.3), X2)
f("Linear", nn.Linear(8, 3), X2)
f("Linear2", nn.Linear(8, 3, bias=False), a(4, 8))
f("Linear1", nn.Linear(8, 3), a(8))
f("LocalResponseNorm", nn.LocalResponseNorm(3), X2)
f("LocalResponseNorm4", nn.LocalResponseNorm(4, 0.1, 0.5, 2), X2)
f("LogSigmoid", nn.LogSigmoid(), X2 * 10)
f("LogSoftmax", nn.LogSoftmax(1), X2)
f("MaxPool1d", nn.MaxPool1d(3, 2, 1), X1)
f("MaxPool2d", nn.MaxPool2d(3, 2, 1, ceil_mode=True), X2)
f("MaxPool2dd", nn.MaxPool2d(2, 2, 0, dilation=2, return_indices=True), X2)
f("MaxPool2dunb", nn.MaxPool2d(2, return_indices=True), X2[0])
f("MaxPool3d", nn.MaxPool3d(2), X3)
f("MaxUnpool", lambda x: F.max_unpool2d(*F.max_pool2d(x, 2, return_indices=True), 2), a(2, 3, 8, 6))
f("MaxUnpool1", lambda x: F.max_unpool1d(*F.max_pool1d(x, 2, return_indices=True), 2), a(2, 3, 8))
f("Mish", nn.Mish(), X2)
f("MHA", nn.MultiheadAttention(8, 2, batch_first=True), a(2, 5, 8), a(2, 6, 8), a(2, 6, 8))
f("PReLU", nn.PReLU(), X2)
f("PReLU4", nn.PReLU(4), X2)
f("PReLU4b", nn.PReLU(4), a(3, 4))
f("PairwiseDistance", nn.PairwiseDistance(), a(3, 4), a(3, 4))
f("PixelShuffle", nn.PixelShuffle(2), X2)
f("PixelUnshuffle", nn.PixelUnshuffle(2), a(2, 3, 8, 6))
f("PixelShuffle3", nn.PixelShuffle(2), X2[0])
f("ReLU", nn.ReLU(True), X2)
f("ReLU6", nn.ReLU6(), X2 * 5)
f("ReflectionPad1d", nn.ReflectionPad1d(2), X1)
f("ReflectionPad2d", nn.ReflectionPad2d((1, 2, 3, 0)), X2)
f("ReplicationPad2d", nn.ReplicationPad2d((1, 2, 3, 0)), X2)
f("ReplicationPad1d", nn.ReplicationPad1d(1), X1)
f("SELU", nn.SELU(), X2)
f("SiLU", nn.SiLU(), X2)
f("Sigmoid", nn.Sigmoid(), X2)
f("Softmax", nn.Softmax(1), X2)
f("Softmax2d", nn.Softmax2d(), X2)
f("Softmin", nn.Softmin(2), X2)
f("Softplus", nn.Softplus(2.0), X2 * 20)
f("Softplus1", nn.Softplus(), X2 * 20)
f("Softsign", nn.Softsign(), X2)
f("Tanh", nn.Tanh(), X2)
f("Tanhshrink", nn.Tanhshrink(), X2)
f("ConvTranspose3d", nn.ConvTranspose3d(2, 4, (2, 3, 1), 2, 1, (1, 1, 0), 2), a(2, 2, 3, 4, 5))
f("Transformer", nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), a(2, 5, 8))
f("Unflatten", nn.Unflatten(1, (2, 2)), X2)
f("Unfold", nn.Unfold((2, 3), padding=1, stride=2, dilation=1), X2)
f("Upsample", nn.Upsample(scale_factor=2), X2)
f("Upsamplebil", nn.Upsample(scale_factor=1.7, mode="bilinear"), X2)
f("Upsamplebilc", nn.Upsample(size=(13, 5), mode="bilinear", align_corners=True), X2)
f("Upsamplebic", nn.Upsample(size=(13, 5), mode="bicubic"), X2)
f("Upsamplelin", nn.Upsample(size=13, mode="linear"), X1)
f("Upsampletri", nn.Upsample(size=(7, 5, 9), mode="trilinear"), X3)
f("Upsamplenearx", nn.Upsample(size=(13, 5), mode="nearest-exact"), X2)
f("UpsamplingBilinear2d", nn.UpsamplingBilinear2d(scale_factor=2), X2)
f("interpolate_area", lambda x: F.interpolate(x, size=(4, 3), mode="area"), X2)
f("interpolate_antialias", lambda x: F.interpolate(x, size=(4, 3), mode="bilinear", antialias=True), X2)
f("interpolate_bicubic_antialias", lambda x: F.interpolate(x, size=(4, 3), mode="bicubic", antialias=True), X2)
f("ZeroPad2d", nn.ZeroPad2d(1), X2)
f("grid_sample", lambda x, g: F.grid_sample(x, g, align_corners=False), X2, a(2, 3, 4, 2))
f(
    "affine_grid",
    lambda x, t: F.grid_sample(x, F.affine_grid(t, (2, 4, 5, 6), align_corners=False), align_corners=False),
    X2,
    a(2, 2, 3),
)
f("mse", lambda x, y: F.mse_loss(x, y), X2, a(*X2.shape))
f("l1", F.l1_loss, X2, a(*X2.shape))
f("ce", F.cross_entropy, a(4, 5), i(4))
f("nll", F.nll_loss, a(4, 5), i(4))
f("bce", F.binary_cross_entropy_with_logits, a(4, 5), abs(np.tanh(a(4, 5))))
f("bce1", F.binary_cross_entropy, abs(np.tanh(a(4, 5))), abs(np.tanh(a(4, 5))))
f("smoothl1", F.smooth_l1_loss, X2, a(*X2.shape))
f("huber", F.huber_loss, X2, a(*X2.shape))
f("kl", lambda x, t: F.kl_div(x, t, reduction="batchmean"), a(4, 5), abs(a(4, 5)))
f("softmargin", F.soft_margin_loss, a(4, 5), np.sign(a(4, 5)))
f("hinge", F.hinge_embedding_loss, a(4, 5), np.sign(a(4, 5)))
f("triplet", F.triplet_margin_loss, a(4, 5), a(4, 5), a(4, 5))
f("normalize", F.normalize, X2)
f("one_hot", lambda t: F.one_hot(t, 6), i(2, 3))
f(
    "sdpa",
    lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True),
    a(2, 2, 5, 4),
    a(2, 2, 5, 4),
    a(2, 2, 5, 4),
)
f("weight_norm", nn.utils.parametrizations.weight_norm(nn.Linear(4, 3)), a(2, 4))
f("spectral_norm", nn.utils.spectral_norm(nn.Linear(4, 3)), a(2, 4))

Y = a(3, 4, 5)
Z = a(3, 4, 5)
for n in ELEMENTARY:
    x = {
        "acosh": 1 + abs(Y),
        "log": abs(Y),
        "log10": abs(Y),
        "log1p": abs(Y),
        "log2": abs(Y),
        "rsqrt": abs(Y),
        "sqrt": abs(Y),
        "acos": np.tanh(Y),
        "asin": np.tanh(Y),
        "atanh": np.tanh(Y) / 2,
    }.get(n, Y)
    f(n, getattr(T, n), x)
for n in (
    "add",
    "sub",
    "mul",
    "div",
    "maximum",
    "minimum",
    "atan2",
    "fmod",
    "remainder",
    "floor_divide",
    "eq",
    "ne",
    "lt",
    "le",
    "gt",
    "ge",
    "pow",
):
    f(n, getattr(T, n), abs(Y) if n == "pow" else Y, Z)
WHOLE = r.integers(-9, 9, (3, 4))
J = r.integers(1, 5, (3, 4))
for n in (
    "add",
    "sub",
    "mul",
    "div",
    "maximum",
    "minimum",
    "remainder",
    "floor_divide",
    "fmod",
    "eq",
    "bitwise_and",
    "bitwise_or",
    "bitwise_xor",
    "pow",
):
    f(n + "_int", getattr(T, n), abs(WHOLE) if n == "pow" else WHOLE, J)
B = r.integers(0, 2, (3, 4)).astype(bool)
for n in ("logical_and", "logical_or", "logical_xor", "bitwise_and", "add", "mul"):
    f(n + "_bool", getattr(T, n), B, ~B)
f("not", T.logical_not, B)
f("invert", lambda x: ~x, B)
f("invint", lambda x: ~x, WHOLE)
f("mixed", lambda x, y: x + y * 2, Y, r.integers(0, 9, (4, 5)))
f("rsub", lambda x: 1 - x, Y)
f("alpha", lambda x, y: T.add(x, y, alpha=3), Y, Z)
f("matmul", T.matmul, a(2, 3, 4), a(4, 5))
f("mm", T.mm, a(3, 4), a(4, 5))
f("bmm", T.bmm, a(2, 3, 4), a(2, 4, 5))
f("mv", T.mv, a(3, 4), a(4))
f("dot", T.dot, a(4), a(4))
f("addmm", T.addmm, a(3, 5), a(3, 4), a(4, 5))
f("baddbmm", T.baddbmm, a(2, 3, 5), a(2, 3, 4), a(2, 4, 5))
f("outer", T.outer, a(3), a(4))
f("inner", T.inner, a(3, 4), a(2, 4))
f("einsum", lambda x, y: T.einsum("bij,bjk->bik", x, y), a(2, 3, 4), a(2, 4, 5))
f("tensordot", lambda x, y: T.tensordot(x, y, 1), a(3, 4), a(4, 5))
f("kron", T.kron, a(2, 3), a(3, 2))
f("cdist", T.cdist, a(3, 4), a(5, 4))
f("cross", T.cross, a(4, 3), a(4, 3))
f("trace", T.trace, a(3, 3))
f("tril", T.tril, a(4, 4))
f("triu", lambda x: T.triu(x, 1), a(4, 4))
f("diag2", T.diag, a(4, 4))
f("diagonal", T.diagonal, a(4, 5))
f("det", T.det, a(3, 3))
for n in (
    "sum",
    "mean",
    "prod",
    "var",
    "std",
    "norm",
    "max",
    "min",
    "argmax",
    "argmin",
    "any",
    "all",
    "logsumexp",
    "median",
):
    if n not in ("logsumexp",):
        f(n, getattr(T, n), Y)
    if n not in ("norm",):
        f(n + "_dim", lambda x, n=n: getattr(T, n)(x, 1), Y)
f("sum_dims", lambda x: T.sum(x, (0, 2), keepdim=True), Y)
f("sum_int", T.sum, WHOLE)
f("var0", lambda x: T.var(x, 1, correction=0), Y)
f("norm1", lambda x: T.norm(x, 1, dim=1), Y)
f("norminf", lambda x: T.norm(x, float("inf"), dim=1), Y)
f("norm3", lambda x: T.norm(x, 3, dim=1, keepdim=True), Y)
f("var_mean", lambda x: T.var_mean(x, 1), Y)
f("count_nonzero", T.count_nonzero, WHOLE)
f("maxkeep", lambda x: x.max(2, keepdim=True), Y)
f("argmaxkeep", lambda x: x.argmax(1, keepdim=True), Y)
f("amax", lambda x: x.amax(1), Y) if hasattr(T.Tensor, "amax") else None
f("cumsum", lambda x: T.cumsum(x, 1), Y)
f("cumprod", lambda x: T.cumprod(x, 1), Y)
f("diff", T.diff, Y)
f("sort", lambda x: T.sort(x, 1), Y)
f("sortd", lambda x: T.sort(x, 1, descending=True), Y)
f("argsort", T.argsort, Y)
f("topk", lambda x: T.topk(x, 2, 1), Y)
f("kthvalue", lambda x: T.kthvalue(x, 2, 1), Y)
f("reshape", lambda x: x.reshape(4, -1), Y)
f("view", lambda x: x.view(12, 5), Y)
f("permute", lambda x: x.permute(2, 0, 1), Y)
f("transpose", lambda x: x.transpose(0, 2), Y)
f("T", lambda x: x.T, a(3, 4))
f("t", lambda x: x.t(), a(3, 4))
f("squeeze", T.squeeze, a(3, 1, 4, 1))
f("squeeze1", lambda x: x.squeeze(1), a(3, 1, 4, 1))
f("unsqueeze", lambda x: x.unsqueeze(-1), Y)
f("expand", lambda x: x.expand(2, 3, 4), a(3, 1))
f("repeat", lambda x: x.repeat(2, 1, 3), a(3, 4))
f("tile", lambda x: T.tile(x, (2, 2)), a(3, 4))
f("flip", lambda x: T.flip(x, 0, 2), Y)
f("roll", lambda x: T.roll(x, 2, 1), Y)
f("rot90", T.rot90, a(3, 4))
f("movedim", lambda x: T.movedim(x, 0, 2), Y)
f("repeat_interleave", lambda x: T.repeat_interleave(x, 2, 1), Y)
f("ravel", T.ravel, Y)
f("unflatten", lambda x: T.unflatten(x, 1, (2, 2)), Y)
f("broadcast_tensors", lambda x, y: T.broadcast_tensors(x, y), a(3, 1), a(4))
f("cat", lambda x, y: T.cat([x, y], 1), Y, Z)
f("stack", lambda x, y: T.stack([x, y], -1), Y, Z)
f("hstack", lambda x, y: T.hstack([x, y]), Y, Z)
f("vstack", lambda x, y: T.vstack([x, y]), Y, Z)
f("dstack", lambda x, y: T.dstack([x, y]), Y, Z)
f("meshgrid", lambda x, y: T.meshgrid(x, y, indexing="ij"), a(3), a(4))
f("split", lambda x: T.split(x, 2, 1), Y)
f("chunk", lambda x: x.chunk(2, 1), Y)
f("tensor_split", lambda x: T.tensor_split(x, 3, 2), Y)
f("unbind", lambda x: x.unbind(0), Y)
f("narrow", lambda x: x.narrow(1, 1, 2), Y)
f("select", lambda x: x.select(1, 2), Y)
f("unfold", lambda x: x.unfold(1, 2, 1), Y)
f("idx", lambda x: x[1], Y)
f("idx2", lambda x: x[:, 1:3, ::2], Y)
f("idx3", lambda x: x[..., None, -1], Y)
f("idx4", lambda x: x[None, :, 0, 1:], Y)
f("idx5", lambda x: x[:, [0, 2]], Y)
f("idx6", lambda x, i: x[i], Y, i(2, 2) % 3)
f("idx7", lambda x, m: x[m], Y, r.integers(0, 2, (3, 4, 5)).astype(bool))
f("idx8", lambda x, i: x[i, i], Y, i(2, 2) % 3)
f("idx9", lambda x: x[[0, 1], [1, 2]], Y)
f("idx10", lambda x: x[:, [0, 1], [1, 2]], Y)
f("idx11", lambda x, i: x[:, i, 0], Y, i(3) % 4)
f("gather", lambda x, i: T.gather(x, 1, i), Y, i(3, 2, 5) % 4)
f("index_select", lambda x, i: T.index_select(x, 1, i), Y, i(3) % 4)
f("take_along", lambda x, i: T.take_along_dim(x, i, 1), Y, i(3, 2, 5) % 4)
f("take", lambda x, i: T.take(x, i), Y, i(3))
f("scatter", lambda x, i, s: x.scatter(1, i, s), Y, i(3, 2, 5) % 4 * 0 + np.array([0, 2])[:, None], a(3, 2, 5))
f("scatterv", lambda x, i: x.scatter(1, i, 2.0), Y, i(3, 2, 5) % 4)
f("scatter_add", lambda x, i, s: x.scatter_add(1, i, s), Y, i(3, 2, 5) % 4, a(3, 2, 5))
f("index_add", lambda x, i, s: x.index_add(1, i, s), Y, np.array([0, 2]), a(3, 2, 5))
f("index_copy", lambda x, i, s: x.index_copy(1, i, s), Y, np.array([0, 2]), a(3, 2, 5))
f("index_fill", lambda x, i: x.index_fill(1, i, 2.0), Y, np.array([0, 2]))
f("masked_fill", lambda x, m: x.masked_fill(m, -1.0), Y, Y > 0)
f("masked_select", lambda x, m: T.masked_select(x, m), Y, Y > 0)
f("where", lambda m, x, y: T.where(m, x, y), Y > 0, Y, Z)
f("where2", lambda x: T.where(x > 0, x, 0.0), Y)
f("nonzero", T.nonzero, WHOLE)
f("clamp", lambda x: x.clamp(-0.5, 0.5), Y)
f("clampmin", lambda x: x.clamp(min=0), Y)
f("clampt", lambda x, y: T.clamp(x, y, y + 1), Y, Z)
f("lerp", lambda x, y: T.lerp(x, y, 0.3), Y, Z)
f("nan_to_num", T.nan_to_num, np.where(Y > 1, np.inf, Y))
f("isclose", T.isclose, Y, Z)
f("isin", lambda x: T.isin(x, T.tensor([1, 2])), WHOLE)
f("unique", T.unique, WHOLE)
f("long", lambda x: x.long(), Y * 5)
f("bool", lambda x: x.bool(), WHOLE)
f("double", lambda x: x.double() * 2, Y)
f("pow2", lambda x: x**2, Y)
f("pow3", lambda x: x**3, Y)
f("powneg", lambda x: 2.0**x, Y)
f("sqrtp", lambda x: abs(x) ** 0.5, Y)
f("zeros", lambda x: T.zeros(x.shape) + x, Y)
f("like", lambda x: T.ones_like(x) + T.zeros_like(x) * x, Y)
f("setitem", lambda x: _set(x), Y)
f("new", lambda x: x.new_ones(3) + x.sum(), Y)
f("iadd", lambda x: _iadd(x), Y)
f("detach", lambda x: x.detach() + 1, Y)
f("arange", lambda x: x + T.arange(5), Y)
f("std_mean", lambda x: T.std_mean(x, 1), Y)
f("type_as", lambda x, y: x.type_as(y), WHOLE, Y)
f("round2", lambda x: T.round(x, decimals=2), Y)
f("iter", lambda x: sum(row for row in x), Y)
f("contiguous", lambda x: x.transpose(0, 1).contiguous(), Y)
f("channels_last", lambda x: x.contiguous(memory_format=T.channels_last) * 1, X2)
f("mean_of_two", lambda x: x.mean(dim=(-2, -1)), X2)
