"""Programs written for torch, run as they stand: `torch` and `torchvision` mean fastconv in this process.

:func:`install` puts a finder at the head of the import system. It answers for the two packages and all modules below
with a :class:`StandIn` each, which takes its attributes from the modules of fastconv that :data:`MODULES` names, when
they are first asked for. What fastconv lacks is an AttributeError or an ImportError that says its name in torch.

``fastconv run`` needs no more than Python's own start: it puts the folder :data:`PATH` on PYTHONPATH, whose files
`torch` and `torchvision` call :func:`install`. So worker processes, forked, spawned or started by the program, find
them too, and everything else about the program is as under plain Python.
"""

from __future__ import annotations

import functools
import importlib
import importlib.abc
import importlib.machinery
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

__all__ = ["METHODS", "MODULES", "PATH", "VERSIONS", "MissingModuleError", "MissingNameError", "install", "lookup"]

PATH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "_compat", "_path")

# The public attributes of torch.Tensor and torch.nn.Module; a test holds the file against torch, and can rewrite it.
METHODS = Path(__file__).with_name("torch_methods.txt")

VERSIONS = {"torch": "2.13.0", "torchvision": "0.28.0"}  # whose names and answers these are

# The modules of torch and torchvision, and those of fastconv in which their names are looked for, in order.
MODULES: dict[str, tuple[str, ...]] = {
    "torch": ("fastconv", "fastconv._compat._names"),
    "torch._dynamo": ("fastconv._compat.compiler",),
    "torch.accelerator": ("fastconv._compat.accelerator",),
    "torch.amp": ("fastconv._compat.amp",),
    "torch.autograd": ("fastconv.autograd", "fastconv._compat.autograd"),
    "torch.autograd.function": ("fastconv.autograd.function",),
    "torch.autograd.functional": ("fastconv.autograd.functional",),
    "torch.autograd.gradcheck": ("fastconv.autograd.gradcheck",),
    "torch.autograd.profiler": ("fastconv._compat.profiler",),
    "torch.autograd.variable": ("fastconv._compat.autograd",),
    "torch.backends": ("fastconv._compat.backends",),
    "torch.backends.cuda": ("fastconv._compat.backends.cuda",),
    "torch.backends.cudnn": ("fastconv._compat.backends.cudnn",),
    "torch.backends.mkl": ("fastconv._compat.backends.mkl",),
    "torch.backends.mkldnn": ("fastconv._compat.backends.mkldnn",),
    "torch.backends.mps": ("fastconv._compat.backends.mps",),
    "torch.compiler": ("fastconv._compat.compiler",),
    "torch.cuda": ("fastconv._compat.cuda",),
    "torch.cuda.amp": ("fastconv._compat.cuda.amp",),
    "torch.distributed": ("fastconv.distributed",),
    "torch.distributions": ("fastconv.distributions",),
    "torch.distributions.bernoulli": ("fastconv.distributions",),
    "torch.distributions.categorical": ("fastconv.distributions",),
    "torch.distributions.distribution": ("fastconv.distributions",),
    "torch.distributions.independent": ("fastconv.distributions",),
    "torch.distributions.kl": ("fastconv.distributions",),
    "torch.distributions.normal": ("fastconv.distributions",),
    "torch.distributions.uniform": ("fastconv.distributions",),
    "torch.functional": ("fastconv.functions",),
    "torch.fx": ("fastconv._compat.fx",),
    "torch.hub": ("fastconv.hub", "fastconv._compat.hub"),
    "torch.jit": ("fastconv._compat.jit",),
    "torch.linalg": ("fastconv.linalg",),
    "torch.mps": ("fastconv._compat.mps",),
    "torch.multiprocessing": ("fastconv._compat.multiprocessing",),
    "torch.nn": ("fastconv.nn", "fastconv._compat.nn"),
    "torch.nn.functional": ("fastconv.nn.functional",),
    "torch.nn.grad": ("fastconv.nn.grad",),
    "torch.nn.init": ("fastconv.nn.init", "fastconv._compat.nn.init"),
    "torch.nn.modules": ("fastconv.nn",),
    "torch.nn.modules.activation": ("fastconv.nn",),
    "torch.nn.modules.batchnorm": ("fastconv.nn", "fastconv._compat.nn.modules"),
    "torch.nn.modules.container": ("fastconv.nn",),
    "torch.nn.modules.conv": ("fastconv.nn", "fastconv._compat.nn.modules"),
    "torch.nn.modules.dropout": ("fastconv.nn",),
    "torch.nn.modules.linear": ("fastconv.nn",),
    "torch.nn.modules.loss": ("fastconv.nn", "fastconv._compat.nn.modules"),
    "torch.nn.modules.module": ("fastconv.nn",),
    "torch.nn.modules.normalization": ("fastconv.nn",),
    "torch.nn.modules.padding": ("fastconv.nn",),
    "torch.nn.modules.pooling": ("fastconv.nn", "fastconv._compat.nn.modules"),
    "torch.nn.modules.distance": ("fastconv.nn",),
    "torch.nn.modules.flatten": ("fastconv.nn",),
    "torch.nn.modules.fold": ("fastconv.nn",),
    "torch.nn.modules.instancenorm": ("fastconv.nn", "fastconv._compat.nn.modules"),
    "torch.nn.modules.pixelshuffle": ("fastconv.nn",),
    "torch.nn.modules.rnn": ("fastconv.nn",),
    "torch.nn.modules.sparse": ("fastconv.nn",),
    "torch.nn.modules.upsampling": ("fastconv.nn",),
    "torch.nn.modules.utils": ("fastconv._compat.nn.modules",),
    "torch.nn.parallel": ("fastconv._compat.nn.parallel",),
    "torch.nn.parameter": ("fastconv.nn.parameter",),
    "torch.nn.utils": ("fastconv.nn.utils", "fastconv._compat.nn.utils"),
    "torch.nn.utils.clip_grad": ("fastconv.nn.utils", "fastconv._compat.nn.utils"),
    "torch.nn.utils.fusion": ("fastconv.nn.utils.fusion",),
    "torch.nn.utils.parametrizations": ("fastconv.nn.utils.parametrizations",),
    "torch.nn.utils.rnn": ("fastconv.nn.utils.rnn",),
    "torch.nn.utils.prune": ("fastconv.nn.utils.prune",),
    "torch.onnx": ("fastconv.onnx", "fastconv._compat.onnx"),
    "torch.optim": ("fastconv.optim",),
    "torch.optim.adam": ("fastconv.optim",),
    "torch.optim.adamw": ("fastconv.optim",),
    "torch.optim.lbfgs": ("fastconv.optim",),
    "torch.optim.lr_scheduler": ("fastconv.optim.lr_scheduler", "fastconv._compat.lr_scheduler"),
    "torch.optim.optimizer": ("fastconv.optim.optimizer", "fastconv._compat.optimizer"),
    "torch.optim.rmsprop": ("fastconv.optim",),
    "torch.optim.sgd": ("fastconv.optim",),
    "torch.optim.swa_utils": ("fastconv.optim.swa_utils",),
    "torch.profiler": ("fastconv._compat.profiler",),
    "torch.random": ("fastconv.random",),
    "torch.serialization": ("fastconv.serialization",),
    "torch.types": ("fastconv._compat.types",),
    "torch.utils": ("fastconv.utils",),
    "torch.utils.checkpoint": ("fastconv.utils.checkpoint",),
    "torch.utils.hooks": ("fastconv.autograd.hooks",),
    "torch.utils.data": ("fastconv.utils.data",),
    "torch.utils.data.dataloader": ("fastconv.utils.data",),
    "torch.utils.data._utils": ("fastconv.utils.data",),
    "torch.utils.data._utils.collate": ("fastconv.utils.data.collate",),
    "torch.utils.data.dataset": ("fastconv.utils.data",),
    "torch.utils.data.distributed": ("fastconv.utils.data.distributed",),
    "torch.utils.data.sampler": ("fastconv.utils.data",),
    "torch.utils.tensorboard": ("fastconv.utils.tensorboard",),
    "torch.utils.tensorboard.writer": ("fastconv.utils.tensorboard",),
    "torch.utils.model_zoo": ("fastconv.hub", "fastconv._compat.model_zoo"),
    "torch.version": ("fastconv._compat.version",),
    "torch.xpu": ("fastconv._compat.xpu",),
    "torchvision": ("fastconv.vision",),
    "torchvision.datasets": ("fastconv.vision.datasets",),
    "torchvision.datasets.caltech": ("fastconv.vision.datasets.caltech",),
    "torchvision.datasets.cifar": ("fastconv.vision.datasets",),
    "torchvision.datasets.flowers102": ("fastconv.vision.datasets.flowers102",),
    "torchvision.datasets.folder": ("fastconv.vision.datasets.folder",),
    "torchvision.datasets.imagenet": ("fastconv.vision.datasets.imagenet",),
    "torchvision.datasets.imagenette": ("fastconv.vision.datasets.imagenette",),
    "torchvision.datasets.mnist": ("fastconv.vision.datasets.mnist",),
    "torchvision.datasets.oxford_iiit_pet": ("fastconv.vision.datasets.oxford_iiit_pet",),
    "torchvision.datasets.stl10": ("fastconv.vision.datasets.stl10",),
    "torchvision.datasets.svhn": ("fastconv.vision.datasets.svhn",),
    "torchvision.datasets.vision": ("fastconv.vision.datasets.vision",),
    "torchvision.io": ("fastconv.vision.io",),
    "torchvision.models": ("fastconv.vision.models",),
    "torchvision.models._api": ("fastconv.vision.models.weights", "fastconv.vision.models"),
    "torchvision.models.alexnet": ("fastconv.vision.models._alexnet",),
    "torchvision.models.convnext": ("fastconv.vision.models.convnext",),
    "torchvision.models.densenet": ("fastconv.vision.models.densenet",),
    "torchvision.models.efficientnet": ("fastconv.vision.models.efficientnet",),
    "torchvision.models.googlenet": ("fastconv.vision.models._googlenet",),
    "torchvision.models.inception": ("fastconv.vision.models.inception",),
    "torchvision.models.mnasnet": ("fastconv.vision.models.mnasnet",),
    "torchvision.models.mobilenetv2": ("fastconv.vision.models.mobilenetv2",),
    "torchvision.models.mobilenetv3": ("fastconv.vision.models.mobilenetv3",),
    "torchvision.models.regnet": ("fastconv.vision.models.regnet",),
    "torchvision.models.segmentation": ("fastconv.vision.models.segmentation",),
    "torchvision.models.shufflenetv2": ("fastconv.vision.models.shufflenetv2",),
    "torchvision.models.squeezenet": ("fastconv.vision.models.squeezenet",),
    "torchvision.models.resnet": ("fastconv.vision.models.resnet",),
    "torchvision.models.vgg": ("fastconv.vision.models.vgg",),
    "torchvision.ops": ("fastconv.vision.ops",),
    "torchvision.ops.boxes": ("fastconv.vision.ops",),
    "torchvision.ops.focal_loss": ("fastconv.vision.ops",),
    "torchvision.ops.misc": ("fastconv.vision.ops",),
    "torchvision.ops.stochastic_depth": ("fastconv.vision.ops",),
    "torchvision.transforms": ("fastconv.vision.transforms",),
    "torchvision.transforms._presets": ("fastconv.vision.transforms.presets",),
    "torchvision.transforms.autoaugment": ("fastconv.vision.transforms.autoaugment",),
    "torchvision.transforms.functional": ("fastconv.vision.transforms.functional",),
    "torchvision.transforms.transforms": ("fastconv.vision.transforms",),
    "torchvision.transforms.v2": ("fastconv.vision.transforms.v2",),
    "torchvision.transforms.v2.functional": ("fastconv.vision.transforms.v2.functional",),
    "torchvision.utils": ("fastconv.vision.utils",),
}


