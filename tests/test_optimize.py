"""Models in evaluation mode, optimized: plans beside the models themselves, which compute in float64."""

import collections
import copy
import itertools
import pickle
import threading
import types

import numpy as np
import pytest

import fastconv
from fastconv import nn
from fastconv._native import block_layers, blocks
from fastconv.nn import functional as F
from fastconv.optimization import lowering
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


class Beside(nn.Module):
    """What a module makes of images, beside these or times them."""

    def __init__(self, module, join):
        super().__init__()
        self.module, self.join = module, join

    def forward(self, x):
        return self.join(x, self.module(x))


STEPS = {
    "3x3": lambda: nn.Conv2d(16, 16, 3, padding=1),
    "1x1, strided": lambda: nn.Conv2d(16, 16, 1, stride=2),
    "depthwise": lambda: nn.Conv2d(16, 16, 3, padding=1, groups=16),
    "grouped": lambda: nn.Conv2d(16, 16, 3, padding=1, groups=2),
    "norm": lambda: nn.BatchNorm2d(16),
    "relu": nn.ReLU,
    "relu in place": lambda: nn.ReLU(inplace=True),
    "relu6": nn.ReLU6,
    "hardtanh": lambda: nn.Hardtanh(-0.1, 0.2),
    "silu": nn.SiLU,
    "gelu": nn.GELU,
    "maxima": lambda: nn.MaxPool2d(3, 2, 1),
    "maxima apart": lambda: nn.MaxPool2d(2, 1, 1, dilation=2),
    "means": lambda: nn.AvgPool2d(2, 1, 1, count_include_pad=False),
    "adaptive means": lambda: nn.AdaptiveAvgPool2d(3),
    "adaptive means of the same size": lambda: nn.AdaptiveAvgPool2d((None, None)),
    "residual": lambda: Beside(nn.Conv2d(16, 16, 1), lambda x, y: x + y),
    "residual, scaled": lambda: Beside(nn.Conv2d(16, 16, 1), lambda x, y: fastconv.add(x, y, alpha=2)),
    "in place": lambda: Beside(nn.Conv2d(16, 16, 1), lambda x, y: y.add_(x)),
    "excitation": lambda: Beside(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Sigmoid()), lambda x, y: x * y),
    "concatenation": lambda: nn.Sequential(
        Beside(nn.ReLU(), lambda x, y: fastconv.cat([x, y], 1)), nn.Conv2d(32, 16, 1)),
    "larger": lambda: nn.Upsample(scale_factor=2),
}  # fmt: skip


@pytest.mark.parametrize("first", STEPS)
def test_whatever_follows_what(first):
    """Each kind of layer after each other one."""
    fastconv.manual_seed(1)
    for second in STEPS:
        for third in ("relu", "hardtanh", "3x3"):
            model = shaken(
                nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), *(STEPS[name]() for name in (first, second, third)))
            )
            x = fastconv.randn(2, 3, 7, 6)
            exact = copy.deepcopy(model).double()(x.double()).detach().numpy()
            fast = fastconv.optimize(model)
            with fastconv.no_grad():
                for _ in range(2):
                    assert error(fast(x).numpy(), exact) < BOUND, (first, second, third)
            assert "the model itself" not in fast.report()


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


class Residual(nn.Module):
    """Layers whose result is added to their input."""

    def __init__(self, *layers):
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x):
        return F.relu(x + self.layers(x))


