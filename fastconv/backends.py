"""Switches of the algorithms that convolution may take."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from ._native.winograd import get_mode, set_mode

__all__ = ["winograd"]


class _Winograd:
    """Winograd's minimal filtering, for filters of 2x2, 3x3 and 5x5 taps, of 3, 5 or 7 in a row, and square ones of so
    many for each residue of a stride.

    It needs a half to a quarter of direct convolution's products, for an error about four times as large (1e-6 of the
    result's norm in float32), and is taken where it is estimated to be faster. A NaN or an infinity spreads over the
    whole tile of outputs, up to 5 pixels (times the dilation or the stride) further than in direct convolution.

    Off with ``FASTCONV_WINOGRAD=0`` in the environment, with ``fastconv.backends.winograd.enabled = False``, or for a
    while::

        with fastconv.backends.winograd.flags(enabled=False):
            loss.backward()
    """

    @property
    def enabled(self) -> bool:
        """Whether it may be taken, by all threads of the process."""
        return get_mode() > 0

    @enabled.setter
    def enabled(self, value: bool) -> None:
        if not isinstance(value, bool | np.bool_):
            raise TypeError(f"winograd.enabled expects True or False, got {value!r} of type {type(value).__name__}")
        set_mode(int(value))

    @contextmanager
    def flags(self, enabled: bool = True) -> Iterator[None]:
        """Switch it on or off inside a ``with`` block."""
        before = self.enabled
        self.enabled = enabled
        try:
            yield
        finally:
            self.enabled = before


winograd = _Winograd()


def candidates():
    from ._native.tuning import FORMS
    return FORMS


@contextmanager
def force(name):
    from ._native import plan
    from ._native.tuning import FORMS
    b = plan.get_forced()
    plan.set_forced(FORMS.index(name))
    try:
        yield
    finally:
        plan.set_forced(b)
