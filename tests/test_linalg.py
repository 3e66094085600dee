"""fastconv.linalg against torch.linalg: values and gradients."""

import numpy as np
import pytest

import fastconv as fc
from fastconv import linalg

rng = np.random.default_rng(5)
A, B = rng.standard_normal((2, 3, 4, 4)), rng.standard_normal((2, 3, 4, 2))
WIDE, SYMMETRIC = rng.standard_normal((3, 5)), A[0] @ A[0].swapaxes(-1, -2) + np.eye(4)
TALL, RIGHT = rng.standard_normal((2, 5, 3)), rng.standard_normal((2, 5, 2))
SINGULAR = np.array([[1.0, 2.0, 0.0], [2.0, 4.0, 0.0], [0.0, 1.0, 3.0]])

CALLS = [
    ("det", lambda m, a: m.linalg.det(a), (A,)),
    ("inv", lambda m, a: m.linalg.inv(a), (A,)),
    ("slogdet", lambda m, a: m.linalg.slogdet(a)[1], (A,)),
    ("solve", lambda m, a, b: m.linalg.solve(a, b), (A, B)),
    ("solve", lambda m, a, b: m.linalg.solve(a, b), (A[0, 0], B[0, 0, :, 0].copy())),
    ("matrix_power", lambda m, a: m.linalg.matrix_power(a, 3), (A,)),
    ("matrix_power", lambda m, a: m.linalg.matrix_power(a, -2), (A,)),
    ("vector_norm", lambda m, a: m.linalg.vector_norm(a, 3, dim=(0, 2)), (A,)),
    ("norm", lambda m, a: m.linalg.norm(a), (A,)),
    *[("norm", lambda m, a, ord=ord: m.linalg.norm(a, ord), (WIDE,)) for ord in ("fro", 1, -1, np.inf, -np.inf)],
    ("matrix_norm", lambda m, a: m.linalg.matrix_norm(a, 1, dim=(0, 2), keepdim=True), (B,)),
    ("cross", lambda m, a, b: m.linalg.cross(a, b, dim=1), (A, A[::-1].copy())),
    ("cholesky", lambda m, a: m.linalg.cholesky(a @ a.mT + a.new_ones(4).diag()), (A,)),
    ("cholesky", lambda m, a: m.linalg.cholesky(a @ a.mT + a.new_ones(4).diag(), upper=True), (A,)),
    ("eigvalsh", lambda m, a: m.linalg.eigvalsh(a), (SYMMETRIC,)),
    ("eigh", lambda m, a: m.linalg.eigh(a, "U").eigenvectors ** 2, (A,)),
    ("eigh", lambda m, a: m.linalg.eigh(a).eigenvalues, (np.eye(3),)),
    ("matrix_power", lambda m, a: m.linalg.matrix_power(a, 0), (A,)),
    ("pinv", lambda m, a: m.linalg.pinv(a, hermitian=True), (SYMMETRIC,)),
    ("pinverse", lambda m, a: m.pinverse(a, 0.3), (TALL,)),
    ("slogdet", lambda m, a: m.linalg.slogdet(a)[0] * m.linalg.slogdet(a)[1], (A,)),
    ("matrix_norm", lambda m, a: m.linalg.matrix_norm(a, "nuc", dim=(0, 2), keepdim=True), (TALL,)),
    *[("lstsq", lambda m, a, b, d=d: m.linalg.lstsq(a, b, driver=d)[0], (TALL, RIGHT)) for d in (None, "gels")],
    ("lstsq", lambda m, a, b: m.linalg.lstsq(a, b).solution, (TALL, RIGHT[..., 0].copy())),
    ("lstsq", lambda m, a, b: m.linalg.lstsq(a, b).solution, (WIDE, A[0, 0, :3].copy())),
    *[
        (name, call, (a,))
        for a in (A, WIDE, TALL)
        for name, call in [
            ("qr", lambda m, a: m.linalg.qr(a).Q * m.linalg.qr(a).R.sum((-1, -2), keepdim=True)),
            ("svd", lambda m, a: m.linalg.svd(a)[0][..., :3] ** 2),
            ("svd", lambda m, a: m.linalg.svd(a, full_matrices=False)[2] ** 2),
            ("svdvals", lambda m, a: m.linalg.svdvals(a)),
            ("pinv", lambda m, a: m.linalg.pinv(a)),
            ("pinv", lambda m, a: m.linalg.pinv(a, rtol=m.tensor(0.3))),
            ("matrix_norm", lambda m, a: m.linalg.matrix_norm(a, 2)),
            ("matrix_norm", lambda m, a: m.linalg.matrix_norm(a, -2, keepdim=True)),
        ]
    ],
]
CONSTANT = [
    *[
        lambda m, a, s, w, d=d, i=i: m.linalg.lstsq(w.mT, a[0, 0, :, :1].repeat(2, 1)[:5], driver=d)[i]
        for d in (None, "gels", "gelsd", "gelss")
        for i in range(4)
    ],
    lambda m, a, s, w: m.linalg.lstsq(a[0], a[0], driver="gelsd").residuals,
    lambda m, a, s, w: m.linalg.matrix_rank(a, rtol=0.3),
    lambda m, a, s, w: m.linalg.matrix_rank(s, atol=1.5, hermitian=True),
    lambda m, a, s, w: m.linalg.matrix_rank(w, 2.0),
    lambda m, a, s, w: m.linalg.matrix_rank(w * 0, atol=0.0),
    lambda m, a, s, w: m.linalg.pinv(w, atol=2.0),
    lambda m, a, s, w: m.linalg.pinv(w[:0]),
    lambda m, a, s, w: abs(m.linalg.qr(w, "r").R),
    lambda m, a, s, w: m.linalg.cholesky(s),
    lambda m, a, s, w: m.linalg.cholesky(s, upper=True),
    lambda m, a, s, w: m.linalg.eigh(s).eigenvalues,
    lambda m, a, s, w: m.linalg.eigvalsh(s),
    lambda m, a, s, w: m.linalg.svdvals(w),
    lambda m, a, s, w: m.linalg.pinv(w),
    lambda m, a, s, w: m.linalg.matrix_rank(w),
    lambda m, a, s, w: abs(m.linalg.qr(a).R),
    lambda m, a, s, w: m.linalg.lstsq(w.T.contiguous(), w.T.contiguous()).solution,
    lambda m, a, s, w: m.linalg.matrix_norm(w, "nuc"),
    lambda m, a, s, w: m.linalg.matrix_norm(w, 2, keepdim=True),
]


