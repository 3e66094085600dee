"""Rows of a table by their numbers."""

from __future__ import annotations

from typing import Any

from .._tensor import Tensor
from ..checks import LARGEST, integer
from ..creation import empty
from . import functional as F
from . import init
from .module import Module
from .parameter import Parameter, parameter_dtype

__all__ = ["Embedding"]


class Embedding(Module):
    """The rows of a learned table that the input numbers; see :func:`functional.embedding`.

    Parameters
    ----------
    num_embeddings, embedding_dim : int
        Rows and columns of the table.
    padding_idx : int, optional
        A row that is 0 at first and gets no gradient.
    max_norm : float, optional
        Rows that are looked up and longer than this are shortened to it first, in place.
    norm_type : float
        p of the p-norm by which they are measured.
    scale_grad_by_freq : bool
        Divide each row's gradient by how often the input has it.
    sparse : bool
        Gradients are dense here: True is a NotImplementedError.
    device, dtype
        Of the table.

    Attributes
    ----------
    weight : Parameter (num_embeddings, embedding_dim)
        Drawn from the standard normal distribution.

    Examples
    --------
    >>> nn.Embedding(100, 8)(fastconv.tensor([3, 99])).shape
    torch.Size([2, 8])
    """

    embedding_dim: int
    num_embeddings: int
    weight: Parameter

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        _weight: Tensor | None = None,
        _freeze: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.num_embeddings = integer(num_embeddings, "num_embeddings")
        self.embedding_dim = integer(embedding_dim, "embedding_dim")
        if padding_idx is not None:
            padding_idx = integer(padding_idx, "padding_idx", -LARGEST)
            if not -num_embeddings <= padding_idx < num_embeddings:
                raise AssertionError(
                    f"Padding_idx must be within num_embeddings, got {padding_idx} of {num_embeddings}"
                )
            padding_idx %= num_embeddings
        if sparse:
            raise NotImplementedError("Embedding: gradients are dense here, use sparse=False")
        self.padding_idx = padding_idx
        self.max_norm = max_norm
        self.norm_type = norm_type
        self.scale_grad_by_freq = scale_grad_by_freq
        self.sparse = sparse
        size = self.num_embeddings, self.embedding_dim
        if _weight is None:
            self.weight = Parameter(empty(*size, dtype=parameter_dtype(device, dtype)), requires_grad=not _freeze)
            self.reset_parameters()
        else:
            if _weight.shape != size:
                raise AssertionError(
                    f"Shape of weight does not match num_embeddings and embedding_dim: {list(_weight.shape)}, {size}"
                )
            self.weight = Parameter(_weight, requires_grad=not _freeze)

    def reset_parameters(self) -> None:
        """Draw the table anew."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            self.weight.data[self.padding_idx] = 0

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Tensor,
        freeze: bool = True,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
    ) -> Embedding:
        """An embedding with this table, which is not learned further unless `freeze` is False."""
        if embeddings.ndim != 2:
            raise AssertionError(f"Embeddings parameter is expected to be 2-dimensional, got {list(embeddings.shape)}")
        options = padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse
        return cls(*embeddings.shape, *options, _weight=embeddings, _freeze=freeze)

    def forward(self, input: Tensor) -> Tensor:
        """(...) of integers to (..., embedding_dim)."""
        return F.embedding(
            *(input, self.weight, self.padding_idx, self.max_norm, self.norm_type, self.scale_grad_by_freq),
            self.sparse,
        )

    def extra_repr(self) -> str:
        parts = [f"{self.num_embeddings}, {self.embedding_dim}"]
        for name in ("padding_idx", "max_norm"):
            if getattr(self, name) is not None:
                parts.append(f"{name}={getattr(self, name)}")
        if self.norm_type != 2:
            parts.append(f"norm_type={self.norm_type}")
        if self.scale_grad_by_freq:
            parts.append(f"scale_grad_by_freq={self.scale_grad_by_freq}")
        return ", ".join(parts)
