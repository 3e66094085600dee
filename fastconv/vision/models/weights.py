"""Published weights of networks, torchvision's: enums of them, and functions that build networks with them.

A family's file has for each network a line ``weights_enum(...)``, which says what has been published, and a function
under ``@builder(...)``, which gives it torchvision's interface.
"""

import enum
import functools
import inspect
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, overload

from fastconv.vision.transforms.presets import ImageClassification, SemanticSegmentation
from fastconv.vision.transforms.transforms import InterpolationMode

__all__ = [
    "BUILDERS",
    "Weights",
    "WeightsEnum",
    "build",
    "builder",
    "expect",
    "file",
    "listing",
    "weights_enum",
]

ADDRESS = "https://download.pytorch.org/models/"
M = TypeVar("M")


@dataclass
class Weights:
    """What there is to know of published weights.

    Parameters
    ----------
    url : str
        Where they are published.
    transforms : callable
        Makes what images are to be passed through.
    meta : dict
        ``num_params``, ``min_size`` (the least height and width of an image), ``categories`` (names of the classes) and
        ``_ops``, the thousand millions of multiply-adds for an image of the transforms' size.
    """

    url: str
    transforms: Callable[..., Any]
    meta: dict[str, Any]


class WeightsEnum(enum.Enum):
    """Base of the enums of weights; ``DEFAULT`` is another name of the best member."""

    value: Weights

    @classmethod
    def verify(cls, obj: Any) -> Any:
        """A member of this enum, by itself or by its name, or None; KeyError or TypeError for anything else."""
        if isinstance(obj, str):
            name = obj.removeprefix(f"{cls.__name__}.")
            if name not in cls.__members__:
                text = f"{cls.__name__} has {', '.join(cls.__members__)}, not {obj!r}"
                if os.path.splitext(name)[1]:
                    text += "; weights of a file: model.load_state_dict(fastconv.load(file))"
                raise KeyError(text)
            return cls[name]
        if obj is not None and not isinstance(obj, cls):
            raise TypeError(
                f"Invalid Weight class provided; expected {cls.__name__} but received {type(obj).__name__}."
            )
        return obj

    @property
    def url(self) -> str:
        return self.value.url

    @property
    def transforms(self) -> Callable[..., Any]:
        """Called, makes what turns a Pillow image, or a tensor, into what the network is to be given."""
        return self.value.transforms

    @property
    def meta(self) -> dict[str, Any]:
        return self.value.meta

    def get_state_dict(self, *args: Any, **options: Any) -> dict[str, Any]:
        """The weights, found or downloaded by :func:`fastconv.hub.load_state_dict_from_url`, with its options.

        A download's checksum is verified but for ``check_hash=False``.
        """
        from fastconv.hub import load_state_dict_from_url

        return load_state_dict_from_url(self.url, *args, **{"check_hash": True, **options})

    def __reduce_ex__(self, protocol: Any) -> Any:
        return getattr, (type(self), self._name_)  # a copy is the member itself

    def __repr__(self) -> str:
        return f"{type(self).__name__}.{self._name_}"


# ---------------------------------------------------------------------------------------------------------
# The table
# ---------------------------------------------------------------------------------------------------------


@dataclass
class Published:
    """A file of weights, and what is said of it beyond the usual."""

    name: str
    ops: float | None
    preset: dict[str, Any]


def file(
    name: str,
    ops: float | None = None,
    crop: int | None = None,
    resize: int | None = None,
    bicubic: bool = False,
    **preset: Any,
) -> Published:
    """A published file whose transforms differ from the usual in these, and for which a forward pass costs `ops`."""
    sizes = {"crop_size": crop, "resize_size": resize, "interpolation": InterpolationMode.BICUBIC if bicubic else None}
    return Published(name, ops, preset | {option: value for option, value in sizes.items() if value is not None})


