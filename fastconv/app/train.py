"""Training of classifiers: :func:`fit` and :func:`evaluate` for any model and loader."""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import TYPE_CHECKING, Any

from fastconv.app import checkpoint as checkpoints
from fastconv.app.records import tell, words_of
from fastconv.autograd import no_grad
from fastconv.checks import integer, number
from fastconv.nn import CrossEntropyLoss
from fastconv.optim.lr_scheduler import ReduceLROnPlateau
from fastconv.random import default_generator

if TYPE_CHECKING:
    from fastconv.app.crew import Crew

__all__ = ["evaluate", "fit", "is_over"]


def fit(
    model,
    train_loader: Iterable[Any],
    optimizer,
    epochs: int,
    *,
    test_loader: Iterable[Any] | None = None,
    loss_function: Callable[..., Any] | None = None,
    scheduler=None,
    step_scheduler: str = "epoch",
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_seconds: float = 60.0,
    resume: bool = False,
    settings: dict[Any, Any] | None = None,
    patience: int | None = None,
    frozen: Iterable[Any] = (),
    tested: str = "test",
    on_epoch: Callable[[dict[Any, Any]], None] | None = None,
    verbose: bool = True,
    crew: Crew | None = None,
) -> list[dict[Any, Any]]:
    """Train a classifier step by step over batches of images, and test it after each epoch.

    Parameters
    ----------
    model : nn.Module
        Maps images (N, C, H, W) to scores (N, classes).
    train_loader, test_loader : iterable of (images, labels)
        Usually DataLoaders; `test_loader` may be None.
    optimizer : optim.Optimizer
    epochs : int
        Passes over `train_loader`, those before a resumption included.
    loss_function : callable, default CrossEntropyLoss()
        Maps scores and labels to the mean loss of the batch.
    scheduler : optional
        Learning rate scheduler, stepped after each ``'epoch'`` or each ``'batch'`` as `step_scheduler` says.
    checkpoint : path, optional
        File that takes the whole state of the training: before the first step; after each epoch; within an epoch when
        `checkpoint_seconds` have passed since the last time; and on SIGINT (Ctrl-C), SIGTERM or SIGHUP, which let the
        running step end and then raise KeyboardInterrupt. A second signal acts at once.
    resume : bool
        Go on from `checkpoint`. When all random draws (shuffling, transforms, dropout) come from
        ``fastconv.random.default_generator``, the run ends bit for bit as one that was never interrupted.
    settings : dict, optional
        What the run was made with, in terms of JSON: kept in the checkpoint for whoever builds the objects again.
    patience : int, optional
        Stop when so many epochs have passed since the one that did best on `test_loader`.
    frozen : iterable of nn.Module
        Parts of the model that are in evaluation mode all along, so that their batch norm learns nothing.
    tested : str
        What the records call the figures of `test_loader`: ``test``, or ``val`` where they help to choose.
    on_epoch : callable, optional
        Called with each epoch's record as soon as it is complete.
    verbose : bool
        Show a progress bar if standard error is a terminal, else print a line an epoch.
    crew : Crew, optional
        The processes that train together; `train_loader` is its ``loader()``, and the first one saves and shows.

    Returns
    -------
    list of dict
        A record an epoch: epoch (from 1), lr (of its last step), train_loss, train_accuracy, images_per_second,
        seconds and, with a `test_loader`, test_loss and test_accuracy. The training figures are means over the epoch,
        taken while the weights changed; images_per_second and seconds count loading, the three passes and the update.

    Raises
    ------
    FloatingPointError
        The loss became infinite or NaN.
    KeyboardInterrupt
        There was a signal; with a `checkpoint`, it has been written.
    CheckpointError
        `resume` from a file that is no checkpoint of such a model, optimiser and scheduler.
    OSError
        The first checkpoint, the last one or that of a signal cannot be written. Where another cannot, the training
        says so and goes on, for the disk may have room again at the next.
    """
    if step_scheduler not in ("epoch", "batch"):
        raise ValueError(f"step_scheduler must be 'epoch' or 'batch', got {step_scheduler!r}")
    integer(epochs, "epochs")
    number(checkpoint_seconds, "checkpoint_seconds", 0)
    if loss_function is None:
        loss_function = CrossEntropyLoss()
    progress: dict[Any, Any] = {"settings": settings, "history": [], **_epoch_start()}

    step = _Step(model, loss_function, optimizer, train_loader, crew)
    verbose = verbose and step.chief

    def save() -> float:
        if checkpoint is not None and step.chief:
            checkpoints.save_training(checkpoint, model, optimizer, scheduler, progress)
        return time.monotonic()

    failed = False

    def try_to_save() -> float:
        nonlocal failed
        try:
            saved = save()
            failed = False
            return saved
        except OSError as error:
            if not failed:
                tell(f"{words_of(error)}: the training goes on, and tries again; what is kept is older")
            failed = True
            return time.monotonic()

    if resume:
        if checkpoint is None:
            raise ValueError("resume=True needs the checkpoint to resume from, got checkpoint=None")
        progress = checkpoints.load_training(checkpoint, model, optimizer, scheduler)
        if isinstance(progress, dict):
            progress = {"lr": None} | progress  # which earlier releases did not keep
        _check_progress(checkpoint, progress)
        saved = time.monotonic()
    else:
        saved = save()

    with _Stop(checkpoint is not None, verbose) as stop:
        try:
            while not is_over(progress["history"], epochs, patience, tested, _begun(settings)):
                record: dict[Any, Any] = {"epoch": len(progress["history"]) + 1}
                with _Display(record["epoch"], epochs, train_loader, progress["batches"], verbose) as display:
                    model.train()
                    for module in frozen:
                        module.eval()
                    began = time.perf_counter()
                    for images, labels in _remaining_batches(train_loader, progress, crew):
                        progress["lr"] = optimizer.param_groups[0]["lr"]
                        loss, correct, count = step(images, labels, progress["batches"], stop)
                        if scheduler is not None and step_scheduler == "batch":
                            scheduler.step()
                        progress["batches"] += 1
                        progress["images"] += count
                        progress["loss"] += loss * count
                        progress["correct"] += correct
                        progress["seconds"] += time.perf_counter() - began
                        display.step(progress)
                        step.check(stop)
                        if time.monotonic() - saved >= checkpoint_seconds:
                            saved = try_to_save()
                        began = time.perf_counter()
                    if progress["images"] == 0:
                        raise ValueError("train_loader gave no batch of images")
                    lr = optimizer.param_groups[0]["lr"] if progress["lr"] is None else progress["lr"]
                    record |= {"lr": lr, **_means(progress), "seconds": round(progress["seconds"], 3)}
                    if test_loader is not None:
                        watched = test_loader if crew is not None else stop.watch(test_loader)
                        loss, accuracy = evaluate(model, watched, loss_function, crew)
                        if math.isnan(loss):  # the last step has spoiled the weights
                            raise FloatingPointError(f"the loss became {loss}; a smaller learning rate may help")
                        record |= {f"{tested}_loss": loss, f"{tested}_accuracy": accuracy}
                    display.end(record)
                if isinstance(scheduler, ReduceLROnPlateau):
                    scheduler.step(record.get(f"{tested}_loss", record["train_loss"]))
                elif scheduler is not None and step_scheduler == "epoch":
                    scheduler.step()
                progress |= {"history": [*progress["history"], record], **_epoch_start()}
                # The caller's notes come first, so that they never miss an epoch that the checkpoint has.
                if on_epoch is not None:
                    on_epoch(record)
                over = is_over(progress["history"], epochs, patience, tested, _begun(settings))
                saved = save() if over else try_to_save()
                step.check(stop, agree=True)
        except _StopRequested:
            save()
            raise Interrupted(stop.signum) from None
    return progress["history"]


