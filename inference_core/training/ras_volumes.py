"""A volume in axes nearest to right, anterior, superior at a spacing of one's own, as MONAI's loaders make it.

Legend: X Y Z the axes nearest to right, anterior and superior.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference_core.geometry.volume import Volume


def ras_volume(volume: Volume, spacing: tuple[float, float, float], *, labels: bool = False) -> NDArray[Any]:
    """Voxels (X, Y, Z) at `spacing` in mm, the first voxel where it was; linear in float32, of `labels` the nearest."""
    grid, order = volume.grid, volume.grid.ras_axes
    falling = tuple(axis for axis in range(3) if grid.affine[axis, order[axis]] < 0)
    array = np.flip(volume.array.transpose(order), falling)
    if not labels:
        array = array.astype(np.float32)
    for axis in range(3):
        step = spacing[axis] / grid.spacing[order[axis]]
        count = max(1, round((array.shape[axis] - 1) / step + 1))
        places = np.clip(np.arange(count) * step, 0, array.shape[axis] - 1)
        array = _nearest(array, places, axis) if labels else _linear(array, places, axis)
    return np.ascontiguousarray(array)


def _nearest(array: NDArray[Any], places: NDArray[np.float64], axis: int) -> NDArray[Any]:
    return array.take(np.rint(places).astype(int), axis)


def _linear(array: NDArray[np.float32], places: NDArray[np.float64], axis: int) -> NDArray[np.float32]:
    low = np.floor(places).astype(int)
    high = np.minimum(low + 1, array.shape[axis] - 1)
    shape = [1, 1, 1]
    shape[axis] = len(places)
    share = (places - low).astype(np.float32).reshape(shape)
    return np.asarray(array.take(low, axis) * (1 - share) + array.take(high, axis) * share)
