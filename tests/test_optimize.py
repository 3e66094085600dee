"""Models in evaluation mode, optimized: plans beside the models themselves, which compute in float64."""

import copy
import threading

import numpy as np
import pytest

import fastconv
from fastconv import nn
from fastconv._native import block_layers, blocks
from fastconv.nn import functional as F
from fastconv.vision import models

NOTHING = (-np.inf, np.inf, -1, ())

# All that float32 is asked for here: sums of some thousand terms, one layer after the other.
BOUND = 5e-6


def error(y, exact):
    y, exact = (np.asarray(a, np.float64) for a in (y, exact))
    assert y.shape == exact.shape
    return np.linalg.norm(y - exact) / max(np.linalg.norm(exact), 1e-30)


def shaken(model):
    """The model with batch norms that do something, in evaluation mode."""
    with fastconv.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 1.5)
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0, 0.1)
    return model.eval()


def check(model, *shape, bound=BOUND):
    """An optimized model against the model in float64; returns both."""
    x = fastconv.randn(*shape)
    exact = copy.deepcopy(model).double()(x.double()).detach().numpy()
    fast = fastconv.optimize(model)
    with fastconv.no_grad():
        y = fast(x).numpy()
        assert "the model itself" not in fast.report(), fast.report()
        assert error(y, exact) < bound, error(y, exact)
        assert np.array_equal(y, fast(x).numpy())
    return fast, x


NETWORKS = [
    ("resnet18", 64), ("mobilenet_v2", 64), ("mobilenet_v3_small", 64), ("densenet121", 32), ("squeezenet1_1", 64),
    ("googlenet", 64), ("shufflenet_v2_x0_5", 64), ("mnasnet0_5", 64), ("efficientnet_b0", 32),
    ("regnet_y_400mf", 32), ("inception_v3", 75), ("convnext_tiny", 32), ("resnet50", 64),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore:The default weight initialization")
@pytest.mark.parametrize(("name", "size"), NETWORKS)
def test_networks(name, size):
    fastconv.manual_seed(1)
    check(shaken(getattr(models, name)(num_classes=10)), 2, 3, size, size)


# ---- layers --------------------------------------------------------------------------------------------------------


class Around(nn.Module):
    """A convolution among what may be done with its result."""

    def __init__(self, convolution, norm, activation, adds):
        super().__init__()
        channels = convolution.out_channels
        self.convolution = convolution
        self.norm = nn.BatchNorm2d(channels) if norm else nn.Identity()
        self.activation = activation
        self.side = nn.Conv2d(convolution.in_channels, channels, 1) if adds else None

    def forward(self, x):
        y = self.norm(self.convolution(x))
        if self.side is not None:
            side = self.side(x)
            side = F.interpolate(side, y.shape[2:]) if side.shape != y.shape else side
            y = side + y
        return self.activation(y)


def draw_layer(rng):
    """A model around a drawn convolution, and the shape of its images."""
    taps = int(rng.choice([1, 1, 2, 3, 3, 3, 5, 7]))
    c, k = (int(n) for n in rng.choice([1, 2, 3, 5, 8, 16, 17, 24, 32, 40, 64], 2))
    groups = int(rng.choice([1, 1, 1, c]))
    options = {
        "stride": int(rng.choice([1, 1, 1, 2, 3])), "padding": int(rng.integers(0, taps)),
        "dilation": int(rng.choice([1, 1, 1, 2])), "groups": groups, "bias": bool(rng.integers(2)),
    }  # fmt: skip
    if options["stride"] == 1 and rng.integers(4) == 0:
        options["padding"] = "same"
    convolution = nn.Conv2d(c, c if groups > 1 else k, (taps, taps + int(rng.choice([0, 0, 0, 1]))), **options)
    kinds = [nn.Identity, nn.ReLU, nn.ReLU6, nn.Hardswish, nn.SiLU, nn.Sigmoid, nn.Hardsigmoid, nn.Tanh, nn.GELU]
    activation = kinds[rng.integers(len(kinds))]()
    least = (taps + 1) * options["dilation"] + 1
    h, w = (int(rng.integers(least, least + 20)) for _ in range(2))
    model = shaken(Around(convolution, rng.integers(2), activation, rng.integers(2)))
    return model, (int(rng.choice([1, 1, 2, 5])), c, h, w)


@pytest.mark.parametrize("seed", range(6))
def test_drawn_layers(seed, isa):
    rng = np.random.default_rng(seed)
    fastconv.manual_seed(seed)
    for _ in range(15):
        model, shape = draw_layer(rng)
        x = fastconv.randn(*shape)
        exact = copy.deepcopy(model).double()(x.double()).detach().numpy()
        fast = fastconv.optimize(model)
        with fastconv.no_grad():
            y = fast(x).numpy()
            assert "the model itself" not in fast.report()
            assert error(y, exact) < BOUND, (model, shape)
            # Neither the threads nor the other images nor the layout change a bit.
            threads = fastconv.get_num_threads()
            try:
                fastconv.set_num_threads(3)
                assert np.array_equal(y, fast(x).numpy()), (model, shape)
            finally:
                fastconv.set_num_threads(threads)
            last = x.contiguous(memory_format=fastconv.channels_last)
            assert np.array_equal(y, fast(last).numpy()), (model, shape)


def test_large_layers_on_threads(isa):
    """Enough work for threads in each form."""
    fastconv.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 32, 7, 2, 3), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(3, 2, 1), nn.Conv2d(32, 64, 3, 1, 1),
        nn.Conv2d(64, 64, 3, 1, 1, groups=64), nn.SiLU(), nn.Conv2d(64, 256, 1), nn.AvgPool2d(3, 2, 1),
        nn.Conv2d(256, 40, 3, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(40, 10),
    )  # fmt: skip
    fast, x = check(shaken(model), 2, 3, 96, 96)
    results = []
    threads = fastconv.get_num_threads()
    try:
        for n in (1, 2, 4):
            fastconv.set_num_threads(n)
            with fastconv.no_grad():
                results.append(fast(x).numpy())
    finally:
        fastconv.set_num_threads(threads)
    assert all(np.array_equal(y, results[0]) for y in results)


