"""The schedulers against torch's, rate for rate; they resume where they were saved."""

import copy
import json
import math

import numpy as np
import pytest

import fastconv as fc
import fastconv.nn as nn
from fastconv.optim import SGD, Optimizer, lr_scheduler, swa_utils

rng = np.random.default_rng(8)

SCHEDULERS = {
    "StepLR": lambda s, o: s.StepLR(o, 3),
    "StepLR gamma": lambda s, o: s.StepLR(o, step_size=4, gamma=0.5),
    "MultiStepLR": lambda s, o: s.MultiStepLR(o, [2, 5, 5, 11], gamma=0.3),
    "ExponentialLR": lambda s, o: s.ExponentialLR(o, 0.9),
    "CosineAnnealingLR": lambda s, o: s.CosineAnnealingLR(o, 10),
    "CosineAnnealingLR short": lambda s, o: s.CosineAnnealingLR(o, T_max=4, eta_min=0.01),
    "LinearLR": lambda s, o: s.LinearLR(o),
    "LinearLR down": lambda s, o: s.LinearLR(o, 1.0, 0.1, total_iters=7),
    "OneCycleLR": lambda s, o: s.OneCycleLR(o, 0.5, total_steps=21),
    "OneCycleLR linear": lambda s, o: s.OneCycleLR(
        o, [0.5, 0.3], epochs=3, steps_per_epoch=7, anneal_strategy="linear", pct_start=0.4, div_factor=10.0
    ),
    "OneCycleLR three phases": lambda s, o: s.OneCycleLR(
        o, 0.5, total_steps=21, three_phase=True, final_div_factor=100.0, base_momentum=0.7, max_momentum=0.9
    ),
    "OneCycleLR no momentum": lambda s, o: s.OneCycleLR(o, 0.5, total_steps=21, cycle_momentum=False),
    "OneCycleLR no rise": lambda s, o: s.OneCycleLR(o, 0.5, total_steps=21, pct_start=0.0),
    "LambdaLR": lambda s, o: s.LambdaLR(o, lambda t: 0.9**t),
    "LambdaLR each": lambda s, o: s.LambdaLR(o, [lambda t: 1 / (t + 1), lambda t: 0.5 if t > 3 else 1]),
    "MultiplicativeLR": lambda s, o: s.MultiplicativeLR(o, lambda t: 1 - 0.1 / t),
    "ConstantLR": lambda s, o: s.ConstantLR(o),
    "ConstantLR long": lambda s, o: s.ConstantLR(o, factor=0.25, total_iters=40),
    "PolynomialLR": lambda s, o: s.PolynomialLR(o, total_iters=9),
    "PolynomialLR square": lambda s, o: s.PolynomialLR(o, 30, power=2.0),
    "CosineAnnealingWarmRestarts": lambda s, o: s.CosineAnnealingWarmRestarts(o, 4),
    "CosineAnnealingWarmRestarts longer": lambda s, o: s.CosineAnnealingWarmRestarts(o, 3, T_mult=2, eta_min=0.01),
    "CyclicLR": lambda s, o: s.CyclicLR(o, 0.01, 0.2, step_size_up=4),
    "CyclicLR halved": lambda s, o: s.CyclicLR(o, [0.01, 0.02], 0.2, 3, 5, mode="triangular2", base_momentum=0.7),
    "CyclicLR falling": lambda s, o: s.CyclicLR(o, 0.01, 0.2, 4, mode="exp_range", gamma=0.9, cycle_momentum=False),
    "CyclicLR own": lambda s, o: s.CyclicLR(o, 0.01, 0.2, 4, scale_fn=lambda x: 1 / x, scale_mode="cycle"),
    "SequentialLR": lambda s, o: s.SequentialLR(
        o, [s.ConstantLR(o, 0.1, 3), s.ExponentialLR(o, 0.8), s.CosineAnnealingLR(o, 9)], [3, 9]
    ),
    "ChainedScheduler": lambda s, o: s.ChainedScheduler([s.ConstantLR(o, 0.1, 5), s.ExponentialLR(o, 0.9)]),
}
PLATEAUS = {
    "default": {},
    "max": {"mode": "max", "patience": 1},
    "abs": {"threshold_mode": "abs", "threshold": 0.05, "patience": 2, "factor": 0.5},
    "max abs": {"mode": "max", "threshold_mode": "abs", "threshold": 0.05, "patience": 0, "cooldown": 2},
    "cooldown": {"patience": 1, "cooldown": 3, "min_lr": [0.01, 0.001], "eps": 1e-3},
}


def optimizers(torch):
    ours = SGD([{"params": [fc.ones(1)]}, {"params": [fc.ones(1)], "lr": 0.02}], lr=0.1, momentum=0.9)
    theirs = torch.optim.SGD(
        [{"params": [torch.ones(1)]}, {"params": [torch.ones(1)], "lr": 0.02}], lr=0.1, momentum=0.9
    )
    return ours, theirs


