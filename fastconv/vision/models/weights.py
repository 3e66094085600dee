"""Published weights of networks, as torchvision's enums of them; they are read from torch's folder of downloads."""

import enum
import warnings
from collections.abc import Callable
from typing import Any

from fastconv.vision import transforms

__all__ = ["Weights", "build", "state_of", "weights_enum"]


class Weights(enum.Enum):
    """Base of the enums of weights: each member has its address, and the transforms that its images need."""

    @property
    def url(self) -> str:
        """Where the weights are published; :func:`fastconv.hub.load_state_dict_from_url` says where to put them."""
        return self.value[0]

    def get_state_dict(self, progress: bool = True, check_hash: bool = False) -> dict[str, Any]:
        """The weights.

        Raises
        ------
        RuntimeError
            If they have not been downloaded; the message says from where to where.
        """
        from fastconv.hub import load_state_dict_from_url

        return load_state_dict_from_url(self.url, progress=progress, check_hash=check_hash)

    def transforms(self) -> Callable:
        """From a Pillow image to the tensor, of 224x224 pixels for most, that the network is to be given."""
        shorter, size = self.value[1]
        return transforms.Compose(
            [
                transforms.Resize(shorter),
                transforms.CenterCrop(size),
                transforms.ToTensor(),
                transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
            ]
        )


def weights_enum(
    network: str, first: str | None, second: str | None = None, sizes: tuple[int, int] = (256, 224)
) -> Any:
    """The enum of a network's weights on ImageNet, the first ones and the better ones of later; the last is DEFAULT.

    Parameters
    ----------
    network : str
    first, second : str or None
        Names of the published files.
    sizes : (int, int)
        To which the shorter side of an image is resized, and of which a square is cut; the second ones take 232.
    """
    members = {}
    if first is not None:
        members["IMAGENET1K_V1"] = _address(first), sizes
    if second is not None:
        members["IMAGENET1K_V2"] = _address(second), (232, sizes[1])
    if members:
        members["DEFAULT"] = list(members.values())[-1]
    return Weights(f"{network}_Weights", members, module=__name__)


def _address(file: str) -> str:
    return f"https://download.pytorch.org/models/{file}"


def build(
    network: Any,
    choices: Any,
    weights: Any,
    pretrained: bool | None,
    options: dict[str, Any],
    rename: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
) -> Any:
    """A network with these options and, if asked for, published weights; `rename` brings their names up to date."""
    state = state_of(choices, weights, pretrained)
    model = network(**options)
    if state is not None:
        model.load_state_dict(rename(state) if rename else state)
    return model


def state_of(choices: Any, weights: Any, pretrained: bool | None) -> dict[str, Any] | None:
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