def test_plans_in_many_python_threads_at_once():
    """Each leads a team of its own; what a plan lets Python compute, or fail to, stays in its thread."""
    fastconv.manual_seed(1)
    model = nn.Sequential(
        nn.Conv2d(8, 64, 3, padding=1), nn.ReLU(), nn.Conv2d(64, 64, 3), nn.ReLU(), nn.Conv2d(64, 8, 1)
    )
    fast = fastconv.optimize(model.eval())
    x = fastconv.randn(2, 8, 40, 40)
    threads, results = fastconv.get_num_threads(), []

    def call():
        with fastconv.no_grad():
            for _ in range(5):
                results.append(fast(x).numpy())
                with pytest.raises(ZeroDivisionError):
                    blocks.run_steps([once_more, lambda arrays: 1 / 0], 0, [])

    def once_more(arrays):
        fast(x)

    try:
        fastconv.set_num_threads(3)
        with fastconv.no_grad():
            results.append(fast(x).numpy())
        callers = [threading.Thread(target=call) for _ in range(4)]
        for caller in callers:
            caller.start()
        fastconv.set_num_threads(5)
        for caller in callers:
            caller.join(60)
    finally:
        fastconv.set_num_threads(threads)
    assert len(results) == 21
    assert all(np.array_equal(y, results[0]) for y in results)


def test_float64():
    fastconv.manual_seed(0)
    model = shaken(nn.Sequential(nn.Conv2d(3, 20, 3, padding=1), nn.BatchNorm2d(20), nn.ReLU(), nn.Conv2d(20, 20, 3)))
    model = model.double()
    x = fastconv.randn(2, 3, 14, 15, dtype=fastconv.float64)
    with fastconv.no_grad():
        fast = fastconv.optimize(model)
        assert error(fast(x).numpy(), model(x).numpy()) < 1e-13
        assert "the model itself" not in fast.report()


def test_not_a_number_stays_one():
    model = nn.Sequential(nn.Conv2d(4, 4, 3), nn.ReLU6(), nn.MaxPool2d(2)).eval()
    x = fastconv.randn(1, 4, 12, 12)
    x[0, 1, 5, 5] = float("nan")
    with fastconv.no_grad():
        y, z = model(x).numpy(), fastconv.optimize(model)(x).numpy()
    assert np.isnan(y).any()
    assert np.isnan(z[np.isnan(y)]).all()


# ---- never stale ---------------------------------------------------------------------------------------------------


def small():
    fastconv.manual_seed(0)
    return shaken(
        nn.Sequential(
            nn.Conv2d(3, 24, 3, padding=1),
            nn.BatchNorm2d(24),
            nn.ReLU(),
            nn.Conv2d(24, 200, 3),
            nn.Flatten(),
            nn.Linear(200 * 36, 5),
        )
    )


def _train(model):
    optimizer = fastconv.optim.SGD(model.parameters(), lr=0.1)
    model(fastconv.randn(2, 3, 8, 8)).square().mean().backward()
    optimizer.step()


def _statistics(model):
    model[1].train()
    with fastconv.no_grad():
        model(fastconv.randn(2, 3, 8, 8))
    model[1].eval()


