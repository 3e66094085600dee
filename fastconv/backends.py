"""The forms that a convolution may take: which of them is taken, and switches."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from ._native.plan import get_forced, get_winograd, set_forced, set_winograd
from ._native.tuning import FORMS

__all__ = ["FORMS", "force", "winograd"]


def form_number(form: str) -> int:
    """The number of a form; TypeError or ValueError unless it is the name of one."""
    if not isinstance(form, str):
        raise TypeError(f"a form is chosen by its name, got {form!r} of type {type(form).__name__}")
    if form not in FORMS:
        raise ValueError(f"there is no form {form!r} of convolution; choose one of {', '.join(FORMS)}")
    return FORMS.index(form)


@contextmanager
def force(form: str) -> Iterator[None]:
    """Have a form taken wherever it is possible, by all threads of the process; elsewhere the fastest one is taken.

    Plans of ``fastconv.optimize`` have steps of their own, which no form stands for.

    Parameters
    ----------
    form : str
        One of ``fastconv.backends.FORMS``; ``fastconv.explain`` tells which of them a layer can take, and at what cost.
        "panels", "tiles", "dot" and "outer" stand for the residues of a stride in an input gradient as well.

    Examples
    --------
    >>> x, w = fastconv.randn(1, 3, 8, 8), fastconv.randn(4, 3, 3, 3)
    >>> with fastconv.backends.force("panels"):
    ...     y = fastconv.nn.functional.conv2d(x, w)
    """
    number, before = form_number(form), get_forced()
    set_forced(number)
    try:
        yield
    finally:
        set_forced(before)


class _Winograd:
    """Convolution by tiles: Winograd's minimal filtering, for filters of 2x2, 3x3 and 5x5 taps, of 3, 5 or 7 in a row,
    and square ones of so many for each residue of a stride; and Fourier transforms, for 4 to 13 taps along a side.

    Minimal filtering needs a half to a quarter of direct convolution's products, for an error about four times as
    large (1e-6 of the result's norm in float32); Fourier transforms need a tenth of them for filters of 7x7 and more.
    They are taken where they are estimated to be faster. A NaN or an infinity spreads over the whole tile of outputs,
    up to 5 pixels (times the dilation or the stride) further than in direct convolution, or 12 by Fourier transforms.

    Off with ``FASTCONV_WINOGRAD=0`` in the environment, with ``fastconv.backends.winograd.enabled = False``, or for a
    while::

        with fastconv.backends.winograd.flags(enabled=False):
            loss.backward()
    """

    @property
    def enabled(self) -> bool:
        """Whether it may be taken, by all threads of the process."""
        return get_winograd()

    @enabled.setter
    def enabled(self, value: bool) -> None:
        if not isinstance(value, bool | np.bool_):
            raise TypeError(f"winograd.enabled expects True or False, got {value!r} of type {type(value).__name__}")
        set_winograd(bool(value))

    @contextmanager
    def flags(self, enabled: bool = True) -> Iterator[None]:
        """Switch it on or off inside a ``with`` block."""
        before = self.enabled
        self.enabled = enabled
        try:
            yield
        finally:
            self.enabled = before


winograd: _Winograd = _Winograd()


def __getattr__(name: str) -> Any:
    from ._compat import find  # what only programs written for torch name

    return find(__name__, name)
