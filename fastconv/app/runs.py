"""``fastconv train``: a training run and the folder that it leaves."""

from __future__ import annotations

import os
import shlex
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from fastconv.app.networks import begin_with, head_of, is_imagenet, network
from fastconv.app.records import LOG, TABLE, Lock, Log, attempt, write_table
from fastconv.app.settings import DATA, IMAGENET, SettingsError, check_saved, complete, suit_number, to_toml
from fastconv.files import replacing

if TYPE_CHECKING:
    from fastconv.app.crew import Crew

__all__ = ["FILES", "train"]

CHECKPOINT = "checkpoint.safetensors"
WEIGHTS = "model.safetensors"
BEST = "best.safetensors"
CONFIG = "config.toml"

# What a run leaves, and what each is for; the end of a run lists those that are there.
FILES = {
    "report.html": "all that follows about it, for a browser",
    WEIGHTS: "the weights: fastconv predict {folder} IMAGE...",
    BEST: "the weights of the epoch that did best: fastconv predict --best",
    CHECKPOINT: "the whole state: fastconv train --resume {folder} --epochs N goes on",
    CONFIG: "the settings: fastconv train --config {folder}/config.toml",
    LOG: "what happened, as JSON lines",
    TABLE: "the epochs, as a table",
    "curves.png": "loss, accuracy and learning rate over the epochs",
    "filters.png": "the filters of the first layer",
    "confusion.png": "what it takes for what",
    "mistakes.png": "the wrong answers that it was surest of",
    "answers.png": "answers to test images",
}


class Sets(NamedTuple):
    """What a run trains on and is tested on."""

    train: Any
    test: Any
    val: Any  # None where there are no images to choose by
    classes: list[str]
    notes: list[str]
    left_out: list[str]  # images of a folder that cannot be read, each with what is wrong


def train(
    settings: dict[str, Any],
    out: str | None = None,
    resume: str | None = None,
    threads: int | None = None,
    checkpoint_seconds: float = 60.0,
    epochs: int | None = None,
    tensorboard: bool = False,
) -> float:
    """Train and test as `settings` say, or go on with the run in the folder `resume`; returns the test accuracy.

    The folder gets what :data:`FILES` names: ``checkpoint.safetensors`` (the whole state, to go on from), the log and
    ``best.safetensors`` as it goes, ``model.safetensors`` (the last weights) and the pictures at the end.

    Several processes that MPI's launcher has started train together: each takes its share of each batch, and the first
    one speaks and writes.

    Parameters
    ----------
    settings : dict
        Any of :data:`fastconv.app.settings.SETTINGS`; what is left out takes the data set's default. With `resume`,
        only root is of use.
    out : path, optional
        A new or empty folder; default ``runs/<data>-<n>``.
    resume : path, optional
        The folder of a run.
    threads : int, optional
        Threads to use; it changes the speed alone.
    checkpoint_seconds : float
        How often to write a checkpoint within an epoch.
    epochs : int, optional
        With `resume`: how many epochs there are to be in all. A run that has come to its end goes on, from where the
        schedule of so many epochs would be by then.
    tensorboard : bool
        Write the log for TensorBoard too.
    """
    from fastconv.app.crew import join, noted_run

    crew = join()
    options = threads, checkpoint_seconds, epochs, tensorboard
    if resume is None:
        resume = noted_run() if crew is None else crew.told(noted_run())
        settings = settings if resume is None else {}  # the run has its own
    if crew is None:
        return _train(settings, out, resume, *options)
    with crew.backstage() as folder:
        if resume is not None:
            resume = crew.copy_of(os.path.join(resume, CHECKPOINT), folder)
        elif folder is not None:
            out = folder
        return _train(settings, out, resume, *options, crew)


