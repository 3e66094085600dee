"""Whether operations are recorded, and whether the walk back looks for NaN: per thread, as in torch."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Generator
from contextvars import ContextVar
from typing import Any

from .._native.tape import anomaly, recording

__all__ = [
    "detect_anomaly",
    "enable_grad",
    "inference_mode",
    "is_anomaly_enabled",
    "is_grad_enabled",
    "is_inference_mode_enabled",
    "no_grad",
    "set_detect_anomaly",
    "set_grad_enabled",
]

_inference: ContextVar[bool] = ContextVar("inference", default=False)


def is_grad_enabled() -> bool:
    """Whether operations on tensors that require a gradient are recorded in this thread."""
    return recording.get()


def is_inference_mode_enabled() -> bool:
    """Whether this thread is within :class:`inference_mode`."""
    return _inference.get()


def is_anomaly_enabled() -> bool:
    """Whether this thread is within :class:`detect_anomaly`."""
    return anomaly.get() is not None


class _Mode:
    """A context manager, and a decorator of functions and of generator functions, that sets context variables."""

    def __init__(self) -> None:
        self._before: list[list[Any]] = []

    def _values(self) -> dict[ContextVar[Any], Any]:
        """What the variables are within."""
        raise NotImplementedError

    def __enter__(self) -> None:
        values = self._values()
        self._before.append([(variable, variable.get()) for variable in values])
        for variable, value in values.items():
            variable.set(value)

    def __exit__(self, *exception: object) -> None:
        for variable, value in self._before.pop():
            variable.set(value)

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        if inspect.isgeneratorfunction(function):
            return self._generator(function)

        @functools.wraps(function)
        def wrapper(*args, **kwargs):
            with self:
                return function(*args, **kwargs)

        return wrapper

    def _generator(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The generator function within the mode, whose caller stays outside it between the steps."""

        @functools.wraps(function)
        def wrapper(*args, **kwargs) -> Generator:
            generator = function(*args, **kwargs)
            step, values = generator.send, (None,)
            while True:
                try:
                    with self:
                        result = step(*values)
                except StopIteration as end:
                    return end.value
                try:
                    step, values = generator.send, ((yield result),)
                except GeneratorExit:
                    with self:
                        generator.close()
                    raise
                except BaseException as error:
                    step, values = generator.throw, (error,)

        return wrapper


class _GradMode(_Mode):
    enabled: bool

    def __new__(cls, function: Callable[..., Any] | None = None) -> Any:
        mode = super().__new__(cls)
        if function is None:
            return mode
        mode.__init__()  # the bare decorator, @no_grad
        return mode(function)

    def __init__(self, function: None = None) -> None:
        super().__init__()

    def _values(self) -> dict[ContextVar[Any], Any]:
        return {recording: self.enabled}


class no_grad(_GradMode):
    """Within it nothing is recorded: ``with no_grad(): ...`` or ``@no_grad()`` before a function.

    Examples
    --------
    >>> w = fastconv.ones(2, requires_grad=True)
    >>> with fastconv.no_grad():
    ...     w -= 0.5
    >>> w
    tensor([0.5000, 0.5000], requires_grad=True)
    """

    enabled = False


class enable_grad(_GradMode):
    """Within it operations are recorded again: ``with enable_grad(): ...`` or ``@enable_grad()``."""

    enabled = True


class set_grad_enabled(_Mode):
    """Turn recording on or off, at once; as a context manager also back again at its end, as a decorator only within.

    Parameters
    ----------
    mode : bool
    """

    def __init__(self, mode: bool) -> None:
        super().__init__()
        self.mode: bool = bool(mode)
        self._restored: bool | None = recording.get()  # at the end of the first block
        recording.set(self.mode)

    def _values(self) -> dict[ContextVar[Any], Any]:
        return {recording: self.mode}

    def __enter__(self) -> None:
        super().__enter__()
        if self._restored is not None:
            self._before[-1], self._restored = [(recording, self._restored)], None

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        if self._restored is not None:
            recording.set(self._restored)
            self._restored = None
        return super().__call__(function)


class inference_mode(_Mode):
    """Within it nothing is recorded, as within :class:`no_grad`; ``inference_mode(False)`` records again.

    Parameters
    ----------
    mode : bool
    """

    def __new__(cls, mode: bool | Callable[..., Any] = True) -> Any:
        made = super().__new__(cls)
        if not callable(mode):
            return made
        made.__init__()  # the bare decorator, @inference_mode
        return made(mode)

    def __init__(self, mode: bool = True) -> None:
        super().__init__()
        self.mode: bool = bool(mode)

    def _values(self) -> dict[ContextVar[Any], Any]:
        return {recording: not self.mode, _inference: self.mode}


class detect_anomaly(_Mode):
    """Within it each recorded operation remembers where it was called; a gradient that is NaN is an error that says it.

    Parameters
    ----------
    check_nan : bool
        Whether NaN are looked for. Without, errors of the walk back, too, are told with where their operation was.
    """

    def __init__(self, check_nan: bool = True) -> None:
        super().__init__()
        self.check_nan: bool = bool(check_nan)

    def _values(self) -> dict[ContextVar[Any], Any]:
        return {anomaly: self.check_nan}


class set_detect_anomaly(_Mode):
    """Turn :class:`detect_anomaly` on or off, at once; as a context manager also back again at its end.

    Parameters
    ----------
    mode : bool
    check_nan : bool
    """

    def __init__(self, mode: bool, check_nan: bool = True) -> None:
        super().__init__()
        self.value: bool | None = bool(check_nan) if mode else None
        self._restored = anomaly.get()
        anomaly.set(self.value)

    def _values(self) -> dict[ContextVar[Any], Any]:
        return {anomaly: self.value}

    def __enter__(self) -> None:
        super().__enter__()
        self._before[-1] = [(anomaly, self._restored)]
