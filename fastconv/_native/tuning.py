"""The figures of tuning.pxd for each instruction set: block sizes, and the cycles that a feature of a form costs.

Rows are lists of up to ten costs, in the order of the features that the form's file counts, one row for each class of
layers that the form tells apart. They are printed by ``python benchmarks/fit.py``; docs/decisions/tuning.md tells how
they were measured, and on which machines.
"""

__all__ = ["BLOCKS", "COSTS", "FORMS", "PASSES", "tuning_of"]

FORMS = (
    "winograd",
    "windows",
    "lanes",
    "column taps",
    "phases",
    "panels",
    "tiles",
    "dot",
    "outer",
    "mirrored",
    "rows",
    "runs",
    "turned rows",
    "turned runs",
)
PASSES = ("forward", "input_gradient", "weight_gradient")

BLOCKS = {
    "avx2": {
        "depth": 400,
        "tiles": 4,
        "stage_bytes": 262144,
        "part_filters": 256,
        "part_pairs": 400,
        "slice_pixels": 1024,
        "group_bytes": 131072,
    },
}

NEVER = 1e3
_PANELS = [[1.1, 1, 2.5, 0.2, 1.5], [1.1, 1, 2.5, 0.2, 0.6, 0, 0, NEVER]]
_TILES = [[1.25, NEVER, NEVER, 0, 1.5], [1.25, NEVER, NEVER, 0, 0.6]]
_OUTER = [[1.2, 1.2, 0, 0, 1.5], [NEVER, NEVER]]
_DOT = [[1.15, 115, 4.6, 1.5], [1.15, 115, 4.6, 1.5]]
_BY_ROWS = [[1.11, 0.667, 0.278, 0.278, 0.222, NEVER]] * 2
_BY_RUNS = [[1.11, 1.11, 0.278, 0.278, 0.889, NEVER]] * 2
COSTS = {
    "avx2": {
        ("panels", "forward"): _PANELS,
        ("tiles", "forward"): _TILES,
        ("outer", "forward"): _OUTER,
        ("dot", "forward"): _DOT,
        ("panels", "input_gradient"): _PANELS,
        ("tiles", "input_gradient"): _TILES,
        ("outer", "input_gradient"): _OUTER,
        ("dot", "input_gradient"): _DOT,
        ("column taps", "input_gradient"): [[1.2, 1.2, 8.4, 72]],
        ("phases", "input_gradient"): [[1, 0.5]],
        ("outer", "weight_gradient"): [[1, 0.5, 0.15]] * 2,
        ("mirrored", "weight_gradient"): [[1.05, 0.525, 0.16]] * 2,
        ("rows", "weight_gradient"): _BY_ROWS,
        ("runs", "weight_gradient"): _BY_RUNS,
        ("turned rows", "weight_gradient"): _BY_ROWS,
        ("turned runs", "weight_gradient"): _BY_RUNS,
    },
}


def tuning_of(isa: str) -> tuple[dict, dict]:
    """Block sizes and costs of an instruction set; those that have none of their own share AVX2's."""
    return BLOCKS.get(isa, BLOCKS["avx2"]), COSTS.get(isa, COSTS["avx2"])
