"""Losses of class labels."""

from __future__ import annotations

from ..._tensor import Tensor
from ...functions import log_softmax
from ...nn import functional as F
from ..nodes import Node, reads

__all__ = []


@reads("NegativeLogLikelihoodLoss", settings=(2,))
def _nll_loss(node: Node, x: Tensor, labels: Tensor, weight: Tensor | None = None) -> Tensor:
    ignored = node.get("ignore_index", -(2**31))
    return F.nll_loss(x, labels.long(), weight, ignore_index=ignored, reduction=node.get("reduction", "mean"))


@reads("SoftmaxCrossEntropyLoss", settings=(2,))
def _cross_entropy(node: Node, x: Tensor, labels: Tensor, weight: Tensor | None = None) -> tuple[Tensor, Tensor]:
    logarithms = log_softmax(x, 1)
    return _nll_loss(node, logarithms, labels, weight), logarithms
