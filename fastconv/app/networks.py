"""The networks of the command, by their names, for images of any size; weights to begin with."""

import os
import pickle
from collections.abc import Mapping
from typing import Any

import fastconv
from fastconv import nn
from fastconv.vision import models
from fastconv.vision.models import small

__all__ = ["MODELS", "begin_with", "head_of", "is_imagenet", "is_network", "network"]

# Networks for small images, in fastconv.vision.models.small.
MODELS = {
    "digitsnet": "DigitsNet",
    "lenet": "LeNet",
    "convnet": "ConvNet",
    "resnet10": "resnet10",
    "vgg11": "vgg11",
    "vgg11_bn": "vgg11_bn",
    "resnet18": "resnet18",
}
# Of more pixels a side, images go to torchvision's networks.
SMALL = 64
SIZED = ("digitsnet", "lenet", "convnet")

# Networks that return more than scores.
OTHERS = ("googlenet", "inception_v3", *models.list_models(models.segmentation))


def is_network(name: Any) -> bool:
    """Whether there is a network of this name."""
    return isinstance(name, str) and (name in MODELS or (name in models.list_models() and name not in OTHERS))


def is_imagenet(name: str, image_size: int) -> bool:
    """Whether the network is torchvision's, for which there are weights made of ImageNet's photographs."""
    return name not in MODELS or (image_size > SMALL and name in models.list_models())


def network(name: str, channels: int, image_size: int, classes: int) -> nn.Module:
    """The network of this name, with random weights, for square images of so many channels and pixels a side."""
    if is_imagenet(name, image_size):
        if channels != 3:
            raise ValueError(f"torchvision's {name} takes images of 3 channels, got {channels}")
        return models.get_model(name, num_classes=classes)
    sizes = {"image_size": image_size} if name in SIZED else {}
    return getattr(small, MODELS[name])(in_channels=channels, num_classes=classes, **sizes)


def head_of(model: nn.Module) -> nn.Module:
    """The last layer with weights, which gives the scores."""
    return [module for module in model.modules() if isinstance(module, nn.Linear | nn.Conv2d)][-1]


def begin_with(model: nn.Module, name: str, source: str, freeze: bool = False) -> str:
    """Give the network the weights of `source`, but for those of another shape; returns a line that tells which.

    Parameters
    ----------
    model : nn.Module
    name : str
        The network's.
    source : str
        A file of weights, by torch, safetensors or this package; the folder of a run; or the name of published weights
        as torchvision has it (``DEFAULT``, ``IMAGENET1K_V1``), which are read from torch's folder of downloads.
    freeze : bool
        Whether all but the last layer will stay as it is.

    Raises
    ------
    ValueError
        If no weight, or less than half of them, fits; of a network to be frozen, if one is left as it was drawn.
    """
    found = _state(name, source)
    own = model.state_dict()
    fitting = {key: value for key, value in found.items() if key in own and tuple(value.shape) == tuple(own[key].shape)}
    others = [key for key in own if key not in fitting and not key.endswith("num_batches_tracked")]
    count = sum(own[key].numel() for key in fitting)
    total = sum(value.numel() for value in own.values())
    if not fitting or 2 * len(fitting) < len(own):
        raise ValueError(
            f"{source}: of {len(own)} arrays of {name} it has {len(fitting)}; it has {', '.join(list(found)[:3])} ..., "
            f"where {name} has {', '.join(list(own)[:3])} ..."
        )
    head = head_of(model)
    last = next(place for place, module in model.named_modules() if module is head)
    drawn = [key for key in others if not key.startswith(f"{last}.")]
    if freeze and drawn:
        small = name in MODELS and name in models.list_models()
        larger = f", or add --image-size 224: of more than {SMALL} pixels {name} is torchvision's" if small else ""
        raise ValueError(
            f"{source}: has nothing of the shape of {name}'s {', '.join(drawn[:6])}{' ...' if len(drawn) > 6 else ''}, "
            f"which --freeze would keep as drawn at random; leave out --freeze{larger}"
        )
    model.load_state_dict(fitting, strict=False)
    fresh = f"; begun anew: {', '.join(others[:6])}{' ...' if len(others) > 6 else ''}" if others else ""
    return f"begun with {source}: {count} of {total} numbers{fresh}"


def _state(name: str, source: str) -> dict[str, Any]:
    """The arrays of a source of weights, by name."""
    if not os.path.exists(source):
        weights = models.get_model_weights(name) if name in models.list_models() else None
        if weights is not None and source.upper() in weights.__members__:
            return weights[source.upper()].get_state_dict()
        if weights is not None:
            known = f"nor is it one of the published weights {', '.join(weights.__members__)}"
        else:
            known = f"and no weights of {name} are published; `fastconv models` lists those that are"
        raise FileNotFoundError(f"{source}: there is no such file, {known}")
    path = os.path.join(source, "model.safetensors") if os.path.isdir(source) else source
    if not os.path.exists(path):
        raise FileNotFoundError(f"{path}: is not there, so {source} is no folder of a run that has come to its end")
    try:
        state: Any = fastconv.load(path, map_location="cpu")
    except (pickle.UnpicklingError, EOFError) as error:
        # The last part names the file and what is wrong with it; the one before is advice to programs.
        raise ValueError(str(error).rpartition("\n\n")[2]) from None
    while isinstance(state, Mapping):
        inner = [state[key] for key in ("state_dict", "model", "model_state_dict", "net") if key in state]
        if not inner or not isinstance(inner[0], Mapping):
            break
        state = inner[0]
    if not isinstance(state, Mapping) or not any(hasattr(value, "shape") for value in state.values()):
        raise ValueError(f"{source}: holds no weights by their names")
    arrays = {str(key): value for key, value in state.items() if hasattr(value, "shape")}
    for prefix in ("module.", "model."):  # of what wraps networks, and of a run's checkpoint
        if any(key.startswith(prefix) for key in arrays):
            arrays = {key.removeprefix(prefix): value for key, value in arrays.items() if key.startswith(prefix)}
    return arrays
