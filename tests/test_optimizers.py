"""Adam and the other optimizers against torch's, step by step; L-BFGS on functions with known minima."""

import itertools

import numpy as np
import pytest
from gradcheck import relative

import fastconv as fc
import fastconv.nn as nn
from fastconv import optim
from fastconv._native.steps import take_step

rng = np.random.default_rng(12)


def rules(name, **options):
    """Each combination of the options' values."""
    return [(name, dict(zip(options, values, strict=True))) for values in itertools.product(*options.values())]


RULES = [
    *rules("Adam", lr=[0.1], weight_decay=[0, 0.1], amsgrad=[False, True], maximize=[False, True]),
    *rules("Adam", betas=[(0.5, 0.75)], eps=[1e-2], weight_decay=[0.1], decoupled_weight_decay=[True]),
    *rules("AdamW", lr=[0.1], weight_decay=[0.01, 0.1], amsgrad=[False, True], maximize=[False, True]),
    *rules("NAdam", lr=[0.1], weight_decay=[0, 0.1], momentum_decay=[4e-3, 0.1], decoupled_weight_decay=[False, True]),
    *rules("Adamax", lr=[0.1], weight_decay=[0, 0.1], maximize=[False, True]),
    *rules("Adamax", betas=[(0.5, 0.75)], eps=[1e-1]),
    *rules(
        "RAdam", lr=[0.1], betas=[(0.9, 0.999), (0.9, 0.6)], weight_decay=[0, 0.1], decoupled_weight_decay=[False, True]
    ),
    *rules("RAdam", maximize=[True], eps=[1e-2]),
    *rules("RMSprop", lr=[0.1], weight_decay=[0, 0.1], momentum=[0, 0.5], centered=[False, True]),
    *rules("RMSprop", alpha=[0.5], eps=[1e-2], maximize=[True]),
    *rules("Adagrad", lr=[0.1], lr_decay=[0, 0.1], weight_decay=[0, 0.1], initial_accumulator_value=[0, 0.5]),
    *rules("Adagrad", maximize=[True], eps=[1e-2]),
    *rules("Adadelta", lr=[1.0, 0.5], rho=[0.9, 0.5], weight_decay=[0, 0.1], maximize=[False, True]),
]
NAMES = ["Adam", "AdamW", "NAdam", "RMSprop", "Adagrad", "Adadelta", "Adamax", "RAdam", "SGD"]


def run(torch, name, options, dtype, steps=6):
    """The same steps by both libraries; a parameter that gets its gradient later has a step less."""
    starts = [rng.standard_normal(shape).astype(dtype) for shape in ((3, 40), (17,), (2,), ())]
    ours = [fc.tensor(a).requires_grad_() for a in starts]
    theirs = [torch.tensor(a, requires_grad=True) for a in starts]
    optimizer, other = getattr(optim, name)(ours, **options), getattr(torch.optim, name)(theirs, **options)
    for step in range(steps):
        for i, (p, q) in enumerate(zip(ours, theirs, strict=True)):
            if i == 1 and step == 0:
                continue
            g = np.asarray(rng.standard_normal(p.shape), dtype)
            p.grad, q.grad = fc.tensor(g), torch.tensor(g)
        optimizer.step()
        other.step()
    return ours, theirs, optimizer, other


