"""PyTorch models whose batch norm, additions and rectifiers are one operation, beside the same models without."""

import copy
import inspect
import pickle

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

import fastconv.pytorch  # noqa: E402


class Block(nn.Module):
    """Torchvision's way of writing it."""

    def __init__(self, channels, wider, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, wider, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(wider)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(wider, wider, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(wider)
        self.downsample = None
        if channels != wider or stride != 1:
            self.downsample = nn.Sequential(nn.Conv2d(channels, wider, 1, stride, bias=False), nn.BatchNorm2d(wider))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        identity = x

        out = self.conv1(x)
        out = self.bn1(out)
        out = self.relu(out)

        out = self.conv2(out)
        out = self.bn2(out)

        if self.downsample is not None:
            identity = self.downsample(x)

        out += identity
        out = self.relu(out)

        return out


class Nested(Block):
    """The other common way."""

    def forward(self, x, scale=1.0, *, twice=False):
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        y += x if self.downsample is None else self.downsample(x)
        y = F.relu(y, inplace=True)
        return 2 * y if twice else scale * y


class Sum(Block):
    def forward(self, x):
        y = self.relu(self.bn1(self.conv1(x)))
        return F.relu6(self.bn2(self.conv2(y)) + y)


class Kept(Block):
    """What is read twice cannot wait."""

    def forward(self, x):
        y = self.bn1(self.conv1(x))
        z = F.relu(y)
        return z + y


def network(*blocks):
    torch.manual_seed(0)
    stem = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU6()
    return nn.Sequential(
        *stem, *(block(8, 8) for block in blocks), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5)
    )


def steps(model, x, count=3):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    losses = []
    for _ in range(count):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), torch.arange(len(x)) % 5)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def nodes(y):
    """The names of all recorded operations."""
    names, stack, seen = [], [y.grad_fn], set()
    while stack:
        node = stack.pop()
        if node is not None and node not in seen:
            seen.add(node)
            names.append(node.name())
            stack += [parent for parent, _ in node.next_functions]
    return names


def fused(model, x):
    return sum("Rectified" in name for name in nodes(model(x)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("last", [False, True])
def test_a_network_trains_as_before(dtype, last):
    model = network(Block, Nested, Sum, Kept, lambda a, b: Block(a, b, 1)).to(dtype)
    x = torch.randn(6, 3, 12, 13, dtype=dtype)
    if last:
        model, x = model.to(memory_format=torch.channels_last), x.contiguous(memory_format=torch.channels_last)
    twin = copy.deepcopy(model)
    keys = list(model.state_dict())
    assert fastconv.pytorch.optimize(model) is model
    assert list(model.state_dict()) == keys
    assert fused(model, x) == 9
    twin(x)  # whose statistics move, too
    with fastconv.pytorch.enable():
        losses, expected = steps(model, x), steps(twin, x)
    tolerance = {"rtol": 1e-4, "atol": 1e-5} if dtype is torch.float32 else {"rtol": 1e-9, "atol": 1e-10}
    torch.testing.assert_close(torch.tensor(losses), torch.tensor(expected), rtol=1e-4, atol=1e-5)
    for one, other in zip(model.state_dict().values(), twin.state_dict().values(), strict=True):
        torch.testing.assert_close(one, other, **tolerance)
    model.eval(), twin.eval()
    with torch.no_grad():
        torch.testing.assert_close(model(x), twin(x), **tolerance)
        assert model(x).stride() == twin(x).stride()


class Rewritten(nn.Module):
    """What batch norm reads, or is given, is written to before the ReLU."""

    def __init__(self):
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)
        self.same, self.relu = nn.Identity(), nn.ReLU(inplace=True)


class BeforeTheReLU(Rewritten):
    def forward(self, x):
        y = self.bn(x)
        x.mul_(2)
        return F.relu(y)


class ByTheShortcut(Rewritten):
    def forward(self, x):
        y = self.bn(x)
        y += self.relu(x)
        return F.relu(y)


class OfWhatACallReturned(Rewritten):
    def forward(self, x):
        h = self.same(x)
        y = self.bn(h)
        z = self.relu(x)
        y = y + z
        return F.relu(y)


class InTheSum(Rewritten):
    def forward(self, x):
        return F.relu(self.bn(x) + self.relu(x))


class WhatIsAdded(Rewritten):
    def forward(self, x):
        y = self.bn(self.conv(x))
        y += x
        x.zero_()
        y = F.relu(y)
        return y


class Statistics(Rewritten):
    def forward(self, x):
        y = self.bn(x)
        mean = self.bn.running_mean.clone()
        y = F.relu(y)
        return y + mean[:, None, None]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    "block", [BeforeTheReLU, ByTheShortcut, OfWhatACallReturned, InTheSum, WhatIsAdded, Statistics]
)
def test_what_is_written_to_while_batch_norm_waits(block, training):
    torch.manual_seed(0)
    model, x = block().double().train(training), torch.randn(2, 3, 5, 5, dtype=torch.float64)
    with torch.no_grad():
        expected = copy.deepcopy(model)(x.clone())
        torch.testing.assert_close(fastconv.pytorch.optimize(model)(x.clone()), expected, rtol=1e-9, atol=1e-10)