def _through_numpy(model):
    held = model[3].weight.detach().numpy()
    fastconv.optimize(model)(fastconv.randn(1, 3, 8, 8))
    held[7, 5, 1, 1] = 9


CHANGES = {
    "step": _train,
    "statistics": _statistics,
    "data": lambda model: model[3].weight.data.__setitem__((7, 5, 1, 1), 9.0),
    "replaced data": lambda model: setattr(model[3].weight, "data", fastconv.randn(200, 24, 3, 3)),
    "loaded": lambda model: model.load_state_dict({k: v + 1 for k, v in model.state_dict().items()}),
    "assigned": lambda model: model.load_state_dict({k: v + 1 for k, v in model.state_dict().items()}, assign=True),
    "state_dict": lambda model: model.state_dict()["5.bias"].add_(1),
    "initialised": lambda model: nn.init.normal_(model[3].weight),
    "numpy": lambda model: model[3].weight.detach().numpy().__setitem__((7, 5, 1, 1), 9.0),
    "numpy, held": _through_numpy,
    "module": lambda model: model.__setitem__(3, nn.Conv2d(24, 200, 3)),
    "appended": lambda model: model.append(nn.Tanh()),
    "parameter": lambda model: setattr(model[5], "bias", nn.Parameter(fastconv.randn(5))),
}


@pytest.mark.parametrize("change", CHANGES)
def test_plans_follow_changes(change):
    model, x = small(), fastconv.randn(2, 3, 8, 8)
    fast = fastconv.optimize(model)
    held = None
    with fastconv.no_grad():
        before = fast(x).numpy()
        if change == "numpy, held":
            held = model[3].weight.detach().numpy()
            assert np.array_equal(fast(x).numpy(), before)
            held[7, 5, 1, 1] = 9
    if held is None:
        CHANGES[change](model)
    with fastconv.no_grad():
        after = fast(x).numpy()
        assert not np.array_equal(before, after)
        assert error(after, model(x).numpy()) < BOUND
    assert "the model itself" not in fast.report()


def test_a_tensor_that_is_no_parameter():
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.convolution, self.scale = nn.Conv2d(3, 4, 3), fastconv.ones(1)

        def forward(self, x):
            return self.convolution(x) * self.scale

    model, x = Scaled().eval(), fastconv.randn(1, 3, 6, 6)
    fast = fastconv.optimize(model)
    with fastconv.no_grad():
        y = fast(x).numpy()
        model.scale.mul_(2)
        assert np.allclose(fast(x).numpy(), 2 * y)
        model.scale = fastconv.ones(1)
        assert np.allclose(fast(x).numpy(), y)


def test_other_sizes_have_plans_of_their_own():
    model = nn.Sequential(nn.Conv2d(3, 20, 3), nn.ReLU(), nn.Conv2d(20, 20, 3)).eval()
    fast = fastconv.optimize(model)
    with fastconv.no_grad():
        for size in range(6, 20):
            x = fastconv.randn(1, 3, size, size + 1)
            assert error(fast(x).numpy(), model(x).numpy()) < BOUND
    assert 1 < len(fast._plans) <= 8


# ---- where the model itself computes -------------------------------------------------------------------------------


class Asks(nn.Module):
    def forward(self, x):
        return x * 2 if x.sum() > 0 else x * 3


def test_values_decide():
    fast = fastconv.optimize(Asks().eval())
    ones = fastconv.ones(1, 3, 4, 4)
    assert np.array_equal(fast(ones).numpy(), 2 * ones.numpy())
    assert np.array_equal(fast(-ones).numpy(), -3 * ones.numpy())
    assert "read as numbers" in fast.report()


def test_random_numbers():
    class Drops(nn.Module):
        def forward(self, x):
            return F.dropout(x, 0.5, training=True)

    fast, x = fastconv.optimize(Drops().eval()), fastconv.ones(1, 3, 16, 16)
    assert not np.array_equal(fast(x).numpy(), fast(x).numpy())
    assert "random" in fast.report()


def test_hooks_are_called():
    model, x, seen = small(), fastconv.randn(1, 3, 8, 8), []
    fast = fastconv.optimize(model)
    fast(x)
    handle = model[0].register_forward_hook(lambda module, inputs, y: seen.append(y.shape))
    fast(x)
    assert seen == [(1, 24, 8, 8)]
    handle.remove()
    fast(x)
    assert len(seen) == 1