class MissingNameError(AttributeError):
    """A name of torch's that fastconv lacks."""


class MissingModuleError(ModuleNotFoundError):
    """A module of torch's that fastconv lacks, or a name that was to be imported from one."""


def _missing(name: str) -> str:
    return (
        f"fastconv has no {name}: leave it out, compute it otherwise (tensor.numpy() gives an ndarray), or run the "
        "program under torch itself. `fastconv check FILE` lists every such name of a program"
    )


def lookup(module: str, name: str) -> Any:
    """What the attribute `name` of one of :data:`MODULES` is in fastconv; it is no module.

    Raises
    ------
    MissingNameError
        If fastconv has no such thing.
    """
    for source in map(importlib.import_module, MODULES[module]):
        value = getattr(source, name, None)
        if value is None and not hasattr(source, name):
            continue
        if not isinstance(value, ModuleType):  # a module of fastconv that torch does not have
            return value
    raise MissingNameError(_missing(f"{module}.{name}"), name=name)


class StandIn(ModuleType):
    """A module of torch's with what fastconv has of it; modules below, and private names, come when asked."""

    def __getattr__(self, name: str) -> Any:
        if name == "__all__":
            return [name for name in dir(self) if not name.startswith("_")]
        if name.startswith("__"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}", name=name, obj=self)
        module = f"{self.__name__}.{name}"
        value = importlib.import_module(module) if module in MODULES else lookup(self.__name__, name)
        setattr(self, name, value)
        return value

    def __dir__(self) -> list[str]:
        here = self.__name__ + "."
        below = {name.removeprefix(here) for name in MODULES if name.startswith(here)}
        return sorted({*super().__dir__(), *(name for name in below if "." not in name)})


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds and makes the modules of torch and torchvision, and refuses what fastconv lacks of them."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> Any:
        if fullname in MODULES:
            return importlib.machinery.ModuleSpec(fullname, self, origin=MODULES[fullname][0], is_package=True)
        if fullname.partition(".")[0] in VERSIONS:
            # Without a name in the error, `from torch import x` passes it on instead of saying something vaguer.
            raise MissingModuleError(_missing(fullname))
        return None

    def create_module(self, spec: Any) -> StandIn:
        return StandIn(spec.name, f"{spec.name}, as far as fastconv has it.")

    def exec_module(self, module: ModuleType) -> None:
        for source in map(importlib.import_module, reversed(MODULES[module.__name__])):
            offered = getattr(source, "__all__", None) or [name for name in dir(source) if not name.startswith("_")]
            values = {name: getattr(source, name) for name in offered}
            vars(module).update({name: value for name, value in values.items() if not isinstance(value, ModuleType)})
        if module.__name__ in VERSIONS:
            from fastconv import __version__

            module.__version__ = f"{VERSIONS[module.__name__]}+fastconv.{__version__}"


