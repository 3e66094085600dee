"""``fastconv train``: a training run and the folder that it leaves."""

import contextlib
import json
import os
import shlex
import time
import warnings
from typing import Any, NamedTuple

from fastconv.app.networks import MODELS, network
from fastconv.checks import integer, number
from fastconv.files import replacing

__all__ = ["DATA", "MODELS", "SCHEDULES", "SETTINGS", "SettingsError", "train"]


class Data(NamedTuple):
    """A data set that the command knows."""

    mean: tuple[float, ...]  # of the pixels in [0, 1], by channel
    std: tuple[float, ...]
    size: int  # height and width of the images; those of a folder are brought to it
    mirror: bool  # whether an image's mirror image is as good
    defaults: dict[str, Any]


def _defaults(
    model: str, epochs: int, batch_size: int, lr: float, momentum: float, weight_decay: float
) -> dict[Any, Any]:
    return {
        "model": model,
        "epochs": epochs,
        "batch_size": batch_size,
        "lr": lr,
        "momentum": momentum,
        "weight_decay": weight_decay,
    }


DATA = {
    "digits": Data((0.305,), (0.376,), 8, False, _defaults("digitsnet", 20, 32, 0.05, 0.9, 5e-4)),
    "mnist": Data((0.1307,), (0.3081,), 28, False, _defaults("lenet", 3, 64, 0.05, 0.9, 5e-4)),
    "fashion-mnist": Data((0.286,), (0.353,), 28, True, _defaults("lenet", 5, 64, 0.05, 0.9, 5e-4)),
    "cifar10": Data((0.5,) * 3, (0.5,) * 3, 32, True, _defaults("convnet", 10, 32, 0.02, 0.9, 5e-4)),
    "folder": Data((0.5,) * 3, (0.5,) * 3, 32, True, _defaults("convnet", 20, 32, 0.02, 0.9, 5e-4)),
}
SCHEDULES = ("onecycle", "cosine", "constant")
LOG = "log.jsonl"
SETTINGS = (
    *("data", "root", "model", "epochs", "batch_size", "lr", "momentum", "weight_decay"),
    *("schedule", "augment", "seed"),
)


class SettingsError(ValueError):
    """Settings that do not go together."""


def train(
    settings: dict[str, Any],
    out: str | None = None,
    resume: str | None = None,
    threads: int | None = None,
    checkpoint_seconds: float = 60.0,
) -> float:
    """Train and test as `settings` say, or go on with the run in the folder `resume`; returns the test accuracy.

    The folder gets ``checkpoint.safetensors`` (the whole state, to go on from), ``log.jsonl``, and at the end
    ``model.safetensors`` (the weights), ``curves.png``, ``filters.png`` and ``answers.png``.

    Parameters
    ----------
    settings : dict
        Any of :data:`SETTINGS`; what is left out takes the data set's default. With `resume`, only root is of use.
    out : path, optional
        A new or empty folder; default ``runs/<data>-<n>``.
    resume : path, optional
        The folder of a run that was interrupted.
    threads : int, optional
        Threads to use; it changes the speed alone.
    checkpoint_seconds : float
        How often to write a checkpoint within an epoch.
    """
    from importlib.util import find_spec

    import fastconv
    from fastconv import optim
    from fastconv.app import checkpoint
    from fastconv.app.info import versions
    from fastconv.app.train import fit
    from fastconv.utils.data import DataLoader

    # What is used at the end of the run is looked for at its beginning.
    missing = [name for name in ("safetensors", "matplotlib") if find_spec(name) is None]
    if missing:
        raise ImportError(f'training runs need {" and ".join(missing)}: pip install "fastconv[train]"')
    if threads is not None:
        fastconv.set_num_threads(threads)
    if resume is not None:
        settings = _settings_of(resume) | settings
    else:
        settings = _complete(settings)
    data = DATA[settings["data"]]
    train_set, test_set, classes = _load_data(settings)
    fastconv.manual_seed(settings["seed"])
    model = _build_model(settings, test_set, classes)
    train_loader = DataLoader(train_set, batch_size=settings["batch_size"], shuffle=True)
    test_loader = DataLoader(test_set, batch_size=250)
    optimizer = optim.SGD(
        model.parameters(), lr=settings["lr"], momentum=settings["momentum"], weight_decay=settings["weight_decay"]
    )
    scheduler = _schedule(settings, optimizer, steps=settings["epochs"] * len(train_loader))

    folder = _new_folder(settings["data"], out) if resume is None else resume
    with _Lock(folder):
        path = os.path.join(folder, "checkpoint.safetensors")
        log = _Log(os.path.join(folder, LOG))
        about = {"versions": versions(), "threads": fastconv.get_num_threads()}
        if resume is None:
            log.clear()
            counts = {"train_images": len(train_set), "test_images": len(test_set), "classes": classes}
            counts["parameters"] = sum(parameter.numel() for parameter in model.parameters())
            log.add("start", settings=settings, **about, **counts)
        else:
            progress = checkpoint.load_training(path)
            log.forget_after(len(progress["history"]))
            log.add("resume", epochs=len(progress["history"]), batches=progress["batches"], **about)
        print(f"{settings['model']} on {settings['data']}, {len(train_set)} images; results in {folder}", flush=True)
        try:
            history = fit(
                model,
                train_loader,
                optimizer,
                settings["epochs"],
                test_loader=test_loader,
                scheduler=scheduler,
                step_scheduler="batch",
                checkpoint=path,
                checkpoint_seconds=checkpoint_seconds,
                resume=resume is not None,
                settings=settings,
                on_epoch=lambda record: log.add("epoch", **record),
            )
        except KeyboardInterrupt as interrupt:
            log.add("interrupted")
            interrupt.args = (f"go on with: fastconv train --resume {shlex.quote(folder)}",)
            raise
        accuracy = history[-1]["test_accuracy"]
        about = {"model": settings["model"], "data": settings["data"], "classes": classes}
        about |= {"mean": data.mean, "std": data.std, "test_accuracy": accuracy}
        checkpoint.save(os.path.join(folder, "model.safetensors"), model.state_dict(), about)
        _draw(folder, model, test_set, classes, data, history)
        log.add("end", test_accuracy=accuracy)
    print(f"test accuracy: {accuracy:.4f}", flush=True)
    return accuracy