def is_over(
    history: list[dict[Any, Any]], epochs: int, patience: int | None = None, tested: str = "test", begun: int = 0
) -> bool:
    """Whether :func:`fit` would train no further; epochs up to `begun` do not count for `patience`."""
    if len(history) >= epochs:
        return True
    if patience is None or len(history) - begun <= patience:
        return False
    scores = [(record.get(f"{tested}_accuracy", 0.0), -record.get(f"{tested}_loss", 0.0)) for record in history[begun:]]
    return len(scores) - 1 - scores.index(max(scores)) >= patience


def _begun(settings: dict[Any, Any] | None) -> int:
    return settings.get("begun", 0) if isinstance(settings, dict) else 0


def evaluate(
    model, loader: Iterable[Any], loss_function: Callable[..., Any] | None = None, crew: Crew | None = None
) -> tuple[float, float]:
    """Mean loss (default CrossEntropyLoss()) and share of right answers of `model` over `loader`'s images.

    The model works in evaluation mode, without a tape, and is left in the mode it was in; what the loader draws from
    the default random generator leaves no trace, so that training goes the same with and without tests. The figures of
    a `crew` are those of all processes' images.
    """
    loss_function = CrossEntropyLoss() if loss_function is None else loss_function
    total, right, count = 0.0, 0, 0
    training, state = model.training, default_generator.get_state()
    model.eval()
    try:
        with no_grad():
            for images, labels in loader:
                scores = model(images)
                total += loss_function(scores, labels).item() * len(labels)
                right += _correct(scores, labels)
                count += len(labels)
    finally:
        model.train(training)
        default_generator.set_state(state)
    if crew is not None:
        total, right, count = crew.sums([total, right, count])
    if count == 0:
        raise ValueError("loader gave no batch of images")
    return total / count, right / count


