"""The functions of tensors against torch's: values, dtypes, gradients, and gradients of gradients."""

import numpy as np
import pytest

import fastconv as fc

rng = np.random.default_rng(21)


def normal(*shape):
    return rng.standard_normal(shape)


A, B, SQUARE = normal(3, 4), normal(3, 4), normal(5, 5)
INSIDE = rng.uniform(-0.9, 0.9, (3, 4))
POSITIVE = rng.uniform(0.1, 3, (3, 4))
CUBE = normal(2, 3, 4)
TIES = rng.integers(0, 3, (4, 6)).astype(np.float64)
ZEROS = np.where(normal(3, 5) > 0.5, 0, normal(3, 5))
NAN = np.where(normal(4, 5) > 0.8, np.nan, normal(4, 5))
SOME = normal(3, 4) > 0
PLACES = rng.integers(0, 3, (2, 4))
COLUMNS = rng.integers(0, 4, (3, 2))

# Each a name, a function of the library m and of tensors, and the arrays of these; those of floats get gradients.
ELEMENTARY = [
    *[
        (name, lambda m, x, name=name: getattr(m, name)(x), (array,))
        for names, array in (
            ("sin cos tan atan sinh cosh asinh expm1 exp2 square erf sign floor ceil trunc frac round reciprocal", A),
            ("asin acos atanh", INSIDE),
            ("log1p log2 log10 rsqrt sqrt", POSITIVE),
            ("acosh", POSITIVE + 1),
        )
        for name in names.split()
    ],
    ("round", lambda m, x: m.round(x, decimals=1), (A,)),
    ("atan2", lambda m, x, y: m.atan2(x, y), (A, B)),
    ("fmod", lambda m, x, y: m.fmod(x, y), (A, POSITIVE)),
    ("fmod", lambda m, x: m.fmod(x, -0.7), (A,)),
    ("nan_to_num", lambda m, x: m.nan_to_num(x / 0, nan=1.5, posinf=3.0), (np.round(A),)),
]
SORTING = [
    ("sort", lambda m, x: m.sort(x, stable=True), (TIES,)),
    ("sort", lambda m, x: m.sort(x, dim=0, descending=True, stable=True), (TIES,)),
    ("sort", lambda m, x: m.sort(x, dim=-1, stable=True), (NAN,)),
    ("sort", lambda m, x: m.sort(x, dim=0, descending=True, stable=True), (NAN,)),
    ("sort", lambda m, x: m.sort(x), (np.array(2.0),)),
    ("argsort", lambda m, x: m.argsort(x, dim=0, stable=True), (TIES,)),
    ("topk", lambda m, x: m.topk(x, 2), (CUBE,)),
    ("topk", lambda m, x: x.topk(3, 1, largest=False), (CUBE,)),
    ("topk", lambda m, x: m.topk(x, 0), (CUBE,)),
    ("kthvalue", lambda m, x: m.kthvalue(x, 2, 1), (CUBE,)),
    ("kthvalue", lambda m, x: m.kthvalue(x, 1, 0, keepdim=True), (CUBE,)),
    ("median", lambda m, x: m.median(x), (A,)),
    ("median", lambda m, x: m.median(x, 1), (CUBE,)),
    ("median", lambda m, x: m.median(x, 0, keepdim=True).values, (NAN,)),
    ("mode", lambda m, x: m.mode(x, 1).values, (TIES,)),
    ("quantile", lambda m, x: m.quantile(x, 0.3), (A,)),
    ("quantile", lambda m, x: m.quantile(x, m.tensor([0.1, 0.5, 1.0], dtype=m.float64), dim=1), (CUBE,)),
    ("quantile", lambda m, x: m.quantile(x, 0.4, dim=0, keepdim=True, interpolation="lower"), (A,)),
    ("quantile", lambda m, x: m.quantile(x, 0.4, dim=0, interpolation="midpoint"), (A,)),
    ("unique", lambda m, x: m.unique(x, return_inverse=True, return_counts=True), (TIES.astype(int),)),
    ("unique", lambda m, x: m.unique(x, dim=0), (TIES.astype(int)[[0, 1, 0]],)),
    (
        "unique_consecutive",
        lambda m, x: m.unique_consecutive(x, return_inverse=True, return_counts=True),
        (TIES.astype(int),),
    ),
    ("bincount", lambda m, x: m.bincount(x, minlength=5), (TIES.astype(int)[0],)),
    ("histc", lambda m, x: m.histc(x.detach(), 4), (A,)),
]
SELECTION = [
    ("gather", lambda m, x, i: m.gather(x, 0, i), (A, PLACES)),
    ("gather", lambda m, x, i: x.gather(1, i), (A, COLUMNS)),
    ("scatter", lambda m, x, i, s: x.scatter(1, i, s), (A, np.array([[0, 2], [1, 3], [3, 0]]), B[:, :2])),
    ("scatter", lambda m, x, i: x.scatter(1, i, 2.5), (A, COLUMNS)),
    ("scatter", lambda m, x, i: m.scatter(x.detach(), 0, i, 1.0, reduce="add"), (A, PLACES)),
    ("scatter_add", lambda m, x, i, s: m.scatter_add(x, 0, i, s), (A, PLACES, B[:2])),
    ("index_select", lambda m, x, i: m.index_select(x, 1, i), (CUBE, np.array([2, 0, 2]))),
    ("index_add", lambda m, x, i, s: m.index_add(x, 0, i, s, alpha=2), (A, np.array([1, 1]), A[:2])),
    ("index_copy", lambda m, x, i, s: x.index_copy(0, i, s), (A, np.array([2, 0]), A[:2])),
    ("index_fill", lambda m, x, i: x.index_fill(1, i, 3.0), (A, np.array([2, 0]))),
    ("take", lambda m, x, i: m.take(x, i), (A, np.array([[0, -1], [5, 5]]))),
    ("take_along_dim", lambda m, x, i: m.take_along_dim(x, i, 0), (A, PLACES[:1])),
    ("masked_fill", lambda m, x, k: x.masked_fill(k, -1.0), (CUBE, SOME)),
    ("masked_select", lambda m, x, k: m.masked_select(x, k), (CUBE, SOME)),
    ("nonzero", lambda m, x: m.nonzero(x), (ZEROS,)),
    ("nonzero", lambda m, x: m.nonzero(x, as_tuple=True), (ZEROS,)),
    ("select", lambda m, x: x.select(1, -1), (CUBE,)),
    ("narrow", lambda m, x: m.narrow(x, 2, 1, 2), (CUBE,)),
    ("split", lambda m, x: m.split(x, 2, dim=1), (CUBE,)),
    ("split", lambda m, x: x.split([1, 0, 3], -1), (CUBE,)),
    ("chunk", lambda m, x: m.chunk(x, 3, 2), (CUBE,)),
    ("tensor_split", lambda m, x: m.tensor_split(x, 3, 2), (CUBE,)),
    ("tensor_split", lambda m, x: m.tensor_split(x, (1, 3), dim=2), (CUBE,)),
    ("unbind", lambda m, x: m.unbind(x, 1), (CUBE,)),
    ("diagonal", lambda m, x: m.diagonal(x, 1, 0, 2), (CUBE,)),
    ("unfold", lambda m, x: x.unfold(2, 3, 1), (CUBE,)),
    ("unfold", lambda m, x: x.unfold(0, 2, 2).unfold(1, 2, 1), (SQUARE,)),
    ("where", lambda m, x, y: x.where(x > 0, y), (A, B)),
]
ARRANGEMENT = [
    ("flip", lambda m, x: m.flip(x, (0, -1)), (CUBE,)),
    ("flip", lambda m, x: x.flip(1), (CUBE,)),
    ("fliplr", lambda m, x: m.fliplr(x), (A,)),
    ("roll", lambda m, x: m.roll(x, 2), (A,)),
    ("roll", lambda m, x: m.roll(x, (1, -2), (0, 2)), (CUBE,)),
    *[("rot90", lambda m, x, k=k: m.rot90(x, k, (1, 2)), (CUBE,)) for k in (-1, 0, 1, 2, 3)],
    ("movedim", lambda m, x: m.movedim(x, (0, 2), (-1, 0)), (CUBE,)),
    ("swapaxes", lambda m, x: m.swapaxes(x, 0, 1), (CUBE,)),
    ("repeat", lambda m, x: x.repeat(2, 1, 3, 2), (CUBE,)),
    ("tile", lambda m, x: m.tile(x, (2, 2)), (CUBE,)),
    ("repeat_interleave", lambda m, x: m.repeat_interleave(x, 2), (A,)),
    ("repeat_interleave", lambda m, x, n: m.repeat_interleave(x, n, dim=1), (CUBE, np.array([2, 0, 1]))),
    ("unflatten", lambda m, x: m.unflatten(x, 2, (2, -1)), (CUBE,)),
    ("ravel", lambda m, x: m.ravel(x), (CUBE,)),
    ("broadcast_to", lambda m, x: m.broadcast_to(x, (2, 3, 4)), (A,)),
    ("broadcast_tensors", lambda m, x, y: m.broadcast_tensors(x, y), (A, CUBE)),
    ("meshgrid", lambda m, x, y: m.meshgrid(x, y, indexing="xy"), (A[0], B[:, 0].copy())),
    ("meshgrid", lambda m, x, y: m.meshgrid([x, y], indexing="ij"), (A[0], B[:, 0].copy())),
    ("hstack", lambda m, x, y: m.hstack((x, y)), (A, B)),
    ("hstack", lambda m, x, y: m.hstack((x, y)), (A[0], B[0])),
    ("vstack", lambda m, x, y: m.vstack((x, y)), (A, B[0])),
    ("dstack", lambda m, x, y: m.dstack((x, y)), (A, B)),
    ("expand_as", lambda m, x, y: x.expand_as(y), (A, CUBE)),
]
SCANS = [
    ("cumsum", lambda m, x: m.cumsum(x, 1), (CUBE,)),
    ("cumsum", lambda m, x: m.cumsum(x, 0), (TIES.astype(np.int32),)),
    ("cumprod", lambda m, x: m.cumprod(x, 1), (A,)),
    ("cumprod", lambda m, x: m.cumprod(x, -1), (ZEROS,)),
    ("prod", lambda m, x: m.prod(x), (A,)),
    ("prod", lambda m, x: x.prod(1), (ZEROS,)),
    ("prod", lambda m, x: m.prod(x, 0, keepdim=True), (A,)),
    ("prod", lambda m, x: m.prod(x), (TIES.astype(int),)),
    ("cummax", lambda m, x: m.cummax(x, 1), (A,)),
    ("cummin", lambda m, x: m.cummin(x, 0), (CUBE,)),
    ("logsumexp", lambda m, x: m.logsumexp(x, 1), (CUBE * 300,)),
    ("logsumexp", lambda m, x: m.logsumexp(x, (0, 2), keepdim=True), (CUBE,)),
    ("std_mean", lambda m, x: m.std_mean(x, 1), (CUBE,)),
    ("var_mean", lambda m, x: m.var_mean(x, dim=(0, 2), unbiased=False), (CUBE,)),
    ("diff", lambda m, x: m.diff(x), (CUBE,)),
    ("diff", lambda m, x, y: m.diff(x, 2, 0, prepend=y), (A, B[:1])),
    ("count_nonzero", lambda m, x: m.count_nonzero(x, 1), (ZEROS,)),
]
LINEAR = [
    ("mm", lambda m, x, y: m.mm(x, y), (A, B.T.copy())),
    ("bmm", lambda m, x, y: m.bmm(x, y), (CUBE, normal(2, 4, 2))),
    ("mv", lambda m, x, y: x.mv(y), (A, B[0])),
    ("dot", lambda m, x, y: m.dot(x, y), (A[0], B[0])),
    ("inner", lambda m, x, y: m.inner(x, y), (A, CUBE)),
    ("outer", lambda m, x, y: m.outer(x, y), (A[0], B[:, 0].copy())),
    ("addmm", lambda m, x, y, z: m.addmm(x, y, z, beta=0.5, alpha=2), (normal(3, 3), A, B.T.copy())),
    ("baddbmm", lambda m, x, y, z: m.baddbmm(x, y, z), (normal(2, 3, 2), CUBE, normal(2, 4, 2))),
    ("tensordot", lambda m, x, y: m.tensordot(x, y, dims=1), (CUBE, normal(4, 2))),
    ("tensordot", lambda m, x, y: m.tensordot(x, y, dims=([1, 0], [0, 1])), (CUBE, normal(3, 2, 2))),
    ("kron", lambda m, x, y: m.kron(x, y), (A, normal(2, 2))),
    ("cross", lambda m, x, y: m.cross(x, y, dim=0), (A, B)),
    ("trace", lambda m, x: m.trace(x), (SQUARE,)),
    ("tril", lambda m, x: m.tril(x, -1), (SQUARE,)),
    ("triu", lambda m, x: m.triu(x, 1), (CUBE,)),
    ("diag", lambda m, x: m.diag(x, 1), (A[0],)),
    ("diag", lambda m, x: m.diag(x, -1), (SQUARE,)),
    ("diag_embed", lambda m, x: m.diag_embed(x, 1, 0, 2), (A,)),
    ("cdist", lambda m, x, y: m.cdist(x, y), (A, B)),
    *[
        ("einsum", lambda m, *x, equation=equation: m.einsum(equation, *x), arrays)
        for equation, arrays in (
            ("ij,kj->ik", (A, B)),
            ("ij,jk", (A, B.T.copy())),
            ("bij,bjk->bik", (CUBE, normal(2, 4, 2))),
            ("...ij,...jk->...ik", (CUBE, normal(4, 2))),
            ("ii->i", (SQUARE,)),
            ("ii", (SQUARE,)),
            ("ij->", (A,)),
            ("ij->ji", (A,)),
            ("i,j->ij", (A[0], B[0])),
            ("ij,ij->", (A, B)),
            ("bij,ij,kj->bk", (CUBE, A, B)),
            ("b...,...->b", (CUBE, A)),
            ("ij,j->i", (A, B[:1, 0].copy())),
        )
    ],
]
CALLS = [*ELEMENTARY, *SORTING, *SELECTION, *ARRANGEMENT, *SCANS, *LINEAR]
# What has no second gradient, or one that torch has not.
ONCE = {"prod", "cumprod", "cdist"}