def _complete(settings: dict[str, Any]) -> dict[str, Any]:
    """All settings, in a fixed order, with defaults where none were given."""
    name = settings.get("data", "digits")
    if name == "folder" and "root" not in settings:
        raise SettingsError("--data folder needs --root DIR, the folder that holds the images")
    root = os.path.abspath(settings.get("root", "data"))
    general = {"data": name, "schedule": "onecycle", "augment": False, "seed": 0}
    filled = general | DATA[name].defaults | settings | {"root": root}
    return {key: filled[key] for key in SETTINGS}


def _settings_of(folder: str) -> dict[str, Any]:
    """The settings that the run in `folder` was started with."""
    from fastconv.app import checkpoint

    path = os.path.join(folder, "checkpoint.safetensors")
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"{folder}: there is no such folder, so no run to go on with")
    if not os.path.exists(path):
        raise FileNotFoundError(f"{path}: there is no checkpoint, so no run to go on with")
    settings = checkpoint.load_training(path)["settings"]
    if not isinstance(settings, dict) or settings.keys() != set(SETTINGS):
        raise checkpoint.CheckpointError(f"{path}: is no checkpoint of `fastconv train`")
    for name, known in (("data", DATA), ("model", MODELS), ("schedule", SCHEDULES)):
        if settings[name] not in list(known):
            raise checkpoint.CheckpointError(
                f"{path}: has the {name} {settings[name]!r}, which is none of {list(known)}"
            )
    try:
        integer(settings["epochs"], "epochs", 1), integer(settings["batch_size"], "batch_size", 1)
        for name in ("lr", "momentum", "weight_decay", "seed"):
            number(settings[name], name, 0)
    except (TypeError, ValueError) as error:
        raise checkpoint.CheckpointError(f"{path}: {error}") from None
    return settings