@pytest.mark.parametrize("seed", range(4))
def test_filters_for_each_channel_behind_a_convolution(seed, isa, monkeypatch):
    """What is computed by and by has the bits of what is computed layer by layer, on any number of threads."""
    fastconv.manual_seed(seed)
    rng = np.random.default_rng(seed)
    threads = fastconv.get_num_threads()
    for case in range(8):
        c, k, n = (int(rng.integers(low, high)) for low, high in ((9, 40), (1, 70), (1, 4)))
        size = [int(i) for i in rng.integers(12, 40, 2)]
        if case == 0:  # more rows than are held
            size, k = [400, 24], 40
        taps, dilation = int(rng.choice([2, 3, 5])), int(rng.integers(1, 3))
        first = int(rng.choice([1, 3]))
        behind = {"stride": (int(rng.integers(1, 8)), int(rng.integers(1, 3))), "dilation": dilation, "groups": k}
        behind |= {"padding": (int(rng.integers(0, 4)), int(rng.integers(1, 4)))}
        layers = [
            nn.Conv2d(c, k, first, int(rng.integers(1, 3)) if first > 1 else 1, first // 2), nn.BatchNorm2d(k),
            nn.ReLU6() if case % 2 else nn.Hardswish(), nn.Conv2d(k, k, taps, **behind), nn.SiLU(), nn.Conv2d(k, 3, 1),
        ]  # fmt: skip
        if case % 3 == 2:
            layers[3:5] = [nn.Conv2d(k, k, 3, padding=1, groups=k)]
            layers = [nn.Conv2d(c, k, 1), Residual(nn.Conv2d(k, k, 1), *layers[1:4])]
        model = shaken(nn.Sequential(nn.ReLU(), nn.Conv2d(c, c, 1), *layers))
        fast, x = check(model, n, c, *size)
        assert "; depthwise" in fast.report() or first == 3
        with monkeypatch.context() as patch, fastconv.no_grad():
            patch.setattr(lowering, "FEW_PIXELS", 1 << 60)
            apart = fastconv.optimize(model)
            results = [apart(x).numpy()]
            assert "; depthwise" not in apart.report()
            try:
                for number in (1, 2, 3):
                    fastconv.set_num_threads(number)
                    results.append(fast(x).numpy())
            finally:
                fastconv.set_num_threads(threads)
        assert all(np.array_equal(y, results[0]) for y in results[1:])


@pytest.mark.parametrize("taps", [2, 3, 4, 5])
def test_same_padding_in_tiles(taps, isa):
    """An even filter has one pixel more of it behind an axis than before."""
    check(nn.Sequential(nn.Conv2d(16, 40, 1), nn.Conv2d(40, 40, taps, padding="same")).eval(), 1, 16, 20, 21)


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


class Attributes(nn.Module):
    """A model that computes with what its attributes hold."""

    def __init__(self):
        super().__init__()
        self.convolution, self.scale, self.act = nn.Conv2d(3, 8, 3), 2.0, F.relu
        self.factors, self.sizes = [fastconv.ones(8), [fastconv.ones(1)]], {"power": 1}
        self.offset, self.about = np.zeros(8, np.float32), types.SimpleNamespace(shift=0.0)
        self.about.more = types.SimpleNamespace(by=1.0)
        self.order, self.kept, self.line = collections.OrderedDict(a=1.0, b=2.0), {1.0}, collections.deque([1.0, 2.0])

    def forward(self, x):
        y = self.act(self.convolution(x) * self.scale * self.factors[0].view(1, 8, 1, 1) * self.factors[1][0])
        y = y * self.about.more.by * next(iter(self.order.values())) * max(self.kept) * self.line[0]
        y = y * (2 if "power" in self.sizes else 1)
        power = next(iter(self.sizes.values()))
        return y**power + fastconv.from_numpy(self.offset).view(1, 8, 1, 1) + self.about.shift


ATTRIBUTES = {
    "number": lambda model: setattr(model, "scale", 3.0),
    "function": lambda model: setattr(model, "act", F.silu),
    "item": lambda model: model.factors.__setitem__(0, fastconv.randn(8)),
    "content of an item": lambda model: model.factors[1][0].mul_(3),
    "item of an item": lambda model: model.factors[1].__setitem__(0, fastconv.randn(1)),
    "dict": lambda model: model.sizes.update(power=2),
    "array": lambda model: model.offset.__setitem__(3, 5),
    "attribute of an attribute": lambda model: setattr(model.about, "shift", 1.5),
    "attribute of its attribute": lambda model: setattr(model.about.more, "by", 1.5),
    "order": lambda model: model.order.move_to_end("a"),
    "set": lambda model: model.kept.add(7.0),
    "deque": lambda model: model.line.rotate(),
    "key": lambda model: model.sizes.update(other=model.sizes.pop("power")),
    "stride": lambda model: setattr(model.convolution, "stride", (2, 2)),
    "deleted": lambda model: (setattr(type(model), "scale", 7.0), delattr(model, "scale")),
}


@pytest.mark.parametrize("change", ATTRIBUTES)
def test_plans_follow_attributes(change):
    model, x = type("Own", (Attributes,), {})().eval(), fastconv.randn(2, 3, 8, 8)
    fast = fastconv.optimize(model)
    with fastconv.no_grad():
        before = fast(x).numpy()
        ATTRIBUTES[change](model)
        assert not np.array_equal(before, fast(x).numpy())
        assert error(fast(x).numpy(), model(x).numpy()) < BOUND
    assert "the model itself" not in fast.report()


def test_attributes_of_the_optimized_model_are_the_models():
    fast = fastconv.optimize(Attributes().eval())
    fast.scale = 5.0
    assert fast.scale == fast.model.scale == 5
    del fast.scale
    assert not hasattr(fast.model, "scale")


def test_views_of_one_array_are_watched():
    memory = np.zeros(400000, np.float32)
    model, x = nn.Conv2d(3, 200, 3).eval(), fastconv.randn(1, 3, 5, 5)
    model.weight.data = fastconv.from_numpy(memory[: model.weight.numel()].reshape(model.weight.shape))
    fast = fastconv.optimize(model)
    with fastconv.no_grad():
        fast(x)
        memory[1234] = 7
        assert error(fast(x).numpy(), model(x).numpy()) < BOUND


def test_filters_are_known_by_all_that_they_depend_on():
    class Shared(nn.Module):
        """Layers that are used twice, among others."""

        def __init__(self):
            super().__init__()
            self.convolution, self.narrow, self.linear = (
                nn.Conv2d(8, 64, 3, padding=1),
                nn.Conv2d(64, 16, 2, 2),
                nn.Linear(64, 10),
            )
            self.first, self.second = nn.BatchNorm2d(64), nn.BatchNorm2d(64, eps=0.1)
            self.second.running_mean, self.second.running_var = self.first.running_mean, self.first.running_var

        def forward(self, x):
            y = self.first(self.convolution(x))
            z = self.second(self.convolution(x))
            scaled = F.conv2d(x, self.convolution.weight * x.shape[2])
            return [self.linear(F.adaptive_avg_pool2d(y, 1).flatten(1)), self.linear(self.narrow(z).flatten(1)), scaled]

    fastconv.manual_seed(0)
    model = shaken(Shared())
    fast = fastconv.optimize(model)
    with fastconv.no_grad():
        for images in (2, 1, 2, 3):
            x = fastconv.randn(images, 8, 4, 4)
            for y, exact in zip(fast(x), model(x), strict=True):
                assert error(y.numpy(), exact.numpy()) < BOUND
    assert "the model itself" not in fast.report()


@pytest.mark.parametrize("how", [copy.copy, copy.deepcopy, lambda fast: pickle.loads(pickle.dumps(fast))])
def test_copies(how):
    fast, x = fastconv.optimize(small()), fastconv.randn(1, 3, 8, 8)
    with fastconv.no_grad():
        y = fast(x).numpy()
        other = how(fast)
        assert type(other) is type(fast) and not other.training
        assert np.array_equal(other(x).numpy(), y)
        assert (other.model is fast.model) == (how is copy.copy)


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
    assert "read by __bool__" in fast.report()


class Does(nn.Module):
    """A convolution, and what a function does with its result and the images."""

    def __init__(self, function):
        super().__init__()
        self.convolution, self.function, self.calls = nn.Conv2d(3, 8, 3, padding=1), function, [0]
        if "random" in function.__code__.co_names:
            self.random = np.random.default_rng(0)
        if "items" in function.__code__.co_names:
            self.items = itertools.cycle([2])

    def forward(self, x):
        return self.function(self, self.convolution(x))


@pytest.mark.parametrize("rectifier", [F.relu, fastconv.relu, fastconv.Tensor.relu])
def test_a_rectifier_by_any_name(rectifier):
    fast, _ = check(Does(lambda self, y: rectifier(y)).eval(), 2, 3, 6, 6)
    assert "convolution of 8 filters of 3 x 3, activation" in fast.report()


OUTSIDE = fastconv.zeros(2, 8, 6, 6)

Pair = collections.namedtuple("Pair", ["a", "b"])

FUNCTIONS = {
    # what has a plan
    "tensors of its own are written to": (lambda self, y: fastconv.zeros(2, 8, 6, 6).add_(y) * 2, None),
    "places are written to": (lambda self, y: (lambda z: (z.__setitem__((slice(None), slice(2, 10)), y), z)[1])(
        fastconv.zeros(2, 12, 6, 6)).relu(), None),
    "a copy is written to": (lambda self, y: (lambda z: (z.mul_(2), y.sum() + z)[1])(y.flatten(1) + 0), None),
    "out": (lambda self, y: fastconv.add(y, y, out=fastconv.empty(2, 8, 6, 6)).relu(), None),
    "an index": (lambda self, y: y[:, y.flatten().argmax() % 8], None),
    "named tuple": (lambda self, y: Pair(y, (y.relu(), 3)), None),
    "of a function": (lambda self, y: y.flatten(1).topk(3), None),
    "ordered": (lambda self, y: collections.OrderedDict(z=y, a=y.relu()), None),
    # what has none
    "sizes": (lambda self, y: y[y > 0], "depends on numbers"),
    "sizes of places": (lambda self, y: y * len((y > 0.5).nonzero()), "depends on numbers"),
    "a slice": (lambda self, y: y[:, :, y.flatten().argmax() % 5 :].sum(2), "bounds a slice"),
    "a view of its own is written to": (
        lambda self, y: (lambda b: (b[0].copy_(y[0]), y * b + b)[1])(fastconv.zeros(2, 8, 6, 6)), "a view of one"),
    "a view of a result is written to": (
        lambda self, y: (lambda z: (z[:, :2].sigmoid_(), y + z.relu())[1])(y * 1), "a view of it"),
    "its result is written to by a view": (lambda self, y: (y.flatten(1).mul_(2), y.relu())[1], "a view of it"),
    "data": (lambda self, y: y * (y.data > 0), "a view of it"),
    "items of a tensor": (lambda self, y: fastconv.cat(y), None),
    "a deep copy": (lambda self, y: y + copy.deepcopy(y), "read by __deepcopy__"),
    "a generator's numbers": (lambda self, y: y + self.random.random() * 0, "random"),
    "an iterator's items": (lambda self, y: y * next(self.items), "iterator"),
    "limits": (lambda self, y: F.hardtanh(y, y.min() / 2, y.max() / 2), None),
    "a copy": (lambda self, y: y + fastconv.tensor(y), "read by tensor"),
    "outside, through a view": (lambda self, y: (OUTSIDE[0].copy_(y[0]), y * 2)[1], "held elsewhere"),
    "strides": (lambda self, y: y * y.stride(1), None),
    "close": (lambda self, y: y * 2 if fastconv.allclose(y, y + 1) else y * 3, "read by allclose"),
    "text": (lambda self, y: y * len(repr(y)), "read by __repr__"),
    "NumPy's random numbers": (lambda self, y: y + np.random.rand() * 0, "random"),  # noqa: NPY002
    "a set": (lambda self, y: {y}, "not computed of its inputs"),
    "objects": (lambda self, y: (y, types.SimpleNamespace(y=y)), "SimpleNamespace"),
    "outside": (lambda self, y: OUTSIDE.add_(y).clone(), "held elsewhere"),
    "outside, returned": (lambda self, y: OUTSIDE.add_(y), "held elsewhere"),
    "attributes": (lambda self, y: (setattr(self, "last", y), y)[1], "changes its own"),
    "lists": (lambda self, y: (self.calls.append(1), y)[1], "changes its own"),
}  # fmt: skip


def _tensors(x):
    if isinstance(x, fastconv.Tensor):
        return [x.numpy()]
    if isinstance(x, types.SimpleNamespace):
        return _tensors(x.y)
    items = x.values() if isinstance(x, dict) else x if isinstance(x, (list, tuple, set)) else []
    return [tensor for item in items for tensor in _tensors(item)]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_a_model_does_with_a_result(name):
    function, reason = FUNCTIONS[name]
    fastconv.manual_seed(0)
    model = Does(function).eval()
    fast, results = fastconv.optimize(model), []
    with fastconv.no_grad():
        for _ in range(4):
            x = fastconv.randn(2, 3, 6, 6)
            if name == "strides" and len(results) % 2:
                x = x.to(memory_format=fastconv.channels_last)
            before = OUTSIDE.clone(), len(model.calls)
            ours = fast(x)
            results.append([_tensors(ours), None])
            if "outside" in name:
                results[-1][0] = [a.copy() for a in results[-1][0]]
            OUTSIDE.copy_(before[0])
            assert len(model.calls) - before[1] == (name == "lists")
            theirs = model(x)
            assert type(ours) is type(theirs)
            results[-1][1] = [a.copy() for a in _tensors(theirs)]
    for ours, theirs in results:  # in the end: no result was written to by later calls
        for y, exact in zip(ours, theirs, strict=True):
            assert error(y, exact) < BOUND
    assert (reason or "convolution") in fast.report()


def test_padding_far_beyond_the_images():
    """It is not laid out in memory."""
    model = nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 3, padding=4000, stride=4001)).eval()
    x = fastconv.randn(1, 3, 5, 5)
    with fastconv.no_grad():
        assert error(fastconv.optimize(model)(x).numpy(), model(x).numpy()) < BOUND


