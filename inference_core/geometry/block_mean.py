"""Means of bins of voxels, read straight off a volume: how a window that is coarser than the voxels sees them.

One slice is read at a time, in the order in which the voxels lie in memory: no copy of the block under the window is
ever made, which for a wide window on a fine CT was measured fifty times faster than copying and shrinking it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Index = NDArray[np.int64]


def block_mean(
    array: NDArray[Any],
    low: ArrayLike,
    high: ArrayLike,
    *,
    bins: tuple[int, ...],
    reflect: bool,
    background: float | None = None,
) -> NDArray[np.float32]:
    """Means of the voxels low <= ijk < high, a whole number of bins along each axis, float32 in (i, j, k) order.

    Beyond the array the voxels are mirrored (`reflect`) or zero. With a `background`, voxels that are not finite have
    that value.
    """
    order = sorted(range(3), key=lambda axis: -abs(array.strides[axis]))
    places = [
        _places(int(np.asarray(low)[axis]), int(np.asarray(high)[axis]), array.shape[axis], reflect=reflect)
        for axis in order
    ]
    sizes = [bins[axis] for axis in order]
    members = [place.reshape(-1, size) for place, size in zip(places, sizes, strict=True)]
    sums = _sums(array.transpose(order), members, background)
    return np.asarray((sums / np.float32(np.prod(bins))).transpose(np.argsort(order)), dtype=np.float32)


def _sums(array: NDArray[Any], places: list[Index], background: float | None) -> NDArray[np.float32]:
    """Sums over bins of array indices (count, size) along each axis; an index past the end stands for zero."""
    slices, (rows, first_row, last_row), (columns, first, last) = places[0], *map(_compact, places[1:], array.shape[1:])
    sums = np.empty([len(place) for place in places], dtype=np.float32)
    plane = np.zeros((last_row - first_row + 1, last - first + 1), dtype=np.float32)
    for total, members in zip(sums, slices, strict=True):
        plane[:-1, :-1] = 0
        for member in members[members < len(array)]:
            part = array[member, first_row:last_row, first:last]
            plane[:-1, :-1] += part if background is None else np.where(np.isfinite(part), part, background)
        lines = sum(plane[row] for row in rows.T)
        total[:] = sum(lines[:, column] for column in columns.T)
    return sums


def _compact(places: Index, size: int) -> tuple[Index, int, int]:
    """Places counted from the first one in use, and the range in use; those past the end become its last."""
    used = places[places < size]
    first, last = (int(used.min()), int(used.max()) + 1) if used.size else (0, 0)
    return np.minimum(places - first, last - first), first, last


def _places(low: int, high: int, size: int, *, reflect: bool) -> Index:
    """Array indices of the voxels low <= i < high; beyond the array mirrored, or `size`, which is past its end."""
    index = np.arange(low, high)
    folded = np.mod(index, 2 * size)
    mirrored = np.where(folded < size, folded, 2 * size - 1 - folded)
    return mirrored if reflect else np.where((index >= 0) & (index < size), index, size)
