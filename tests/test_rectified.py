"""Batch norm and a rectifier as one operation: the bits of the operations one by one."""

import copy

import numpy as np
import pytest

import fastconv as fc
from fastconv import nn
from fastconv._native import passes
from fastconv._native.layers.normalisation import batch_norm
from fastconv.nn import functional as F
from fastconv.nn.fused import one_by_one, rectified
from fastconv.vision import models

both_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
SIZES = [
    (3, 5, 9, 7),
    (2, 3, 40, 41),
    (2, 300, 6, 5),
    (1, 1100, 3, 2),
    (9, 16, 1, 8),
    (33, 7),
    (6, 5, 11),
    (2, 3, 4, 5, 6),
]
RECTIFIERS = {"relu": (F.relu, np.nan), "relu6": (F.relu6, 6.0)}


def drawn(size, dtype, last, seed=0):
    x = np.random.default_rng(seed).standard_normal(size).astype(dtype) * 3
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1) if last else x


def special(x):
    """Some numbers that are not finite, and zeros of either sign, in one channel."""
    x[:, 0].flat[::7] = np.nan
    x[:, 1].flat[::5] = np.inf
    return x


def everything(compute, x, residual, dtype, training, dy):
    """The result, the running statistics and all gradients of a function of batch norm's arguments."""
    channels = x.shape[1]
    rng = np.random.default_rng(1)
    leaves = [fc.from_numpy(x.copy("K")).requires_grad_()]
    leaves += [fc.from_numpy(rng.standard_normal(channels).astype(dtype)).requires_grad_() for _ in range(2)]
    running = [fc.from_numpy(rng.random(channels).astype(dtype) + 0.5) for _ in range(2)]
    if residual is not None:
        leaves.append(fc.from_numpy(residual.copy("K")).requires_grad_())
    y = compute(leaves[0] * 1, *running, *leaves[1:3], training, 0.3, 1e-3, *(t * 1 for t in leaves[3:]))
    (y * 1).backward(fc.from_numpy(dy))
    return [t.numpy() for t in (y.detach(), *running, *(leaf.grad for leaf in leaves))]


@both_dtypes
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("added", [False, True])
@pytest.mark.parametrize("name", RECTIFIERS)
def test_the_bits_are_those_of_one_after_the_other(isas, dtype, last, training, added, name):
    function, ceiling = RECTIFIERS[name]

    def apart(x, mean, var, w, b, training, momentum, eps, residual=None):
        y = F.batch_norm(x, mean, var, w, b, training, momentum, eps)
        return function(y if residual is None else y + residual)

    def together(x, mean, var, w, b, training, momentum, eps, residual=None):
        return batch_norm(x, w, b, mean, var, training, momentum, eps, residual, True, ceiling)

    for _ in isas():
        for size in SIZES:
            x, residual, dy = (drawn(size, dtype, last, seed) for seed in range(3))
            if not training:
                special(x)
            arguments = x, residual if added else None, dtype, training, dy
            for one, other in zip(everything(apart, *arguments), everything(together, *arguments), strict=True):
                np.testing.assert_array_equal(one, other)
                assert one.strides == other.strides


@both_dtypes
@pytest.mark.parametrize("first", [0, 3])
def test_results_past_the_caches_are_those_of_their_parts(isas, dtype, first):
    channels, rows, part = 3, 1031, 40
    size = 1, channels, rows, 1021  # more than 8 MiB, whose planes do not end with a line
    draw = np.random.default_rng(0)

    def placed(numbers):
        out = np.empty(numbers.size + first, dtype)[first:].reshape(numbers.shape)
        out[...] = numbers
        return out

    x, b = (placed(draw.standard_normal(size)) for _ in range(2))
    numbers = [draw.standard_normal(channels) for _ in range(4)]
    runs = [
        (lambda a, _, y: passes.relu(a, y)),
        passes.relu_backward,
        passes.add,
        (lambda a, b, y: passes.leaky_relu(a, b, 0.1, y)),
        (lambda a, _, y: passes.affine(a, y, *numbers[:3])),
        (lambda a, b, y: passes.affine_pair(a, b, y, *numbers)),
    ]
    for _ in isas():
        for run in runs:
            y = placed(np.full(size, np.nan))
            run(x, b, y)
            for row in range(0, rows, part):
                near = [np.ascontiguousarray(a[:, :, row : row + part]) for a in (x, b)]
                expected = np.empty_like(near[0])
                run(*near, expected)
                np.testing.assert_array_equal(y[:, :, row : row + part], expected)


