"""A volume as a pile of slices, for models that see whole slices: which axis runs across them, and turning it last.

The slice axis is the voxel axis with the largest spacing, the last axis where they tie: as scanners write them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference_core.geometry.grid import Grid
from inference_core.geometry.volume import Volume

_TIE_MM = 1e-3


def slice_axis(grid: Grid) -> int:
    """The voxel axis (0, 1 or 2) that runs across the slices."""
    widest = max(grid.spacing)
    return max(axis for axis in range(3) if grid.spacing[axis] > widest - _TIE_MM)


def slices_last(volume: Volume) -> Volume:
    """The same voxels with the slice axis last and the others in their order; a view, nothing is copied."""
    return Volume(np.moveaxis(volume.array, slice_axis(volume.grid), 2), sliced_grid(volume.grid), volume.name)


def sliced_grid(grid: Grid) -> Grid:
    """A grid with its slice axis last and the others in their order."""
    axis = slice_axis(grid)
    order = [*(other for other in range(3) if other != axis), axis]
    affine = grid.affine.copy()
    affine[:3, :3] = grid.affine[:3, order]
    return Grid((grid.shape[order[0]], grid.shape[order[1]], grid.shape[order[2]]), affine)


def as_in(grid: Grid, sliced: NDArray[Any]) -> NDArray[Any]:
    """An array with the slice axis last in the axis order of the grid it belongs to; a view."""
    return np.moveaxis(sliced, 2, slice_axis(grid))
