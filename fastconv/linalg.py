"""Linear algebra by torch.linalg's names, computed by numpy.linalg.

``det``, ``inv``, ``slogdet``, ``solve`` and the norms are differentiable. The decompositions are not: they refuse
tensors whose gradient is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from . import functions, primitives
from ._native.tape import TensorBase, differentiable_twice, wrap
from ._tensor import Tensor
from .autograd import is_grad_enabled
from .checks import brief
from .functions.operands import apply, shown_as

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


def _constant(A: Tensor, name: str) -> np.ndarray:
    if A.requires_grad and is_grad_enabled():
        raise NotImplementedError(f"linalg.{name} has no gradient: call it under no_grad(), or on A.detach()")
    return A._array


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
    sign, value = np.linalg.slogdet(A._array)
    if not (A.requires_grad and is_grad_enabled()):
        return Slogdet(wrap(np.asarray(sign)), wrap(np.asarray(value)))
    return Slogdet(wrap(np.asarray(sign)), apply(_logabsdet, A))


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
    y = wrap(np.broadcast_to(np.eye(A.shape[-1], dtype=A.dtype), A.shape).copy())
    while n:
        y, A, n = (y @ A if n & 1 else y), A @ A, n >> 1
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
        values = np.linalg.svd(np.moveaxis(_constant(A, "matrix_norm"), (rows, columns), (-2, -1)), compute_uv=False)
        chosen = values.sum(-1) if ord == "nuc" else values.max(-1) if ord == 2 else values.min(-1)
        return wrap(np.expand_dims(chosen, tuple(sorted((rows, columns)))) if keepdim else np.asarray(chosen))
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


def cholesky(A: Tensor, *, upper: bool = False) -> Tensor:
    """L of ``A = L L^T``, lower triangular; or with `upper` its transpose."""
    L = _computed("cholesky", np.linalg.cholesky, _constant(_matrices(A, "cholesky", square=True), "cholesky"))
    return wrap(np.ascontiguousarray(L.swapaxes(-1, -2)) if upper else L)


def qr(A: Tensor, mode: str = "reduced") -> Any:
    """Q and R of ``A = Q R``; `mode` is "reduced" or "complete"."""
    if mode not in ("reduced", "complete"):
        raise RuntimeError(f"linalg.qr: mode must be 'reduced' or 'complete', got {mode!r}")
    return QR(*map(wrap, np.linalg.qr(_constant(_matrices(A, "qr"), "qr"), mode)))


def svd(A: Tensor, full_matrices: bool = True) -> Any:
    """U, S and Vh of ``A = U diag(S) Vh``."""
    return SVD(*map(wrap, _computed("svd", np.linalg.svd, _constant(_matrices(A, "svd"), "svd"), full_matrices)))


def svdvals(A: Tensor) -> Tensor:
    """The singular values of matrices, the largest first."""
    array = _constant(_matrices(A, "svdvals"), "svdvals")
    return wrap(_computed("svdvals", np.linalg.svd, array, compute_uv=False))


def eigh(A: Tensor, UPLO: str = "L") -> Any:
    """Eigenvalues and eigenvectors of symmetric matrices, the smallest first."""
    return Eigh(*map(wrap, _computed("eigh", np.linalg.eigh, _constant(_matrices(A, "eigh", True), "eigh"), UPLO)))


def eigvalsh(A: Tensor, UPLO: str = "L") -> Tensor:
    """Eigenvalues of symmetric matrices, the smallest first."""
    return wrap(_computed("eigvalsh", np.linalg.eigvalsh, _constant(_matrices(A, "eigvalsh", True), "eigvalsh"), UPLO))


def pinv(A: Tensor) -> Tensor:
    """The pseudo-inverse of matrices."""
    return wrap(_computed("pinv", np.linalg.pinv, _constant(_matrices(A, "pinv"), "pinv")))


def matrix_rank(A: Tensor) -> Tensor:
    """The rank of matrices."""
    return wrap(np.asarray(np.linalg.matrix_rank(_constant(_matrices(A, "matrix_rank"), "matrix_rank")), np.int64))


def lstsq(A: Tensor, B: Tensor) -> Any:
    """X that makes ``|A X - B|`` smallest: ``(solution, residuals, rank, singular_values)``, for matrices A and B."""
    arrays = [_constant(_matrices(t, "lstsq"), "lstsq") for t in (A, B)]
    x, residuals, rank, values = _computed("lstsq", np.linalg.lstsq, *arrays)
    return Lstsq(wrap(x), wrap(residuals), wrap(np.asarray(rank)), wrap(values))


def cross(input: Tensor, other: Tensor, *, dim: int = -1) -> Tensor:
    """See :func:`fastconv.cross`."""
    return functions.cross(input, other, dim)