def test_threads_change_nothing(threads):
    x, residual, dy = (drawn((4, 24, 60, 61), np.float32, False, seed) for seed in range(3))

    def together(x, mean, var, w, b, *rest):
        return batch_norm(x, w, b, mean, var, *rest, True, 6.0)

    results = []
    for n in (1, 2, 3):
        threads(n)
        results.append(everything(together, x, residual, np.float32, True, dy))
    for arrays in zip(*results, strict=True):
        for array in arrays[1:]:
            np.testing.assert_array_equal(array, arrays[0])


@pytest.mark.parametrize("added", [False, True])
@pytest.mark.parametrize("training", [True, False])
def test_gradients_of_gradients(added, training):
    x, residual, w, b = (
        fc.from_numpy(drawn(s, np.float64, False, 5)).requires_grad_() for s in [(3, 2, 4), (3, 2, 4), (1, 2), (1, 2)]
    )
    running = fc.zeros(2).double(), fc.ones(2).double()

    def together(x, w, b, residual):
        y = batch_norm(x, w[0], b[0], *running, training, 0.0, 1e-3, residual if added else None, True, 2.0)
        return y * y

    assert fc.autograd.gradcheck(together, (x, w, b, residual))
    assert fc.autograd.gradgradcheck(together, (x, w, b, residual))