class _Step:
    """One step of the optimiser; of a crew all together."""

    def __init__(self, model, loss_function: Callable[..., Any], optimizer, loader: Any, crew: Crew | None) -> None:
        self.model = model if crew is None else crew.wrap(model)
        self.loss_function, self.optimizer, self.loader, self.crew = loss_function, optimizer, loader, crew
        self.chief = crew is None or crew.chief
        self.signum = 0  # of a signal that came to any process of a crew

    def __call__(self, images, labels, batch: int, stop: _Stop) -> tuple[float, int, int]:
        """The batch's loss, how many answers were right before the step, and the number of images."""
        scores = self.model(images)
        loss = self.loss_function(scores, labels)
        value, correct, count = loss.item(), _correct(scores, labels), len(labels)
        if self.crew is not None:
            weight = self.crew.weight(self.loader, batch)
            loss = loss * weight
            share = count if weight else 0
            figures = value * share, correct if weight else 0, share, stop.signum
            total, correct, count, self.signum = self.crew.sums(figures)
            value, correct, count = total / count, int(correct), int(count)
        if not math.isfinite(value):
            raise FloatingPointError(f"the loss became {value}; a smaller learning rate may help")
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return value, correct, count

    def check(self, stop: _Stop, agree: bool = False) -> None:
        """Stop if a signal has come; processes of a crew do so at the same step."""
        if self.crew is None:
            stop.check()
            return
        if agree:
            self.signum = int(self.crew.sums([stop.signum])[0])
        if self.signum:
            stop.signum = stop.signum or signal.SIGINT
            raise _StopRequested


def _epoch_start() -> dict[Any, Any]:
    """The progress of an epoch of which nothing is done."""
    return {"random": None, "batches": 0, "images": 0, "loss": 0.0, "correct": 0, "seconds": 0.0, "lr": None}


def _check_progress(path: str | os.PathLike[str], progress: dict[Any, Any]) -> None:
    """Raise a CheckpointError unless `progress` is what :func:`fit` saves."""
    kinds = {"history": list, "batches": int, "images": int, "loss": float, "correct": int, "seconds": float}
    good = isinstance(progress, dict) and progress.keys() == kinds.keys() | {"settings", "random", "lr"}
    good = good and all(isinstance(progress[name], kind) for name, kind in kinds.items())
    good = good and all(isinstance(record, dict) for record in progress["history"])
    if not good or not 0 <= progress["batches"] <= progress["images"]:
        raise checkpoints.CheckpointError(f"{os.fspath(path)}: holds no progress of fit(), but {str(progress)[:200]}")


def _remaining_batches(loader: Iterable[Any], progress: dict[Any, Any], crew: Crew | None) -> Iterator[Any]:
    """The epoch's batches but for those already done, in the order drawn at the epoch's start."""
    if crew is not None:
        crew.same_random_numbers()
    if progress["batches"] == 0:
        progress["random"] = default_generator.get_state()
        yield from loader
        return
    now = default_generator.get_state()
    default_generator.set_state(progress["random"])
    batches = iter(loader)
    for _ in itertools.islice(batches, progress["batches"]):
        pass
    default_generator.set_state(now)
    if crew is not None:
        crew.own_random_numbers()
    yield from batches


def _correct(scores, labels) -> int:
    """How many of the highest scores (N, classes) stand at the label (N,), or at the largest share (N, classes)."""
    answers = labels.numpy() if labels.ndim == 1 else labels.numpy().argmax(1)
    return int((scores.detach().numpy().argmax(1) == answers).sum())


