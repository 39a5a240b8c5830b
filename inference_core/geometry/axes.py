"""Linear interpolation between grids whose axes match, one axis after another: three small matrix products."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]
Float32 = NDArray[np.float32]
Axes = tuple[int, int, int]
_STRAY = 1e-3


def matching_axes(step: Float, shape: tuple[int, int, int]) -> Axes | None:
    """For each axis of the source, the axis of the target that runs along it; None where one is turned to another.

    `step` (4, 4) maps target voxels to source voxels; over this shape they may stray by a thousandth of a source voxel.
    """
    i, j, k = (int(axis) for axis in np.abs(step[:3, :3]).argmax(axis=1))
    stray = np.abs(step[:3, :3]) * np.asarray(shape)
    stray[range(3), [i, j, k]] = 0
    return (i, j, k) if {i, j, k} == {0, 1, 2} and stray.sum(axis=1).max() < _STRAY else None


def interpolate_along(
    values: Float32, step: Float, shape: tuple[int, int, int], *, axes: Axes, outside: float
) -> Float32:
    """Values interpolated at step @ ijk for all voxels ijk of a shape; float32 (i, j, k), i fastest in memory.

    Up to half a voxel beyond the outermost source voxels their values hold; further out it is `outside`.
    """
    at = [step[axis, other] * np.arange(shape[other]) + step[axis, 3] for axis, other in enumerate(axes)]
    ranges, taps = zip(*(_taps(place, size) for place, size in zip(at, values.shape, strict=True)), strict=True)
    slowest_first = [axes.index(other) for other in (2, 1, 0)]
    k, j, i = (taps[axis] for axis in slowest_first)
    needed = np.ascontiguousarray(values[ranges].transpose(slowest_first))
    laid = np.tensordot(k, j @ (needed @ i.T), axes=1).T
    for axis, other in enumerate(axes):
        beyond = (at[axis] < -0.5) | (at[axis] > values.shape[axis] - 0.5)
        np.moveaxis(laid, other, 0)[beyond] = outside
    return np.asarray(laid, dtype=np.float32)


def _taps(at: Float, size: int) -> tuple[slice, Float32]:
    """The run of source voxels that some places need, and their weights (places, voxels of the run)."""
    held = np.clip(at, 0, size - 1)
    low = np.minimum(np.floor(held).astype(np.int64), max(0, size - 2))
    start, stop = int(low.min()), min(size, int(low.max()) + 2)
    weights = np.zeros((len(at), stop - start), dtype=np.float32)
    rows, share = np.arange(len(at)), held - low
    weights[rows, low - start] = 1 - share
    weights[rows[share > 0], low[share > 0] - start + 1] = share[share > 0]
    return slice(start, stop), weights