def test_what_is_written_to_may_lie_elsewhere_in_a_plan():
    """Flattened images with channels last are a copy, and those of a plan a view."""

    class Writes(nn.Module):
        def __init__(self):
            super().__init__()
            self.convolution = nn.Conv2d(3, 8, 3)

        def forward(self, x):
            y = self.convolution(x)
            z = y.flatten(1)
            z.mul_(2)
            return y + z.sum()

    model = Writes().eval()
    x = fastconv.randn(2, 3, 6, 6).to(memory_format=fastconv.channels_last)
    fast = fastconv.optimize(model)
    with fastconv.no_grad():
        for _ in range(2):
            assert error(fast(x).numpy(), model(x).numpy()) < BOUND


def test_results_have_no_graph_with_a_plan_or_without():
    fast, x = fastconv.optimize(nn.Sequential(nn.Conv2d(3, 4, 3), Asks()).eval()), fastconv.randn(1, 3, 6, 6)
    assert [fast(x).requires_grad for _ in range(3)] == [False] * 3
    assert "read by" in fast.report()


def test_windows_of_padding_alone():
    """Their maximum is -inf; with a dilation they are within the images and meet none of their pixels."""
    model = nn.Sequential(nn.Conv2d(3, 8, 1), nn.MaxPool2d(2, 1, 1, dilation=2)).eval()
    x = fastconv.randn(1, 3, 1, 4)
    with fastconv.no_grad():
        y = model(x).numpy()
        assert np.isneginf(y).any()
        assert np.allclose(fastconv.optimize(model)(x).numpy(), y, atol=1e-6)