def _load_data(settings: dict[str, Any]) -> tuple[Any, ...]:
    """Training set, test set and the classes' names."""
    from fastconv.vision import datasets, transforms

    name, root = settings["data"], settings["root"]
    data = DATA[name]
    plain: list[Any] = [transforms.ToTensor(), transforms.Normalize(data.mean, data.std)]
    resized = [transforms.Resize((data.size, data.size))] if name == "folder" else []
    varied: list[Any] = []
    if settings["augment"]:
        varied.append(transforms.RandomCrop(data.size, padding=data.size // 8))
        varied += [transforms.RandomHorizontalFlip()] if data.mirror else []
    for_training, for_test = transforms.Compose([*resized, *varied, *plain]), transforms.Compose([*resized, *plain])
    if name == "folder":
        return _load_folder(root, for_training, for_test, settings["seed"])
    kinds = {"digits": "Digits", "mnist": "MNIST", "fashion-mnist": "FashionMNIST", "cifar10": "CIFAR10"}
    kind = getattr(datasets, kinds[name])
    train_set = kind(root, train=True, transform=for_training, download=True)
    test_set = kind(root, train=False, transform=for_test, download=True)
    return train_set, test_set, list(train_set.classes)


def _load_folder(root: str, for_training, for_test, seed: int) -> tuple[Any, ...]:
    """The sets in ``root/train`` and ``root/test``; or the images in `root`, of which every fifth is for the test."""
    from fastconv.creation import randperm
    from fastconv.random import Generator
    from fastconv.utils.data import Subset
    from fastconv.vision.datasets import ImageFolder

    parts = [os.path.join(root, part) for part in ("train", "test")]
    if all(map(os.path.isdir, parts)):
        train_set, test_set = ImageFolder(parts[0], for_training), ImageFolder(parts[1], for_test)
        if train_set.classes != test_set.classes:
            raise ValueError(
                f"{root}: train has the classes {train_set.classes}, test has {test_set.classes}; they must be the same"
            )
        return train_set, test_set, train_set.classes
    images = ImageFolder(root, for_training)
    if len(images) < 2:
        raise ValueError(f"{root}: holds {len(images)} image; training and test need at least one each")
    # A generator of its own: the split does not hang on what else is drawn.
    order = randperm(len(images), generator=Generator().manual_seed(seed)).tolist()
    tested = max(1, len(images) // 5)
    return Subset(images, order[tested:]), Subset(ImageFolder(root, for_test), order[:tested]), images.classes


def _build_model(settings: dict[str, Any], test_set, classes: list[str]):
    """The network, after a try on one image whether it takes such images."""
    import fastconv

    image = test_set[0][0]
    try:
        model = network(settings["model"], image.shape[0], image.shape[1], len(classes))
        model.eval()
        with fastconv.no_grad():
            model(image.unsqueeze(0))
    except (RuntimeError, ValueError) as error:
        shape = " x ".join(map(str, image.shape))
        raise SettingsError(
            f"--model {settings['model']} does not take the {shape} images of --data {settings['data']}: {error}"
        ) from None
    return model


def _schedule(settings: dict[str, Any], optimizer, steps: int):
    """The scheduler, to be stepped after every batch."""
    from fastconv.optim import lr_scheduler

    match settings["schedule"]:
        case "onecycle":
            return lr_scheduler.OneCycleLR(optimizer, settings["lr"], total_steps=steps, cycle_momentum=False)
        case "cosine":
            return lr_scheduler.CosineAnnealingLR(optimizer, steps)
    return None


def _new_folder(data: str, out: str | None) -> str:
    """Make the folder of a run: `out`, or the first free ``runs/<data>-<n>``."""
    if out is not None:
        os.makedirs(out, exist_ok=True)
        if set(os.listdir(out)) - {LOG}:  # a log alone is of a run that did not come to its first checkpoint
            raise FileExistsError(f"{out}: is not empty; name a new folder, or go on with --resume {shlex.quote(out)}")
        return out
    os.makedirs("runs", exist_ok=True)
    n = 1
    while True:
        folder = os.path.join("runs", f"{data}-{n}")
        try:
            os.mkdir(folder)
            return folder
        except FileExistsError:
            n += 1


def _draw(folder: str, model, test_set, classes: list[str], data: Data, history: list[dict[Any, Any]]) -> None:
    """The run's pictures: curves, first filters, and answers to up to 1,000 test images, the wrong ones first."""
    import numpy as np

    import fastconv
    from fastconv import nn
    from fastconv.app import pictures
    from fastconv.utils.data import DataLoader, Subset

    pictures.draw_curves(os.path.join(folder, "curves.png"), history)
    convolution = next(module for module in model.modules() if isinstance(module, nn.Conv2d))
    pictures.draw_filters(os.path.join(folder, "filters.png"), convolution.weight.detach().numpy())

    seen = []
    model.eval()
    with fastconv.no_grad():
        for batch, targets in DataLoader(Subset(test_set, range(min(len(test_set), 1000))), batch_size=250):
            seen.append((batch.numpy(), targets.numpy(), model(batch).numpy().argmax(1)))
    images, labels, answers = map(np.concatenate, zip(*seen, strict=True))
    wrong = np.flatnonzero(labels != answers)
    right = np.flatnonzero(labels == answers)
    shown = [*wrong[:32], *right][:64]
    mean, std = (np.reshape(values, (-1, 1, 1)) for values in (data.mean, data.std))
    pictures.draw_answers(
        os.path.join(folder, "answers.png"),
        images[shown] * std + mean,
        labels[shown],
        answers[shown],
        classes,
        f"{len(wrong)} of {len(labels)} test images answered wrong",
    )


class _Lock:
    """While entered, no other process can train into the folder; a killed process leaves nothing behind."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def __enter__(self) -> None:
        import fcntl

        self.descriptor = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self.descriptor)
            raise RuntimeError(f"{self.folder}: another process is training into this folder") from None
        except OSError as error:  # some network file systems have no locks
            warnings.warn(f"{self.folder}: cannot be locked ({error.strerror}): see that no other run trains into it")

    def __exit__(self, *exception) -> None:
        os.close(self.descriptor)


class _Log:
    """A run's ``log.jsonl``: one JSON object a line, on the disk as soon as it is added."""

    def __init__(self, path: str) -> None:
        self.path = path

    def clear(self) -> None:
        """Forget a run that left nothing else."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)

    def add(self, event: str, **facts: Any) -> None:
        record = {"event": event, "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"), **facts}
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def forget_after(self, epochs: int) -> None:
        """Drop what the checkpoint does not have: epochs after the first `epochs`, and a line cut short by a kill."""
        kept = []
        if os.path.exists(self.path):
            with open(self.path, encoding="utf-8", errors="replace") as file:
                for line in file:
                    try:
                        record = json.loads(line)
                        if record.get("event") != "end" and record.get("epoch", 0) <= epochs:
                            kept.append(json.dumps(record) + "\n")
                    except (ValueError, AttributeError, TypeError, RecursionError):  # not a line that add() wrote
                        continue
        with replacing(self.path) as file:
            file.write("".join(kept).encode())
