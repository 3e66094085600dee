"""Connectionist temporal classification, against all paths added up and against torch."""

import itertools

import numpy as np
import pytest

import fastconv
import fastconv.nn.functional as F
from fastconv import nn

rng = np.random.default_rng(5)


def logs(*shape):
    x = rng.standard_normal(shape)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def spelled(path, blank):
    return [c for c, _ in itertools.groupby(path) if c != blank]


def all_paths(log_p, labels, blank):
    """Minus the logarithm of the chances of all paths that spell the labels."""
    chances = np.exp(log_p)
    total = sum(
        np.prod(chances[range(len(path)), path])
        for path in itertools.product(range(log_p.shape[1]), repeat=len(log_p))
        if spelled(path, blank) == list(labels)
    )
    return -np.log(total) if total else np.inf


@pytest.mark.parametrize("blank", [0, 2])
def test_sums_all_paths(blank):
    x, (a, b) = logs(5, 4, 3), sorted({0, 1, 2} - {blank})
    rows = [[a, b], [b, b], [a], []]
    steps, lengths = [5, 5, 3, 4], [2, 2, 1, 0]
    flat = np.array([c for row in rows for c in row])
    padded = np.array([[*row, 9, 9][:2] for row in rows])
    expected = [all_paths(x[:n, i], row, blank) for i, (n, row) in enumerate(zip(steps, rows, strict=True))]
    for targets in (flat, padded):
        y = F.ctc_loss(fastconv.from_numpy(x), fastconv.from_numpy(targets), steps, lengths, blank, reduction="none")
        np.testing.assert_allclose(y.numpy(), expected, rtol=1e-12)
    y = F.ctc_loss(fastconv.from_numpy(x), fastconv.from_numpy(flat), steps, lengths, blank)
    np.testing.assert_allclose(y.item(), np.mean(np.array(expected) / [2, 2, 1, 1]), rtol=1e-12)


def test_gradient_of_scores():
    scores = fastconv.from_numpy(rng.standard_normal((6, 3, 4))).requires_grad_()
    labels = fastconv.tensor([[1, 1, 2], [3, 2, 0], [2, 1, 3]])

    def loss(x):
        return F.ctc_loss(x.log_softmax(2), labels, (6, 5, 6), (3, 2, 3), reduction="sum")

    assert fastconv.autograd.gradcheck(loss, scores)


def test_labels_that_do_not_fit():
    x = fastconv.from_numpy(logs(2, 1, 3)).requires_grad_()
    labels = fastconv.tensor([[1, 1]])
    assert F.ctc_loss(x, labels, [2], [2]).item() == np.inf
    y = F.ctc_loss(x, labels, [2], [2], zero_infinity=True)
    y.backward()
    assert y.item() == 0 and not x.grad.numpy().any()


def test_errors():
    x, labels = fastconv.from_numpy(logs(4, 2, 3)), fastconv.tensor([[1, 2], [2, 1]])
    for arguments, words in (
        ((x, labels, [4], [2, 2]), "batch_size"),
        ((x, labels, [4, 5], [2, 2]), "from 0 to 4"),
        ((x, labels, [4, 4], [2, 3]), "from 0 to 2"),
        ((x, labels, [4, 4], [2, 2], 3), "label range"),
        ((x, labels + 1, [4, 4], [2, 2]), "labels must be"),
        ((x, labels.float(), [4, 4], [2, 2]), "integers"),
        ((x, fastconv.tensor([1, 2]), [4, 4], [2, 2]), "need more"),
        ((x[0, 0], labels, [4, 4], [2, 2]), "log_probs"),
    ):
        with pytest.raises(RuntimeError, match=words):
            F.ctc_loss(*arguments)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("zero_infinity", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_beside_torch(reduction, zero_infinity, dtype):
    torch = pytest.importorskip("torch")
    x = logs(9, 5, 6).astype(dtype)
    labels = rng.integers(1, 6, (5, 4))
    steps, lengths = [9, 7, 9, 4, 8], [4, 3, 0, 4, 1]
    labels[3] = 2  # four times the same: seven steps at least
    ends = []
    for library in (fastconv, torch):
        p = library.from_numpy(x).requires_grad_()
        loss = library.nn.CTCLoss(reduction=reduction, zero_infinity=zero_infinity)
        y = loss(p, library.from_numpy(labels), library.tensor(steps), library.tensor(lengths))
        y.sum().backward()
        ends.append((y.detach().numpy(), p.grad.numpy()))
    tolerance = 1e-10 if dtype == "float64" else 2e-5
    np.testing.assert_allclose(ends[0][0], ends[1][0], rtol=tolerance)
    finite = [0, 1, 2, 4]
    np.testing.assert_allclose(ends[0][1][:, finite], ends[1][1][:, finite], rtol=tolerance, atol=tolerance)
    assert zero_infinity == (not np.isnan(ends[0][1][:4, 3]).any()) == (not np.isnan(ends[1][1][:4, 3]).any())


def test_one_sequence():
    x, labels = fastconv.from_numpy(logs(5, 3)), fastconv.tensor([1, 2])
    y = F.ctc_loss(x, labels, fastconv.tensor([5]), fastconv.tensor([2]), reduction="none")
    assert y.shape == () and y.item() == pytest.approx(all_paths(x.numpy(), [1, 2], 0))
    assert repr(nn.CTCLoss()) == "CTCLoss()"