class Raises:
    def __getattr__(self, name):
        raise ValueError(name)


def test_attributes_of_any_kind():
    model, x = small(), fastconv.randn(1, 3, 8, 8)
    model.deep = []
    for _ in range(100000):
        model.deep = [model.deep]
    model.odd, model.file, model.default = Raises(), threading.Lock(), collections.defaultdict(list, a=[1])
    model.itself, model.counter = [model], collections.Counter("abca")
    fast = fastconv.optimize(model)
    with fastconv.no_grad():
        assert error(fast(x).numpy(), model(x).numpy()) < BOUND
    assert "convolution" in fast.report()


def test_lazy_layers():
    model, x = nn.Sequential(nn.LazyConv2d(8, 3), nn.ReLU()).eval(), fastconv.randn(1, 3, 8, 8)
    fast = fastconv.optimize(model)
    with fastconv.no_grad():
        for _ in range(3):
            assert error(fast(x).numpy(), model(x).numpy()) < BOUND
    assert "convolution" in fast.report()


def test_inputs_that_are_written_to():
    class Writes(nn.Module):
        def forward(self, x):
            x.data.mul_(2)
            return x + 1

    class Reads(nn.Module):
        def forward(self, x):
            return x / x.data.max()

    fast = fastconv.optimize(Reads().eval())
    with fastconv.no_grad():
        assert [fast(fastconv.full((2,), n)).tolist() for n in (1.0, 2.0, 3.0)] == [[1, 1]] * 3
    fast, x = fastconv.optimize(Writes().eval()), fastconv.ones(2, 3)
    with fastconv.no_grad():
        assert [fast(x).numpy()[0, 0] for _ in range(3)] == [3, 5, 9]


