"""Weight norm, spectral norm, pruning, fusing and limits of gradients, beside torch's."""

import copy
import warnings

import numpy as np
import pytest
from gradcheck import relative

import fastconv as fc
import fastconv.nn as nn
from fastconv.nn import utils
from fastconv.nn.utils import parametrizations, prune, rnn

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


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_is_pruned_again_is_torchs(dtype):
    torch = pytest.importorskip("torch")
    steps = [
        lambda p, m: p.l1_unstructured(m, "weight", 0.3),
        lambda p, m: p.ln_structured(m, "weight", 0.4, 2, -3),
        lambda p, m: p.random_unstructured(m, "weight", 0.2),
        lambda p, m: p.ln_structured(m, "weight", 0.5, 1, 0),
        lambda p, m: p.random_structured(m, "weight", 0.3, 1),
        lambda p, m: p.ln_structured(m, "weight", 1, 2, 0),
        lambda p, m: p.global_unstructured([(m, "weight"), (m, "bias")], p.L1Unstructured, amount=0.2),
        lambda p, m: p.l1_unstructured(m, "weight", 3),
    ]
    for seed in range(20):
        layers = []
        for lib, pruning in ((fc, prune), (torch, torch.nn.utils.prune)):
            lib.manual_seed(seed)
            layer = lib.nn.Conv2d(6, 8, 3, dtype=getattr(lib, dtype))
            for step in steps:
                step(pruning, layer)
            layers.append((layer.weight_mask.tolist(), layer.bias_mask.tolist(), lib.rand(1).item()))
        assert layers[0] == layers[1]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_is_pruned_at_random_is_torchs(dtype):
    torch = pytest.importorskip("torch")
    masks = []
    for lib, pruning in ((fc, prune), (torch, torch.nn.utils.prune)):
        lib.manual_seed(3)
        layer = lib.nn.Conv2d(4, 6, 3, dtype=getattr(lib, dtype))
        pruning.random_unstructured(layer, "weight", 0.3)
        pruning.random_structured(layer, "weight", 2, dim=0)
        pruning.random_unstructured(layer, "bias", 0)  # draws nothing
        masks.append((layer.weight_mask.tolist(), layer.bias_mask.tolist(), lib.rand(1).item()))
    assert masks[0] == masks[1]


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


@pytest.mark.parametrize("name", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("is_sorted", [True, False])
def test_packed_sequences_are_sequences_by_themselves(name, bidirectional, is_sorted):
    lengths = [5, 3, 3, 1] if is_sorted else [3, 1, 5, 3]
    layer = getattr(nn, name)(3, 4, 2, batch_first=True, bidirectional=bidirectional).double()
    x = fc.randn(4, 5, 3, dtype=fc.float64).requires_grad_()
    packed = rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=is_sorted)
    assert packed.batch_sizes.tolist() == [4, 3, 3, 1, 1]
    output, state = layer(packed)
    padded, found = rnn.pad_packed_sequence(output, batch_first=True, padding_value=-1.0, total_length=6)
    assert found.tolist() == lengths and padded.shape == (4, 6, 8 if bidirectional else 4)
    for i, length in enumerate(lengths):
        alone, last = layer(x[i : i + 1, :length])
        assert relative(padded[i : i + 1, :length].detach(), alone.detach()) < 1e-14
        assert (padded[i, length:] == -1).all()
        for part, own in zip(*((s if isinstance(s, tuple) else (s,)) for s in (state, last)), strict=True):
            assert relative(part[:, i : i + 1].detach(), own.detach()) < 1e-14
    padded.sum().backward()
    assert all(bool((x.grad[i, length:] == 0).all()) for i, length in enumerate(lengths))


def test_padding_of_sequences_and_what_is_refused():
    parts = [fc.tensor([1.0, 2.0]), fc.tensor([3.0])]
    assert rnn.pad_sequence(parts).tolist() == [[1.0, 3.0], [2.0, 0.0]]
    padded = rnn.pad_sequence(parts, batch_first=True, padding_value=9.0, padding_side="left")
    assert padded.tolist() == [[1.0, 2.0], [9.0, 3.0]]
    again = rnn.unpad_sequence(rnn.pad_sequence(parts), fc.tensor([2, 1]))
    assert [part.tolist() for part in again] == [[1.0, 2.0], [3.0]]
    assert rnn.pack_sequence(parts).data.tolist() == [1.0, 3.0, 2.0]
    x = fc.zeros(5, 2, 3)
    for lengths, message in [
        ([5], r"Expected `len\(lengths\)` to be equal to batch_size, but got 1 \(batch_size=2\)"),
        ([5, 0], "Length of all samples has to be greater than 0"),
        ([4, 5], "`lengths` array must be sorted in decreasing order"),
        ([6, 5], "Expected lengths of at most 5, the input's, got 6"),
        ([1.5, 1.0], "'lengths' should be a 1D tensor of integers"),
    ]:
        with pytest.raises(RuntimeError, match=message):
            rnn.pack_padded_sequence(x, lengths)
    with pytest.raises(ValueError, match="total_length=1 and max sequence length being 2"):
        rnn.pad_packed_sequence(rnn.pack_sequence(parts), total_length=1)