@pytest.mark.parametrize(("name", "options"), RULES)
def test_steps_are_torchs(name, options):
    torch = pytest.importorskip("torch")
    ours, theirs, *_ = run(torch, name, options, np.float64)
    for p, q in zip(ours, theirs, strict=True):
        assert relative(p.detach(), q.detach()) < (1e-7 if name == "NAdam" else 1e-13)  # the product of mu is float32
    ours, theirs, *_ = run(torch, name, options, np.float32)
    for p, q in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_state_goes_to_torch_and_back(name):
    torch = pytest.importorskip("torch")
    options = {"lr": 0.1, **({"momentum": 0.9} if name in ("SGD", "RMSprop") else {})}
    ours, theirs, optimizer, other = run(torch, name, options, np.float32)
    there, here = other.state_dict(), optimizer.state_dict()
    assert there["state"].keys() == here["state"].keys()
    for number, state in there["state"].items():
        assert state.keys() == here["state"][number].keys()
        for key, value in state.items():
            mine = here["state"][number][key]
            assert tuple(mine.shape) == tuple(value.shape) and str(mine.dtype) == str(value.dtype)
            assert relative(mine, value) < 1e-5
    as_arrays = {
        number: {key: torch.from_numpy(np.array(value.numpy())) for key, value in state.items()}
        for number, state in here["state"].items()
    }
    other.load_state_dict({"state": as_arrays, "param_groups": here["param_groups"]})
    as_tensors = {
        number: {key: fc.tensor(value.numpy()) for key, value in state.items()} for number, state in as_arrays.items()
    }
    optimizer.load_state_dict({"state": as_tensors, "param_groups": there["param_groups"]})
    for p, q in zip(ours, theirs, strict=True):
        g = np.asarray(rng.standard_normal(p.shape), np.float32)
        p.grad, q.grad = fc.tensor(g), torch.tensor(g)
    optimizer.step()
    other.step()
    for p, q in zip(ours, theirs, strict=True):
        assert relative(p.detach(), q.detach()) < 1e-5


@pytest.mark.parametrize("name", NAMES)
def test_parameters_of_any_layout_and_dtype(name):
    arrays = [rng.standard_normal((4, 6)).astype(dtype) for dtype in ("float32", "float64", "float16", "float32")]
    arrays[3] = arrays[3].T  # not dense
    plain = [nn.Parameter(fc.tensor(a.astype(np.float64))) for a in arrays]
    others = [nn.Parameter(fc.from_numpy(a)) for a in arrays]
    for parameters in (plain, others):
        optimizer = getattr(optim, name)(parameters, lr=0.1)
        for _ in range(3):
            for p in parameters:
                p.grad = p.detach() * 2
            optimizer.step()
    for a, p, q in zip(arrays, plain, others, strict=True):
        assert q.dtype == a.dtype
        assert np.shares_memory(q.detach().numpy(), a)
        np.testing.assert_allclose(q.detach().numpy(), p.detach().numpy(), rtol=40 * np.finfo(a.dtype).eps, atol=1e-3)


@pytest.mark.parametrize("threads", [1, 3])
def test_large_parameters_on_threads(threads):
    before = fc.get_num_threads()
    fc.set_num_threads(threads)
    try:
        p, dp = (rng.standard_normal(300_001).astype(np.float32) for _ in range(2))
        m, v, start = np.zeros_like(p), np.zeros_like(p), p.astype(np.float64)
        take_step("adam", [p], [dp], ([m], [v]), lr=0.1, first_new=1, second_new=1, eps=1e-30)
    finally:
        fc.set_num_threads(before)
    np.testing.assert_allclose(p, start - 0.1 * np.sign(dp), atol=1e-6)


def test_an_optimizer_of_ones_own():
    """A subclass with a step() of its own, as programs write them, and one with none."""

    class Sign(optim.Optimizer):
        def __init__(self, params, lr):
            super().__init__(params, {"lr": lr})

        def step(self, closure=None):
            for group in self.param_groups:
                for p in group["params"]:
                    p.data.add_(p.grad.data / p.grad.data.abs(), alpha=-group["lr"])

    p = fc.tensor([1.0, -2.0]).requires_grad_()
    (p * p).sum().backward()
    Sign([p], lr=0.5).step()
    assert p.tolist() == [0.5, -1.5]
    with pytest.raises(NotImplementedError, match=r"Optimizer .*has no step"):
        optim.Optimizer([p], {}).step()


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("Adam", {"lr": -1}, "Invalid learning rate: -1"),
        ("Adam", {"betas": (0.9, 1.0)}, "Invalid beta parameter at index 1: 1.0"),
        ("AdamW", {"eps": -1.0}, "Invalid eps"),
        ("NAdam", {"momentum_decay": -1.0}, "Invalid momentum_decay"),
        ("Adamax", {"betas": (-0.1, 0.9)}, "Invalid beta parameter at index 0: -0.1"),
        ("RAdam", {"weight_decay": -0.1}, "Invalid weight_decay value: -0.1"),
        ("RMSprop", {"alpha": -0.1}, "Invalid alpha"),
        ("Adagrad", {"lr_decay": -0.1}, "Invalid lr_decay"),
        ("Adadelta", {"rho": 1.5}, "Invalid rho value: 1.5"),
        ("Adam", {"capturable": True}, "capturable=True"),
        ("LBFGS", {"lr": -1.0}, "Invalid learning rate"),
    ],
)
def test_options_that_make_no_sense(name, options, message):
    with pytest.raises(ValueError, match=message):
        getattr(optim, name)([fc.ones(2, requires_grad=True)], **options)


