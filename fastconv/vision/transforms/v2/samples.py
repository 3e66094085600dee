"""Samples, and transforms of them: of all their images alike."""

from collections.abc import Mapping
from typing import Any

from fastconv._tensor import Tensor
from fastconv.nn import Module
from fastconv.random import default_generator
from fastconv.vision._pillow import is_image
from fastconv.vision.transforms.v2 import functional

__all__ = ["OfSamples", "Transform", "leaves_of", "rebuilt"]


def leaves_of(sample: Any) -> list[Any]:
    """The parts of a sample that are no tuples, lists or dicts, in their order."""
    if isinstance(sample, Mapping):
        return [leaf for part in sample.values() for leaf in leaves_of(part)]
    if isinstance(sample, (list, tuple)):
        return [leaf for part in sample for leaf in leaves_of(part)]
    return [sample]


def rebuilt(sample: Any, leaves: list[Any]) -> Any:
    """The sample with the leaves in their places, which are taken from the list's head."""
    if isinstance(sample, Mapping):
        return type(sample)((key, rebuilt(part, leaves)) for key, part in sample.items())  # type: ignore[call-arg]
    if isinstance(sample, (list, tuple)):
        parts = [rebuilt(part, leaves) for part in sample]
        return type(sample)(*parts) if hasattr(sample, "_fields") else type(sample)(parts)
    return leaves.pop(0)


class Transform(Module):
    """Base class of transforms of samples; one of one's own defines :meth:`transform`, and :meth:`make_params`."""

    _transformed_types: tuple[Any, ...] = ()

    def check_inputs(self, flat_inputs: list[Any]) -> None:
        """Raise where a sample's parts are not what the transform takes."""

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """What is drawn once for a sample; `flat_inputs` are its images."""
        return {}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """One image, transformed."""
        raise NotImplementedError(f"{type(self).__name__} must define transform")

    def _needs_transform_list(self, flat_inputs: list[Any]) -> list[bool]:
        kinds = self._transformed_types
        if kinds:
            return [isinstance(leaf, kinds) for leaf in flat_inputs]
        needs = [is_image(leaf) for leaf in flat_inputs]
        if not any(needs):
            first = next((i for i, leaf in enumerate(flat_inputs) if isinstance(leaf, Tensor)), None)
            if first is not None:
                needs[first] = True
        return needs

    def forward(self, *inputs: Any) -> Any:
        sample = inputs if len(inputs) > 1 else inputs[0]
        leaves = leaves_of(sample)
        self.check_inputs(leaves)
        needs = self._needs_transform_list(leaves)
        params = self.make_params([leaf for leaf, needed in zip(leaves, needs, strict=True) if needed])
        done = [self.transform(leaf, params) if need else leaf for leaf, need in zip(leaves, needs, strict=True)]
        return rebuilt(sample, done)

    def extra_repr(self) -> str:
        return ", ".join(
            f"{name}={value}"
            for name, value in vars(self).items()
            if not name.startswith("_")
            and name != "training"
            and isinstance(value, (bool, int, float, str, tuple, list))
        )


class OfSamples(Transform):
    """A transform of images, as one of samples: each image is transformed with the random numbers of the first."""

    _functional: Any = functional

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        return {"state": default_generator.get_state() if len(flat_inputs) > 1 else None, "first": True}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        if not params["first"]:
            default_generator.set_state(params["state"])
        params["first"] = False
        return self._alone(inpt)

    def _alone(self, image: Any) -> Any:
        """What the transform of images does, which stands behind this class among the bases."""
        return super(Transform, self).forward(image)
