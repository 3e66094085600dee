"""SGD against torch and against its rule; a whole network trained beside torch's."""

import copy
import itertools
import math

import numpy as np
import pytest
from gradcheck import relative

import fastconv as fc
import fastconv.nn as nn
import fastconv.nn.functional as F
from fastconv.optim import SGD, Optimizer

rng = np.random.default_rng(8)

# ---- SGD -----------------------------------------------------------------------------------------------------------

RULES = [
    {"lr": lr, "momentum": m, "dampening": d, "weight_decay": wd, "nesterov": n, "maximize": mx}
    for lr, m, d, wd, n, mx in itertools.product((0.1,), (0, 0.9), (0, 0.3), (0, 0.01), (False, True), (False, True))
    if not (n and (m == 0 or d != 0))
]


@pytest.mark.parametrize("rule", RULES)
def test_sgd_is_torchs(rule):
    torch = pytest.importorskip("torch")
    starts = [rng.standard_normal(shape) for shape in ((3, 4), (5,), (2,))]
    ours = [fc.tensor(a).requires_grad_() for a in starts]
    theirs = [torch.tensor(a, requires_grad=True) for a in starts]
    optimizer, other = SGD(ours, **rule), torch.optim.SGD(theirs, **rule)
    for step in range(5):
        for i, (p, q) in enumerate(zip(ours, theirs, strict=True)):
            if i == 1 and step == 0:
                continue  # no gradient yet: neither moves nor starts its momentum
            g = rng.standard_normal(p.shape)
            p.grad, q.grad = fc.tensor(g), torch.tensor(g)
        memory = [p._array for p in ours]
        optimizer.step()
        other.step()
        for p, q, array in zip(ours, theirs, memory, strict=True):
            assert relative(p.detach(), q.detach()) < 1e-14 and p._array is array


@pytest.mark.parametrize("rule", RULES)
def test_sgd_by_its_rule(rule):
    p = rng.standard_normal(4)
    t = fc.tensor(p).requires_grad_()
    optimizer, buffer = SGD([t], **rule), None
    for _ in range(4):
        gradient = rng.standard_normal(4)
        t.grad = fc.tensor(gradient)
        optimizer.step()
        np.testing.assert_array_equal(t.grad, gradient)
        g = (-gradient if rule["maximize"] else gradient) + rule["weight_decay"] * p
        if rule["momentum"]:
            buffer = g if buffer is None else rule["momentum"] * buffer + (1 - rule["dampening"]) * g
            g = g + rule["momentum"] * buffer if rule["nesterov"] else buffer
        p = p - rule["lr"] * g
        np.testing.assert_allclose(t.detach(), p, rtol=1e-13)


def test_momentum_is_kept_between_steps():
    """pytorch_optimizer#516, AiDotNet#2008: momentum that starts anew each step, or is applied to the wrong term."""
    p = fc.zeros(1, dtype=fc.float64).requires_grad_()
    optimizer = SGD([p], lr=1.0, momentum=0.5)
    seen = []
    for _ in range(4):
        p.grad = fc.ones(1, dtype=fc.float64)
        before = p.item()
        optimizer.step()
        seen.append(before - p.item())
    assert seen == [1, 1.5, 1.75, 1.875]


def test_the_learning_rate_comes_after_the_momentum():
    p = fc.zeros(1, dtype=fc.float64).requires_grad_()
    optimizer = SGD([p], lr=1.0, momentum=0.5)
    p.grad = fc.ones(1, dtype=fc.float64)
    optimizer.step()
    optimizer.param_groups[0]["lr"] = 0.1
    optimizer.step()
    assert p.item() == -1 - 0.1 * 1.5


def test_first_momentum_is_a_copy_of_the_gradient():
    p = fc.ones(2, requires_grad=True)
    optimizer = SGD([p], lr=0.1, momentum=0.9, dampening=0.5)
    p.grad = fc.ones(2)
    optimizer.step()
    p.grad.zero_()
    assert optimizer.state[p]["momentum_buffer"].tolist() == [1, 1]


def test_subnormal_momentum_becomes_zero():
    """Without a gradient it decays until its numbers are subnormal, which cost a hundred times what others do."""
    p = nn.Parameter(fc.ones(40))
    optimizer = SGD([p], lr=1.0, momentum=0.5)
    p.grad = fc.ones(40)
    optimizer.step()
    p.grad = fc.zeros(40)
    for _ in range(140):
        optimizer.step()
    assert optimizer.state[p]["momentum_buffer"].tolist() == [0.0] * 40