def _means(progress: dict[Any, Any]) -> dict[Any, Any]:
    images = progress["images"]
    return {
        "train_loss": progress["loss"] / images,
        "train_accuracy": progress["correct"] / images,
        "images_per_second": round(images / max(progress["seconds"], 1e-9), 1),
    }


class Interrupted(KeyboardInterrupt):
    """A signal has ended the training, which can go on from its checkpoint."""

    def __init__(self, signum: int) -> None:
        super().__init__()
        self.signum = signum


class _StopRequested(Exception):
    pass


class _Stop:
    """While entered, the signals that end programs are answered and noted; asked after each step, they raise."""

    # SIGHUP, which comes when a terminal is closed, is none of Windows'.
    SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))

    ANSWER = b"\nstopping when this step is done; again to stop at once\n"

    def __init__(self, enabled: bool, verbose: bool) -> None:
        # Signal handlers can be set in the main thread only; other threads never receive signals.
        self.enabled = enabled and threading.current_thread() is threading.main_thread()
        self.verbose = verbose
        self.signum = 0  # of the signal that came
        self.previous: dict[Any, Any] = {}

    def __enter__(self) -> _Stop:
        for signum in self.SIGNALS if self.enabled else ():
            # Whoever ignores a signal (nohup, shell jobs) goes on ignoring it.
            if signal.getsignal(signum) not in (signal.SIG_IGN, None):
                self.previous[signum] = signal.signal(signum, self._note)
        return self

    def __exit__(self, *exception) -> None:
        for signum, handler in self.previous.items():
            signal.signal(signum, handler)

    def _note(self, signum, frame) -> None:
        self.signum = signum
        if self.verbose:
            with contextlib.suppress(OSError):
                os.write(2, self.ANSWER)  # sys.stderr may be in use by what the signal interrupted
        signal.signal(signum, self.previous[signum])

    def check(self) -> None:
        if self.signum:
            raise _StopRequested

    def watch(self, loader: Iterable[Any]) -> Iterator[Any]:
        for batch in loader:
            self.check()
            yield batch


class _Display:
    """An epoch as it goes: a tqdm bar on a terminal, else one line when it is over."""

    def __init__(self, epoch: int, epochs: int, loader: Iterable[Any], done: int, verbose: bool) -> None:
        self.title = f"epoch {epoch}/{epochs}"
        self.verbose = verbose
        self.bar = None
        self.narrow = False
        if verbose and sys.stderr is not None and sys.stderr.isatty():
            with contextlib.suppress(ImportError):
                from shutil import get_terminal_size

                from tqdm import tqdm

                columns = get_terminal_size().columns
                self.narrow = columns < 80
                self.bar = tqdm(
                    desc=self.title,
                    total=len(loader) if isinstance(loader, Sized) else None,
                    initial=done,
                    ncols=columns,
                    bar_format="{desc} {remaining}{postfix}" if self.narrow else "{desc} |{bar}| {remaining}{postfix}",
                )

    def __enter__(self) -> _Display:
        return self

    def __exit__(self, *exception) -> None:
        if self.bar is not None:
            self.bar.close()

    def step(self, progress: dict[Any, Any]) -> None:
        if self.bar is not None:
            self.bar.set_postfix_str(", ".join(_figures(_means(progress))[: 1 if self.narrow else 2]), refresh=False)
            self.bar.update()

    def end(self, record: dict[Any, Any]) -> None:
        learned, speed = _figures(record)
        kind = next((kind for kind in ("test", "val") if f"{kind}_accuracy" in record), None)
        name = "validation" if kind == "val" else "test"
        tested = "" if kind is None else f", {name} accuracy {record[f'{kind}_accuracy']:.4f}"
        if self.bar is not None:
            # What is left is none; how long it took tells more.
            self.bar.bar_format = self.bar.bar_format.replace("{remaining}", "{elapsed}")
            short = tested.replace(" accuracy", "").replace("validation", "val")
            self.bar.set_postfix_str(learned + (short if self.narrow else tested))
        elif self.verbose:
            print(f"{self.title}  {learned}, {speed}{tested}", flush=True)


def _figures(record: dict[Any, Any]) -> tuple[str, str]:
    return (
        f"loss {record['train_loss']:.4f}, accuracy {record['train_accuracy']:.4f}",
        f"{record['images_per_second']:.0f} images/s",
    )
