"""Attention and recurrent layers with the options that are met less, beside torch."""

import numpy as np
import pytest

import fastconv as fc


@pytest.mark.parametrize(
    "options",
    [
        {"add_bias_kv": True},
        {"add_zero_attn": True},
        {"add_bias_kv": True, "add_zero_attn": True, "kdim": 6, "vdim": 10},
    ],
)
def test_attention_with_keys_that_are_always_there(options):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    theirs = torch.nn.MultiheadAttention(8, 2, **options, dtype=torch.float64)
    ours = fc.nn.MultiheadAttention(8, 2, **options, dtype="float64")
    assert list(theirs.state_dict()) == list(ours.state_dict())
    ours.load_state_dict({name: value.numpy() for name, value in theirs.state_dict().items()})
    rng = np.random.default_rng(0)
    q, k, v = (
        rng.standard_normal((5, 3, 8)),
        rng.standard_normal((4, 3, ours.kdim)),
        rng.standard_normal((4, 3, ours.vdim)),
    )
    for mask in (None, rng.random((5, 4)) < 0.3, rng.standard_normal((6, 5, 4))):
        for padding_mask in (None, rng.random((3, 4)) < 0.3):
            masks = {"attn_mask": mask, "key_padding_mask": padding_mask}
            if mask is not None and padding_mask is not None and mask.dtype != padding_mask.dtype:
                continue
            given = {name: None if m is None else torch.from_numpy(m) for name, m in masks.items()}
            expected = theirs(*map(torch.from_numpy, (q, k, v)), average_attn_weights=False, **given)
            given = {name: None if m is None else fc.tensor(m) for name, m in masks.items()}
            found = ours(*map(fc.tensor, (q, k, v)), average_attn_weights=False, **given)
            for a, b in zip(found, expected, strict=True):
                np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-10, atol=1e-12)


def test_lstm_with_projections():
    torch = pytest.importorskip("torch")
    theirs = torch.nn.LSTM(4, 6, 2, bidirectional=True, proj_size=3, dtype=torch.float64)
    ours = fc.nn.LSTM(4, 6, 2, bidirectional=True, proj_size=3, dtype="float64")
    assert repr(ours) == repr(theirs) and list(theirs.state_dict()) == list(ours.state_dict())
    ours.load_state_dict({name: value.detach().numpy() for name, value in theirs.state_dict().items()})
    x = np.random.default_rng(0).standard_normal((5, 2, 4))
    expected, (h, c) = theirs(torch.from_numpy(x))
    found, (hidden, cell) = ours(fc.tensor(x))
    for a, b in ((found, expected), (hidden, h), (cell, c)):
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-10, atol=1e-12)
    with pytest.raises(ValueError, match="only supported for LSTM"):
        fc.nn.GRU(4, 6, proj_size=3)
