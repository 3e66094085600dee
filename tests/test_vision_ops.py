"""Blocks and boxes of fastconv.vision.ops, by their definitions."""

import numpy as np
import pytest
from gradcheck import check_vjp, relative

import fastconv as fc
import fastconv.nn as nn
from fastconv.vision import ops

rng = np.random.default_rng(8)


def boxes(n, size=12.0):
    low = rng.random((n, 2)) * size
    return np.concatenate([low, low + rng.random((n, 2)) * size + 0.1], axis=1)


def test_blocks():
    block = ops.Conv2dNormActivation(3, 8, 3, stride=2, activation_layer=nn.SiLU)
    assert [type(m) for m in block] == [nn.Conv2d, nn.BatchNorm2d, nn.SiLU]
    assert block[0].bias is None and block[0].padding == (1, 1) and block[2].inplace and block.out_channels == 8
    assert ops.Conv2dNormActivation(3, 8, 5, dilation=2, norm_layer=None)[0].padding == (4, 4)
    x = fc.randn(2, 8, 5, 5)
    squeeze = ops.SqueezeExcitation(8, 2)
    scale = squeeze.fc2(squeeze.fc1(x.mean((2, 3), keepdim=True)).relu()).sigmoid()
    assert relative(squeeze(x).detach(), (x * scale).detach()) < 1e-6
    assert list(squeeze.state_dict()) == ["fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"]
    mlp = ops.MLP(8, [6, 4], norm_layer=nn.LayerNorm, dropout=0.1)
    assert [type(m) for m in mlp] == [nn.Linear, nn.LayerNorm, nn.ReLU, nn.Dropout, nn.Linear, nn.Dropout]
    assert ops.Permute([0, 2, 3, 1])(x).shape == (2, 5, 5, 8)
    frozen, bn = ops.FrozenBatchNorm2d(8), nn.BatchNorm2d(8)
    bn(x), bn.eval()
    frozen.load_state_dict(bn.state_dict())
    assert relative(frozen(x), bn(x).detach()) < 1e-6 and not list(frozen.parameters())
    assert repr(frozen) == "FrozenBatchNorm2d(8, eps=1e-05)"


def test_stochastic_depth():
    x = fc.ones(400, 3, requires_grad=True)
    y = ops.StochasticDepth(0.25, "row")(x)
    values = y.detach().numpy()
    assert (values == values[:, :1]).all() and set(np.unique(values)) == {0, np.float32(1 / 0.75)}
    assert 0.15 < (values == 0).mean() < 0.35
    y.sum().backward()
    assert np.array_equal(x.grad.numpy(), values)
    assert len(np.unique(ops.stochastic_depth(x, 0.5, "batch").detach().numpy())) == 1
    assert ops.StochasticDepth(0.25, "row").eval()(x) is x
    assert repr(ops.StochasticDepth(0.25, "row")) == "StochasticDepth(p=0.25, mode=row)"
    with pytest.raises(ValueError, match="mode has to be"):
        ops.stochastic_depth(x, 0.5, "column")
    with pytest.raises(ValueError, match="drop probability"):
        ops.stochastic_depth(x, 1.5, "row")


def test_box_iou_and_nms():
    a, b = boxes(9), boxes(7)
    iou = ops.box_iou(fc.tensor(a), fc.tensor(b)).numpy()
    for i, p in enumerate(a):
        for j, q in enumerate(b):
            w, h = (max(0, min(p[k + 2], q[k + 2]) - max(p[k], q[k])) for k in (0, 1))
            whole = (p[2] - p[0]) * (p[3] - p[1]) + (q[2] - q[0]) * (q[3] - q[1]) - w * h
            assert abs(iou[i, j] - w * h / whole) < 1e-12
    assert np.allclose(ops.box_area(fc.tensor(a)).numpy(), (a[:, 2] - a[:, 0]) * (a[:, 3] - a[:, 1]))
    many, scores = boxes(60), rng.random(60)
    kept = ops.nms(fc.tensor(many), fc.tensor(scores), 0.3).numpy()
    overlaps = ops.box_iou(fc.tensor(many), fc.tensor(many)).numpy()
    assert list(kept) == sorted(kept, key=lambda i: -scores[i]) and kept.dtype == np.int64
    for i in range(60):
        better = [k for k in kept if scores[k] > scores[i]]
        assert (i in kept) == (not better or overlaps[i, better].max() <= 0.3)
    assert ops.nms(fc.zeros(0, 4), fc.zeros(0), 0.5).shape == (0,)
    with pytest.raises(RuntimeError, match=r"should be a tensor of size \(n, 4\)"):
        ops.nms(fc.zeros(3), fc.zeros(3), 0.5)


