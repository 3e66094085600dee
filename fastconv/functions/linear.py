"""Products of vectors and matrices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .._native.tape import TensorBase, differentiable_twice
from ..checks import brief, dimension
from .arithmetic import matmul, mul
from .operands import apply, numpy_names, operands
from .reduction import sum
from .selection import diagonal
from .shapes import permute, reshape

if TYPE_CHECKING:
    from .._tensor import Tensor

__all__ = [
    "addmm",
    "baddbmm",
    "bmm",
    "cdist",
    "cross",
    "diag",
    "diag_embed",
    "dot",
    "einsum",
    "inner",
    "kron",
    "mm",
    "mv",
    "outer",
    "tensordot",
    "trace",
    "tril",
    "triu",
]

_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def _of_ranks(name: str, ranks: tuple[int, ...], *tensors: Any) -> None:
    for i, (t, rank) in enumerate(zip(tensors, ranks, strict=True)):
        if not isinstance(t, TensorBase):
            raise TypeError(f"{name}() expects tensors, got {brief(t)}")
        if t.ndim != rank:
            raise RuntimeError(
                f"{name}(): expected a {rank}-D tensor as operand {i + 1}, got {t.ndim}-D of shape {list(t.shape)}"
            )


def mm(input: Tensor, mat2: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The product of two matrices."""
    _of_ranks("mm", (2, 2), input, mat2)
    return matmul(input, mat2, out=out)