@pytest.mark.parametrize("momentum", [0, 0.9])
def test_parameters_of_any_layout_and_dtype(momentum):
    arrays = [rng.standard_normal((4, 6)).astype(dtype) for dtype in ("float32", "float64", "float16", "float32")]
    arrays[3] = arrays[3].T  # not dense
    plain = [nn.Parameter(fc.tensor(a.astype(np.float64))) for a in arrays]
    others = [nn.Parameter(fc.from_numpy(a)) for a in arrays]
    for parameters in (plain, others):
        optimizer = SGD(parameters, lr=0.1, momentum=momentum)
        for _ in range(3):
            for p in parameters:
                p.grad = p.detach() * 2
            optimizer.step()
    for a, p, q in zip(arrays, plain, others, strict=True):
        assert q.dtype == a.dtype and np.shares_memory(q.detach().numpy(), a)
        np.testing.assert_allclose(q.detach().numpy(), p.detach().numpy(), rtol=20 * np.finfo(a.dtype).eps)


def test_groups():
    a, b, c = (fc.ones(1, requires_grad=True) for _ in range(3))
    optimizer = SGD([{"params": [a]}, {"params": b, "lr": 0.5}], lr=0.1)
    optimizer.add_param_group({"params": [c], "weight_decay": 1.0})
    assert [g["lr"] for g in optimizer.param_groups] == [0.1, 0.5, 0.1]
    assert optimizer.defaults["lr"] == 0.1
    for p in (a, b, c):
        p.grad = fc.ones(1)
    optimizer.step()
    np.testing.assert_allclose([a.item(), b.item(), c.item()], [0.9, 0.5, 0.8], rtol=1e-6)
    optimizer.zero_grad(set_to_none=False)
    assert a.grad.item() == 0
    optimizer.zero_grad()
    assert a.grad is None
    optimizer.step()
    assert "Parameter Group 2" in repr(optimizer) and "weight_decay: 1.0" in repr(optimizer)


def test_closure():
    p = fc.tensor([2.0], requires_grad=True)
    optimizer = SGD([p], lr=0.25)

    def closure():
        optimizer.zero_grad()
        loss = (p * p).sum()
        loss.backward()
        return loss

    with fc.no_grad():
        assert optimizer.step(closure).item() == 4
    assert p.item() == 1 and optimizer.step() is None
    with pytest.raises(NotImplementedError):
        Optimizer([p], {}).step()


def test_sgd_errors():
    p = fc.ones(1, requires_grad=True)
    for bad, error, message in (
        (lambda: SGD([p], lr=-0.1), ValueError, "Invalid learning rate: -0.1"),
        (lambda: SGD([p], lr=math.nan), ValueError, "Invalid learning rate: nan"),
        (lambda: SGD([p], momentum=-1), ValueError, "Invalid momentum value: -1"),
        (lambda: SGD([p], weight_decay=-2), ValueError, "Invalid weight_decay value: -2"),
        (lambda: SGD([p], nesterov=True), ValueError, "momentum and zero dampening"),
        (lambda: SGD([p], momentum=0.9, dampening=0.1, nesterov=True), ValueError, "momentum=0.9 and dampening=0.1"),
        (lambda: SGD([]), ValueError, "empty parameter list"),
        (lambda: SGD(p), TypeError, "single Tensor"),
        (lambda: SGD([p, p]), ValueError, "more than"),
        (lambda: SGD([{"params": [p]}, {"params": [p]}]), ValueError, "more than one parameter group"),
        (lambda: SGD([np.ones(1)]), TypeError, "ndarray"),
        (lambda: SGD([p * 2]), ValueError, "non-leaf"),
        (lambda: SGD([{"params": [p], "lr": -1}]), ValueError, "learning rate: -1"),
        (lambda: SGD([{"params": [p]}, [p]]), TypeError, "list"),
    ):
        with pytest.raises(error, match=message):
            bad()
    assert SGD([p]).param_groups[0] == {
        "params": [p],
        "lr": 1e-3,
        "momentum": 0,
        "dampening": 0,
        "weight_decay": 0,
        "nesterov": False,
        "maximize": False,
        "foreach": None,
        "differentiable": False,
        "fused": None,
    }


def test_sgd_state_dict_continues():
    def fresh():
        a, b = fc.ones(3, requires_grad=True), fc.ones(2, requires_grad=True)
        return (a, b), SGD([{"params": [a]}, {"params": [b], "lr": 0.5}], lr=0.1, momentum=0.9)

    def step(parameters, optimizer, k):
        for p in parameters:
            p.grad = fc.full(p.shape, float(k))
        optimizer.step()

    (a, b), optimizer = fresh()
    for k in range(3):
        step((a, b), optimizer, k)
    optimizer.param_groups[0]["lr"] = 0.01
    state = copy.deepcopy(optimizer.state_dict())
    assert [g["params"] for g in state["param_groups"]] == [[0], [1]] and set(state["state"]) == {0, 1}
    (c, d), other = fresh()
    with fc.no_grad():
        c.copy_(a)
        d.copy_(b)
    other.load_state_dict(state)
    assert other.param_groups[0]["lr"] == 0.01 and other.param_groups[0]["params"] == [c]
    for k in range(3):
        step((a, b), optimizer, k)
        step((c, d), other, k)
    assert fc.equal(a, c) and fc.equal(b, d)
    assert not np.shares_memory(state["state"][0]["momentum_buffer"].numpy(), other.state[c]["momentum_buffer"].numpy())


