"""How people draw: a line across the longest diameter, a scribble through a region, an outline of it in one slice.

Slices are the window's own, along any of its axes; windows are cut at any orientation.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi

from inference_core.geometry.grid import Float
from inference_core.geometry.pieces import largest_piece
from inference_core.training.clicking import clicked_cell
from inference_core.training.synthetic import Array, Mask, smooth_noise

_MOST_RIM = 160
_TURNS = 4


def line_across(rng: np.random.Generator, target: Mask) -> Float:
    """The longest diameter (2, 3), in voxels, of one of the largest slices, drawn by a hand that is not quite exact."""
    axis = int(rng.integers(3))
    areas = target.sum(axis=tuple({0, 1, 2} - {axis}))
    near = np.flatnonzero(areas >= rng.uniform(0.8, 1.0) * areas.max())
    number = int(rng.choice(near))
    rim = np.argwhere(_rim(_slice(target, axis, number)))
    if len(rim) > _MOST_RIM:
        rim = rim[rng.choice(len(rim), _MOST_RIM, replace=False)]
    apart = ((rim[:, None] - rim[None]) ** 2).sum(axis=2)
    ends = rim[list(np.unravel_index(int(apart.argmax()), apart.shape))].astype(np.float64)
    length = max(1.0, float(np.sqrt(apart.max())))
    outward = (ends - ends.mean(axis=0)) / length
    ends += outward + rng.normal(0, 0.3 + 0.03 * length, ends.shape)
    return np.insert(ends, axis, number, axis=1)


def scribble_through(rng: np.random.Generator, region: Mask) -> NDArray[np.int64]:
    """Cells (n, 3) along a freehand stroke through one slice of a region, the longest run of them that stays in it."""
    axis, cell = int(rng.integers(3)), clicked_cell(rng, region)
    flat = largest_piece(_slice(region, axis, int(cell[axis])))
    places = np.argwhere(flat)
    turns = places[rng.integers(len(places), size=int(rng.integers(2, _TURNS + 1)))].astype(np.float64)
    direction = np.linalg.svd(places - places.mean(axis=0), full_matrices=False)[2][0]
    turns = turns[np.argsort(turns @ direction)]
    steps = np.linspace(0, len(turns) - 1, 12 * len(turns))
    path = np.stack([np.interp(steps, np.arange(len(turns)), turns[:, n]) for n in range(2)], axis=1)
    path += ndi.gaussian_filter1d(rng.normal(0, 1.5, path.shape), 3, axis=0)
    cells = np.clip(np.rint(path), 0, np.asarray(flat.shape) - 1).astype(np.int64)
    run = _longest_run(flat[tuple(cells.T)])
    kept = cells[run] if run.stop > run.start else places[:1]
    return np.insert(kept, axis, cell[axis], axis=1)


def lasso_around(rng: np.random.Generator, region: Mask, through: NDArray[np.int64]) -> tuple[Array, NDArray[np.int64]]:
    """An outline of a region in a slice through one of its cells: 1 within, -1 without, 0 off the slice (d, h, w).

    Also the deepest cell (3,) of the outline. The hand wanders by about a cell.
    """
    axis = int(rng.integers(3))
    number = int(through[axis])
    drawn = _wandering(rng, _slice(region, axis, number))
    lasso = np.zeros(region.shape, dtype=np.float32)
    np.moveaxis(lasso, axis, 0)[number] = np.where(drawn, 1.0, -1.0)
    depth = ndi.distance_transform_edt(np.pad(drawn, 1))[1:-1, 1:-1]
    deepest = np.array(np.unravel_index(int(depth.argmax()), depth.shape))
    return lasso, np.insert(deepest, axis, number)


def _wandering(rng: np.random.Generator, flat: Mask) -> Mask:
    """A slice of a target as an outline drawn by hand holds it: filled, its border off by about half a cell."""
    filled = np.asarray(ndi.binary_fill_holes(flat))
    depth = ndi.distance_transform_edt(filled) - ndi.distance_transform_edt(~filled)
    size = max(flat.shape)
    noise = smooth_noise(rng, size, size // 4)[0][tuple(slice(n) for n in flat.shape)]
    drawn = np.asarray(depth + rng.uniform(0, 0.7) * noise > 0)
    return drawn if drawn.any() else filled


def _slice(region: Mask, axis: int, number: int) -> Mask:
    return np.asarray(region.take(number, axis=axis))


def _rim(flat: Mask) -> Mask:
    return np.asarray(flat & ~ndi.binary_erosion(flat))


def _longest_run(inside: NDArray[np.bool_]) -> slice:
    runs, count = ndi.label(inside)
    if not count:
        return slice(0, 0)
    found: slice = max((piece[0] for piece in ndi.find_objects(runs)), key=lambda run: run.stop - run.start)
    return found
