"""What a training run is made with: the data sets that the command knows, their defaults, and what goes together."""

import json
import math
import os
from typing import Any, NamedTuple

from fastconv.app.networks import is_network
from fastconv.checks import integer, number

__all__ = [
    "AUGMENTATIONS",
    "DATA",
    "MOST_PIXELS",
    "OPTIMIZERS",
    "SCHEDULES",
    "SETTINGS",
    "SettingsError",
    "check_saved",
    "complete",
    "early_size",
    "suit_number",
    "to_toml",
]


class Data(NamedTuple):
    """A data set that the command knows."""

    mean: tuple[float, ...]  # of the pixels in [0, 1], by channel
    std: tuple[float, ...]
    size: int  # height and width of the images; those of a folder are brought to it
    mirror: bool  # whether an image's mirror image is as good
    defaults: dict[str, Any]  # None: the number of images decides, see suit_number


def _defaults(model: str, epochs: int | None, batch_size: int | None, lr: float, augment: str) -> dict[Any, Any]:
    shared = {"momentum": 0.9, "weight_decay": 5e-4}
    return {"model": model, "epochs": epochs, "batch_size": batch_size, "lr": lr, **shared, "augment": augment}


DATA = {
    "digits": Data((0.305,), (0.376,), 8, False, _defaults("digitsnet", 20, 32, 0.05, "none")),
    "mnist": Data((0.1307,), (0.3081,), 28, False, _defaults("lenet", 3, 64, 0.05, "none")),
    "fashion-mnist": Data((0.286,), (0.353,), 28, True, _defaults("lenet", 5, 64, 0.05, "none")),
    "cifar10": Data((0.5,) * 3, (0.5,) * 3, 32, True, _defaults("convnet", 10, 32, 0.02, "none")),
    "folder": Data((0.5,) * 3, (0.5,) * 3, 64, True, _defaults("resnet10", None, None, 0.05, "standard")),
}
# Of ImageNet's pixels, by which published weights were made.
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

SCHEDULES = ("onecycle", "cosine", "constant")
AUGMENTATIONS = {
    "none": "nothing",
    "standard": "shift by up to an eighth, mirror",
    "strong": "a random part, stretched to the size; mirror; brightness, contrast and saturation",
    "trivial": "shift and mirror, then one of 14 changes of any strength (TrivialAugment)",
    "rand": "shift and mirror, then two of 14 changes (RandAugment)",
    "mixup": "shift and mirror, then each image and its label mixed with another's (MixUp)",
    "cutmix": "shift and mirror, then a part of each image put into another, labels likewise (CutMix)",
}
# With the learning rate that suits, where it is not the data set's.
OPTIMIZERS = {"sgd": None, "adam": 1e-3, "adamw": 1e-3, "nadam": 1e-3, "rmsprop": 1e-4}

SETTINGS = (
    *("data", "root", "model", "image_size", "init", "freeze", "epochs", "batch_size"),
    *("optimizer", "lr", "momentum", "weight_decay", "schedule", "augment", "early_stopping", "seed"),
)
# What a checkpoint keeps beside them: the epoch after which the run went on beyond its end, the images of a folder, and
# whether those are squeezed to the size.
KEPT = ("begun", "images", "squeezed")

# Pixels a side of an image that a network is given: one of more would take gigabytes.
MOST_PIXELS = 10_000

# Steps that a network needs at the least to learn from photographs, however few there are; and the fewest epochs.
STEPS, EPOCHS = 400, 10


class SettingsError(ValueError):
    """Settings that do not go together."""


