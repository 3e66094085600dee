"""Linear algebra by torch.linalg's names, computed by numpy.linalg; differentiable, as torch's is.

An operation on the tape has one result. Those of a decomposition are laid side by side in one array, and are taken
from it by slicing, which is recorded. Gradients of vectors of equal singular values, or eigenvalues, are infinite.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from . import functions, primitives
from ._native.tape import TensorBase, differentiable_twice, wrap
from ._tensor import Tensor
from .autograd import is_grad_enabled
from .checks import brief
from .functions.operands import apply, array_of, quiet, shown_as

__all__ = [
    "LinAlgError",
    "cholesky",
    "cross",
    "det",
    "eigh",
    "eigvalsh",
    "inv",
    "lstsq",
    "matrix_norm",
    "matrix_power",
    "matrix_rank",
    "norm",
    "pinv",
    "qr",
    "slogdet",
    "solve",
    "svd",
    "svdvals",
    "vector_norm",
]


@shown_as("linalg_svd")
class SVD(NamedTuple):
    """What :func:`svd` returns."""

    U: Tensor
    S: Tensor
    Vh: Tensor


@shown_as("linalg_qr")
class QR(NamedTuple):
    """What :func:`qr` returns."""

    Q: Tensor
    R: Tensor


@shown_as("linalg_eigh")
class Eigh(NamedTuple):
    """What :func:`eigh` returns."""

    eigenvalues: Tensor
    eigenvectors: Tensor


@shown_as("linalg_slogdet")
class Slogdet(NamedTuple):
    """What :func:`slogdet` returns."""

    sign: Tensor
    logabsdet: Tensor


@shown_as("linalg_lstsq")
class Lstsq(NamedTuple):
    """What :func:`lstsq` returns."""

    solution: Tensor
    residuals: Tensor
    rank: Tensor
    singular_values: Tensor


class LinAlgError(RuntimeError):
    """A matrix that has no inverse, or none of the decomposition that was asked for."""


def _matrices(A: Any, name: str, square: bool = False) -> Tensor:
    if not isinstance(A, TensorBase):
        raise TypeError(f"linalg.{name}: expected a Tensor, got {brief(A)}")
    if A.dtype not in (np.float32, np.float64):
        raise RuntimeError(f"linalg.{name}: expected a float32 or float64 tensor, got {brief(A)}")
    if A.ndim < 2:
        raise RuntimeError(f"linalg.{name}: The input tensor A must have at least 2 dimensions, got {brief(A)}")
    if square and A.shape[-1] != A.shape[-2]:
        raise RuntimeError(
            f"linalg.{name}: A must be batches of square matrices, but they are {A.shape[-2]} by {A.shape[-1]} matrices"
        )
    return A


def _computed(name: str, compute: Callable[..., Any], *arrays: np.ndarray, **options: Any) -> Any:
    try:
        return compute(*arrays, **options)
    except np.linalg.LinAlgError as error:
        raise LinAlgError(f"linalg.{name}: {error}, for {[list(a.shape) for a in arrays]}") from None


# Gradients are written in these, of arrays and of tensors alike.


def _side_by_side(*arrays: np.ndarray) -> np.ndarray:
    """Batches of matrices, and of vectors, as one array (..., elements)."""
    batch = arrays[0].shape[:-2]
    return np.concatenate([np.reshape(a, (*batch, math.prod(a.shape[len(batch) :]))) for a in arrays], -1)


def _parts(y: Any, *shapes: tuple[int, ...]) -> list[Any]:
    """What :func:`_side_by_side` put together."""
    ends = list(itertools.accumulate(math.prod(shape) for shape in shapes))
    pieces = [y[..., end - math.prod(shape) : end] for end, shape in zip(ends, shapes, strict=True)]
    return [piece.reshape((*y.shape[:-1], *shape)) for piece, shape in zip(pieces, shapes, strict=True)]


def _results(y: Tensor, *shapes: tuple[int, ...]) -> list[Tensor]:
    """The parts as tensors of their own."""
    return [apply(primitives.clone, part) for part in _parts(y, *shapes)]


def _lower(x: Any, diagonal: int = 0) -> Any:
    return primitives.selected(np.tri(x.shape[-2], x.shape[-1], diagonal, dtype=bool), x)


def _diagonal_matrix(x: Any) -> Any:
    """Matrices with x (..., N) on their diagonals."""
    n = x.shape[-1]
    return primitives.selected(np.eye(n, dtype=bool), primitives.expanded(_as_column(x), (*x.shape, n)))


def _as_row(x: Any) -> Any:
    return x.reshape((*x.shape[:-1], 1, x.shape[-1]))


def _as_column(x: Any) -> Any:
    return x.reshape((*x.shape, 1))


def _over(x: Any, y: Any) -> Any:
    """x / y, but 0 where x is 0: what has no gradient is not divided by a difference of equal values."""
    some = primitives.plain(x) != 0
    return x / (primitives.selected(some, primitives.expanded(y, x.shape)) + (~some).astype(y.dtype))


def _differences(x: Any) -> Any:
    """``x[j] - x[i]`` of vectors (..., N)."""
    return _as_row(x) - _as_column(x)


def _bounds(
    values: np.ndarray, shape: tuple[int, ...], atol: Tensor | float | None, rtol: Tensor | float | None
) -> np.ndarray:
    """Below which singular values of matrices of a shape count as zero."""
    if rtol is None:
        rtol = max(shape[-2:]) * np.finfo(values.dtype).eps if atol is None or np.all(array_of(atol) == 0) else 0.0
    largest = np.max(values, -1, initial=0)
    return np.maximum(array_of(0.0 if atol is None else atol), array_of(rtol) * largest).astype(values.dtype)


# ---- inverses, determinants, systems --------------------------------------------------------------------------------


@differentiable_twice
def _inv(needs, A):
    y = _computed("inv", np.linalg.inv, A)

    def vjp(dy, y):
        turned = primitives.transposed(y)
        return (-(turned @ dy @ turned),)

    return y, vjp, (y,)


@differentiable_twice
def _det(needs, A):
    y = np.asarray(np.linalg.det(A))

    def vjp(dy, A, y):
        # The gradient is the matrix of cofactors, which is det A times the inverse where there is one.
        rank = np.linalg.matrix_rank(primitives.plain(A))
        if np.all(rank == A.shape[-1]):
            scale = dy * y
            return (scale.reshape((*scale.shape, 1, 1)) * primitives.transposed(apply(_inv, A)),)
        if isinstance(dy, TensorBase):
            raise NotImplementedError("linalg.det of a singular matrix has no second gradient")
        return (dy[..., None, None] * _cofactors(A),)

    return y, vjp, (A, y)


def _cofactors(A: np.ndarray) -> np.ndarray:
    """From the singular values: U diag(products of all others) Vh, and its sign."""
    u, s, vh = np.linalg.svd(A)
    others = np.stack([np.prod(np.delete(s, i, -1), -1) for i in range(s.shape[-1])], -1)
    sign = np.linalg.det(u) * np.linalg.det(vh)
    return (sign[..., None, None] * (u * others[..., None, :]) @ vh).astype(A.dtype)


@differentiable_twice
def _solve(needs, A, B):
    y = _computed("solve", np.linalg.solve, A, B)

    def vjp(dy, A, y):
        dB = apply(_solve, primitives.transposed(A), dy)
        dA = -(dB @ primitives.transposed(y)) if needs[0] else None
        return (
            None if dA is None else primitives.sum_back(dA, A.shape),
            primitives.sum_back(dB, B_shape) if needs[1] else None,
        )

    B_shape = B.shape
    return y, vjp, (A, y)


def inv(A: Tensor) -> Tensor:
    """The inverse of square matrices (..., N, N); LinAlgError for a singular one."""
    return apply(_inv, _matrices(A, "inv", square=True))


def det(A: Tensor) -> Tensor:
    """The determinant of square matrices (..., N, N)."""
    return apply(_det, _matrices(A, "det", square=True))


def slogdet(A: Tensor) -> Any:
    """The sign of the determinant and the logarithm of its magnitude: ``(sign, logabsdet)``."""
    _matrices(A, "slogdet", square=True)
    return Slogdet(apply(_sign_of_det, A), apply(_logabsdet, A))


@differentiable_twice
def _sign_of_det(needs, A):
    return np.asarray(np.linalg.slogdet(A)[0]), lambda dy: (None,), ()


@differentiable_twice
def _logabsdet(needs, A):
    def vjp(dy, A):
        return (dy.reshape((*dy.shape, 1, 1)) * primitives.transposed(apply(_inv, A)),)

    return np.asarray(np.linalg.slogdet(A)[1]), vjp, (A,)


def solve(A: Tensor, B: Tensor) -> Tensor:
    """X of ``A X = B``, for A (..., N, N) and B (..., N, K), or a vector B (N,)."""
    _matrices(A, "solve", square=True)
    if not isinstance(B, TensorBase) or not B.ndim or B.dtype != A.dtype:
        raise RuntimeError(f"linalg.solve: expected B of A's dtype {A.dtype}, got {brief(B)}")
    vector = B.ndim == 1 or (B.ndim == A.ndim - 1 and tuple(B.shape) == tuple(A.shape[:-1]))
    right = B.reshape(*B.shape, 1) if vector else B
    if right.shape[-2] != A.shape[-1]:
        raise RuntimeError(f"linalg.solve: Incompatible shapes of A and B: {list(A.shape)} and {list(B.shape)}")
    y = apply(_solve, A, right)
    return y.squeeze(-1) if vector else y


def matrix_power(A: Tensor, n: int) -> Tensor:
    """A multiplied n times by itself; by its inverse if n is negative."""
    _matrices(A, "matrix_power", square=True)
    if n < 0:
        return matrix_power(inv(A), -n)
    if n == 0:
        return A.clone().copy_(wrap(np.eye(A.shape[-1], dtype=A.dtype)))
    y = None
    while n:
        if n & 1:
            y = A if y is None else y @ A
        n >>= 1
        if n:
            A = A @ A
    return y


# ---- norms ----------------------------------------------------------------------------------------------------------


def vector_norm(x: Tensor, ord: float = 2, dim: Any = None, keepdim: bool = False) -> Tensor:
    """The p-norm of all elements, or of those along `dim`; see :func:`fastconv.norm`."""
    return functions.norm(x, ord, dim, keepdim)


def matrix_norm(A: Tensor, ord: Any = "fro", dim: Sequence[int] = (-2, -1), keepdim: bool = False) -> Tensor:
    """A norm of matrices: "fro", "nuc", or 1, -1, inf, -inf (sums of columns and of rows), 2, -2 (singular values)."""
    _matrices(A, "matrix_norm")
    rows, columns = (d % A.ndim for d in dim)
    if ord == "fro":
        return functions.norm(A, 2, (rows, columns), keepdim)
    if ord in (1, -1, np.inf, -np.inf):
        first, second = (rows, columns) if abs(ord) == 1 else (columns, rows)
        sums = functions.norm(A, 1, first, True)
        pick = functions.max if ord > 0 else functions.min
        y = pick(sums, second, True).values
    elif ord in (2, -2, "nuc"):
        values = svdvals(functions.movedim(A, (rows, columns), (-2, -1)))
        chosen = values.sum(-1) if ord == "nuc" else values.amax(-1) if ord == 2 else values.amin(-1)
        for d in sorted((rows, columns)) if keepdim else ():
            chosen = chosen.unsqueeze(d)
        return chosen
    else:
        raise RuntimeError(f"linalg.matrix_norm: Order {ord} not supported.")
    return y if keepdim else y.squeeze((rows, columns))


def norm(A: Tensor, ord: Any = None, dim: Any = None, keepdim: bool = False) -> Tensor:
    """:func:`vector_norm`, or with two dimensions, or an `ord` and a matrix, :func:`matrix_norm`."""
    if ord is None:
        return vector_norm(A, 2, dim, keepdim)
    if isinstance(dim, (list, tuple)) and len(dim) == 2:
        return matrix_norm(A, ord, dim, keepdim)
    if dim is None and A.ndim == 2:
        return matrix_norm(A, ord, (0, 1), keepdim)
    return vector_norm(A, ord, dim, keepdim)


# ---- decompositions -------------------------------------------------------------------------------------------------


@differentiable_twice
def _cholesky(needs, A):
    y = _computed("cholesky", np.linalg.cholesky, A)

    def vjp(dy, y):
        product = _lower(primitives.transposed(y) @ dy)
        both = product + primitives.transposed(_lower(product, -1))
        turned = apply(_inv, primitives.transposed(y))
        return (turned @ both @ primitives.transposed(turned) * 0.5,)

    return y, vjp, (y,)


def cholesky(A: Tensor, *, upper: bool = False) -> Tensor:
    """L of ``A = L L^T``, lower triangular; or with `upper` its transpose."""
    _matrices(A, "cholesky", square=True)
    if not upper:
        return apply(_cholesky, A)
    return apply(_cholesky, A.mT).mT.contiguous()


@differentiable_twice
def _qr(needs, A, mode):
    q, r = np.linalg.qr(A, mode)

    def vjp(dy, y):
        (q, r), (dq, dr) = (_parts(whole, q_shape, r_shape) for whole in (y, dy))
        turned = primitives.transposed(q)
        k = q_shape[1]
        if r_shape[1] <= k:
            product = primitives.transposed(_lower(primitives.transposed(dr @ primitives.transposed(r) - turned @ dq)))
            both = (product + primitives.transposed(product)) * (1 - np.eye(k, dtype=y.dtype) / 2)
            return ((dq + q @ both) @ apply(_inv, primitives.transposed(r)),)
        product = turned @ dq - dr @ primitives.transposed(r)
        skew = _lower(product - primitives.transposed(product))
        first = q @ skew @ apply(_inv, primitives.transposed(r[..., :k]))
        return (q @ dr + first @ np.eye(k, r_shape[1], dtype=y.dtype),)

    q_shape, r_shape = q.shape[-2:], r.shape[-2:]
    y = _side_by_side(q, r)
    return y, vjp, (y,)


def qr(A: Tensor, mode: str = "reduced") -> Any:
    """Q and R of ``A = Q R``; `mode` is "reduced" or "complete", or "r" for an empty Q.

    Raises
    ------
    RuntimeError
        If a gradient is asked for of a mode that has none: "r", or "complete" with more rows than columns.
    """
    if mode not in ("reduced", "complete", "r"):
        raise RuntimeError(f"linalg.qr: mode must be 'reduced', 'complete' or 'r', got {mode!r}")
    m, n = _matrices(A, "qr").shape[-2:]
    if not (A.requires_grad and is_grad_enabled()):
        factors = (np.zeros(0, A.dtype), np.linalg.qr(A._array, "r")) if mode == "r" else np.linalg.qr(A._array, mode)
        return QR(*map(wrap, factors))
    if mode == "r":
        raise RuntimeError("The derivative of linalg.qr depends on Q, which mode='r' does not compute: use 'reduced'")
    if mode == "complete" and m > n:
        raise RuntimeError("The QR decomposition is not differentiable when mode='complete' and nrows > ncols.")
    k = min(m, n)
    return QR(*_results(apply(_qr, A, mode=mode), (m, k), (k, n)))


@differentiable_twice
def _svd(needs, A, full):
    u, s, vh = _computed("svd", np.linalg.svd, A, full)

    def vjp(dy, y):
        (u, s, vh), (du, ds, dvh) = (_parts(whole, *shapes) for whole in (y, dy))
        # Vectors beyond the values are any that complete the others, and have no gradient.
        u, du, vh, dvh = u[..., :k], du[..., :k], vh[..., :k, :], dvh[..., :k, :]
        v, uh = primitives.transposed(vh), primitives.transposed(u)
        of_u, of_v = uh @ du, dvh @ v
        gaps = _differences(s * s)
        middle = (
            _over(of_u - primitives.transposed(of_u), gaps) * _as_row(s)
            + _over(primitives.transposed(of_v) - of_v, gaps) * _as_column(s)
            + _diagonal_matrix(ds)
        )
        dA = u @ middle @ vh
        if u.shape[-2] > k:
            dA = dA + _over(du - u @ of_u, _as_row(s)) @ vh
        if vh.shape[-1] > k:
            dA = dA + u @ _over(dvh - of_v @ vh, _as_column(s))
        return (dA,)

    k, shapes = s.shape[-1], (u.shape[-2:], s.shape[-1:], vh.shape[-2:])
    y = _side_by_side(u, s, vh)
    return y, vjp, (y,)


def svd(A: Tensor, full_matrices: bool = True) -> Any:
    """U, S and Vh of ``A = U diag(S) Vh``."""
    m, n = _matrices(A, "svd").shape[-2:]
    if not (A.requires_grad and is_grad_enabled()):
        return SVD(*map(wrap, _computed("svd", np.linalg.svd, A._array, full_matrices)))
    k = min(m, n)
    rows, columns = (m, n) if full_matrices else (k, k)
    return SVD(*_results(apply(_svd, A, full=full_matrices), (m, rows), (k,), (columns, n)))


def svdvals(A: Tensor) -> Tensor:
    """The singular values of matrices, the largest first."""
    if not (_matrices(A, "svdvals").requires_grad and is_grad_enabled()):
        return wrap(_computed("svdvals", np.linalg.svd, A._array, compute_uv=False))
    return svd(A, full_matrices=False).S


@differentiable_twice
def _eigh(needs, A, UPLO):
    values, vectors = _computed("eigh", np.linalg.eigh, A, UPLO)

    def vjp(dy, y):
        (values, vectors), (dvalues, dvectors) = (_parts(whole, (n,), (n, n)) for whole in (y, dy))
        turned = primitives.transposed(vectors)
        off_diagonal = primitives.selected(~np.eye(n, dtype=bool), turned @ dvectors)
        middle = _over(off_diagonal, _differences(values)) + _diagonal_matrix(dvalues)
        dA = vectors @ middle @ turned
        return ((dA + primitives.transposed(dA)) * 0.5,)

    n = A.shape[-1]
    y = np.concatenate([values, vectors.reshape(*A.shape[:-2], n * n)], -1)
    return y, vjp, (y,)


def eigh(A: Tensor, UPLO: str = "L") -> Any:
    """Eigenvalues and eigenvectors of symmetric matrices, the smallest first."""
    n = _matrices(A, "eigh", square=True).shape[-1]
    if not (A.requires_grad and is_grad_enabled()):
        return Eigh(*map(wrap, _computed("eigh", np.linalg.eigh, A._array, UPLO)))
    return Eigh(*_results(apply(_eigh, A, UPLO=UPLO), (n,), (n, n)))


def eigvalsh(A: Tensor, UPLO: str = "L") -> Tensor:
    """Eigenvalues of symmetric matrices, the smallest first."""
    if not (_matrices(A, "eigvalsh", square=True).requires_grad and is_grad_enabled()):
        return wrap(_computed("eigvalsh", np.linalg.eigvalsh, A._array, UPLO))
    return eigh(A, UPLO).eigenvalues


@quiet
def _pseudo_inverse(A: np.ndarray, atol: Any, rtol: Any, hermitian: bool) -> np.ndarray:
    if not A.size:
        return np.zeros((*A.shape[:-2], A.shape[-1], A.shape[-2]), A.dtype)
    if hermitian:
        values, u = np.linalg.eigh(A)
        v = u
    else:
        u, values, vh = np.linalg.svd(A, full_matrices=False)
        v = vh.swapaxes(-1, -2)
    size = np.abs(values)
    inverted = np.where(size > _bounds(size, A.shape, atol, rtol)[..., None], 1 / values, 0)
    return v * inverted[..., None, :].astype(A.dtype) @ u.swapaxes(-1, -2)


@differentiable_twice
def _pinv(needs, A, atol, rtol, hermitian):
    y = _computed("pinv", _pseudo_inverse, A, atol=atol, rtol=rtol, hermitian=hermitian)

    def vjp(dy, A, y):
        turned, dy = primitives.transposed(y), primitives.transposed(dy)
        if A.shape[-2] <= A.shape[-1]:
            K = dy @ y
            after = K @ turned
            dA = after - A @ y @ after + turned @ y @ (dy - K @ A)
            return (dA - primitives.transposed(y @ K),)
        K = y @ dy
        after = turned @ K
        dA = (dy - A @ K) @ y @ turned + after - after @ y @ A
        return (dA - primitives.transposed(K @ y),)

    return y, vjp, (A, y)


def pinv(
    A: Tensor,
    rcond: Tensor | float | None = None,
    hermitian: bool = False,
    *,
    atol: Tensor | float | None = None,
    rtol: Tensor | float | None = None,
) -> Tensor:
    """The pseudo-inverse of matrices.

    Parameters
    ----------
    A : Tensor of shape (..., M, N)
    rcond : Tensor or float, optional
        Torch's former name of `rtol`.
    hermitian : bool, optional
        A is symmetric: the lower triangle is read.
    atol, rtol : Tensor or float, optional
        Singular values up to ``max(atol, rtol * the largest)`` count as zero. Without either, `rtol` is the resolution
        of A's dtype times the larger of M and N.
    """
    _matrices(A, "pinv", hermitian)
    return apply(_pinv, A, atol=atol, rtol=rcond if rtol is None else rtol, hermitian=hermitian)


def matrix_rank(
    A: Tensor,
    tol: Tensor | float | None = None,
    hermitian: bool = False,
    *,
    atol: Tensor | float | None = None,
    rtol: Tensor | float | None = None,
) -> Tensor:
    """The rank of matrices: the number of singular values above a bound, which :func:`pinv` describes.

    `tol` is torch's former name of `atol`, without an `rtol`.
    """
    _matrices(A, "matrix_rank", hermitian)
    if tol is not None:
        atol, rtol = tol, 0.0
    values = _computed("matrix_rank", np.linalg.eigvalsh, A._array) if hermitian else svdvals(A.detach())._array
    values = np.abs(values)
    return wrap(np.asarray(np.sum(values > _bounds(values, A.shape, atol, rtol)[..., None], -1), np.int64))


def lstsq(A: Tensor, B: Tensor, rcond: float | None = None, *, driver: str | None = None) -> Any:
    """X that makes ``|A X - B|`` smallest: ``(solution, residuals, rank, singular_values)``.

    Parameters
    ----------
    A : Tensor of shape (..., M, N)
    B : Tensor of shape (..., M, K) or (..., M)
    rcond : float, optional
        Singular values up to this times the largest count as zero; the resolution of A's dtype times the larger of M
        and N.
    driver : {"gels", "gelsy", "gelsd", "gelss"}, optional
        LAPACK's routine that torch calls, which decides what else there is: "gelsy", the default, tells ranks, "gels"
        squares of what remains, the others these and singular values. Where there is none, the tensor is empty.
    """
    for t in (A, B):
        if not isinstance(t, TensorBase):
            raise TypeError(f"linalg.lstsq: expected a Tensor, got {brief(t)}")
    m, n = _matrices(A, "lstsq").shape[-2:]
    if driver not in (None, "gels", "gelsy", "gelsd", "gelss"):
        raise RuntimeError(f"linalg.lstsq: driver should be one of gels, gelsy, gelsd, gelss, got {driver!r}")
    if A.dtype != B.dtype:
        raise RuntimeError(f"linalg.lstsq: Expected A and B of the same dtype, got {A.dtype} and {B.dtype}")
    if not 0 <= A.ndim - B.ndim <= 1 or B.ndim < 1:
        raise RuntimeError(f"linalg.lstsq: expected B with A's dimensions or one less, got {brief(A)} and {brief(B)}")
    vector = B.ndim < A.ndim
    right = B.unsqueeze(-1) if vector else B
    if right.shape[-2] != m:
        raise RuntimeError(f"linalg.lstsq: A and B differ in their numbers of rows: {list(A.shape)}, {list(B.shape)}")
    values = svdvals(A.detach())._array
    solution = pinv(A, 0.0 if driver == "gels" else rcond) @ right
    ranks = np.asarray(np.sum(values > _bounds(values, A.shape, None, rcond)[..., None], -1), np.int64)
    residuals, nothing = np.zeros(0, A.dtype), np.zeros(0, A.dtype)
    if driver in ("gels", "gelsd", "gelss") and m > n and np.all(ranks == n):
        residuals = np.sum((A._array @ solution._array - right._array) ** 2, -2)
    return Lstsq(
        solution.squeeze(-1) if vector else solution,
        wrap(residuals),
        wrap(np.zeros(0, np.int64) if driver == "gels" else ranks),
        wrap(values if driver in ("gelsd", "gelss") else nothing),
    )


def cross(input: Tensor, other: Tensor, *, dim: int = -1) -> Tensor:
    """See :func:`fastconv.cross`."""
    return functions.cross(input, other, dim)