def sample(image, y, x):
    """The bilinear value of (C, H, W) at a place; 0 more than a pixel outside."""
    h, w = image.shape[1:]
    if not (-1 <= y <= h and -1 <= x <= w):
        return np.zeros(image.shape[0])
    y, x = min(max(y, 0), h - 1), min(max(x, 0), w - 1)
    i, j = int(y), int(x)
    k, m = min(i + 1, h - 1), min(j + 1, w - 1)
    s, t = y - i, x - j
    return (1 - s) * ((1 - t) * image[:, i, j] + t * image[:, i, m]) + s * (
        (1 - t) * image[:, k, j] + t * image[:, k, m]
    )


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("ratio", [2, -1])
def test_roi_align(aligned, ratio):
    x, regions = rng.standard_normal((2, 3, 9, 11)), boxes(5, 14.0)
    images, (p, q), scale = rng.integers(0, 2, 5), (3, 2), 0.7
    rows = np.concatenate([images[:, None], regions], axis=1)
    y = ops.roi_align(fc.tensor(x), fc.tensor(rows), (p, q), scale, ratio, aligned).numpy()
    for k, (image, *corners) in enumerate(rows):
        left, top, right, bottom = (c * scale - 0.5 * aligned for c in corners)
        height, width = bottom - top, right - left
        if not aligned:
            height, width = max(height, 1), max(width, 1)
        n, m = (ratio, ratio) if ratio > 0 else (int(np.ceil(height / p)), int(np.ceil(width / q)))
        for i in range(p):
            for j in range(q):
                places = [
                    (top + (i + (a + 0.5) / n) * height / p, left + (j + (b + 0.5) / m) * width / q)
                    for a in range(n)
                    for b in range(m)
                ]
                mean = sum(sample(x[int(image)], *place) for place in places) / len(places)
                np.testing.assert_allclose(y[k, :, i, j], mean, atol=1e-12)
    lists = [fc.tensor(regions[images == i]) for i in range(2)]
    order = np.argsort(images, kind="stable")
    assert np.allclose(ops.roi_align(fc.tensor(x), lists, (p, q), scale, ratio, aligned).numpy(), y[order])
    check_vjp(lambda t: ops.roi_align(t, fc.tensor(rows), (p, q), scale, ratio, aligned), x)


def test_more_of_boxes():
    a, b = boxes(5), boxes(4)
    u, v = fc.tensor(a).requires_grad_(), fc.tensor(b).requires_grad_()
    check = ops.generalized_box_iou(u, v)
    low, high = np.minimum(a[:, None, :2], b[:, :2]), np.maximum(a[:, None, 2:], b[:, 2:])
    iou, around = ops.box_iou(u, v).detach().numpy(), np.prod(high - low, -1)
    areas = [np.prod(x[:, 2:] - x[:, :2], 1) for x in (a, b)]
    union = (areas[0][:, None] + areas[1]) / (1 + iou)
    assert relative(check.detach(), iou - (around - union) / around) < 1e-12
    assert fc.autograd.gradcheck(ops.generalized_box_iou, (u, v)) and fc.autograd.gradcheck(ops.box_iou, (u, v))
    for one in ("xyxy", "xywh", "cxcywh"):
        for other in ("xyxy", "xywh", "cxcywh"):
            there = ops.box_convert(fc.tensor(a), one, other)
            assert relative(ops.box_convert(there, other, one), a) < 1e-12
    x, y, w, h = ops.box_convert(fc.tensor([1.0, 2.0, 5.0, 10.0]), "xyxy", "cxcywh").tolist()
    assert (x, y, w, h) == (3.0, 6.0, 4.0, 8.0)
    with pytest.raises(ValueError, match="in_fmt is 'yolo'"):
        ops.box_convert(fc.tensor(a), "yolo", "xyxy")
    clipped = ops.clip_boxes_to_image(fc.tensor([[-1.0, 2.0, 30.0, 40.0]]), (20, 25))
    assert clipped.tolist() == [[0.0, 2.0, 25.0, 20.0]]
    assert ops.remove_small_boxes(fc.tensor([[0.0, 0, 1, 9], [0, 0, 3, 3]]), 2).tolist() == [1]
    for n in (30, 1200):  # both of its ways
        many, scores, kinds = boxes(n), rng.random(n), rng.integers(0, 3, n)
        kept = ops.batched_nms(fc.tensor(many), fc.tensor(scores), fc.tensor(kinds), 0.3).tolist()
        expected = []
        for kind in range(3):
            of_kind = np.flatnonzero(kinds == kind)
            expected += of_kind[ops.nms(fc.tensor(many[of_kind]), fc.tensor(scores[of_kind]), 0.3).numpy()].tolist()
        assert kept == sorted(expected, key=lambda i: -scores[i])
    assert ops.batched_nms(fc.zeros(0, 4), fc.zeros(0), fc.zeros(0), 0.5).dtype == fc.int64
    layer = ops.RoIAlign(3, 1.0, 2)
    x, regions = fc.randn(1, 2, 12, 12), fc.tensor([[0.0, 1, 2, 8, 9]])
    assert np.array_equal(layer(x, regions), ops.roi_align(x, regions, 3, 1.0, 2)) and "aligned=False" in repr(layer)


@pytest.mark.parametrize(("alpha", "gamma", "reduction"), [(0.25, 2, "none"), (-1, 1.5, "mean"), (0.5, 0, "sum")])
def test_sigmoid_focal_loss(alpha, gamma, reduction):
    x, t = rng.standard_normal((4, 5)), (rng.random((4, 5)) > 0.5).astype(float)
    p = 1 / (1 + np.exp(-x))
    right = np.where(t == 1, p, 1 - p)
    weight = 1 if alpha < 0 else np.where(t == 1, alpha, 1 - alpha)
    expected = -weight * (1 - right) ** gamma * np.log(right)
    expected = {"none": expected, "mean": expected.mean(), "sum": expected.sum()}[reduction]
    inputs = fc.tensor(x).requires_grad_()
    loss = ops.sigmoid_focal_loss(inputs, fc.tensor(t), alpha, gamma, reduction)
    assert relative(loss.detach(), expected) < 1e-12
    assert fc.autograd.gradcheck(lambda x: ops.sigmoid_focal_loss(x, fc.tensor(t), alpha, gamma), inputs)
    with pytest.raises(ValueError, match="Invalid alpha value: 2"):
        ops.sigmoid_focal_loss(inputs, fc.tensor(t), 2)