def _train(
    settings: dict[str, Any],
    out: str | None,
    resume: str | None,
    threads: int | None,
    checkpoint_seconds: float,
    epochs: int | None,
    tensorboard: bool,
    crew: Crew | None = None,
) -> float:
    from importlib.util import find_spec

    import fastconv
    from fastconv.app import checkpoint
    from fastconv.app.crew import note_run
    from fastconv.app.info import versions
    from fastconv.app.train import evaluate, fit
    from fastconv.utils.data import DataLoader

    # What is used at the end of the run is looked for at its beginning.
    missing = [name for name in ("safetensors", "matplotlib") if find_spec(name) is None]
    if missing:
        raise ImportError(f'training runs need {" and ".join(missing)}: pip install "fastconv[train]"')
    if tensorboard and find_spec("tensorboard") is None:
        raise ImportError("--tensorboard needs tensorboard: pip install tensorboard")
    if threads is not None:
        fastconv.set_num_threads(threads)
    path = "" if resume is None else os.path.join(resume, CHECKPOINT)
    if resume is not None:
        saved, history = _saved_run(resume)
        settings = saved | settings
        extended = epochs is not None and epochs != settings["epochs"]
        if extended:
            settings |= _extension(resume, settings, len(history), epochs)
    else:
        settings, history, extended = complete(settings), [], False
    if crew is None:
        sets = _load_data(settings)
    else:  # the first one finds out, and downloads; the others follow
        sets = _load_data(settings) if crew.chief else None
        settings = crew.told(settings)
        sets = _load_data(settings) if sets is None else sets
    suit_number(settings, len(sets.train))
    fastconv.manual_seed(settings["seed"])
    model = _build_model(settings, sets)
    begun_with = None
    if settings["init"] is not None and resume is None:
        begun_with = begin_with(model, settings["model"], settings["init"], settings["freeze"])
    if crew is not None:
        model = crew.with_batch_norm_over_all(model)
    head = head_of(model)
    frozen = [module for module in model.modules() if module is not head and not list(module.children())]
    frozen = frozen if settings["freeze"] else []
    batch_size, count = settings["batch_size"], len(sets.train)
    # A last batch of one image says nothing of how pixels vary, which batch norm asks: it waits for the next epoch.
    single = count > batch_size and count % batch_size == 1
    collate = _mixing(settings["augment"], len(sets.classes))
    tested_on = sets.test if sets.val is None else sets.val
    if crew is None:
        train_loader = DataLoader(sets.train, batch_size, shuffle=True, drop_last=single, collate_fn=collate)
        test_loader = DataLoader(tested_on, batch_size=250)
    else:
        train_loader = crew.loader(sets.train, batch_size, single, collate)
        test_loader = crew.test_loader(tested_on)
    optimizer = _optimizer(settings, head if settings["freeze"] else model)
    if extended:
        progress = checkpoint.load_training(path, model, optimizer)
        for group in optimizer.param_groups:
            group["lr"] = settings["lr"]
            group.pop("initial_lr", None)
    scheduler = _schedule(settings, optimizer, len(train_loader))

    folder = _new_folder(settings["data"], out) if resume is None else resume
    tested = "test" if sets.val is None else "val"
    with Lock(folder):
        path = os.path.join(folder, CHECKPOINT)
        log = Log(os.path.join(folder, LOG))
        about = {"versions": versions(), "threads": fastconv.get_num_threads()}
        about |= {} if crew is None else {"processes": crew.size}
        kept = {name: value for name, value in settings.items() if name != "images"}
        notes = [*sets.notes, *([] if begun_with is None else [begun_with])]
        told = notes
        if resume is None:
            log.clear()
            counts = {"train_images": len(sets.train), "test_images": len(sets.test), "classes": sets.classes}
            counts |= {} if sets.val is None else {"val_images": len(sets.val)}
            counts["parameters"] = sum(parameter.numel() for parameter in model.parameters())
            log.add("start", settings=kept, **about, **counts, notes=notes, left_out=sets.left_out)
        else:
            if extended:
                progress |= {"settings": settings}
                checkpoint.save_training(path, model, optimizer, scheduler, progress)
            progress = checkpoint.load_training(path)
            log.forget_after(len(progress["history"]))
            told = list(dict.fromkeys([*log.notes(), *notes]))
            log.add("resume", epochs=len(progress["history"]), batches=progress["batches"], **about)
        together = "" if crew is None else f", {crew.size} processes"
        print(
            f"{settings['model']} on {settings['data']}, {len(sets.train)} images{together}; results in {folder}",
            flush=True,
        )
        if crew is not None and crew.chief:
            note_run(folder)
        _introduce(settings, sets, notes)
        keeper = _Keeper(folder, log, settings, sets, model, history, tested, tensorboard)
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
                patience=settings["early_stopping"],
                frozen=frozen,
                tested=tested,
                on_epoch=keeper.epoch,
                crew=crew,
            )
            if crew is not None and not crew.chief:
                return 0.0
        except KeyboardInterrupt as interrupt:
            attempt(lambda: log.add("interrupted"))
            done = f"; what it learned so far answers by: fastconv predict --best {shlex.quote(folder)} IMAGE"
            best = done if os.path.exists(os.path.join(folder, BEST)) else ""
            interrupt.args = (f"go on with: fastconv train --resume {shlex.quote(folder)}{best}",)
            raise
        except OSError as error:
            raise _with_way_on(error, folder) from None
        if len(history) < settings["epochs"]:
            print(f"stopped: no better for {settings['early_stopping']} epochs", flush=True)
        if sets.val is None:
            accuracy = history[-1]["test_accuracy"]
        else:
            accuracy = evaluate(model, DataLoader(sets.test, batch_size=250))[1]
        about = keeper.about() | {"test_accuracy": accuracy}
        try:
            checkpoint.save(os.path.join(folder, WEIGHTS), model.state_dict(), about)
        except OSError as error:
            raise _with_way_on(error, folder) from None
        print("drawing", flush=True)
        keeper.end(history, told)
        attempt(lambda: log.add("end", test_accuracy=accuracy))
    print(f"{folder} holds")
    for name, purpose in FILES.items():
        if os.path.exists(os.path.join(folder, name)):
            print(f"  {name:<24}{purpose.format(folder=shlex.quote(folder))}")
    print(f"test accuracy: {accuracy:.4f}", flush=True)
    return accuracy


