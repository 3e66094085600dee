"""Weight norm, spectral norm, pruning, fusing and limits of gradients, beside torch's."""

import copy
import warnings

import numpy as np
import pytest
from gradcheck import relative

import fastconv as fc
import fastconv.nn as nn
from fastconv.nn import utils
from fastconv.nn.utils import parametrizations, prune

rng = np.random.default_rng(3)


def normal(*shape):
    return rng.standard_normal(shape).astype(np.float32)


def twin(make, *, torch):
    """A layer of ours and one of torch's with the same state."""
    ours, theirs = make(nn), make(torch.nn)
    theirs.load_state_dict({k: torch.tensor(v.numpy()) for k, v in ours.state_dict().items()})
    return ours, theirs


MAKERS = {
    "Conv2d": (lambda m: m.Conv2d(3, 4, 3), (2, 3, 6, 6)),
    "ConvTranspose2d": (lambda m: m.ConvTranspose2d(3, 4, 3), (2, 3, 6, 6)),
    "Linear": (lambda m: m.Linear(5, 4), (3, 5)),
}
KINDS = {
    "weight_norm": lambda lib: lib.nn.utils.weight_norm,
    "weight_norm of all": lambda lib: lambda m: lib.nn.utils.weight_norm(m, dim=None),
    "spectral_norm": lambda lib: lib.nn.utils.spectral_norm,
    "parametrized weight_norm": lambda lib: lib.nn.utils.parametrizations.weight_norm,
    "parametrized spectral_norm": lambda lib: lib.nn.utils.parametrizations.spectral_norm,
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layer", MAKERS)
def test_norms_of_weights_are_torchs(layer, kind):
    torch = pytest.importorskip("torch")
    make, shape = MAKERS[layer]
    ours, theirs = twin(make, torch=torch)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        KINDS[kind](fc)(ours), KINDS[kind](torch)(theirs)
    assert sorted(ours.state_dict()) == sorted(theirs.state_dict())
    theirs.load_state_dict({k: torch.tensor(v.numpy()) for k, v in ours.state_dict().items()})
    x = normal(*shape)
    for training in (True, True, False):
        ours.train(training), theirs.train(training)
        ours.zero_grad(), theirs.zero_grad()
        y, expected = ours(fc.tensor(x)), theirs(torch.tensor(x))
        assert relative(y.detach(), expected.detach()) < 3e-6
        (y * y).sum().backward(), (expected * expected).sum().backward()
        for name, p in ours.named_parameters():
            assert relative(p.grad, dict(theirs.named_parameters())[name].grad) < 3e-5
    assert relative(copy.deepcopy(ours)(fc.tensor(x)).detach(), y.detach()) < 1e-6
    if "parametrized" not in kind:
        remove = utils.remove_spectral_norm if "spectral" in kind else utils.remove_weight_norm
        assert list(remove(ours).state_dict())[-1] == "weight"
        assert relative(ours(fc.tensor(x)).detach(), y.detach()) < 1e-6
        with pytest.raises(ValueError, match="not found"):
            remove(ours)


def test_pruning_is_torchs():
    torch = pytest.importorskip("torch")
    from torch.nn.utils import prune as theirs_prune

    ours, theirs = twin(lambda m: m.Conv2d(3, 4, 3), torch=torch)
    steps = [
        lambda p, m: p.l1_unstructured(m, "weight", 0.3),
        lambda p, m: p.ln_structured(m, "weight", 1, 2, 0),
        lambda p, m: p.l1_unstructured(m, "weight", 7),
    ]
    for step in steps:
        step(prune, ours), step(theirs_prune, theirs)
        assert sorted(ours.state_dict()) == sorted(theirs.state_dict())
        assert np.array_equal(ours.weight.detach().numpy(), theirs.weight.detach().numpy())
    assert prune.is_pruned(ours)
    x = normal(1, 3, 5, 5)
    y = ours(fc.tensor(x))
    y.sum().backward()
    dropped = ours.weight_mask.numpy() == 0
    assert (ours.weight_orig.grad.numpy()[dropped] == 0).all()
    prune.remove(ours, "weight")
    assert not prune.is_pruned(ours) and list(ours.state_dict()) == ["bias", "weight"]
    assert relative(ours(fc.tensor(x)).detach(), y.detach()) < 1e-6

    class Every(prune.BasePruningMethod):
        def compute_mask(self, t, default_mask):
            mask = default_mask.clone()
            mask.view(-1)[::2] = 0
            return mask

    Every.apply(ours, "bias")
    assert ours.bias.tolist()[0] == 0 and ours.bias.tolist()[1] != 0
    a, b = nn.Linear(6, 5), nn.Linear(5, 4)
    prune.global_unstructured([(a, "weight"), (b, "weight")], prune.L1Unstructured, amount=0.4)
    assert (a.weight_mask == 0).sum().item() + (b.weight_mask == 0).sum().item() == 20
    assert (prune.random_unstructured(nn.Linear(6, 5), "weight", 0.5).weight_mask == 0).sum().item() == 15
    with pytest.raises(ValueError, match="amount"):
        prune.l1_unstructured(a, "bias", 1.5)
    with pytest.raises(ValueError, match="has to be pruned before"):
        prune.remove(nn.Linear(2, 2), "weight")


def test_fusing_keeps_what_is_computed():
    for conv, shape in (
        (nn.Conv2d(3, 4, 3), (2, 3, 6, 6)),
        (nn.Conv2d(3, 4, 3, bias=False), (2, 3, 6, 6)),
        (nn.ConvTranspose2d(3, 4, 3), (2, 3, 6, 6)),
    ):
        bn, x = nn.BatchNorm2d(4), fc.tensor(normal(*shape))
        bn(conv(x) * 3 + 1)
        bn.weight.data.uniform_(0.5, 2)
        bn.bias.data.normal_()
        bn.eval(), conv.eval()
        fused = utils.fuse_conv_bn_eval(conv, bn)
        assert relative(fused(x).detach(), bn(conv(x)).detach()) < 2e-6
    linear, bn = nn.Linear(3, 4).eval(), nn.BatchNorm1d(4).eval()
    x = fc.tensor(normal(5, 3))
    assert relative(utils.fuse_linear_bn_eval(linear, bn)(x).detach(), bn(linear(x)).detach()) < 2e-6
    with pytest.raises(AssertionError, match="Fusion only for eval"):
        utils.fuse_conv_bn_eval(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1))


def test_clip_grad_value():
    p = fc.zeros(3, requires_grad=True)
    p.grad = fc.tensor([-3.0, 0.5, 9.0])
    utils.clip_grad_value_([p, fc.zeros(2)], 1)
    assert p.grad.tolist() == [-1, 0.5, 1]


def test_parametrizations_need_a_parameter():
    with pytest.raises(ValueError, match="has no parameter 'weights'"):
        parametrizations.weight_norm(nn.Linear(2, 2), "weights")