def results(y):
    return [t for part in y for t in results(part)] if isinstance(y, (tuple, list)) else [y]


@pytest.mark.parametrize(("name", "call", "arrays"), CALLS, ids=[f"{i}-{c[0]}" for i, c in enumerate(CALLS)])
def test_functions_are_torchs(name, call, arrays):
    torch = pytest.importorskip("torch")

    def tensors(m, copy):
        leaves = [copy(a) for a in arrays]
        for t, a in zip(leaves, arrays, strict=True):
            if a.dtype.kind == "f":
                t.requires_grad_()
        return leaves

    ours, theirs = tensors(fc, fc.tensor), tensors(torch, lambda a: torch.tensor(a))
    y, z = results(call(fc, *ours)), results(call(torch, *theirs))
    assert len(y) == len(z)
    weights = []
    for a, b in zip(y, z, strict=True):
        assert tuple(a.shape) == tuple(b.shape)
        assert str(a.dtype) == str(b.dtype)
        assert a.requires_grad == b.requires_grad
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-12, atol=1e-12)
        weights.append(rng.standard_normal(a.shape))
    if not any(a.requires_grad for a in y):
        return
    first = [a.requires_grad for a in ours]
    twice = name not in ONCE

    def gradients(m, leaves, values, copy):
        total = sum((a * copy(w)).sum() for a, w in zip(values, weights, strict=True) if a.requires_grad)
        leaves = [t for t, need in zip(leaves, first, strict=True) if need]
        once = m.autograd.grad(total, leaves, create_graph=twice, allow_unused=True)
        again = [None] * len(leaves)
        if any(g is not None and g.requires_grad for g in once):
            total = sum((g * g).sum() for g in once if g is not None and g.requires_grad)
            again = m.autograd.grad(total, leaves, allow_unused=True)
        return [*once, *again]

    for a, b in zip(
        gradients(fc, ours, y, fc.tensor), gradients(torch, theirs, z, lambda w: torch.tensor(w)), strict=True
    ):
        if a is None or b is None:  # a gradient that is zero may be known to be
            assert (a is None or not a.numpy().any()) and (b is None or not b.numpy().any())
        else:
            np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("point", [(0, 0), (0, -0.0), (-0.0, 0), (1e-30, 0), (0, 1e-30), (2, 0)])