def rates(optimizer):
    return [(g["lr"], g["momentum"]) for g in optimizer.param_groups]


@pytest.mark.parametrize("name", SCHEDULERS)
def test_scheduler_is_torchs(name):
    torch = pytest.importorskip("torch")
    ours, theirs = optimizers(torch)
    scheduler = SCHEDULERS[name](lr_scheduler, ours)
    other = SCHEDULERS[name](torch.optim.lr_scheduler, theirs)
    for _ in range(20):
        assert rates(ours) == rates(theirs)  # the same arithmetic, hence the same bits
        assert scheduler.get_last_lr() == other.get_last_lr()
        assert getattr(scheduler, "last_epoch", None) == getattr(other, "last_epoch", None)
        ours.step()
        theirs.step()
        scheduler.step()
        other.step()
    if name == "OneCycleLR":
        scheduler.step()
        with pytest.raises(ValueError, match=r"22 times.*21"):
            scheduler.step()


@pytest.mark.parametrize("optimizer", ["Adam", "AdamW", "NAdam", "RAdam", "RMSprop"])
@pytest.mark.parametrize("name", [name for name in SCHEDULERS if name.startswith(("OneCycleLR", "CyclicLR"))])
def test_momentum_that_is_cycled_is_torchs(name, optimizer):
    torch = pytest.importorskip("torch")
    pairs = []
    for lib in (fc, torch):
        groups = [{"params": [lib.ones(1)]}, {"params": [lib.ones(1)], "lr": 0.02}]
        made = getattr(lib.optim, optimizer)(groups, lr=0.1)
        pairs.append((made, SCHEDULERS[name](lib.optim.lr_scheduler, made)))
    for _ in range(20):
        ours, theirs = [[[g.get(k) for k in ("lr", "betas", "momentum")] for g in o.param_groups] for o, _ in pairs]
        assert ours == theirs
        for made, scheduler in pairs:
            made.step()
            scheduler.step()


@pytest.mark.parametrize("name", SCHEDULERS)
def test_scheduler_resumes(name):
    def fresh():
        optimizer = SGD([{"params": [fc.ones(1)]}, {"params": [fc.ones(1)], "lr": 0.02}], lr=0.1, momentum=0.9)
        return optimizer, SCHEDULERS[name](lr_scheduler, optimizer)

    optimizer, scheduler = fresh()
    for _ in range(6):
        scheduler.step()
    state = scheduler.state_dict()
    if "MultiStepLR" not in name:
        assert json.loads(json.dumps(state)).keys() == state.keys()
    state = copy.deepcopy(state)
    second, resumed = fresh()
    second.load_state_dict(optimizer.state_dict())
    resumed.load_state_dict(state)
    for _ in range(10):
        assert rates(optimizer) == rates(second) and scheduler.get_last_lr() == resumed.get_last_lr()
        scheduler.step()
        resumed.step()


@pytest.mark.parametrize("name", ["StepLR", "MultiStepLR", "ExponentialLR", "CosineAnnealingLR", "LinearLR"])
def test_scheduler_starts_at_last_epoch(name):
    torch = pytest.importorskip("torch")
    ours, theirs = optimizers(torch)
    for group in (*ours.param_groups, *theirs.param_groups):
        group["initial_lr"] = group["lr"] * 2
    arguments = {"StepLR": (2,), "MultiStepLR": ([4, 6],), "ExponentialLR": (0.8,), "CosineAnnealingLR": (9,)}
    scheduler = getattr(lr_scheduler, name)(ours, *arguments.get(name, ()), last_epoch=3)
    other = getattr(torch.optim.lr_scheduler, name)(theirs, *arguments.get(name, ()), last_epoch=3)
    for _ in range(6):
        assert rates(ours) == rates(theirs)
        theirs.step()
        scheduler.step()
        other.step()


@pytest.mark.parametrize("name", PLATEAUS)
def test_plateau_is_torchs(name):
    torch = pytest.importorskip("torch")
    ours, theirs = optimizers(torch)
    scheduler = lr_scheduler.ReduceLROnPlateau(ours, **PLATEAUS[name])
    other = torch.optim.lr_scheduler.ReduceLROnPlateau(theirs, **PLATEAUS[name])
    figures = np.concatenate([1 / np.arange(1, 15), np.full(15, 0.07), [math.nan, 0.01, math.inf], np.full(12, 0.009)])
    for figure in figures:
        scheduler.step(figure)
        other.step(figure)
        assert rates(ours) == rates(theirs) and scheduler.get_last_lr() == other.get_last_lr()
    state = json.loads(json.dumps(scheduler.state_dict()))
    again = lr_scheduler.ReduceLROnPlateau(ours)
    again.load_state_dict(state)
    assert again.state_dict() == scheduler.state_dict()
    scheduler.step(fc.tensor(0.5))


