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
_PANELS = [[1.1, 1, 2.5, 0.2, 1.5], [1.1, 1, 2.5, 0.2, 0.6], [NEVER]]
_TILES = [[1.25, NEVER, 0, 0, 1.5], [1.25, NEVER, NEVER, 0, 0.6], [1.25, NEVER, 0, 0, 0.6]]
_OUTER = [[1.2, 1.2, 0, 0, 1.5], [NEVER], [NEVER]]
_DOT = [[1.15, 115, 4.6, 1.5]] * 3
_BY_ROWS = [[1.11, 0.667, 0.278, 0.556, 0.222]] * 2
_BY_RUNS = [[1.11, 1.11, 0.278, 0.556, 0.889]] * 2
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
    "avx512": {
        ("winograd", "forward"): [
            [0.68, 13.7, 100, 60.4, 0, 5.98e03],
            [0.841, 0, 588, 0, 503, 1.16e04, 17],
            [0.878, 4.81, 545, 272, 0, 9.71e03],
        ],
        ("winograd", "input_gradient"): [
            [0.599, 15.2, 102, 77.9, 0, 4.9e03],
            [0.617, 16.8, 654, 451, 0, 5.4e03],
            [0.807, 9.35, 553, 0, 0, 5.49e03, 6.63],
        ],
        ("winograd", "weight_gradient"): [
            [0.558, 13.1, 0, 86.3, 135, 5.2e03],
            [0.931, 23.2, 0, 856, 0, 3.02e03, 11.2],
            [1.05, 15.3, 0, 340, 230, 9.21e03],
        ],
        ("windows", "forward"): [[0.594, 1.52, 0, 0.244, 1.28, 9.33, 34.7, 6.15, 5.94e03]],
        ("windows", "input_gradient"): [[0.166, 2.56, 0, 0.274, 0.735, 7.44, 55.2, 2.07, 7.81e03]],
        ("windows", "weight_gradient"): [[0.355, 1.8, 1.16, 0.207, 1.83, 3.52, 54.3, 24.8, 8.85e03]],
        ("lanes", "forward"): [[0.565, 0.425, 9.47, 5.88, 0.983, 0.418, 60.1, 217, 5.98e03]],
        ("lanes", "input_gradient"): [[0.752, 0.12, 21.1, 5.11, 0.608, 0.495, 52.7, 202, 8.06e03]],
        ("lanes", "weight_gradient"): [[0.156, 0.391, 10.3, 6.5, 0.655, 0.21, 249, 30.7, 9.09e03]],
        ("column taps", "input_gradient"): [[1.32, 0, 33.6, 31.4, 0, 0, 10.9]],
        ("phases", "input_gradient"): [[0.956, 0.914]],
        ("panels", "forward"): [
            [1.09, 2.11, 3.3, 0.436, 2.47, 0.509, 0.813, 15.7, 175, 6.11e03],
            [1.44, 9.64, 0, 0.0784, 0, 0.049, 0.763, 16, 0, 8.65e03],
            [1.45, 2.47, 25.9, 0.24, 0.919, 0, 6.05, 2.56, 308, 1e03],
        ],
        ("panels", "input_gradient"): [
            [1.28, 2.48, 3.67, 0.226, 3.03, 0.998, 1.4, 3.48, 188, 6.1e03],
            [1.46, 8.48, 0, 0.116, 0, 0, 2.38, 0, 24.1, 9.95e03],
            [0.222, 6.77, 0, 0.588, 0.648, 0, 0, 0, 160],
        ],
        ("tiles", "forward"): [
            [1.26, 1.06, 0, 0.13, 3.04, 0.599, 0.805, 15.6, 69.3, 6.84e03],
            [1.34, 0, 0.162, 0.112, 1.37, 1.58, 0, 21.5, 71.1, 5.89e03],
            [2.37, 0, 0, 0.36, 1, 0.545, 3.65, 0, 39, 1.33e03],
        ],
        ("tiles", "input_gradient"): [
            [1.27, 0.662, 0, 0.322, 2.66, 0.877, 1.23, 10.1, 53.2, 8.68e03],
            [1.51, 0, 0, 1.8, 0.748, 0, 1.03, 0, 33.1, 1.06e04],
            [2.05, 0, 0, 0.12, 1.1, 0, 0, 0, 62.5, 3.45e03],
        ],
        ("dot", "forward"): [
            [1.38, 170, 0.724, 9.96, 0, 0, 2.25, 0, 0, 6.27e03],
            [1.9, 192, 0, 3.01, 0, 0, 9.53],
            [0, 52.7, 8.83, 0, 0, 0, 0, 0, 0, 1.98e05],
        ],
        ("dot", "input_gradient"): [
            [1.41, 203, 0, 2.18, 0, 0, 7.52, 0, 0, 615],
            [1.53, 101, 3.69, 2.52, 0, 0, 0, 0, 0, 277],
            [1.15, 115, 4.6, 1.5],
        ],
        ("outer", "forward"): [
            [1.61, 0.605, 0, 0, 2.63, 1.37, 0.747, 2.6, 144, 5.68e03],
            [1.42, 0, 0, 0, 0.107, 0.933, 0.453, 0, 140, 5.36e03],
            [1.67, 0.369, 0, 0, 1.64, 0.148, 5.42, 0, 83.2, 856],
        ],
        ("outer", "input_gradient"): [
            [1.54, 0.198, 0, 0, 3.12, 0.779, 4.35, 11.9, 142, 6.91e03],
            [1.39, 0, 0, 0, 0, 0, 1.76, 0, 140, 9.85e03],
            [0.419, 0.846, 0, 0, 0.745, 0, 0, 0, 94.5, 2.16e03],
        ],
        ("outer", "weight_gradient"): [
            [1.11, 0.429, 0.762, 0.594, 1.1, 17.5, 0.09, 0, 270, 6.26e03],
            [1.36, 0.404, 0.533, 2.33, 0.444, 5.52, 0.318, 0, 560, 5.72e03],
        ],
        ("mirrored", "weight_gradient"): [
            [1.05, 0.525, 0.16],
            [1.43, 0.472, 0.554, 0, 0.551, 0, 0.124, 0, 339, 5.25e03],
        ],
        ("rows", "weight_gradient"): [
            [1.04, 0, 0.731, 1.63, 0.322, 17.1, 1.33, 0, 193, 4.5e03],
            [1.48, 0, 0.54, 0.424, 0.571, 4.03, 3.26, 0, 400, 353],
        ],
        ("runs", "weight_gradient"): [
            [0.796, 0.442, 1.17, 1.99, 0.494, 5, 1.68, 3.77, 180, 5.95e03],
            [0.0291, 0, 0.938, 1.13, 0.827, 5.09, 2.9, 0, 544, 3.5e03],
        ],
        ("turned rows", "weight_gradient"): [
            [1.21, 0.373, 0.627, 2.38, 0.502, 10.1, 1.17, 0, 78.7, 8.26e03],
            [0.615, 0, 0.192, 0.415, 0.444, 5.39, 2.26, 0, 131, 6.16e03],
        ],
        ("turned runs", "weight_gradient"): [
            [0.676, 1.93, 1.04, 2.54, 0.878, 7.21, 0.759, 0, 124, 7.48e03],
            [0, 0, 0.438, 1.17, 1.09, 0.918, 3.32, 0, 173, 5.07e03],
        ],
    },
}


def tuning_of(isa: str) -> tuple[dict, dict]:
    """Block sizes and costs of an instruction set; those that have none of their own share AVX2's."""
    return BLOCKS.get(isa, BLOCKS["avx2"]), COSTS.get(isa, COSTS["avx2"])