def test_a_change_while_another_thread_records():
    class Waits(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale, self.wait = 1.0, None

        def forward(self, x):
            scale = self.scale
            if self.wait is not None:
                self.wait()
            return x * scale

    model = Waits().eval()
    fast = fastconv.optimize(model)
    x, other = fastconv.ones(2, 3), fastconv.ones(4)
    read, go_on = threading.Event(), threading.Event()
    model.wait = lambda: (read.set(), go_on.wait(60))
    thread = threading.Thread(target=lambda: fast(x))
    thread.start()
    assert read.wait(60)
    model.scale, model.wait = 2.0, None
    fast(other)
    go_on.set()
    thread.join()
    for _ in range(2):
        assert fast(x).numpy()[0, 0] == 2


def test_one_change_while_several_threads_record():
    """It counts once: the model does not change itself whenever it is called."""
    waits = threading.Barrier(4, timeout=60)

    class Waits(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = 1.0

        def forward(self, x):
            if threading.current_thread() in threads:
                waits.wait()
                waits.wait()
            return x * self.scale

    model, x = Waits().eval(), fastconv.ones(2, 3)
    fast = fastconv.optimize(model)
    threads = [threading.Thread(target=lambda: fast(x)) for _ in range(3)]
    for thread in threads:
        thread.start()
    waits.wait()
    model.scale = 2.0
    waits.wait()
    for thread in threads:
        thread.join()
    assert fast(x).numpy()[0, 0] == 2
    assert "the model itself" not in fast.report()


def test_filters_that_are_packed_while_another_thread_sees_a_change(monkeypatch):
    """What a thread packs of old filters is no other's, who begins to record what the model is by now."""
    fastconv.manual_seed(0)
    seen, go_on = threading.Event(), threading.Event()

    class Waits(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(8, 16, 1)

        def forward(self, x):
            if threading.current_thread() is second:
                seen.set()
                assert go_on.wait(60)
            return self.conv(x)

    model, x = Waits().eval(), fastconv.randn(1, 8, 7, 9)
    fast = fastconv.optimize(model)
    pack = lowering.pack

    def pack_and_change(w, lanes):
        packed = pack(w, lanes)
        monkeypatch.setattr(lowering, "pack", pack)
        with fastconv.no_grad():
            model.conv.weight.mul_(2)
        second.start()
        assert seen.wait(60)
        return packed

    second = threading.Thread(target=lambda: fast(x))
    monkeypatch.setattr(lowering, "pack", pack_and_change)
    fast(x)
    go_on.set()
    second.join()
    with fastconv.no_grad():
        assert error(fast(x).numpy(), model(x).numpy()) < BOUND


def test_images_that_are_not_aligned():
    model, x = small(), fastconv.randn(2, 3, 8, 8)
    memory = np.zeros(x.numpy().nbytes + 1, np.uint8)
    unaligned = memory[1:].view(np.float32).reshape(x.shape)
    unaligned[...] = x.numpy()
    fast = fastconv.optimize(model)
    with fastconv.no_grad():
        assert np.array_equal(fast(fastconv.from_numpy(unaligned)).numpy(), fast(x).numpy())


def test_onnx_files_of_optimized_models(tmp_path):
    """They hold the model's layers."""
    model, x = small(), fastconv.randn(1, 3, 8, 8)
    with fastconv.no_grad():
        fast = fastconv.optimize(model)
        fast(x)
    for module, name in ((model, "plain"), (fast, "fast")):
        fastconv.onnx.export(module, (x,), str(tmp_path / name), input_names=["x"], output_names=["y"])
    assert (tmp_path / "plain").read_bytes() == (tmp_path / "fast").read_bytes()


def test_numbers_are_drawn_as_by_the_model():
    class Noisy(nn.Module):
        def forward(self, x):
            return x + fastconv.randn(2, 3)

    model, x = Noisy().eval(), fastconv.zeros(2, 3)
    fast = fastconv.optimize(model)
    fastconv.manual_seed(3)
    ours = [fast(x).numpy() for _ in range(3)]
    fastconv.manual_seed(3)
    assert np.array_equal(ours, [model(x).numpy() for _ in range(3)])


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
    model.train()
    assert fast.training and fast(x).requires_grad
    model.eval()
    assert not fast.training
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
    with pytest.raises(ValueError, match="what the convolution before makes"):
        before = block_layers.Convolution(wide, x, None, NOTHING, w, b, three, one, one, one)
        block_layers.Depthwise(wide, y, None, NOTHING, b.repeat(9), b, three, one, one, one, before)
    with pytest.raises(ValueError, match="activation"):
        blocks.Addition(x, y, None, (0.0, 1.0, 99, ()))
    with pytest.raises(ValueError, match="must have the result's shape"):
        blocks.Addition(x, y, blocks.Images((1, 16, 8, 7)), NOTHING)
    with pytest.raises(ValueError, match="cannot be"):
        blocks.Images((1, 0, 8, 8))
    with pytest.raises(ValueError, match="cannot be pooled"):
        blocks.Pooling(x, y, NOTHING, three, (9, 9), none, one, False, True, 0)
    apart = (2, 2)  # windows whose taps lie before and behind the image's only pixel
    with pytest.raises(ValueError, match="cannot be pooled"):
        one_pixel = blocks.Images((1, 16, 1, 1))
        blocks.Pooling(one_pixel, blocks.Images((1, 16, 1, 1)), NOTHING, apart, one, one, apart, False, True, 0)
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