def test_atan2_has_no_slope_where_squares_are_zero(point):
    slopes = [0, 0]
    if point == (2, 0):
        slopes = [0, -0.5]
    y, x = (fc.tensor(float(value), requires_grad=True) for value in point)
    fc.atan2(y, x).backward()
    assert [y.grad.item(), x.grad.item()] == slopes


LOGIC = ["logical_and", "logical_or", "logical_xor", "isclose", "greater", "less_equal", "not_equal"]


@pytest.mark.parametrize("name", LOGIC)
def test_truth_values(name):
    torch = pytest.importorskip("torch")
    y = getattr(fc, name)(fc.tensor(ZEROS), fc.tensor(ZEROS[::-1].copy()))
    z = getattr(torch, name)(torch.tensor(ZEROS), torch.tensor(ZEROS[::-1].copy()))
    np.testing.assert_array_equal(y.numpy(), z.numpy())


@pytest.mark.parametrize(
    "call",
    [
        lambda x: x.sin_(),
        lambda x: x.clone().masked_fill_(x > 0, 2.0),
        lambda x: x.clone().scatter_(1, (x > 0).long(), 1.5),
        lambda x: x.clone().index_add_(0, (x[0, :2] > 9).long(), x[:2]),
        lambda x: x.floor_(),
        lambda x: x.tril_(),
        lambda x: x.cumsum_(0),
    ],
)
def test_in_place(call):
    torch = pytest.importorskip("torch")
    ours, theirs = fc.tensor(A), torch.tensor(A)
    np.testing.assert_allclose(call(ours).numpy(), call(theirs).numpy(), rtol=1e-14)
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-14)