@pytest.mark.parametrize(("name", "call", "arrays"), CALLS, ids=[f"{i}-{c[0]}" for i, c in enumerate(CALLS)])
def test_values_and_gradients_are_torchs(name, call, arrays):
    torch = pytest.importorskip("torch")
    ours = [fc.tensor(a).requires_grad_() for a in arrays]
    theirs = [torch.tensor(a, requires_grad=True) for a in arrays]
    y, z = call(fc, *ours), call(torch, *theirs)
    np.testing.assert_allclose(y.detach().numpy(), z.detach().numpy(), rtol=1e-9, atol=1e-9)
    weights = rng.standard_normal(y.shape)
    (y * fc.tensor(weights)).sum().backward()
    (z * torch.tensor(weights)).sum().backward()
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-7, atol=1e-7)


def test_the_gradient_of_a_determinant_that_is_zero():
    """It is the matrix of cofactors, whether there is an inverse or not."""
    a = fc.tensor(SINGULAR).requires_grad_()
    fc.det(a).backward()
    minors = [[np.delete(np.delete(SINGULAR, i, 0), j, 1) for j in range(3)] for i in range(3)]
    cofactors = np.linalg.det(minors) * [[1, -1, 1], [-1, 1, -1], [1, -1, 1]]
    np.testing.assert_allclose(a.grad.numpy(), cofactors, atol=1e-12)


def test_second_gradients_are_torchs():
    torch = pytest.importorskip("torch")
    gradients = []
    for m in (fc, torch):
        a = m.tensor(WIDE).requires_grad_()
        u, s, vh = m.linalg.svd(a, full_matrices=False)
        whole = m.linalg.cholesky(a @ a.mT).sum() + (m.linalg.pinv(a) ** 2).sum() + m.linalg.eigvalsh(a @ a.mT).sum()
        (first,) = m.autograd.grad((u[:, :1] @ vh[:1] * s[0]).sum() + whole, a, create_graph=True)
        (first**2).sum().backward()
        gradients.append(a.grad.numpy())
    np.testing.assert_allclose(*gradients, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("call", CONSTANT)
def test_values_are_torchs(call):
    torch = pytest.importorskip("torch")
    y = call(fc, *(fc.tensor(a) for a in (A, SYMMETRIC, WIDE)))
    z = call(torch, *(torch.tensor(a) for a in (A, SYMMETRIC, WIDE)))
    np.testing.assert_allclose(y.numpy(), z.numpy(), rtol=1e-8, atol=1e-8)


def test_svd_and_qr_compose_to_the_matrix():
    w = fc.tensor(WIDE)
    u, s, vh = linalg.svd(w, full_matrices=False)
    np.testing.assert_allclose((u * s @ vh).numpy(), WIDE, atol=1e-12)
    q, r = linalg.qr(w)
    np.testing.assert_allclose((q @ r).numpy(), WIDE, atol=1e-12)


def test_what_is_refused():
    with pytest.raises(linalg.LinAlgError, match=r"linalg.inv: .*\[\[2, 2\]\]"):
        linalg.inv(fc.ones(2, 2))
    with pytest.raises(RuntimeError, match="square matrices, but they are 3 by 5"):
        linalg.det(fc.tensor(WIDE))
    with pytest.raises(RuntimeError, match="at least 2 dimensions"):
        linalg.svd(fc.ones(3))
    with pytest.raises(RuntimeError, match="float32 or float64"):
        linalg.inv(fc.ones(2, 2, dtype=fc.int64))
    with pytest.raises(RuntimeError, match="not differentiable when mode='complete' and nrows > ncols"):
        linalg.qr(fc.ones(3, 2, requires_grad=True), "complete")
    with pytest.raises(RuntimeError, match="depends on Q"):
        linalg.qr(fc.ones(3, 2, requires_grad=True), "r")
    with pytest.raises(RuntimeError, match="driver should be one of"):
        linalg.lstsq(fc.ones(3, 2), fc.ones(3, 2), driver="gel")
    with pytest.raises(RuntimeError, match="differ in their numbers of rows"):
        linalg.lstsq(fc.ones(3, 2), fc.ones(2, 2))
    with pytest.raises(RuntimeError, match="Incompatible shapes"):
        linalg.solve(fc.eye(3), fc.ones(2, 1))
    with pytest.raises(TypeError, match="expected a Tensor"):
        linalg.det(np.eye(2))
