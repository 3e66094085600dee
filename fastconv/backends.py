"""Switches of the algorithms that convolution may take."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from . import _winograd

__all__ = ["winograd"]


class _Winograd:
    """Winograd's minimal filtering, for filters of 2x2, 3x3 and 5x5 taps, of 3, 5 or 7 in a row, and square ones of so
    many for each residue of a stride.

    It needs a half to a quarter of direct convolution's products, for an error about four times as large (1e-6 of the
    result's norm in float32), and is taken where it is estimated to be faster. A NaN or an infinity spreads over the
    whole tile of outputs, up to 5 pixels (times the dilation or the stride) further than in direct convolution.

    The same switch is that of Strassen's products, seven instead of eight, in layers of one tap of 256 channels and
    filters or more (for the weight gradient 128 of the one and 512 of the other): the error is three times as large
    (9e-7), and what is not finite spreads over 48 pixels of its image (96 with AVX-512), or 48 channels of a weight
    gradient, or over 8 filters (16).

    Off with ``FASTCONV_WINOGRAD=0`` in the environment, with ``fastconv.backends.winograd.enabled = False``, or for a
    while::

        with fastconv.backends.winograd.flags(enabled=False):
            loss.backward()
    """

    @property
    def enabled(self) -> bool:
        """Whether it may be taken, by all threads of the process."""
        return _winograd.get_mode() > 0

    @enabled.setter
    def enabled(self, value: bool) -> None:
        if not isinstance(value, bool | np.bool_):
            raise TypeError(f"winograd.enabled expects True or False, got {value!r} of type {type(value).__name__}")
        _winograd.set_mode(int(value))

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
