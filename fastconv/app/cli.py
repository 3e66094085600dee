"""The ``fastconv`` command: ``train``, ``predict``, ``export``, ``run``, ``launch``, ``check``, ``models`` and others.

Exit status: 0 done, 1 it could not be done, 2 wrong arguments, interrupted 128 and the signal's number
(130 for Ctrl-C).
"""

import argparse
import contextlib
import difflib
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

import fastconv
from fastconv.app.records import words_of

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command with `arguments` (default: the process's own); returns the exit status."""
    parser = _parser()
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        options.parser.error(f"unrecognized arguments: {' '.join(unknown)}{_meant(unknown, options.parser)}")
    try:
        if getattr(options, "config", None) is not None:
            options = parser.parse_args(_with_config(options, sys.argv[1:] if arguments is None else arguments))
        options.run(options, options.parser)
        sys.stdout.flush()
    except KeyboardInterrupt as interrupt:
        with contextlib.suppress(OSError):  # the terminal has been closed
            print(f"{options.parser.prog}: interrupted" + "".join(f"; {a}" for a in interrupt.args), file=sys.stderr)
        return 128 + getattr(interrupt, "signum", signal.SIGINT)
    except BrokenPipeError:
        # Whoever read our output has gone; nothing more can be said, not even at the interpreter's exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (OSError, ImportError, ValueError, RuntimeError, FloatingPointError, MemoryError) as error:
        print(f"{options.parser.prog}: error: {words_of(error)}", file=sys.stderr)
        return 1
    return 0


def _meant(unknown: list[str], parser: argparse.ArgumentParser) -> str:
    """What flags that a command does not know resemble."""
    known = parser._option_string_actions
    flags = [flag.split("=")[0] for flag in unknown if flag.startswith("--")]
    near = [match for flag in flags for match in difflib.get_close_matches(flag, known, 1)]
    return f"; did you mean {' '.join(near)}?" if near else ""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="fastconv", description="Convolutional networks on the CPU.")
    parser.add_argument("--version", action="version", version=f"fastconv {fastconv.__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_train(commands)
    _add_predict(commands)
    _add_export(commands)
    _add_run(commands)
    _add_launch(commands)
    _add_check(commands)
    _add_models(commands)
    _add_bench(commands)
    _add_info(commands)
    return parser


def _add_train(commands) -> None:
    from fastconv.app.networks import MODELS
    from fastconv.app.settings import AUGMENTATIONS, DATA, OPTIMIZERS, SCHEDULES

    text = "Train a CNN on images, test it, and leave a folder with its weights, a log and pictures."
    parser = commands.add_parser("train", help="train a CNN on images", description=text)
    parser.set_defaults(run=_train, parser=parser)
    parser.add_argument("--data", choices=DATA, help="what to train on (default: digits)")
    parser.add_argument(
        "--root",
        metavar="DIR",
        help="where the data is or is downloaded to (default: data); for --data folder: holds CLASS/IMAGE, of which a "
        "fifth of each class is kept for the test, or train/CLASS/IMAGE beside val, test or both, by any usual names",
    )
    parser.add_argument(
        "--model",
        type=_network,
        metavar="NAME",
        help=f"the network (default: the data's own, see below): {', '.join(MODELS)}, which suit images of up to 64 "
        "pixels a side, or one of torchvision's by its name, as mobilenet_v2; of larger images resnet18 and the VGGs "
        "are torchvision's",
    )
    parser.add_argument(
        "--image-size", type=_positive_integer, metavar="N", help="pixels a side that images are brought to"
    )
    parser.add_argument(
        "--init",
        metavar="WEIGHTS",
        help="begin with these weights, but for a last layer of another number of classes: a file of torch, "
        "safetensors or fastconv, the folder of a run, or published weights' name, as DEFAULT",
    )
    parser.add_argument("--freeze", action="store_true", default=None, help="with --init, train the last layer alone")
    parser.add_argument("--epochs", type=_positive_integer, metavar="N", help="passes over the training images")
    parser.add_argument("--batch-size", type=_positive_integer, metavar="N", help="images a step")
    parser.add_argument("--optimizer", choices=OPTIMIZERS, help="how weights are updated (default: sgd)")
    parser.add_argument("--lr", type=_positive, metavar="X", help="learning rate, at its highest")
    parser.add_argument("--momentum", type=_not_negative, metavar="X", help="momentum")
    parser.add_argument("--weight-decay", type=_not_negative, metavar="X", help="weight decay")
    parser.add_argument("--schedule", choices=SCHEDULES, help="course of the learning rate (default: onecycle)")
    parser.add_argument(
        "--augment",
        nargs="?",
        const="standard",
        choices=AUGMENTATIONS,
        help="what is done to training images at random; "
        + "; ".join(f"{name}: {text}" for name, text in AUGMENTATIONS.items())
        + " (digits are never mirrored)",
    )
    parser.add_argument(
        "--early-stopping",
        type=_positive_integer,
        metavar="N",
        help="stop when N epochs have passed since the best one, by the images of val or else of test",
    )
    parser.add_argument("--seed", type=_seed, metavar="N", help="seed of all random numbers (default: 0)")
    parser.add_argument("--threads", type=_positive_integer, metavar="N", help="threads (default: all cores)")
    parser.add_argument("--out", metavar="DIR", help="folder to leave the results in (default: runs/DATA-N)")
    parser.add_argument(
        "--resume",
        metavar="DIR",
        help="go on with the run in this folder, by its own settings; a run that has ended goes on with --epochs N, by "
        "the schedule of N epochs in all",
    )
    parser.add_argument(
        "--config", metavar="FILE", help="read arguments from this file of TOML or JSON; those given here come first"
    )
    parser.add_argument("--tensorboard", action="store_true", default=None, help="write a log for TensorBoard too")
    parser.add_argument(
        "--checkpoint-seconds",
        type=_not_negative,
        default=60.0,
        metavar="S",
        help="write a checkpoint after each epoch, and within an epoch every S seconds (default: 60)",
    )
    rows = [f"  {'data':<15}{'model':<12}{'epochs':>7}{'batch':>7}{'lr':>7}{'momentum':>10}{'decay':>8}{'augment':>10}"]
    for name, data in DATA.items():
        d = {key: "*" if value is None else value for key, value in data.defaults.items()}
        rows.append(
            f"  {name:<15}{d['model']:<12}{d['epochs']:>7}{d['batch_size']:>7}{d['lr']:>7}{d['momentum']:>10}"
            f"{d['weight_decay']:>8}{d['augment']:>10}"
        )
    note = "  * by the number of images: batches of a fifth of them, 8 to 64; 400 steps, and 10 epochs, at least"
    parser.epilog = "\n".join(["defaults:", *rows, note])
    parser.formatter_class = argparse.RawDescriptionHelpFormatter


def _train(options: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    from fastconv.app import runs
    from fastconv.app.settings import SETTINGS, SettingsError

    given = {name: getattr(options, name) for name in SETTINGS if getattr(options, name) is not None}
    if options.resume is not None:
        fixed = [name for name in (*given, *(["out"] if options.out else [])) if name not in ("root", "epochs")]
        if fixed:
            flags = ", ".join("--" + name.replace("_", "-") for name in fixed)
            parser.error(f"--resume goes on with the settings of the run in {options.resume}; leave out {flags}")
    try:
        runs.train(
            given if options.resume is None else {k: v for k, v in given.items() if k == "root"},
            options.out,
            options.resume,
            options.threads,
            options.checkpoint_seconds,
            options.epochs if options.resume is not None else None,
            bool(options.tensorboard),
        )
    except SettingsError as error:
        parser.error(str(error))


def _with_config(options: argparse.Namespace, arguments: Sequence[str]) -> list[str]:
    """The arguments of the command, after those that its ``--config`` names: the later ones count."""
    parser, path = options.parser, options.config
    try:
        with open(path, "rb") as file:
            text = file.read().decode()
        if text.lstrip().startswith("{"):
            import json

            settings = json.loads(text)
        else:
            import tomllib

            settings = tomllib.loads(text)
    except OSError as error:
        parser.error(f"--config {path}: {error.strerror}")
    except ValueError as error:
        parser.error(f"--config {path}: is neither TOML nor JSON: {error}")
    flags = {action.dest: action for action in parser._actions if action.dest not in ("help", "config", "resume")}
    found: list[str] = []
    for key, value in settings.items():
        action = flags.get(key.replace("-", "_"))
        if action is None:
            parser.error(f"--config {path}: knows no {key!r}; the keys are {', '.join(flags)}")
        if isinstance(value, bool) and action.nargs != 0 and key != "augment":
            parser.error(f"--config {path}: {key} expects a value, got {str(value).lower()}")
        if isinstance(value, dict | list) or (action.nargs == 0 and not isinstance(value, bool)):
            parser.error(f"--config {path}: {key} expects {'true or false' if action.nargs == 0 else 'one value'}")
        if value is True:
            found.append(action.option_strings[-1])
        elif value is not False and value is not None:
            found.append(f"{action.option_strings[-1]}={value}")
    command, *others = arguments
    return [command, *found, *others]


def _add_predict(commands) -> None:
    text = (
        "Ask a trained network what is in images. Upright or not by the camera's note, 16-bit, grey, transparent: they "
        "are brought to what it was trained on. The exit status is 1 if an image could not be read."
    )
    parser = commands.add_parser("predict", help="ask a trained network about images", description=text)
    parser.set_defaults(run=_predict, parser=parser)
    parser.add_argument("folder", metavar="RUN", help="the folder that `fastconv train` left, as runs/folder-1")
    parser.add_argument(
        "images",
        nargs="+",
        metavar="IMAGE",
        help="a file; a folder, of which all images are taken; - for standard input: an image, or names, a line each",
    )
    parser.add_argument(
        "--format", choices=("text", "csv", "json"), default="text", help="of the answers (default: text)"
    )
    parser.add_argument(
        "--top", type=_positive_integer, default=3, metavar="N", help="classes that a line of text names (default: 3)"
    )
    parser.add_argument("--best", action="store_true", help="by the weights of the best epoch, not the last ones")
    parser.add_argument(
        "--heatmap",
        nargs="?",
        const="heatmaps",
        metavar="DIR",
        help="also draw what each answer looked at, into this folder (default: heatmaps)",
    )
    parser.add_argument("--threads", type=_positive_integer, metavar="N", help="threads (default: all cores)")


def _predict(options: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    from fastconv.app.predict import predict

    if options.threads is not None:
        fastconv.set_num_threads(options.threads)
    if predict(options.folder, options.images, options.format, options.top, options.best, options.heatmap):
        raise SystemExit(1)


def _add_export(commands) -> None:
    text = "Write the network of a training run as an ONNX file, with its classes and its transform in the metadata."
    parser = commands.add_parser("export", help="write a run's network as an ONNX file", description=text)
    parser.set_defaults(run=_export, parser=parser)
    parser.add_argument("folder", metavar="RUN", help="the folder that `fastconv train` left")
    parser.add_argument("file", metavar="FILE", help="the file to write, say model.onnx")
    parser.add_argument("--best", action="store_true", help="the weights of the best epoch, not the last ones")
    parser.add_argument("--opset", type=_positive_integer, metavar="N", help="version of the operators (default: 18)")


def _export(options: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    from fastconv.app.onnx_file import export

    export(options.folder, options.file, options.best, options.opset)
    print(f"wrote {options.file}")


def _add_run(commands) -> None:
    text = (
        "Run a program written for torch as it stands: in its process, and in those that it starts, torch and "
        "torchvision mean fastconv, whether torch is installed or not."
    )
    parser = commands.add_parser("run", help="run a program written for torch", description=text)
    parser.usage = "fastconv run [-h] (FILE | -m MODULE) [ARGUMENT ...]"
    parser.set_defaults(run=_run, parser=parser)
    parser.add_argument("program", nargs=argparse.REMAINDER, metavar="FILE", help="the program, and its arguments")
    parser.add_argument("-m", dest="module", nargs=argparse.REMAINDER, metavar="MODULE", help="a module, as python -m")


def _run(options: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    from fastconv.app.programs import run

    if not options.program and not options.module:
        parser.error("name a program: a file, or -m and a module")
    run(options.program or ["-m", *options.module])


def _add_launch(commands) -> None:
    text = (
        "Run a program in several processes, which fastconv.distributed joins, by MPI's own launcher; torch and "
        "torchvision mean fastconv in them, as under fastconv run. The cores of a host are divided among its "
        "processes. The exit status is 0 if all of them ended well."
    )
    parser = commands.add_parser("launch", help="run a program in several processes", description=text)
    parser.usage = "fastconv launch [-h] -n N [--hosts FILE] [--restarts K] (FILE | -m MODULE) [ARGUMENT ...]"
    parser.set_defaults(run=_launch, parser=parser)
    parser.add_argument("-n", dest="processes", type=_positive_integer, required=True, metavar="N", help="processes")
    parser.add_argument("--hosts", metavar="FILE", help="a file that names a host a line, as mpiexec reads it")
    parser.add_argument(
        "--restarts",
        type=_count,
        default=0,
        metavar="K",
        help="start again, K times at most, when it has failed: with the hosts that still answer, or with one process "
        "fewer where all do; fastconv train then goes on from its checkpoint (default: 0)",
    )
    parser.add_argument("program", nargs=argparse.REMAINDER, metavar="FILE", help="the program, and its arguments")
    parser.add_argument("-m", dest="module", nargs=argparse.REMAINDER, metavar="MODULE", help="a module, as python -m")


def _launch(options: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    from fastconv.app.launch import launch

    if not options.program and not options.module:
        parser.error("name a program: a file, or -m and a module")
    program = options.program or ["-m", *options.module]
    status = launch(options.processes, options.hosts, program, options.restarts)
    if status:
        raise SystemExit(status)


def _add_check(commands) -> None:
    text = (
        "Read programs written for torch, without running them, and the modules beside them that they import: say "
        "which names of torch they use that fastconv lacks. The exit status is 0 if there is none, else 1."
    )
    parser = commands.add_parser("check", help="say what a program written for torch lacks", description=text)
    parser.set_defaults(run=_check, parser=parser)
    parser.add_argument("files", nargs="+", metavar="FILE", help="a program, or a folder of programs")


def _check(options: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    from fastconv.app.checking import check

    missing = check(options.files)
    print("\n".join(map(str, missing)) or "nothing is missing")
    if missing:
        raise SystemExit(1)


def _add_models(commands) -> None:
    text = (
        "List the networks of fastconv.vision.models: parameters, multiply-adds for an image of the size that their "
        "weights were made for, the smallest image, and the published weights, the default first."
    )
    parser = commands.add_parser("models", help="list the networks and their weights", description=text)
    parser.set_defaults(run=_models, parser=parser)
    parser.add_argument(
        "patterns",
        nargs="*",
        metavar="PATTERN",
        help="only names that fit, as 'resnet*', or hold it, as regnet (default: all)",
    )


def _models(options: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    from fastconv.vision.models import list_models
    from fastconv.vision.models.weights import listing

    patterns = [pattern.lower() for pattern in options.patterns]
    # Where none is called so, those whose names hold it, as of a family.
    names = list_models(include=patterns or None) or list_models(include=[f"*{pattern}*" for pattern in patterns])
    if not names:
        parser.error(f"no network has a name like {' or '.join(options.patterns)}")
    print(listing(names))


def _add_bench(commands) -> None:
    text = (
        "Time the three passes of convolutions on this machine: fastconv, NumPy on BLAS and, where it is installed, "
        "torch, in processes of their own that take turns."
    )
    parser = commands.add_parser("bench", help="measure this machine", description=text)
    parser.set_defaults(run=_bench, parser=parser)
    parser.add_argument("--threads", type=_positive_integer, default=1, metavar="N", help="threads (default: 1)")
    parser.add_argument("--cases", metavar="A,B", help="only cases whose names contain one of these words")
    parser.add_argument("--quick", action="store_true", help="few small cases, fewer turns")
    parser.add_argument("--json", metavar="FILE", help="also write everything measured to FILE")


def _bench(options: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    from fastconv.app import bench

    cases = list(bench.QUICK if options.quick else bench.CASES)
    if options.cases is not None:
        words = [word for word in options.cases.split(",") if word]
        cases = [case for case in bench.CASES if any(word in case for word in words)]
        if not cases:
            parser.error(f"--cases {options.cases}: no case has such a name; the cases are {', '.join(bench.CASES)}")
    bench.run(cases, options.threads, 3 if options.quick else 7, options.json)


def _add_info(commands) -> None:
    text = "Tell versions, CPU and threads. With --check, also whether results and speed are what they should be."
    parser = commands.add_parser("info", help="tell what runs here", description=text)
    parser.set_defaults(run=_info, parser=parser)
    parser.add_argument(
        "--check",
        action="store_true",
        help="check results and speed, which takes some five seconds, and say what to do about what is found",
    )


def _info(options: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    from fastconv.app.info import describe

    if not options.check:
        print(describe())
        return
    from fastconv.app.selfcheck import check

    if not check():
        raise RuntimeError("the self-check found wrong results")


def _network(text: str) -> str:
    from fastconv.app.networks import MODELS, is_network
    from fastconv.vision.models import list_models

    if not is_network(text):
        names = sorted(filter(is_network, {*MODELS, *list_models()}))
        near = difflib.get_close_matches(text.lower(), names)
        raise argparse.ArgumentTypeError(
            f"invalid choice: {text!r} (choose from {', '.join(MODELS)}, or torchvision's classifiers by their names)"
            + (f"; did you mean {' or '.join(near)}?" if near else "")
        )
    return text


def _positive_integer(text: str) -> int:
    return _checked(text, int, lambda value: value >= 1, "an integer of at least 1")


def _count(text: str) -> int:
    return _checked(text, int, lambda value: value >= 0, "an integer of at least 0")


def _seed(text: str) -> int:
    return _checked(text, int, lambda value: 0 <= value < 2**64, "an integer from 0 to 2**64 - 1")


def _positive(text: str) -> float:
    return _checked(text, float, lambda value: 0 < value < float("inf"), "a number above 0")


def _not_negative(text: str) -> float:
    return _checked(text, float, lambda value: 0 <= value < float("inf"), "a number of at least 0")


def _checked(text: str, kind: type[Any], good, expected: str):
    try:
        value = kind(text)
    except ValueError:
        value = None
    if value is None or not good(value):
        raise argparse.ArgumentTypeError(f"expected {expected}, got {text!r}")
    return value