def test_what_a_step_refuses():
    p, read_only = np.ones(4, np.float32), np.ones(4, np.float32)
    read_only.flags.writeable = False
    for arguments, error, message in [
        (([p], []), ValueError, "1 parameters have 0 gradients"),
        (([p], [p[:2]]), ValueError, "a gradient must have the parameter's size"),
        (([p], [None]), TypeError, "a gradient must be an array"),
        (([p], [np.ones(4, int)]), TypeError, "a gradient must be of floats, got int64"),
        (([read_only], [p]), ValueError, "read-only"),
        (([p, p], [p, None]), TypeError, "a gradient must be an array"),
        (([p], [p], ([],)), ValueError, "1 parameters have 0 arrays of a state"),
    ]:
        with pytest.raises(error, match=message):
            take_step("sgd", *arguments, lr=1.0)
    with pytest.raises(ValueError, match="no rule 'adm'"):
        take_step("adm", [p], [p], lr=1.0)
    assert p.tolist() == [1.0] * 4


@pytest.mark.parametrize("name", [*NAMES, "LBFGS"])
def test_a_step_is_noticed_by_what_saved_the_parameter(name):
    p = fc.ones(3).requires_grad_()
    y = (p * p).sum()
    y.backward(retain_graph=True)
    optimizer = getattr(optim, name)([p], lr=0.1)
    optimizer.step(lambda: y)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward()


def rosenbrock(x):
    return (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2


@pytest.mark.parametrize(
    "options", [{"line_search_fn": "strong_wolfe"}, {"lr": 0.002, "history_size": 5}, {"max_iter": 3}]
)
def test_lbfgs_is_torchs(options):
    torch = pytest.importorskip("torch")
    x = fc.tensor([-1.5, 2.0], dtype=fc.float64).requires_grad_()
    z = torch.tensor([-1.5, 2.0], dtype=torch.float64, requires_grad=True)
    optimizer, other = optim.LBFGS([x], **options), torch.optim.LBFGS([z], **options)

    def closure(optimizer, x):
        def evaluate():
            optimizer.zero_grad()
            loss = rosenbrock(x)
            loss.backward()
            return loss

        return evaluate

    for _ in range(4):
        loss, expected = optimizer.step(closure(optimizer, x)), other.step(closure(other, z))
        np.testing.assert_allclose(float(loss), float(expected.detach()), rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(x.detach().numpy(), z.detach().numpy(), rtol=1e-6)
    assert optimizer.state[x]["func_evals"] == other.state[z]["func_evals"]


def test_lbfgs_finds_a_minimum():
    x = fc.tensor([-1.5, 2.0], dtype=fc.float64).requires_grad_()
    optimizer = optim.LBFGS([x], max_iter=100, tolerance_change=1e-14, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = rosenbrock(x)
        loss.backward()
        return loss

    optimizer.step(closure)
    np.testing.assert_allclose(x.detach().numpy(), [1, 1], rtol=1e-6)
    with pytest.raises(TypeError, match="expects a closure"):
        optimizer.step(None)
    with pytest.raises(ValueError, match="2 groups"):
        optim.LBFGS([{"params": [x]}, {"params": [fc.ones(1, requires_grad=True)]}])
