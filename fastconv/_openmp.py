"""Loads the compiled modules, and OpenMP with them, before anything else does.

GCC's OpenMP reads its settings once, when it is loaded. By default its idle threads spin for milliseconds, which on a
busy machine stalls everyone; here they spin for a few hundred microseconds at the most, long enough for the next
layer to find them awake, and then sleep. Who sets either variable has it as it is set.
"""

import os

_ours = not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & os.environ.keys()
if _ours:
    os.environ["GOMP_SPINCOUNT"] = "10000"

from ._native import runtime  # noqa: E402, F401

if _ours:
    del os.environ["GOMP_SPINCOUNT"]