_finder = _Finder()


def install() -> None:
    """Make `torch` and `torchvision` mean fastconv in this process and in its workers, from the next import on.

    Raises
    ------
    RuntimeError
        If one of them has been imported already, and is not fastconv.
    """
    for name in VERSIONS:
        module = sys.modules.get(name)
        if module is not None and not isinstance(module, StandIn) and not _is_ours(module):
            raise RuntimeError(f"{name} has been imported already, from {module.__file__}; call install() before that")
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)
        sys.excepthook = functools.partial(_with_a_hint, sys.excepthook)
        if PATH not in sys.path:
            sys.path.insert(1, PATH)  # which spawned workers are given; the program's own folder stays first


def _with_a_hint(hook: Callable[..., Any], kind: type, error: BaseException, traceback: Any) -> None:
    """What `hook` shows of an uncaught error, and what to do where it is a method of torch's that fastconv lacks."""
    hook(kind, error, traceback)
    if isinstance(error, AttributeError) and error.name:
        from fastconv import Tensor, nn

        if isinstance(error.obj, Tensor | nn.Module) and error.name in METHODS.read_text().split():
            owner = "Tensor" if isinstance(error.obj, Tensor) else "nn.Module"
            print(_missing(f"torch.{owner}.{error.name}"), file=sys.stderr)


def _is_ours(module: ModuleType) -> bool:
    """Whether this is the file in :data:`PATH`, which is being imported."""
    return os.path.dirname(getattr(module, "__file__", None) or "") == PATH