def weights_enum(
    network: str, num_params: int, ops: float, least: int = 1, coco: str | None = None, **files: str | Published
) -> Any:
    """The enum of a network's weights.

    Parameters
    ----------
    network : str
    num_params : int
    ops : float
        Thousand millions of multiply-adds for an image of the size that the weights were made for.
    least : int
        Height and width of the smallest image.
    coco : str, optional
        A published file for Pascal VOC's classes of pixels.
    **files
        Those for ImageNet's 1000 classes, by the member's name but for ``IMAGENET1K_``. ``V1`` takes images whose
        shorter side is 256, ``V2`` 232, of which a square of 224 is cut. The default is the first of V2, V1 and the
        rest.
    """
    published = {f"IMAGENET1K_{name}": value for name, value in files.items()}
    if coco is not None:
        published["COCO_WITH_VOC_LABELS_V1"] = file(coco)
    members = {}
    for name, value in published.items():
        value = value if isinstance(value, Published) else file(value)
        meta: dict[str, Any] = {"num_params": num_params, "min_size": (least, least), "_ops": value.ops or ops}
        if coco is None:
            sizes = {"crop_size": 224, "resize_size": 232 if name.endswith("K_V2") else 256}
            transforms = partial(ImageClassification, **{**sizes, **value.preset})
            meta["categories"] = IMAGENET if name != "IMAGENET1K_FEATURES" else None
        else:
            transforms = partial(SemanticSegmentation, resize_size=520)
            meta["categories"] = list(VOC)
        if "SWAG" in name:
            meta["license"] = "https://github.com/facebookresearch/SWAG/blob/main/LICENSE"
        members[name] = Weights(f"{ADDRESS}{value.name}.pth", transforms, meta)
    best = next(name for name in ("IMAGENET1K_V2", "IMAGENET1K_V1", *members) if name in members)
    members["DEFAULT"] = members[best]
    return WeightsEnum(f"{network}_Weights", members, module=sys._getframe(1).f_globals["__name__"])


class Categories(Sequence[str]):
    """ImageNet's 1000 class names, which others have published: read on this machine when they are first asked for.

    They are looked for in ``$FASTCONV_HOME/imagenet_classes.txt``, one a line, and in an installed torchvision, which
    is read and not imported.
    """

    @functools.cached_property
    def _names(self) -> list[str]:
        looked = []
        if home := os.environ.get("FASTCONV_HOME"):
            path = Path(home).expanduser() / "imagenet_classes.txt"
            looked.append(path)
            if path.is_file():
                return self._checked(path.read_text(encoding="utf-8").strip().splitlines(), path)
        import ast

        for folder in sys.path:
            path = Path(folder or os.curdir, "torchvision", "models", "_meta.py")
            if path.is_file():
                for node in ast.parse(path.read_text(encoding="utf-8")).body:
                    if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_IMAGENET_CATEGORIES":
                        return self._checked(ast.literal_eval(node.value), path)
        raise RuntimeError(
            "the names of ImageNet's 1000 classes are not part of fastconv: put a file imagenet_classes.txt, one name "
            "a line, into the folder that the variable FASTCONV_HOME names, or install torchvision"
            + "".join(f"; there is no {path}" for path in looked)
        )

    @staticmethod
    def _checked(names: Any, path: Path) -> list[str]:
        if len(names) != 1000:
            raise RuntimeError(f"{path} has {len(names)} names of classes, expected ImageNet's 1000")
        return list(names)

    def __len__(self) -> int:
        return 1000

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: Any) -> Any:
        return self._names[index]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __repr__(self) -> str:
        return "<ImageNet's 1000 classes>"


