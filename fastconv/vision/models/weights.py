"""Published weights of networks, as torchvision's enums of them; they are read from torch's folder of downloads."""

import enum
import warnings
from collections.abc import Callable
from typing import Any

from fastconv.vision import transforms

__all__ = ["Weights", "state_of", "weights_enum"]


class Weights(enum.Enum):
    """Base of the enums of weights: each member has its address, and the transforms that its images need."""

    @property
    def url(self) -> str:
        """Where the weights are published; :func:`fastconv.hub.load_state_dict_from_url` says where to put them."""
        return self.value

    def get_state_dict(self, progress: bool = True, check_hash: bool = False) -> dict[Any, Any]:
        """The weights.

        Raises
        ------
        RuntimeError
            If they have not been downloaded; the message says from where to where.
        """
        from fastconv.hub import load_state_dict_from_url

        return load_state_dict_from_url(self.url, progress=progress, check_hash=check_hash)

    def transforms(self) -> Callable[..., Any]:
        """From a Pillow image to the tensor (3, 224, 224) that the network was trained with."""
        return transforms.Compose(
            [
                transforms.Resize(256),
                transforms.CenterCrop(224),
                transforms.ToTensor(),
                transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
            ]
        )


def weights_enum(network: str, file: str) -> Any:
    """The enum of a network's weights on ImageNet, of one member under two names."""
    url = f"https://download.pytorch.org/models/{file}"
    return Weights(f"{network}_Weights", {"IMAGENET1K_V1": url, "DEFAULT": url}, module=__name__)


def state_of(choices: Any, weights: Any, pretrained: bool | None) -> dict[Any, Any] | None:
    """The weights that a network is to begin with, or None.

    Parameters
    ----------
    choices : type of Weights
    weights : member of `choices`, its name, or None
        Or a bool, for `pretrained` was once the first argument.
    pretrained : bool or None
        Of torchvision before 0.13: whether to take the default.
    """
    if pretrained is not None:
        warnings.warn("The parameter 'pretrained' is deprecated, please use 'weights' instead.", stacklevel=4)
        weights = pretrained
    if isinstance(weights, bool):
        weights = "DEFAULT" if weights else None
    if isinstance(weights, str):
        name = weights.removeprefix(f"{choices.__name__}.")
        if name not in choices.__members__:
            raise ValueError(f"{choices.__name__} has {', '.join(choices.__members__)}, not {weights!r}")
        weights = choices[name]
    if weights is None:
        return None
    if not isinstance(weights, choices):
        raise TypeError(f"expected a {choices.__name__} or None as weights, got {weights!r}")
    return weights.get_state_dict()