def test_gradients_and_training():
    model, x = small(), fastconv.randn(2, 3, 8, 8)
    fast = fastconv.optimize(model)
    assert fast.state_dict().keys() == model.state_dict().keys()
    assert [p is q for p, q in zip(fast.parameters(), model.parameters(), strict=True)] == [True] * 8
    x.requires_grad_()
    fast(x).sum().backward()
    assert x.grad is not None
    x.requires_grad_(False)
    assert not fast(x).requires_grad
    fast.train()
    assert model.training and fast.training and model[1].training
    assert fast(x).requires_grad
    fast.eval()
    assert not model[1].training
    assert error(fast(x).numpy(), model(x).detach().numpy()) < BOUND


def test_several_inputs_and_results():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 8, 3), nn.Conv2d(3, 8, 3)

        def forward(self, x, y):
            z = self.a(x) + self.b(y)
            return {"z": z, "more": [F.relu(z), z.flatten(1).softmax(1)]}

    model = Two().eval()
    fast = fastconv.optimize(model)
    x, y = fastconv.randn(2, 3, 6, 6), fastconv.randn(2, 3, 6, 6)
    with fastconv.no_grad():
        ours, theirs = fast(x, y), model(x, y)
    assert ours.keys() == theirs.keys()
    for a, b in [(ours["z"], theirs["z"]), *zip(ours["more"], theirs["more"], strict=True)]:
        assert error(a.numpy(), b.numpy()) < BOUND
    named = fast(x, y=y)["z"].detach().numpy()
    assert error(named, theirs["z"].numpy()) < BOUND


def test_images_of_other_kinds():
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU()).eval()
    fast = fastconv.optimize(model)
    with fastconv.no_grad():
        for shape in ((3, 6, 6), (0, 3, 6, 6)):
            x = fastconv.randn(*shape)
            assert np.allclose(fast(x).numpy(), model(x).numpy(), atol=1e-5)
        with pytest.raises(RuntimeError, match="channels"):
            fast(fastconv.randn(1, 4, 6, 6))


def test_what_optimize_refuses():
    with pytest.raises(TypeError, match="expects a Module"):
        fastconv.optimize(3)
    training = nn.Linear(2, 2)
    assert fastconv.optimize(training) is training
    fast = fastconv.optimize(nn.Linear(2, 2).eval())
    assert fastconv.optimize(fast) is fast
    assert fast.report() == "no inputs yet"


# ---- steps, called as nobody should ----------------------------------------------------------------------------------


def test_steps_refuse_what_does_not_fit():
    x, y = blocks.Images((1, 16, 8, 8)), blocks.Images((1, 16, 8, 8))
    lanes = blocks.lanes(4)
    vecs = -(-16 // lanes)
    w, b = np.zeros(vecs * lanes * vecs * lanes * 9, np.float32), np.zeros(vecs * lanes, np.float32)
    three, one, none = (3, 3), (1, 1), (0, 0)
    with pytest.raises(ValueError, match="do not lie"):
        block_layers.Convolution(x, y, None, NOTHING, w, b, three, one, one, one)
    wide = blocks.Images((1, 16, 8, 8), (1, 1, 1, 1))
    block_layers.Convolution(wide, y, None, NOTHING, w, b, three, one, one, one)
    with pytest.raises(ValueError, match="elements"):
        block_layers.Convolution(wide, y, None, NOTHING, w[1:], b, three, one, one, one)
    with pytest.raises(TypeError):
        block_layers.Convolution(wide, y, None, NOTHING, w.astype(np.float64), b, three, one, one, one)
    with pytest.raises(ValueError, match="activation"):
        blocks.Addition(x, y, None, (0.0, 1.0, 99, ()))
    with pytest.raises(ValueError, match="must have the result's shape"):
        blocks.Addition(x, y, blocks.Images((1, 16, 8, 7)), NOTHING)
    with pytest.raises(ValueError, match="cannot be"):
        blocks.Images((1, 0, 8, 8))
    with pytest.raises(ValueError, match="cannot be pooled"):
        block_layers.Pooling(x, y, NOTHING, three, (9, 9), none, one, False, True, 0)
    with pytest.raises(ValueError, match="no tiles"):
        block_layers.transform(np.zeros((16, 16, 7, 7), np.float32), False)
    with pytest.raises(ValueError, match="are not in"):
        x.part(0, 1000)
    step = blocks.Addition(x, y, None, NOTHING)
    with pytest.raises(ValueError, match="are not within"):
        blocks.run_steps([step], 100, [])
    y.offset = x.size
    blocks.run_steps([step], x.size + y.size, [])
    with pytest.raises(ValueError, match="no step that a plan can run"):
        blocks.run_steps([blocks.Addition.__new__(blocks.Addition)], 0, [])
    with pytest.raises(ValueError, match="no array 3"):
        blocks.run_steps([blocks.Entry(3, x)], x.size, [])
