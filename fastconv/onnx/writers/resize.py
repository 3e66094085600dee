"""Images in other sizes, and sampled where a grid says."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...nn import functional as F
from ..graph import Graph, Value, spread, writes
from .pooling import adaptive_average

__all__ = []


@writes(F.interpolate)
def _interpolate(
    g: Graph,
    input: Value,
    size: Any,
    scale_factor: Any,
    mode: str,
    align_corners: bool | None,
    recompute_scale_factor: bool | None,
    antialias: bool,
) -> str:
    dims = input.ndim - 2
    if mode == "area":
        return adaptive_average(g, dims, input, list(g.result.shape[2:]))
    if antialias and g.opset < 18:
        raise RuntimeError(f"{g.function} with antialias has an operator since opset 18")
    kind = "nearest" if mode.startswith("nearest") else "cubic" if mode == "bicubic" else "linear"
    corners = "align_corners" if align_corners else "half_pixel"
    attributes: dict[str, Any] = {"mode": kind, "coordinate_transformation_mode": corners}
    if mode == "nearest":
        attributes |= {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    elif mode == "nearest-exact":
        attributes["nearest_mode"] = "round_prefer_ceil"
    elif mode == "bicubic":
        attributes["cubic_coeff_a"] = -0.5 if antialias else -0.75
    if antialias:
        attributes |= {"antialias": 1, "exclude_outside": 1}
    if scale_factor is not None and not recompute_scale_factor:
        scales = [1.0, 1.0, *map(float, spread(scale_factor, dims))]
        return g.op("Resize", input, None, g.constant(scales, np.float32), **attributes)
    return g.op("Resize", input, None, None, g.integers(g.result.shape), **attributes)


@writes(F.grid_sample)
def _grid_sample(g: Graph, input: Value, grid: Value, mode: str, padding_mode: str, align_corners: bool | None) -> str:
    named = {"bilinear": "linear", "bicubic": "cubic"}.get(mode, mode) if g.opset >= 20 else mode
    return g.op(
        "GridSample", input, grid, mode=named, padding_mode=padding_mode, align_corners=int(bool(align_corners))
    )