def test_sgd_state_dict_errors():
    a, b = fc.ones(3, requires_grad=True), fc.ones(2, requires_grad=True)
    optimizer = SGD([a, b], lr=0.1, momentum=0.9)
    with pytest.raises(ValueError, match=r"\[2\] parameters, the loaded state dict of \[1\]"):
        optimizer.load_state_dict(SGD([fc.ones(1)]).state_dict())
    state = optimizer.state_dict()
    with pytest.raises(ValueError, match=r"shape \[2\] for parameter 0 of shape \[3\]"):
        optimizer.load_state_dict({**state, "state": {0: {"momentum_buffer": fc.ones(2)}}})
    with pytest.raises(ValueError, match="parameter 7"):
        optimizer.load_state_dict({**state, "state": {7: {}}})


# ---- a whole network -----------------------------------------------------------------------------------------------


def network(nn, F):
    """A small convolutional network of the layers that beginners meet first, for this library or for torch."""

    class ConvNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1 = nn.Conv2d(3, 3, 5)
            self.pool1 = nn.MaxPool2d(2, 2)
            self.conv2 = nn.Conv2d(3, 16, 5)
            self.pool2 = nn.AvgPool2d(2, 2)
            self.fc1 = nn.Linear(16 * 5 * 5, 120)
            self.fc2 = nn.Linear(120, 10)

        def forward(self, images):
            features = self.pool1(F.relu(self.conv1(images)))
            features = self.pool2(F.relu(self.conv2(features)))
            return self.fc2(F.relu(self.fc1(features.view(-1, 16 * 5 * 5))))

    return ConvNet()


@pytest.mark.parametrize("loss", ["cross entropy", "squared error"])
def test_training_is_torchs(loss):
    """20 steps in float32 from torch's weights: loss, gradients and parameters within 1e-5, norm-wise.

    Both sides round to 6e-8 in sums of up to 400 terms; over 20 steps that stays two orders below. The images are of a
    seed for which rounding decides no ReLU and no maximum: that would be a step of 1e-5, in torch's own float32 too.
    """
    rng = np.random.default_rng(6)
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    theirs = network(torch.nn, torch.nn.functional)
    ours = network(nn, F)
    ours.load_state_dict(theirs.state_dict())
    rule = {"lr": 0.01, "momentum": 0.9} if loss == "cross entropy" else {"lr": 0.01}
    optimizer, other = fc.optim.SGD(ours.parameters(), **rule), torch.optim.SGD(theirs.parameters(), **rule)
    images = rng.uniform(-1, 1, (20, 8, 3, 32, 32)).astype(np.float32)
    labels = rng.integers(0, 10, (20, 8))

    def step(lib, net, optimizer, x, t):
        output = net(x)
        if loss == "cross entropy":
            value = lib.nn.CrossEntropyLoss()(output, t)
        else:
            value = lib.norm(output - lib.ones(output.shape[1])) ** 2 / len(x)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        return value.item()

    for x, t in zip(images, labels, strict=True):
        value = step(fc, ours, optimizer, fc.from_numpy(x), fc.from_numpy(t))
        expected = step(torch, theirs, other, torch.from_numpy(x), torch.from_numpy(t))
        assert abs(value - expected) <= 1e-5 * abs(expected)
        for (name, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
            assert relative(p.grad, q.grad) < 1e-5, name
            assert relative(p.detach(), q.detach()) < 1e-5, name


def test_training_lowers_the_loss():
    fc.manual_seed(0)
    net = network(nn, F)
    optimizer = SGD(net.parameters(), lr=0.05, momentum=0.9)
    x, t = fc.randn(16, 3, 32, 32), fc.randint(0, 10, (16,))
    losses = []
    for _ in range(25):
        loss = F.cross_entropy(net(x), t)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    with fc.no_grad():
        assert (net(x).argmax(1) == t).float().mean().item() > 0.8


def test_plateau_goes_on_with_a_group_that_came_later():
    weights = [nn.Parameter(fc.ones(2)) for _ in range(2)]
    for min_lr, works in ((0.01, True), ([0.01], False)):
        optimizer = SGD(weights[:1], lr=1.0)
        scheduler = fc.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, min_lr=min_lr)
        optimizer.add_param_group({"params": weights[1:], "lr": 0.5})
        scheduler.step(1.0)
        if works:
            scheduler.step(1.0)
            assert np.allclose([group["lr"] for group in optimizer.param_groups], [0.1, 0.05])
        else:
            with pytest.raises(RuntimeError, match="param groups"):
                scheduler.step(1.0)
