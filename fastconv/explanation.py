"""What :func:`fastconv.explain` returns: the form that each pass takes, and what all of them are estimated to cost."""

from typing import Any

from ._native.tuning import FORMS

__all__ = ["Explanation"]


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
