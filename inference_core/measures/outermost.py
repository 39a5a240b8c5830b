"""Which voxels of a mask can be corners of its convex hull: the ends of every longest line are among them."""

from __future__ import annotations

import numpy as np

from inference_core.geometry.grid import Float
from inference_core.geometry.mask import Bools, Mask

_Window = tuple[slice, slice]


def outermost_voxels(mask: Mask, *, within: tuple[int, ...] = (0, 1, 2)) -> Float:
    """Voxels (n, 3) in ijk among which are all corners of the convex hull, whatever the grid's spacing.

    within: the axes in which hulls are taken: all three for one hull, two for a hull in each slice across the third.
    """
    if not mask.array.size:
        return np.zeros((0, 3))
    axis = within[0]
    across = [other for other in range(3) if other != axis]
    steps = _steps(across[0] in within, across[1] in within)
    some = mask.array.any(axis=axis)
    first = mask.array.argmax(axis=axis)
    last = mask.array.shape[axis] - 1 - np.flip(mask.array, axis=axis).argmax(axis=axis)
    found = []
    for ends, sign in ((first, -1.0), (last, 1.0)):
        heights = np.where(some, sign * ends, -np.inf)
        places = np.argwhere(some & ~_between_others(heights, steps))
        voxels = np.empty((len(places), 3))
        voxels[:, across] = places
        voxels[:, axis] = ends[tuple(places.T)]
        found.append(voxels)
    return np.concatenate(found) + np.asarray(mask.start)


def _steps(first: bool, second: bool) -> list[tuple[int, int]]:
    return [(a, b) for a, b in ((1, 0), (0, 1), (1, 1), (1, -1)) if (first or not a) and (second or not b)]


def _between_others(heights: Float, steps: list[tuple[int, int]]) -> Bools:
    """Which heights (n, m) are no higher than the middle of two others at equal distances: no corners of a hull."""
    inner = np.zeros(heights.shape, dtype=bool)
    for a, b in steps:
        reach = 1
        while 2 * reach < max(heights.shape):
            windows = _windows(heights.shape, (a * reach, b * reach))
            if windows is None:
                break
            low, high, middle = windows
            inner[middle] |= heights[middle] <= (heights[low] + heights[high]) / 2
            reach *= 2
    return inner


def _windows(shape: tuple[int, ...], step: tuple[int, int]) -> tuple[_Window, _Window, _Window] | None:
    """Windows moved by -step and by step against the one in the middle, which comes last; None where none fits."""
    if any(size <= 2 * abs(part) for size, part in zip(shape, step, strict=True)):
        return None
    parts = tuple(zip(shape, step, strict=True))
    low, high, middle = (
        tuple(slice(abs(part) + sign * part, size - abs(part) + sign * part) for size, part in parts)
        for sign in (-1, 1, 0)
    )
    return (low[0], low[1]), (high[0], high[1]), (middle[0], middle[1])
