"""The same voxels in another order: readers of one file may count its slices, rows and columns from different ends."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference_core.geometry.axes import matching_axes
from inference_core.geometry.grid import SAME_GRID_MM, Grid


def in_order_of(
    target: Grid, array: NDArray[Any], grid: Grid, *, tolerance_mm: float = SAME_GRID_MM
) -> NDArray[Any] | None:
    """Values (i, j, k) on a grid as a view in a target's order of the same voxels; None where they are others.

    Axes may be swapped and flipped between the two; every voxel center has to be one of the target's.
    """
    axes = matching_axes(grid.inverse @ target.affine, target.shape)
    if axes is None:
        return None
    order = tuple(int(axis) for axis in np.argsort(axes))
    forward = grid.inverse[:3, :3] @ target.affine[:3, :3]
    flips = tuple(slice(None, None, -1 if forward[axis, n] < 0 else 1) for n, axis in enumerate(order))
    shape = tuple(grid.shape[axis] for axis in order)
    if shape != target.shape:
        return None
    corner = [grid.shape[axis] - 1 if forward[axis, n] < 0 else 0 for n, axis in enumerate(order)]
    # The grid's own affine, with its axes in the target's order.
    affine = np.eye(4)
    affine[:3, :3] = grid.affine[:3, list(order)] * [np.sign(forward[axis, n]) for n, axis in enumerate(order)]
    start = np.zeros(3)
    start[list(order)] = corner
    affine[:3, 3] = grid.to_ras(start)
    if not Grid(target.shape, affine).matches(target, tolerance_mm=tolerance_mm):
        return None
    return array.transpose(order)[flips]
