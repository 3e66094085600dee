"""Transforms made of others."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastconv.creation import rand, randperm
from fastconv.nn import Module
from fastconv.random import multinomial
from fastconv.vision.transforms.v2.samples import Transform

__all__ = ["Compose", "RandomApply", "RandomChoice", "RandomOrder"]


def _after_each_other(transforms: Sequence[Callable[..., Any]], inputs: tuple[Any, ...]) -> Any:
    several = len(inputs) > 1
    for transform in transforms:
        outputs = transform(*inputs)
        inputs = outputs if several else (outputs,)
    return inputs if several else inputs[0]


def _check_transforms(transforms: Any) -> Any:
    if not isinstance(transforms, Sequence) and not isinstance(transforms, Module):
        raise TypeError("Argument transforms should be a sequence of callables")
    if not len(transforms):  # type: ignore[arg-type]
        raise ValueError("Pass at least one transform")
    return transforms


class Compose(Transform):
    """Transforms one after another, of one argument or of several."""

    def __init__(self, transforms: Sequence[Callable[..., Any]]) -> None:
        super().__init__()
        self.transforms: Any = _check_transforms(transforms)

    def forward(self, *inputs: Any) -> Any:
        return _after_each_other(self.transforms, inputs)

    def extra_repr(self) -> str:
        return "\n".join(f"    {transform}" for transform in self.transforms)


class RandomApply(Compose):
    """Transforms that are all applied, with probability `p`, or none of them."""

    def __init__(self, transforms: Any, p: float = 0.5) -> None:
        super().__init__(transforms)
        if not 0.0 <= p <= 1.0:
            raise ValueError("`p` should be a floating point value in the interval [0.0, 1.0].")
        self.p = p

    def forward(self, *inputs: Any) -> Any:
        if rand(1).item() >= self.p:
            return inputs if len(inputs) > 1 else inputs[0]
        return _after_each_other(self.transforms, inputs)


class RandomChoice(Compose):
    """One of some transforms, each as often as `p` says, up to a factor; all alike by default."""

    def __init__(self, transforms: Sequence[Callable[..., Any]], p: Sequence[float] | None = None) -> None:
        super().__init__(transforms)
        weights = [1.0] * len(transforms) if p is None else list(p)
        if len(weights) != len(transforms):
            raise ValueError(f"Length of p doesn't match the number of transforms: {len(weights)} != {len(transforms)}")
        self.p: list[float] = [weight / sum(weights) for weight in weights]

    def forward(self, *inputs: Any) -> Any:
        return self.transforms[int(multinomial(np.array(self.p, np.float32), 1)[0])](*inputs)


class RandomOrder(Compose):
    """Transforms one after another in random order."""

    def forward(self, *inputs: Any) -> Any:
        return _after_each_other([self.transforms[i] for i in randperm(len(self.transforms)).tolist()], inputs)