def bmm(input: Tensor, mat2: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The products of as many matrices as there are in both, (B, N, M) and (B, M, P)."""
    _of_ranks("bmm", (3, 3), input, mat2)
    if input.shape[0] != mat2.shape[0]:
        raise RuntimeError(
            f"batch1 and batch2 must have same number of batches, got {input.shape[0]} and {mat2.shape[0]}"
        )
    return matmul(input, mat2, out=out)


def mv(input: Tensor, vec: Tensor) -> Tensor:
    """The product of a matrix and a vector."""
    _of_ranks("mv", (2, 1), input, vec)
    return matmul(input, vec)


def dot(input: Tensor, tensor: Tensor) -> Tensor:
    """The inner product of two vectors."""
    _of_ranks("dot", (1, 1), input, tensor)
    if input.shape != tensor.shape:
        raise RuntimeError(
            f"inconsistent tensor size, expected tensor {list(input.shape)} and src {list(tensor.shape)} to have the "
            "same number of elements"
        )
    return matmul(input, tensor)


def inner(input: Tensor, other: Tensor) -> Tensor:
    """Sums of products over the last dimension of both."""
    if not input.ndim or not other.ndim:
        return mul(input, other)
    return tensordot(input, other, ([input.ndim - 1], [other.ndim - 1]))


def outer(input: Tensor, vec2: Tensor) -> Tensor:
    """Each element of a vector times each of another: a matrix."""
    _of_ranks("outer", (1, 1), input, vec2)
    return mul(reshape(input, (-1, 1)), vec2)


def addmm(input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """``beta * input + alpha * (mat1 @ mat2)``, for matrices."""
    _of_ranks("addmm", (2, 2), mat1, mat2)
    return _plus_product(input, matmul(mat1, mat2), beta, alpha)


def baddbmm(input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """``beta * input + alpha * (batch1 @ batch2)``, for (B, N, M) and (B, M, P)."""
    return _plus_product(input, bmm(batch1, batch2), beta, alpha)


def _plus_product(input: Tensor, product: Tensor, beta: float, alpha: float) -> Tensor:
    shape, of_product = tuple(input.shape), tuple(product.shape)
    if len(shape) > len(of_product) or any(
        n not in (1, m) for n, m in zip(shape[::-1], of_product[::-1], strict=False)
    ):
        raise RuntimeError(f"the input of shape {list(shape)} cannot be expanded to the product's, {list(of_product)}")
    product = product if alpha == 1 else product * alpha
    # With beta = 0 the input does not count, not even its NaN.
    return product if beta == 0 else (input if beta == 1 else input * beta) + product


def tensordot(a: Tensor, b: Tensor, dims: int | Sequence[Sequence[int]] = 2) -> Tensor:
    """Sums of products over the last dimensions of `a` and the first of `b`, or over those that are named."""
    if isinstance(dims, (list, tuple)):
        of_a, of_b = (
            [dimension(d, t.ndim) for d in (each if isinstance(each, (list, tuple)) else [each])]
            for each, t in zip(dims, (a, b), strict=True)
        )
    else:
        count = int(dims)
        of_a, of_b = list(range(a.ndim - count, a.ndim)), list(range(count))
    for d, e in zip(of_a, of_b, strict=True):  # a length of one is broadcast
        if a.shape[d] == 1 != b.shape[e]:
            b = b.sum(e, keepdim=True)
        elif b.shape[e] == 1 != a.shape[d]:
            a = a.sum(d, keepdim=True)
    if [a.shape[d] for d in of_a] != [b.shape[d] for d in of_b]:
        raise RuntimeError(
            f"contracted dimensions need to match, but {of_a} of {list(a.shape)} and {of_b} of {list(b.shape)} do not"
        )
    free_a, free_b = ([d for d in range(t.ndim) if d not in used] for t, used in ((a, of_a), (b, of_b)))
    length = int(np.prod([a.shape[d] for d in of_a], dtype=np.int64))
    left = reshape(permute(a, free_a + of_a), (-1, length) if length else (a._array.size, 0))
    right = reshape(permute(b, of_b + free_b), (length, -1) if length else (0, b._array.size))
    shape = [a.shape[d] for d in free_a] + [b.shape[d] for d in free_b]
    return reshape(matmul(left, right), shape)


@differentiable_twice
def _einsum(needs, *arrays, labels, out):
    """Sums of products; each label of an operand is one of the result's or of another operand's, once."""
    y = np.einsum(",".join(labels) + "->" + out, *arrays, optimize=len(arrays) > 2)
    saved = arrays if len(arrays) > 1 else (None,)

    def vjp(dy, *arrays):
        gradients = []
        for i, need in enumerate(needs):
            others = [j for j in range(len(labels)) if j != i]
            factors, their = [dy, *[arrays[j] for j in others]], (out, *[labels[j] for j in others])
            gradients.append(apply(_einsum, *factors, labels=their, out=labels[i]) if need else None)
        return gradients

    return np.asarray(y, arrays[0].dtype), vjp, saved


def einsum(equation: str, *operands: Any) -> Tensor:
    """Sums of products by the labels of dimensions (Einstein's convention): ``einsum("bij,bjk->bik", a, b)``.

    Parameters
    ----------
    equation : str
        The labels of each operand, letters, and those of the result; ``...`` stands for dimensions that are broadcast.
        Without ``->`` the result has the labels that are there once, in alphabetical order.
    *operands : Tensor

    Examples
    --------
    >>> fastconv.einsum("ij,ij->i", fastconv.ones(2, 3), fastconv.ones(2, 3))
    tensor([3., 3.])
    """
    if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        operands = tuple(operands[0])
    for t in operands:
        if not isinstance(t, TensorBase):
            raise TypeError(f"einsum() expects tensors, got {brief(t)}")
    terms, _, result = equation.replace(" ", "").partition("->")
    labels = terms.split(",")
    if len(labels) != len(operands):
        raise RuntimeError(
            f"einsum(): more operands were provided than specified in the equation, or fewer: {equation!r} has "
            f"{len(labels)}, got {len(operands)}"
        )
    free = [letter for letter in _LETTERS if letter not in equation]
    most = max(t.ndim - len(term.replace("...", "")) for t, term in zip(operands, labels, strict=True))
    stretched = "".join(free[: max(most, 0)])
    if "->" not in equation:
        alone = sorted({c for c in terms if c.isalpha() and terms.count(c) == 1})
        result = ("..." if "..." in terms else "") + "".join(alone)
    tensors, plain = [], []
    for t, term in zip(operands, labels, strict=True):
        dots = t.ndim - len(term.replace("...", ""))
        if dots < 0 or (dots and "..." not in term):
            raise RuntimeError(
                f"einsum(): the number of subscripts in the equation ({len(term)}) does not match the number of "
                f"dimensions ({t.ndim}) of operand {term!r} of shape {list(t.shape)}"
            )
        term = term.replace("...", stretched[len(stretched) - dots :] if dots else "")
        # A label that is there twice in one operand is its diagonal.
        for c in dict.fromkeys(term):
            while term.count(c) > 1:
                first, second = term.index(c), term.rindex(c)
                t = diagonal(t, 0, first, second)
                term = term[:first] + term[first + 1 : second] + term[second + 1 :] + c
        tensors.append(t)
        plain.append(term)
    out = result.replace("...", stretched)
    sizes: dict[str, int] = {}
    for t, term in zip(tensors, plain, strict=True):
        for c, n in zip(term, t.shape, strict=True):
            if sizes.setdefault(c, n) != n:
                if 1 not in (n, sizes[c]):
                    raise RuntimeError(
                        f"einsum(): operands do not broadcast with remapped shapes: label {c!r} has the lengths "
                        f"{sizes[c]} and {n} in {equation!r}"
                    )
                sizes[c] = max(n, sizes[c])
    for c in out:
        if c not in sizes:
            raise RuntimeError(
                f"einsum(): output subscript {c!r} does not appear in the equation {equation!r} for any operand"
            )
    # A length of 1 that stands for more is left out, and then what only one operand has is summed there.
    for i, (t, term) in enumerate(zip(tensors, plain, strict=True)):
        ones = [d for d, c in enumerate(term) if t.shape[d] == 1 and sizes[c] != 1]
        if ones:
            tensors[i] = reshape(t, [n for d, n in enumerate(t.shape) if d not in ones])
            plain[i] = "".join(c for d, c in enumerate(term) if d not in ones)
    for i, term in enumerate(plain):
        others = out + "".join(other for j, other in enumerate(plain) if j != i)
        gone = [d for d, c in enumerate(term) if c not in others]
        if gone:
            tensors[i], plain[i] = sum(tensors[i], gone), "".join(c for c in term if c in others)
    dtype = np.result_type(*[t.dtype for t in tensors])
    if any(t.dtype != dtype for t in tensors):
        raise RuntimeError(f"einsum() expects one dtype, got {[str(t.dtype) for t in tensors]}")
    return apply(_einsum, *tensors, labels=tuple(plain), out=out)


def kron(input: Tensor, other: Tensor) -> Tensor:
    """Kronecker's product."""
    ndim = max(input.ndim, other.ndim)
    a, b = ((1,) * (ndim - t.ndim) + tuple(t.shape) for t in (input, other))
    left = reshape(input, [n for pair in zip(a, (1,) * ndim, strict=True) for n in pair])
    right = reshape(other, [n for pair in zip((1,) * ndim, b, strict=True) for n in pair])
    return reshape(mul(left, right), [n * m for n, m in zip(a, b, strict=True)])


@numpy_names
def cross(input: Tensor, other: Tensor, dim: int = -1) -> Tensor:
    """The vector products along a dimension of length 3."""
    x, y = operands(input, other)
    dim = dimension(dim, x.ndim)
    if x.shape[dim] != 3 or y.shape[dim] != 3:
        raise RuntimeError(
            f"inputs dimension {dim} must have length 3. Got {x.shape[dim]} and {y.shape[dim]}, in shapes "
            f"{list(x.shape)} and {list(y.shape)}"
        )
    return x.roll(-1, dim) * y.roll(1, dim) - x.roll(1, dim) * y.roll(-1, dim)


def trace(input: Tensor) -> Tensor:
    """The sum of a matrix's diagonal."""
    if isinstance(input, TensorBase) and input.dtype.kind == "b":
        raise NotImplementedError("\"trace\" not implemented for 'Bool'")
    _of_ranks("trace", (2,), input)
    return sum(diagonal(input))


def _mask(input: Tensor, diagonal: int, lower: bool, name: str) -> Tensor:
    if not isinstance(input, TensorBase) or input.ndim < 2:
        raise RuntimeError(f"{name}: input tensor must have at least 2 dimensions, got {brief(input)}")
    keep = np.tri(*input.shape[-2:], int(diagonal) - (not lower), dtype=np.bool_)
    return apply(_kept, input, mask=keep if lower else ~keep)


@differentiable_twice
def _kept(needs, x, mask):
    return np.where(mask, x, x.dtype.type(0)), lambda dy: (apply(_kept, dy, mask=mask),), ()


def tril(input: Tensor, diagonal: int = 0) -> Tensor:
    """The elements of matrices on a diagonal and below it; zeros elsewhere."""
    return _mask(input, diagonal, True, "tril")


def triu(input: Tensor, diagonal: int = 0) -> Tensor:
    """The elements of matrices on a diagonal and above it; zeros elsewhere."""
    return _mask(input, diagonal, False, "triu")


@differentiable_twice
def _diag_embed(needs, x, offset, dim1, dim2):
    n = x.shape[-1] + abs(offset)
    whole = np.zeros((*x.shape[:-1], n, n), x.dtype)
    view = np.diagonal(whole, offset, -2, -1)
    view.flags.writeable = True
    view[...] = x
    back = {"offset": offset, "dim1": dim1, "dim2": dim2}

    def vjp(dy):
        return (diagonal(dy, **back) if isinstance(dy, TensorBase) else np.diagonal(dy, offset, dim1, dim2),)

    return np.moveaxis(whole, (-2, -1), (dim1, dim2)), vjp, ()


def diag_embed(input: Tensor, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """Matrices with the vectors of the last dimension on a diagonal, and zeros elsewhere."""
    d1, d2 = dimension(dim1, input.ndim + 1), dimension(dim2, input.ndim + 1)
    return apply(_diag_embed, input, offset=int(offset), dim1=d1, dim2=d2)


def diag(input: Tensor, diagonal: int = 0) -> Tensor:
    """A matrix with a vector on its diagonal, or the diagonal of a matrix."""
    if input.ndim == 1:
        return diag_embed(input, diagonal)
    _of_ranks("diag", (2,), input)
    return input.diagonal(diagonal).clone()


def cdist(x1: Tensor, x2: Tensor, p: float = 2.0, compute_mode: str = "use_mm_for_euclid_dist_if_necessary") -> Tensor:
    """The p-norm of each difference between a row of `x1` (..., P, M) and a row of `x2` (..., R, M).

    It is always that of the differences, which `compute_mode` leaves as it is.
    """
    a, b = reshape(x1, (*x1.shape[:-1], 1, x1.shape[-1])), reshape(x2, (*x2.shape[:-2], 1, *x2.shape[-2:]))
    difference = a - b
    # A count of differences has a gradient of zeros, where norm()'s has none.
    return difference.sign().abs().sum(-1) if p == 0 else difference.norm(p, -1)