def test_views_are_views():
    x = fc.zeros(4, 6)
    x.diagonal().fill_(1)
    x.narrow(1, 4, 2).add_(2)
    x.chunk(2, 0)[1][0, 0] = 5
    x.unbind(0)[3][1] = 7
    assert x.tolist() == [[1, 0, 0, 0, 2, 2], [0, 1, 0, 0, 2, 2], [5, 0, 1, 0, 2, 2], [0, 7, 0, 1, 2, 2]]
    y = x.flip(0)
    y.fill_(0)
    assert x.sum().item() == 32


X = fc.tensor(A)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: X.topk(5), RuntimeError, r"selected index k out of range.*k=5 of 4"),
        (lambda: X.kthvalue(0), RuntimeError, "k=0 of 4"),
        (lambda: fc.gather(X, 0, fc.tensor([[3]])), RuntimeError, "index 3 is out of bounds for dimension with size 3"),
        (lambda: fc.gather(X, 0, fc.tensor([0.0])), RuntimeError, "Expected dtype int64 for index"),
        (lambda: fc.gather(X, 0, fc.tensor([0])), RuntimeError, r"same number of dimensions.*\[1\].*\[3, 4\]"),
        (lambda: X.scatter(0, fc.tensor([[0]]), X.float()), RuntimeError, "self.dtype to be equal to src.dtype"),
        (lambda: X.index_select(0, fc.tensor([-1])), IndexError, "index -1 is out of bounds"),
        (lambda: X.masked_fill(fc.tensor([1]), 0), RuntimeError, "only supports boolean masks"),
        (lambda: X.split([1, 1]), RuntimeError, r"sum exactly to 3.*\[1, 1\]"),
        (lambda: X.split(0), RuntimeError, "split_size can only be 0"),
        (lambda: X.chunk(0), RuntimeError, "greater than 0, got: 0"),
        (lambda: X.narrow(0, 1, 3), RuntimeError, r"start \(1\) \+ length \(3\) exceeds dimension size \(3\)"),
        (lambda: X.flip(0, 0), RuntimeError, "appears multiple times"),
        (lambda: X.repeat(2), RuntimeError, r"repeats|repeat dims"),
        (lambda: X.roll((1, 2), 0), RuntimeError, "must align"),
        (lambda: fc.mm(X, X[0]), RuntimeError, "2-D tensor as operand 2, got 1-D"),
        (lambda: fc.bmm(X, X), RuntimeError, "3-D tensor as operand 1"),
        (lambda: fc.dot(X[0], X[:, 0]), RuntimeError, "inconsistent tensor size"),
        (lambda: fc.einsum("ij", X, X), RuntimeError, "more operands"),
        (lambda: fc.einsum("ij,jk->ik", X, X), RuntimeError, "label 'j' has the lengths 4 and 3"),
        (lambda: fc.einsum("ij->k", X), RuntimeError, "output subscript 'k'"),
        (lambda: fc.einsum("i->i", X), RuntimeError, r"does not match the number of dimensions \(2\)"),
        (lambda: fc.cross(X, X), RuntimeError, "must have length 3. Got 4"),
        (lambda: fc.tensordot(X, X, 1), RuntimeError, "contracted dimensions need to match"),
        (lambda: fc.tril(X[0]), RuntimeError, "at least 2 dimensions"),
        (lambda: fc.quantile(X, 1.5), RuntimeError, r"range \[0, 1\]"),
        (lambda: fc.bincount(X), RuntimeError, "1-d non-negative integral"),
        (lambda: fc.median(fc.zeros(0, 2), 0), IndexError, "non-zero size"),
        (lambda: fc.sin([1.0]), TypeError, "expects a Tensor"),
        (lambda: fc.sort(np.zeros(3)), TypeError, "expects a Tensor"),
    ],
)
def test_what_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
