"""``torch.nn.parallel``: several processes, or no GPU."""

from __future__ import annotations

from typing import Any, NoReturn

from ...distributed import DistributedDataParallel
from ...nn import Module

__all__ = ["DataParallel", "DistributedDataParallel", "data_parallel"]


class DataParallel(Module):
    """A module that calls another, as torch's does without a GPU; its keys begin with ``module.``.

    Parameters
    ----------
    module : Module
    device_ids, output_device, dim
        Of torch's interface: which GPUs there would be.
    """

    def __init__(self, module: Module, device_ids: Any = None, output_device: Any = None, dim: int = 0) -> None:
        super().__init__()
        self.module = module
        self.device_ids: list = []
        self.dim = dim

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        """What the module returns."""
        return self.module(*inputs, **kwargs)


def data_parallel(module: Module, inputs: Any, *args: Any, **kwargs: Any) -> NoReturn:
    """Raise a RuntimeError, in torch's words: it evaluates a module on several GPUs."""
    raise RuntimeError("no available devices were found")