def test_scheduler_errors():
    optimizer = SGD([fc.ones(1)])
    for bad, error, message in (
        (lambda: lr_scheduler.StepLR(3, 1), TypeError, "int is not an Optimizer"),
        (lambda: lr_scheduler.StepLR(optimizer, 1, last_epoch=2), KeyError, "initial_lr"),
        (lambda: lr_scheduler.LinearLR(optimizer, 0), ValueError, "start_factor.*got 0"),
        (lambda: lr_scheduler.LinearLR(optimizer, 1, 2), ValueError, "end_factor.*got 2"),
        (lambda: lr_scheduler.OneCycleLR(optimizer, 1), ValueError, "total_steps"),
        (lambda: lr_scheduler.OneCycleLR(optimizer, 1, total_steps=0), ValueError, "got 0"),
        (lambda: lr_scheduler.OneCycleLR(optimizer, 1, epochs=1.5, steps_per_epoch=2), ValueError, "epochs.*1.5"),
        (lambda: lr_scheduler.OneCycleLR(optimizer, 1, 9, pct_start=2.0), ValueError, "pct_start.*2.0"),
        (lambda: lr_scheduler.OneCycleLR(optimizer, 1, 9, anneal_strategy="x"), ValueError, "'x'"),
        (lambda: lr_scheduler.OneCycleLR(optimizer, [1, 2], 9), ValueError, r"1 values for max_lr, got \[1, 2\]"),
        (lambda: lr_scheduler.OneCycleLR(Optimizer([fc.ones(1)], {"lr": 1.0}), 1, 9), ValueError, "momentum"),
        (lambda: lr_scheduler.OneCycleLR(3, 1, 9), TypeError, "int is not an Optimizer"),
        (lambda: lr_scheduler.ReduceLROnPlateau(optimizer, factor=1.0), ValueError, "factor.*1.0"),
        (lambda: lr_scheduler.ReduceLROnPlateau(optimizer, "up"), ValueError, "'up'"),
        (lambda: lr_scheduler.ReduceLROnPlateau(optimizer, threshold_mode="x"), ValueError, "'x'"),
        (
            lambda: lr_scheduler.ReduceLROnPlateau(optimizer, min_lr=[0, 0]),
            ValueError,
            r"1 values for min_lr, got \[0, 0\]",
        ),
        (lambda: lr_scheduler.ReduceLROnPlateau(3), TypeError, "int is not an Optimizer"),
        (lambda: lr_scheduler.LRScheduler(optimizer), NotImplementedError, None),
    ):
        with pytest.raises(error, match=message):
            bad()


# ---- averages of weights -------------------------------------------------------------------------------------------


def test_swalr_is_torchs():
    torch = pytest.importorskip("torch")
    for options in ({"swa_lr": 0.05}, {"swa_lr": [0.05, 0.5], "anneal_epochs": 4, "anneal_strategy": "linear"}):
        ours, theirs = optimizers(torch)
        scheduler = swa_utils.SWALR(ours, **options)
        other = torch.optim.swa_utils.SWALR(theirs, **options)
        for _ in range(14):
            assert rates(ours) == rates(theirs)
            theirs.step()
            scheduler.step()
            other.step()


@pytest.mark.parametrize("how", ["mean", "ema", "ema of all"])
def test_averaged_models_are_torchs(how):
    torch = pytest.importorskip("torch")
    options = {
        "mean": lambda s: {},
        "ema": lambda s: {"avg_fn": s.get_ema_avg_fn(0.9)},
        "ema of all": lambda s: {"multi_avg_fn": s.get_ema_multi_avg_fn(0.9), "use_buffers": True},
    }[how]
    ours = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm2d(2))
    theirs = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm2d(2))
    average = swa_utils.AveragedModel(ours, **options(swa_utils))
    other = torch.optim.swa_utils.AveragedModel(theirs, **options(torch.optim.swa_utils))
    for _ in range(4):
        for (name, p), q in zip(ours.state_dict().items(), theirs.state_dict().values(), strict=True):
            if "num_batches" in name:
                continue
            new = rng.standard_normal(p.shape).astype(np.float32)
            p.copy_(fc.from_numpy(new))
            q.copy_(torch.from_numpy(new))
        average.update_parameters(ours)
        other.update_parameters(theirs)
    assert average.state_dict().keys() == other.state_dict().keys()
    for name, value in average.state_dict().items():
        np.testing.assert_allclose(value.numpy(), other.state_dict()[name].numpy(), rtol=1e-5, atol=1e-6)
    x = rng.standard_normal((5, 2, 3, 3)).astype(np.float32)
    layer = average.module[1]
    swa_utils.update_bn([(fc.from_numpy(x), None), (fc.from_numpy(2 * x), None)], layer)
    torch.optim.swa_utils.update_bn([(torch.from_numpy(x), 0), (torch.from_numpy(2 * x), 0)], other.module[1])
    np.testing.assert_allclose(layer.running_mean.numpy(), other.module[1].running_mean.numpy(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(layer.running_var.numpy(), other.module[1].running_var.numpy(), rtol=1e-5)
    assert layer.momentum == 0.1