def test_shortcuts_of_other_tensors_are_computed_while_batch_norm_waits():
    class OfItsOwn(Block):
        def forward(self, x):
            y = self.conv2(F.relu(self.bn1(self.conv1(x))))
            return F.relu(self.bn2(y) + self.downsample(x))

    model = fastconv.pytorch.optimize(nn.Sequential(OfItsOwn(3, 8)))
    assert fused(model, torch.randn(2, 3, 6, 6)) == 2


def test_derivatives_of_a_recorded_operation_by_other_ways():
    model = fastconv.pytorch.optimize(network(Block).double())
    twin = network(Block).double()
    x = torch.randn(3, 3, 6, 6, dtype=torch.float64, requires_grad=True)
    rows = torch.eye(15, dtype=torch.float64).view(15, 3, 5)
    one, other = (torch.autograd.grad(m(x), x, rows, is_grads_batched=True)[0] for m in (model, twin))
    torch.testing.assert_close(one, other)
    tangents = []
    for m in (model, twin):
        y = m(x)
        with torch.autograd.forward_ad.dual_level():
            dual = torch.autograd.forward_ad.make_dual(torch.ones_like(y), torch.full_like(y, 2))
            (g,) = torch.autograd.grad(y, x, dual)
            tangents.append(torch.autograd.forward_ad.unpack_dual(g).tangent)
    torch.testing.assert_close(*tangents)


def test_modes_see_every_layer():
    class Seen(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, function, types, args=(), kwargs=None):
            names.append(getattr(function, "__name__", ""))
            return function(*args, **kwargs or {})

    model, x = fastconv.pytorch.optimize(network(Block)), torch.randn(2, 3, 6, 6)
    names = []
    with Seen():
        model(x)
    assert (names.count("batch_norm"), names.count("relu")) == (3, 2)
    with torch.device("cpu"):
        assert fused(model, x) == 3
    graph = torch.fx.experimental.proxy_tensor.make_fx(model.eval())(x)
    torch.testing.assert_close(graph(x + 1), model(x + 1))


def test_tensors_that_are_conjugated_and_models_whose_class_changes(monkeypatch):
    class Sum(nn.Module):
        def __init__(self):
            super().__init__()
            self.bn = nn.BatchNorm2d(3)

        def forward(self, x, z):
            y = self.bn(x)
            y = y + z
            return F.relu(y)

    model = fastconv.pytorch.optimize(nn.ModuleList([Sum()]))[0]
    x = torch.randn(2, 3, 4, 4, dtype=torch.complex64).conj()
    torch.testing.assert_close(model(x.real, x.imag), F.relu(model.bn(x.real) + x.imag))
    monkeypatch.setattr(Sum, "forward", lambda self, x: -self.bn(x))
    torch.testing.assert_close(model(x.real), -model.bn(x.real))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("block", [Block, Nested, Sum])
