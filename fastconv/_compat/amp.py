"""``torch.amp`` on the CPU: everything is computed in float32, so nothing is cast and no loss needs scaling."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterable
from typing import Any

from .._tensor import Tensor

__all__ = ["GradScaler", "autocast", "custom_bwd", "custom_fwd"]

_said = False


class autocast(contextlib.ContextDecorator):
    """A context, or a decorator, within which everything is computed as without it, in float32.

    Parameters
    ----------
    device_type : str
        For "cuda" it warns that there is none, in torch's words; for "cpu" it says once that float32 stays.
    dtype, cache_enabled
        Of torch's interface.
    enabled : bool
        False asks for nothing, so nothing is said.
    """

    def __init__(
        self, device_type: str, dtype: Any = None, enabled: bool = True, cache_enabled: bool | None = None
    ) -> None:
        global _said
        if not isinstance(device_type, str):
            raise ValueError(f"Expected `device_type` of type `str`, got: `{type(device_type)}`")
        if enabled and device_type != "cpu":
            warnings.warn(f"{device_type.upper()} is not available. Disabling autocast.", stacklevel=2)
        elif enabled and not _said:
            _said = True
            warnings.warn("fastconv computes in float32 within autocast too", stacklevel=2)

    def __enter__(self) -> autocast:
        return self

    def __exit__(self, *exception: object) -> None:
        pass


class GradScaler:
    """A scaler of losses that is disabled, as torch's is without a GPU: float32 gradients do not underflow.

    Parameters
    ----------
    device : str
    init_scale, growth_factor, backoff_factor, growth_interval
        Of torch's interface.
    enabled : bool
        True warns that it is disabled all the same.
    """

    def __init__(
        self,
        device: str = "cuda",
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ) -> None:
        if enabled:
            warnings.warn(
                "torch.amp.GradScaler is enabled, but gradients are computed in float32. Disabling.", stacklevel=2
            )

    def scale(self, outputs: Tensor | Iterable[Tensor]) -> Tensor | Iterable[Tensor]:
        """`outputs` as they are."""
        return outputs

    def unscale_(self, optimizer: Any) -> None:
        """Leave the gradients as they are."""

    def step(self, optimizer: Any, *args: Any, **kwargs: Any) -> Any:
        """``optimizer.step(*args, **kwargs)``."""
        return optimizer.step(*args, **kwargs)

    def update(self, new_scale: float | None = None) -> None:
        """Leave the scale at 1."""

    def get_scale(self) -> float:
        """1.0."""
        return 1.0

    def is_enabled(self) -> bool:
        """False."""
        return False

    def state_dict(self) -> dict:
        """An empty dict, as a disabled scaler's is in torch."""
        return {}

    def load_state_dict(self, state_dict: dict) -> None:
        """Take over nothing, as a disabled scaler does in torch."""


def custom_fwd(fwd=None, *, device_type: str = "cpu", cast_inputs: Any = None):
    """`fwd` itself: inputs are float32 within :class:`autocast` too."""
    return fwd if fwd is not None else custom_fwd


def custom_bwd(bwd=None, *, device_type: str = "cpu"):
    """`bwd` itself."""
    return bwd if bwd is not None else custom_bwd