def _with_way_on(error: OSError, folder: str) -> OSError:
    """`error`, its words followed by how to go on with the run, if it has come to a checkpoint."""
    if os.path.exists(os.path.join(folder, CHECKPOINT)):
        error.strerror = f"{error.strerror}; go on with: fastconv train --resume {shlex.quote(folder)}"
    return error


def _saved_run(folder: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The settings that the run in `folder` was started with, and its epochs."""
    from fastconv.app import checkpoint

    path = os.path.join(folder, CHECKPOINT)
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"{folder}: there is no such folder, so no run to go on with")
    if not os.path.exists(path):
        raise FileNotFoundError(
            f"{path}: there is no checkpoint, so no run to go on with; to start one there: "
            f"fastconv train --out {shlex.quote(folder)}"
        )
    progress = checkpoint.load_training(path)
    if not isinstance(progress, dict) or not isinstance(progress.get("history"), list):
        raise checkpoint.CheckpointError(f"{path}: is no checkpoint of `fastconv train`")
    return check_saved(path, progress.get("settings")), progress["history"]


def _extension(folder: str, settings: dict[str, Any], done: int, epochs: int | None) -> dict[str, Any]:
    """The settings that change when a run that has come to its end goes on up to `epochs`."""
    from fastconv.app.train import is_over

    _, history = _saved_run(folder)
    tested = "val" if history and "val_accuracy" in history[-1] else "test"
    if not is_over(history, settings["epochs"], settings["early_stopping"], tested, settings["begun"]):
        raise SettingsError(
            f"the run in {folder} has done {done} of its {settings['epochs']} epochs; let it come to its end, without "
            "--epochs, before it goes on further"
        )
    if epochs is None or epochs <= done:
        raise SettingsError(f"the run in {folder} has done {done} epochs; --epochs {epochs} leaves none to do")
    return {"epochs": epochs, "begun": done}


def _pixels(settings: dict[str, Any]) -> dict[str, Any]:
    """To what size and which numbers images are brought, see :func:`fastconv.app.images.prepared`."""
    data = DATA[settings["data"]]
    mean, std = data.mean, data.std
    if is_imagenet(settings["model"], settings["image_size"]) and len(mean) == 3:
        mean, std = IMAGENET
    return {"mean": mean, "std": std, "image_size": settings["image_size"], "squeezed": settings["squeezed"]}


def _load_data(settings: dict[str, Any]) -> Sets:
    """The data of a run; a folder's are noted in the settings."""
    from fastconv.vision import datasets, transforms

    name, root = settings["data"], settings["root"]
    data, size, pixels = DATA[name], settings["image_size"], _pixels(settings)
    plain: list[Any] = [transforms.ToTensor(), transforms.Normalize(pixels["mean"], pixels["std"])]
    varied: list[Any] = []
    if settings["augment"] == "strong":
        varied.append(transforms.RandomResizedCrop(size, scale=(0.3, 1.0)))
    elif settings["augment"] != "none":
        varied.append(transforms.RandomCrop(size, padding=size // 8))
    if settings["augment"] != "none" and data.mirror:
        varied.append(transforms.RandomHorizontalFlip())
    if settings["augment"] == "strong":
        varied.append(transforms.ColorJitter(0.3, 0.3, 0.3 if len(pixels["mean"]) == 3 else 0))
    elif settings["augment"] in ("trivial", "rand"):
        varied.append(transforms.TrivialAugmentWide() if settings["augment"] == "trivial" else transforms.RandAugment())
    resized = [transforms.Resize((size, size))] if name != "folder" and size != data.size else []
    for_training, for_test = transforms.Compose([*resized, *varied, *plain]), transforms.Compose([*resized, *plain])
    if name == "folder":
        return _load_folder(settings, pixels, for_training, for_test)
    kinds = {"digits": "Digits", "mnist": "MNIST", "fashion-mnist": "FashionMNIST", "cifar10": "CIFAR10"}
    kind = getattr(datasets, kinds[name])
    train_set = kind(root, train=True, transform=for_training, download=True)
    test_set = kind(root, train=False, transform=for_test, download=True)
    return Sets(train_set, test_set, None, list(train_set.classes), [], [])


def _load_folder(settings: dict[str, Any], pixels: dict[str, Any], for_training: Any, for_test: Any) -> Sets:
    """A folder's images: those that the checkpoint names, or those that are found now, which the settings then note."""
    from fastconv.app import folders

    root = settings["root"]
    if settings["images"] is not None:
        split = folders.unpack(settings["images"])
    elif settings["squeezed"]:
        split = _split_as_before(root, settings["seed"])
    else:
        split = folders.find_split(root, settings["seed"])
    began = time.monotonic()
    sets: dict[str, Any] = {}
    left_out: list[str] = []
    parts: dict[str, list[tuple[str, int]]] = {}
    for part, images in split.parts.items():
        # Random parts of an image are stretched; it is kept a little larger for them.
        larger = part == "train" and settings["augment"] == "strong"
        size = settings["image_size"] * 8 // 7 if larger else settings["image_size"]
        transform = for_training if part == "train" else for_test
        sets[part], wrong = folders.read_photos(root, images, pixels | {"image_size": size}, transform)
        parts[part] = list(sets[part].images)
        left_out += wrong
        if not parts[part]:
            if not os.path.isdir(root):
                raise FileNotFoundError(f"{root}: there is no such folder; --root DIR says where its images are now")
            raise ValueError(f"{root}: of {len(images)} images for {part}, none can be read; the first: {wrong[0]}")
    notes = [*split.notes]
    if left_out:
        listed = "; ".join(left_out[:5]) + (f" ... (all of them: {LOG})" if len(left_out) > 5 else "")
        total = sum(map(len, split.parts.values()))
        notes.append(f"{len(left_out)} of {total} images cannot be read and are left out: {listed}")
    labels = {label for _, label in parts["train"]}
    lost = [name for label, name in enumerate(split.classes) if label not in labels]
    if lost:
        raise ValueError(f"{root}: no image of {', '.join(lost)} to train on can be read; {notes[-1]}")
    if time.monotonic() - began > 5:
        notes.append(f"all images have been looked at, in {time.monotonic() - began:.0f} s")
    if settings["images"] is None and not settings["squeezed"]:
        settings["images"] = folders.pack(folders.Split(split.classes, parts, []))
    return Sets(sets["train"], sets["test"], sets.get("val"), split.classes, notes, left_out)


def _split_as_before(root: str, seed: int) -> Any:
    """The split of an earlier release: the parts train and test, or every fifth image of all for the test."""
    from fastconv.app.folders import Split
    from fastconv.creation import randperm
    from fastconv.random import Generator
    from fastconv.vision.datasets import ImageFolder

    def listed(place: str) -> tuple[list[str], list[tuple[str, int]]]:
        images = ImageFolder(place)
        return images.classes, [(os.path.relpath(path, root), label) for path, label in images.samples]

    places = [os.path.join(root, part) for part in ("train", "test")]
    if all(map(os.path.isdir, places)):
        (classes, for_training), (_, for_test) = map(listed, places)
        return Split(classes, {"train": for_training, "test": for_test}, [])
    classes, images = listed(root)
    order = randperm(len(images), generator=Generator().manual_seed(seed)).tolist()
    tested = max(1, len(images) // 5)
    parts = {"train": [images[i] for i in order[tested:]], "test": [images[i] for i in order[:tested]]}
    return Split(classes, parts, [])


def _introduce(settings: dict[str, Any], sets: Sets, notes: list[str]) -> None:
    """Say what a folder holds, before hours are spent on it."""
    if settings["data"] == "folder":
        names = ", ".join(sets.classes[:12]) + (" ..." if len(sets.classes) > 12 else "")
        chosen = "" if sets.val is None else f"{len(sets.val)} to choose by, "
        print(f"{len(sets.classes)} classes: {names}; {chosen}{len(sets.test)} images to test on")
    for note in notes:
        print(note, flush=True)


def _build_model(settings: dict[str, Any], sets: Sets):
    """The network, after a try on one image whether it takes such images, and so few at once."""
    import fastconv
    from fastconv.random import default_generator

    image = sets.test[0][0]
    shape = " x ".join(map(str, image.shape))
    try:
        model = network(settings["model"], image.shape[0], image.shape[1], len(sets.classes))
        model.eval()
        with fastconv.no_grad():
            model(image.unsqueeze(0))
    except (RuntimeError, ValueError) as error:
        raise SettingsError(
            f"--model {settings['model']} does not take the {shape} images of --data {settings['data']}: {error}"
        ) from None
    few = min(settings["batch_size"], len(sets.train))
    if few == 1:
        state = default_generator.get_state()
        buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
        try:
            with fastconv.no_grad():
                model.train()(image.unsqueeze(0))
        except ValueError as error:
            raise SettingsError(f"--model {settings['model']} cannot learn from one image at a time: {error}") from None
        model.load_state_dict(buffers, strict=False)
        default_generator.set_state(state)
    return model


def _mixing(augment: str, classes: int) -> Any:
    """What makes a batch of images and labels whose neighbours are mixed, labels too; None where none are."""
    from fastconv.utils.data import default_collate
    from fastconv.vision.transforms import v2

    kind = {"mixup": v2.MixUp, "cutmix": v2.CutMix}.get(augment)
    if kind is None:
        return None
    mix = kind(num_classes=classes)
    return lambda samples: mix(*default_collate(samples))


def _optimizer(settings: dict[str, Any], trained: Any):
    """The optimiser of the parameters that learn."""
    from fastconv import optim

    kinds = {"sgd": "SGD", "adam": "Adam", "adamw": "AdamW", "nadam": "NAdam", "rmsprop": "RMSprop"}
    options = {"lr": settings["lr"], "weight_decay": settings["weight_decay"]}
    if settings["optimizer"] in ("sgd", "rmsprop"):
        options["momentum"] = settings["momentum"]
    return getattr(optim, kinds[settings["optimizer"]])(trained.parameters(), **options)


def _schedule(settings: dict[str, Any], optimizer, batches: int):
    """The scheduler, to be stepped after every batch, of which an epoch has so many.

    A run that goes on after its end is where a run of all its epochs would be: a high learning rate, as at the
    beginning, would undo what it has learned.
    """
    from fastconv.optim import lr_scheduler

    steps = settings["epochs"] * batches
    match settings["schedule"]:
        case "onecycle":
            scheduler = lr_scheduler.OneCycleLR(optimizer, settings["lr"], total_steps=steps, cycle_momentum=False)
        case "cosine":
            scheduler = lr_scheduler.CosineAnnealingLR(optimizer, steps)
        case _:
            return None
    for _ in range(settings["begun"] * batches):
        scheduler.step()
    return scheduler


def _new_folder(data: str, out: str | None) -> str:
    """Make the folder of a run: `out`, or the first free ``runs/<data>-<n>``."""
    if out is not None:
        os.makedirs(out, exist_ok=True)
        # A log alone, or a file half written, is of a run that did not come to its first checkpoint.
        others = [name for name in os.listdir(out) if name != LOG and not (name[0] == "." and name.endswith(".tmp"))]
        if others:
            go_on = f", or go on with --resume {shlex.quote(out)}" if CHECKPOINT in others else ""
            raise FileExistsError(f"{out}: is not empty; name a new folder{go_on}")
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


class _Keeper:
    """Keeps what a run shows of itself: log, table, best weights, pictures. None of it can end the run."""

    def __init__(self, folder, log, settings, sets, model, history, tested, tensorboard) -> None:
        self.folder, self.log, self.settings, self.sets, self.model = folder, log, settings, sets, model
        self.history: list[dict[str, Any]] = list(history)
        self.tested = tested
        self.drawn = time.monotonic()
        self.best: tuple[dict[str, Any], dict[str, Any]] | None = None  # the best weights, until they are on the disk
        self.writer = None
        if tensorboard:
            from fastconv.utils.tensorboard import SummaryWriter

            self.writer = SummaryWriter(folder)

    def path(self, name: str) -> str:
        return os.path.join(self.folder, name)

    def about(self) -> dict[str, Any]:
        """What a file of weights says of itself, so that it can be used without the run."""
        told = {"model": self.settings["model"], "data": self.settings["data"], "classes": self.sets.classes}
        return told | _pixels(self.settings)

    def epoch(self, record: dict[str, Any]) -> None:
        self.history.append(record)
        attempt(lambda: self.log.add("epoch", **record))
        attempt(lambda: write_table(self.path(TABLE), self.history))
        if len(self.history) == self.settings["begun"] + 1:
            attempt(self._write_config)
        scores = [(r[f"{self.tested}_accuracy"], -r[f"{self.tested}_loss"]) for r in self.history]
        is_best = scores.index(max(scores)) == len(scores) - 1
        if is_best:
            accuracy = f"{self.tested}_accuracy"
            about = self.about() | {"epoch": len(self.history), accuracy: record[accuracy]}
            self.best = self.model.state_dict(), about
        attempt(self._write_best)
        if is_best and self.best is not None:  # the disk is full, and the next step changes the weights
            self.best = {name: value.clone() for name, value in self.best[0].items()}, self.best[1]
        if self.writer is not None:
            for name, value in record.items():
                if name != "epoch":
                    self.writer.add_scalar(name, value, record["epoch"])
            self.writer.flush()
        if time.monotonic() - self.drawn > 20:  # a picture takes about half a second
            self._draw_curves()
            self.drawn = time.monotonic()

    def _write_config(self) -> None:
        with replacing(self.path(CONFIG)) as file:
            file.write(to_toml(self.settings).encode())

    def _write_best(self) -> None:
        from fastconv.app import checkpoint

        if self.best is not None:
            checkpoint.save(self.path(BEST), *self.best)
            self.best = None

    def _draw_curves(self) -> None:
        from fastconv.app import pictures

        attempt(lambda: pictures.draw_curves(self.path("curves.png"), self.history))

    def end(self, history: list[dict[str, Any]], notes: list[str]) -> None:
        """What is left at the end: table, settings, pictures, and the report of it all."""
        self.history = list(history)
        attempt(lambda: write_table(self.path(TABLE), self.history))
        attempt(self._write_config)
        attempt(self._write_best)
        if self.writer is not None:
            self.writer.close()
        from fastconv.app.story import tell_story

        pixels = _pixels(self.settings)
        attempt(lambda: tell_story(self.folder, self.model, self.sets, pixels, self.settings, self.history, notes))