def complete(given: dict[str, Any]) -> dict[str, Any]:
    """All settings, in a fixed order, with defaults where none were given; None is left where the images decide."""
    name = given.get("data", "digits")
    if name == "folder" and "root" not in given:
        raise SettingsError("--data folder needs --root DIR, the folder that holds the images")
    if "root" in given and "data" not in given:
        raise SettingsError("--root DIR needs --data: a folder of images is --data folder --root DIR")
    data = DATA[name]
    general = {"data": name, "image_size": data.size, "init": None, "freeze": False, "optimizer": "sgd"}
    general |= {"schedule": "onecycle", "early_stopping": None, "seed": 0}
    filled = general | data.defaults | given | {"root": os.path.abspath(given.get("root", "data"))}
    if filled["optimizer"] != "sgd":
        filled["lr"] = given.get("lr", OPTIMIZERS[filled["optimizer"]])
        if filled["optimizer"] != "rmsprop":
            if "momentum" in given:
                raise SettingsError(f"--optimizer {filled['optimizer']} has no momentum; leave out --momentum")
            filled["momentum"] = None
    if filled["image_size"] > MOST_PIXELS:
        raise SettingsError(f"--image-size {filled['image_size']} is more than {MOST_PIXELS:,} pixels a side")
    if filled["freeze"] and filled["init"] is None:
        raise SettingsError("--freeze keeps all but the last layer as it is, so it needs --init WEIGHTS")
    if isinstance(filled["augment"], bool):  # what earlier releases knew
        filled["augment"] = "standard" if filled["augment"] else "none"
    if filled["init"] is not None and os.path.exists(filled["init"]):
        filled["init"] = os.path.abspath(filled["init"])
    return {key: filled[key] for key in SETTINGS} | {"begun": 0, "images": None, "squeezed": False}


def suit_number(settings: dict[str, Any], images: int) -> None:
    """Fill in what hangs on the number of training images.

    Steps decide whether a network has learned, not epochs: batches are a fifth of the images, from 8 to 64, and there
    are as many epochs as make 400 steps, at least 10.
    """
    if settings["batch_size"] is None:
        settings["batch_size"] = min(max(1 << int(math.log2(max(images / 5, 1))), 8), 64)
    if settings["epochs"] is None:
        steps = max(images // settings["batch_size"], 1)
        settings["epochs"] = max(math.ceil(STEPS / steps), EPOCHS)


def early_size(data: str) -> int:
    """Pixels a side of the images of a run of an earlier release, which did not note it."""
    return 32 if data == "folder" else DATA[data].size


def check_saved(path: str, settings: Any) -> dict[str, Any]:
    """The settings in a checkpoint, completed where an earlier release wrote them, or a CheckpointError."""
    from fastconv.app.checkpoint import CheckpointError

    if not isinstance(settings, dict) or "data" not in settings:
        raise CheckpointError(f"{path}: is no checkpoint of `fastconv train`")
    if settings["data"] not in list(DATA):
        raise CheckpointError(f"{path}: has the data {settings['data']!r}, which is none of {list(DATA)}")
    early = {"image_size": early_size(settings["data"]), "init": None}
    early |= {"freeze": False, "optimizer": "sgd", "early_stopping": None, "begun": 0, "images": None, "squeezed": True}
    settings = early | settings
    if isinstance(settings.get("augment"), bool):
        settings["augment"] = "standard" if settings["augment"] else "none"
    if settings.keys() != {*SETTINGS, *KEPT}:
        raise CheckpointError(f"{path}: is no checkpoint of `fastconv train`")
    for name, known in (("schedule", SCHEDULES), ("augment", AUGMENTATIONS), ("optimizer", OPTIMIZERS)):
        if settings[name] not in list(known):
            raise CheckpointError(f"{path}: has the {name} {settings[name]!r}, which is none of {list(known)}")
    if not is_network(settings["model"]):
        raise CheckpointError(f"{path}: has the model {settings['model']!r}, which is none of the networks")
    try:
        for name in ("epochs", "batch_size", "image_size"):
            integer(settings[name], name, 1)
        if settings["image_size"] > MOST_PIXELS:
            raise ValueError(f"image_size {settings['image_size']} is more than {MOST_PIXELS:,} pixels a side")
        integer(settings["begun"], "begun", 0)
        for name in ("lr", "weight_decay", "seed"):
            number(settings[name], name, 0)
        if settings["momentum"] is not None or settings["optimizer"] in ("sgd", "rmsprop"):
            number(settings["momentum"], "momentum", 0)
        if settings["early_stopping"] is not None:
            integer(settings["early_stopping"], "early_stopping", 1)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: {error}") from None
    return settings


def to_toml(settings: dict[str, Any]) -> str:
    """The settings as ``--config`` reads them."""
    lines = [f"{name} = {json.dumps(settings[name])}" for name in SETTINGS if settings[name] is not None]
    return "\n".join(["# What this run was made with; fastconv train --config this-file makes another.", *lines, ""])