def test_gradients_of_gradients(block, training):
    torch.manual_seed(0)
    model = block(2, 2).double().train(training)
    model.bn1.momentum = model.bn2.momentum = 0.0
    fastconv.pytorch.optimize(model)
    x = torch.randn(2, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(model, x)
    assert torch.autograd.gradgradcheck(model, x)
    model(x)
    assert fused(model, x) == 2


def test_hooks_and_other_tensors_go_layer_by_layer():
    model = fastconv.pytorch.optimize(network(Block))
    x = torch.randn(4, 3, 8, 8)
    assert fused(model, x) == 3
    seen = []
    handle = model[3].bn2.register_forward_hook(lambda *_: seen.append("bn2"))
    assert fused(model, x) == 2
    assert seen == ["bn2"]
    handle.remove()
    model[3].relu.register_forward_hook(lambda *_: seen.append("relu"))
    assert fused(model, x) == 1
    assert seen == ["bn2", "relu", "relu"]
    with torch.autocast("cpu", torch.bfloat16):
        assert model(x).dtype is torch.bfloat16
    model[3].relu = nn.GELU()
    assert fused(model, x) == 1
    assert torch.func.vmap(model.eval(), randomness="same")(torch.randn(2, 1, 3, 8, 8)).shape == (2, 1, 5)
    with pytest.raises(RuntimeError, match="size of tensor"):
        model[3].downsample = nn.AvgPool2d(3)
        model(x)


def test_models_are_copied_and_saved(tmp_path):
    model = fastconv.pytorch.optimize(network(Block, Nested))
    x = torch.randn(4, 3, 8, 8)
    model.eval()
    expected = model(x)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert fused(other, x) == 5
        torch.testing.assert_close(other(x), expected)
        assert other[3].__dict__["forward"].module is other[3]
    torch.save(model.state_dict(), tmp_path / "weights.pt")
    network(Block, Nested).load_state_dict(torch.load(tmp_path / "weights.pt"))


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_compiled_models(backend):
    model = fastconv.pytorch.optimize(network(Block))
    x = torch.randn(4, 3, 8, 8)
    expected = copy.deepcopy(model)(x)
    torch.testing.assert_close(torch.compile(model, backend=backend)(x), expected, rtol=1e-4, atol=1e-5)


def test_arguments_and_errors():
    model = fastconv.pytorch.optimize(nn.ModuleList([Nested(3, 3)]))[0]
    x = torch.randn(2, 3, 6, 6)
    torch.testing.assert_close(model(x, twice=True), model(x, 2.0))
    with pytest.raises(TypeError, match="unexpected keyword"):
        model(x, thrice=True)
    with pytest.raises(ValueError, match="expected 4D input"):
        fastconv.pytorch.optimize(nn.Sequential(nn.BatchNorm2d(3), nn.ReLU()))(x[0])
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        fastconv.pytorch.optimize(nn.Sequential(nn.BatchNorm2d(3), nn.ReLU()))(x[:1, :, :1, :1])
    for wrong in ({"eps": 0.0}, {"running_var": None}, {"running_mean": None}):
        errors = []
        for change in (fastconv.pytorch.optimize, lambda model: model):
            norm = nn.BatchNorm2d(3)
            for name, value in wrong.items():
                setattr(norm, name, value)
            with pytest.raises((ValueError, RuntimeError)) as caught:
                change(nn.Sequential(norm, nn.ReLU()))(x)
            errors.append((caught.type, str(caught.value)))
        assert errors[0] == errors[1]
    with pytest.raises(TypeError, match=r"expects a torch\.nn\.Module"):
        fastconv.pytorch.optimize(len)


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
def test_what_reads_the_source_of_forward_finds_that_of_the_class():
    torch.manual_seed(0)
    model, x = nn.Sequential(Block(4, 4), Block(4, 8, 2)).eval(), torch.randn(2, 4, 8, 8)
    expected = model(x)
    fastconv.pytorch.optimize(model)
    for read in (
        torch.jit.script,
        torch.fx.symbolic_trace,
        lambda model: torch.export.export(model, (x,)).module(),
        lambda model: torch.compile(model, backend="eager", fullgraph=True),
        lambda model: pickle.loads(pickle.dumps(copy.deepcopy(model))),
    ):
        assert torch.allclose(read(model)(x), expected, atol=1e-5)
    assert inspect.signature(model[0].forward) == inspect.signature(Block(4, 4).forward)