IMAGENET: Categories = Categories()
VOC = (
    *("__background__", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)


# ---------------------------------------------------------------------------------------------------------
# Functions that build networks
# ---------------------------------------------------------------------------------------------------------

BUILDERS: dict[str, Callable[..., Any]] = {}  # by the network's name; each has its enum as `weights`


def builder(choices: Any, **others: Any) -> Callable[[Callable[..., M]], Callable[..., M]]:
    """Have a function take weights as torchvision's do.

    It is called with a member of the enum or None: names are looked up, and the interface of old, ``pretrained=`` and
    arguments by position, works with torchvision's warnings.

    Parameters
    ----------
    choices : type of WeightsEnum
        Of the argument `weights`, once ``pretrained``.
    **others : type of WeightsEnum
        Of further arguments, ``weights_backbone`` say, once ``pretrained_backbone``.
    """
    enums = {"weights": choices, **others}

    def decorate(function: Callable[..., M]) -> Callable[..., M]:
        order = [name for name, p in inspect.signature(function).parameters.items() if p.kind == p.KEYWORD_ONLY]

        @functools.wraps(function)
        def wrapped(*args: Any, **options: Any) -> M:
            if args:
                if len(args) > len(order):
                    raise TypeError(
                        f"{function.__name__}() takes at most {len(order)} positional arguments, got {len(args)}"
                    )
                named = dict(zip(order, args, strict=False))
                twice = [name for name in named if name in options]
                if twice:
                    raise TypeError(f"{function.__name__}() got multiple values for argument {twice[0]!r}")
                options |= named
                warnings.warn(
                    f"Using {', '.join(map(repr, named))} as positional parameter(s) is deprecated since 0.13 and may "
                    "be removed in the future. Please use keyword parameter(s) instead.",
                    stacklevel=2,
                )
            for name, members in enums.items():
                _modernise(function.__name__, name, members, options)
            return function(**options)

        wrapped.weights = choices  # type: ignore[attr-defined]
        BUILDERS[function.__name__] = wrapped
        return wrapped

    return decorate


def listing(names: Sequence[str]) -> str:
    """A table of networks: parameters, multiply-adds, images and weights."""
    lines = [("network", "parameters", "multiply-adds", "image", "least", "weights")]
    for name in names:
        choices = BUILDERS[name].weights  # type: ignore[attr-defined]
        meta, preset = choices.DEFAULT.meta, choices.DEFAULT.transforms()
        members = [choices.DEFAULT.name, *(member.name for member in choices if member is not choices.DEFAULT)]
        size, least = (preset.crop_size or preset.resize_size)[0], meta["min_size"][0]
        row = (f"{meta['num_params']:,}", f"{meta['_ops']:.3f} G", f"{size}x{size}", f"{least}x{least}")
        lines.append((name, *row, ", ".join(members)))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if 0 < i < 5 else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def _modernise(network: str, name: str, choices: Any, options: dict[str, Any]) -> None:
    """`options` with a member of the enum or None under `name`, whatever was given for it."""
    old = name.replace("weights", "pretrained")
    given = options.get(name)
    if old in options or isinstance(given, bool):
        asked = options.pop(old, None) if old in options else given
        if old in options or (given is not None and not isinstance(given, bool)):
            raise TypeError(f"{network}() got {name}={given!r} and {old}={asked!r}, of which one is enough")
        weights = next(iter(choices)) if asked else None
        if not isinstance(given, bool):
            warnings.warn(
                f"The parameter '{old}' is deprecated since 0.13 and may be removed in the future, please use '{name}' "
                "instead.",
                stacklevel=3,
            )
        text = (
            f"Arguments other than a weight enum or `None` for '{name}' are deprecated since 0.13 and may be removed "
            f"in the future. The current behavior is equivalent to passing `{name}={weights}`."
        )
        if asked:
            text += f" You can also use `{name}={choices.__name__}.DEFAULT` to get the most up-to-date weights."
        warnings.warn(text, stacklevel=3)
        options[name] = weights
    elif name in options:
        options[name] = choices.verify(given)


def build(
    network: Callable[..., M],
    weights: Any,
    progress: bool,
    options: dict[str, Any],
    rename: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
) -> M:
    """A network with these options and, if asked for, published weights; `rename` brings their names up to date.

    Raises
    ------
    ValueError
        If the weights are of another number of classes than the options say.
    """
    if weights is None:
        return network(**options)
    categories = weights.meta["categories"]
    if categories is not None:
        options = expect(options, "num_classes", len(categories))
    state = weights.get_state_dict(progress=progress)  # first: if it fails, then at once
    model: Any = network(**options)
    model.load_state_dict(rename(state) if rename else state)
    return model


def expect(options: dict[str, Any], name: str, value: Any) -> dict[str, Any]:
    """`options` with this value, which another one must not contradict."""
    if options.get(name, value) != value:
        raise ValueError(f"The parameter '{name}' expected value {value} but got {options[name]} instead.")
    return {**options, name: value}