def steps(model, x):
    fc.manual_seed(0)
    optimizer = fc.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    losses = []
    for _ in range(2):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), fc.arange(len(x)) % 10)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses, [t.numpy().copy() for t in model.state_dict().values()]


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "mobilenet_v2", "vgg11_bn", "densenet121", "small resnet10"])
def test_networks_train_to_the_same_bits(name):
    fc.manual_seed(1)
    model = models.small.resnet10() if name.startswith("small") else getattr(models, name)(num_classes=10)
    x = fc.randn(2, 3, 32, 32) if name != "densenet121" else fc.randn(2, 3, 64, 64)
    twin = copy.deepcopy(model)
    losses, state = steps(model, x)
    with one_by_one():
        expected, expected_state = steps(twin, x)
    assert losses == expected
    for one, other in zip(state, expected_state, strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_has_hooks_is_called_by_itself():
    seen = []
    model = nn.Sequential(nn.BatchNorm2d(3), nn.ReLU())
    x = fc.randn(2, 3, 4, 4)
    assert model(x).grad_fn.name() == "BatchNormBackward0"
    handle = model[0].register_forward_hook(lambda module, args, y: seen.append(y.min().item()))
    assert model(x).grad_fn.name() == "ReluBackward0"
    assert seen[0] < 0
    handle.remove()
    model[1].forward = lambda y: y - 1
    assert model(x).min().item() < -1


def test_what_does_not_fit_is_computed_one_by_one():
    x, norm = fc.randn(2, 3, 4, 4), nn.BatchNorm2d(3)
    with pytest.raises(RuntimeError, match="size"):
        rectified(norm, F.relu, x, fc.randn(2, 3, 4, 5))
    assert rectified(norm, F.relu, x, fc.randn(2, 3, 1, 1)).shape == (2, 3, 4, 4)
    assert rectified(norm, F.relu, x, fc.randn(2, 3, 4, 4).double()).dtype == np.float64
    assert rectified(nn.GroupNorm(1, 3), nn.ReLU(), x).min().item() == 0
    with pytest.raises(ValueError, match="expected 4D input"):
        rectified(norm, F.relu, fc.randn(2, 3))
    wide = nn.Sequential(nn.BatchNorm2d(3), nn.ReLU()).to(fc.bfloat16)
    assert wide(x.to(fc.bfloat16)).dtype == fc.bfloat16


class Block(nn.Module):
    """Written as torchvision writes it."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 3, 3, padding=1, bias=False), nn.Conv2d(3, 3, 3, padding=1, bias=False)
        self.bn1, self.bn2, self.bn3 = nn.BatchNorm2d(3), nn.BatchNorm2d(3), nn.BatchNorm2d(3)
        self.relu = nn.ReLU(inplace=True)
        self.short = True

    def forward(self, x, *, twice: bool = False):
        identity = x
        out = self.conv1(x)
        out = self.bn1(out)
        out = self.relu(out)
        out = self.conv2(out)
        out = self.bn2(out)
        if not self.short:
            identity = self.conv1(x)
        out += identity
        out = self.relu(out)
        kept = self.bn3(out)
        return F.relu(kept) + kept if twice else F.relu6(x + self.bn3(out), inplace=True)


def operations(y):
    """The names of all recorded operations."""
    names, stack, seen = [], [y.grad_fn], set()
    while stack:
        node = stack.pop()
        if node is not None and node not in seen:
            seen.add(node)
            names.append(node.name())
            stack += [parent for parent, _ in node.next_functions]
    return names


def rectifiers(y):
    return sum(name in ("ReluBackward0", "ActivationBackward0") for name in operations(y))


def test_optimized_models_compute_blocks_of_ones_own_at_once(tmp_path):
    fc.manual_seed(2)
    model = nn.Sequential(Block(), Block(), nn.Flatten(), nn.Linear(3 * 64, 10))
    twin, x = copy.deepcopy(model), fc.randn(3, 3, 8, 8)
    keys = list(model.state_dict())
    assert fc.optimize(model) is model
    assert fc.optimize(model) is model
    assert list(model.state_dict()) == keys
    assert rectifiers(model(x)) == 0
    assert rectifiers(twin(x)) == 6
    losses, state = steps(model, x)
    expected, expected_state = steps(twin, x)
    assert losses == expected
    for one, other in zip(state, expected_state, strict=True):
        np.testing.assert_array_equal(one, other)
    again = copy.deepcopy(model)
    assert rectifiers(again(x)) == 0
    assert again[0].__dict__["forward"].module is again[0]
    seen = []
    model[0].bn2.register_forward_hook(lambda *_: seen.append("bn2"))
    assert rectifiers(model(x)) == 1
    assert seen == ["bn2"]
    model[1].relu = nn.Tanh()
    assert rectifiers(model(x)) == 1
    assert "TanhBackward0" in operations(model(x))


def test_both_branches_and_keywords_are_kept():
    model, plain = fc.optimize(Block()), Block()
    plain.load_state_dict(model.state_dict())
    x = fc.randn(2, 3, 6, 6)
    for short in (True, False):
        model.short = plain.short = short
        for twice in (True, False):
            np.testing.assert_array_equal(
                model(x, twice=twice).detach().numpy(), plain(x, twice=twice).detach().numpy()
            )
    with pytest.raises(TypeError, match="unexpected keyword"):
        model(x, thrice=True)


class Between(nn.Module):
    """What is added depends on the batch norm before it, or changes it."""

    def __init__(self):
        super().__init__()
        self.side, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)


class Reads(Between):
    def forward(self, x):
        y = self.norm(x + 1)
        mean = self.norm.running_mean.sum()
        y = y + mean
        return F.relu(y)


class Counts(Between):
    def forward(self, x):
        return F.relu(self.norm(x + 1) + self.side(x) * int(self.norm.num_batches_tracked))


class Changes(Between):
    def forward(self, x):
        def side():
            self.norm.bias.data.add_(2)
            return self.side(x)

        y = self.norm(x + 1)
        y = y + side()
        return F.relu(y)


class HandsOn(Between):
    def forward(self, x):
        y = self.norm(x + 1)
        y = y + changed(self) * self.side(x)
        return F.relu(y)


def changed(module):
    module.norm.bias.data.add_(1)
    return 2


@pytest.mark.parametrize("kind", [Reads, Counts, Changes, HandsOn])
def test_what_is_added_sees_batch_norm_after_its_turn(kind):
    fc.manual_seed(3)
    plain, x = kind(), fc.randn(2, 3, 4, 4)
    model = fc.optimize(copy.deepcopy(plain))
    for _ in range(2):
        np.testing.assert_array_equal(model(x).detach().numpy(), plain(x).detach().numpy())


@pytest.mark.parametrize("kind", [nn.BatchNorm2d, nn.ReLU])
def test_a_forward_put_into_a_class_is_called(kind, monkeypatch):
    model, x = nn.Sequential(nn.BatchNorm2d(3), nn.ReLU()), fc.randn(2, 3, 4, 4)
    monkeypatch.setattr(kind, "forward", lambda self, x: x - 5)
    assert model(x).min().item() == (0 if kind is nn.BatchNorm2d else pytest.approx(model[0](x).min().item() - 5))
    assert rectified(model[0], F.relu, x).min().item() == 0
