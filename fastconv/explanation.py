"""The form that each pass of a convolution takes, and what all of them are estimated to cost."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from . import backends
from ._native import plan
from ._native.tuning import FORMS, PASSES
from .arguments.arrays import Size, float_array, four, size_of
from .arguments.convolution import sizes

__all__ = ["Explanation", "explain"]


class Explanation(dict[str, str]):
    """The form of each pass, ``'forward'``, ``'input_gradient'`` and ``'weight_gradient'``, by name; printed, a table.

    Attributes
    ----------
    cycles : dict[str, dict[str, float]]
        For each pass, the estimated cycles on one thread of every form that it can take, the fewest first.
    memory_format : str
        Of the arrays: ``'contiguous'`` (N, C, H, W in C order) or ``'channels_last'``.
    """

    def __init__(self, memory_format: str) -> None:
        super().__init__()
        self.cycles: dict[str, dict[str, float]] = {}
        self.memory_format = memory_format

    def add(self, name: str, plan: tuple[Any, ...]) -> None:
        """Add a pass, as ``_native.plan.weigh_sizes`` sees it."""
        form, cycles, tile, residues, _ = plan
        names = dict(zip(range(len(FORMS)), FORMS, strict=True))
        if tile is not None:
            names[FORMS.index("winograd")] = "winograd F({}x{}, {}x{})".format(*tile)
        if residues:
            own = sorted({FORMS[residue] for residue in residues if residue >= 0})
            names[FORMS.index("phases")] = f"phases ({', '.join(own)})"
        possible = [(cost, names[number]) for number, cost in enumerate(cycles) if cost is not None]
        self.cycles[name] = {form_name: cost for cost, form_name in sorted(possible)}
        self[name] = names[form]

    def __str__(self) -> str:
        lines = [f"arrays: {self.memory_format}; estimated cycles on one thread"]
        for name, cycles in self.cycles.items():
            lines.append(f"{name}: {self[name]}")
            lines += [
                f"    {'>' if form == self[name] else ' '} {form:24} {cost:12.3g}" for form, cost in cycles.items()
            ]
        return "\n".join(lines)


def explain(
    input_size: Sequence[int],
    weight_size: Sequence[int],
    stride: Size = 1,
    padding: Size | str = 0,
    dilation: Size = 1,
    groups: int = 1,
    dtype: Any = np.float32,
    *,
    memory_format: Any = "contiguous",
    force: str | None = None,
) -> Explanation:
    """Which form each pass of a convolution takes here and now, and what every form is estimated to cost.

    The choice depends on the sizes, the layout of the arrays, the instruction set and the switches of
    ``fastconv.backends``.

    Parameters
    ----------
    input_size : sequence of 4 ints
        The shape of x, (N, C, H, W).
    weight_size : sequence of 4 ints
        The shape of w, (K, C / groups, R, S).
    stride, padding, dilation, groups
        As for :func:`fastconv.nn.functional.conv2d`, whose errors it raises.
    dtype : numpy.dtype
        float32 or float64.
    memory_format : str or fastconv.memory_format
        The layout of x, y and their gradients: 'contiguous' (C order), or 'channels_last' (N, H, W, C in memory).
    force : str, optional
        A form that is taken where it is possible, one of ``fastconv.backends.FORMS``.

    Returns
    -------
    Explanation
        A dict of 'forward', 'input_gradient' and 'weight_gradient' to the name of the form, as 'panels' or
        'winograd F(4x4, 3x3)'; ``cycles`` has the estimates of all possible forms, and ``print`` shows them.

    Examples
    --------
    >>> fastconv.explain((16, 64, 56, 56), (64, 64, 3, 3), padding=1).keys()
    dict_keys(['forward', 'input_gradient', 'weight_gradient'])
    """
    itemsize = float_array("explain", np.empty(0, dtype), "input").itemsize
    x = four(size_of("explain", input_size, "input_size", 2), 2)
    w = size_of("explain", weight_size, "weight_size", 2)
    layout = str(memory_format).removeprefix("torch.").removesuffix("_format")
    if layout not in ("contiguous", "channels_last"):
        raise ValueError(f"memory_format must be 'contiguous' or 'channels_last', got {memory_format!r}")
    number = -1 if force is None else backends.form_number(force)
    numbers = sizes("explain", x, w, stride, padding, dilation, groups)
    y, parameters = numbers[8:12], numbers[12:]
    explanation = Explanation(layout)
    for which, name in enumerate(PASSES):
        last = layout == "channels_last"
        explanation.add(name, plan.weigh_sizes(which, x, w, y, parameters, itemsize, last, number))
    return explanation
