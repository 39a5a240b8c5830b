"""Masks on the voxels of another grid, finer, coarser or turned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from inference_core.geometry.grid import Float, Grid, corners_ijk
from inference_core.geometry.mask import EMPTY, Bools, Mask, VoxelBox
from inference_core.geometry.sampling import resample_onto, rescaled

_SAME_MM = 1e-3
_MOST_SAMPLES = 16_000_000


def on_grid(mask: Mask, grid: Grid, target: Grid, *, most_samples: int = _MOST_SAMPLES) -> Mask:
    """A mask of a grid on a target's voxels, in the target's indices; it may reach beyond the target's shape.

    Where voxel centers coincide it is shifted. Else those voxels are in it that lie in it by more than half, counted on
    about as many points a voxel as the mask has voxels there; its surface runs half-way between its voxels (linear). At
    most `most_samples` points, or one slice's, are held at once.
    """
    if not mask.array.size:
        return EMPTY
    own = grid.cropped(np.subtract(mask.start, 1), np.add(mask.stop, 1))
    if same_lattice(own, target):
        i, j, k = target.voxels_at(grid.to_ras(mask.start)).tolist()
        return Mask((i, j, k), mask.array)
    corners = target.to_ijk(own.to_ras(corners_ijk(own.shape)))
    start, stop = np.floor(corners.min(axis=0)).astype(int), np.ceil(corners.max(axis=0)).astype(int) + 1
    points = _points_along(grid, target)
    deep = max(1, most_samples // int(np.prod((stop - start)[:2]) * np.prod(points)))
    slabs = [
        _half_inside(mask, own, target.cropped((*start[:2], k), (*stop[:2], min(k + deep, stop[2]))), points)
        for k in range(start[2], stop[2], deep)
    ]
    return Mask.of(np.concatenate(slabs, axis=2), start)


@dataclass(frozen=True, eq=False)
class Regridded:
    """Named masks on a target's voxels, without those that lie beside it; `note` says what has changed, if anything."""

    masks: dict[str, Mask]
    note: str = ""


def regridded(masks: Mapping[str, tuple[Mask, Grid]], target: Grid, *, on: str, names: Mapping[str, str]) -> Regridded:
    """Masks, each with its grid, on a target that is called `on`; `names` has what the note calls them, by key."""
    placed = {key: on_grid(mask, grid, target) for key, (mask, grid) in masks.items()}
    kept = {key: within(mask, target.shape) for key, mask in placed.items()}
    there = {key: mask for key, mask in kept.items() if mask.array.size or not placed[key].array.size}
    held = {key: grid.cropped(mask.start, mask.stop) for key, (mask, grid) in masks.items() if mask.array.size}
    same = all(_same_centers(grid, target) for grid in held.values())
    said = {
        "beside it, and left out": [key for key in held if key not in there],
        "smaller than its voxels, and empty there": [key for key in held if not placed[key].array.size],
        "cut where the image ends": [key for key in held if key in there and not placed[key].fits(target.shape)],
    }
    notes = [] if same else [f"The masks lie on other voxels than '{on}'; they were resampled onto its own."]
    notes += [f"{', '.join(repr(names[key]) for key in keys)}: {what}." for what, keys in said.items() if keys]
    return Regridded(there, " ".join(notes))


def within(mask: Mask, shape: tuple[int, int, int]) -> Mask:
    """What of a mask lies in a grid of this shape."""
    if mask.fits(shape):
        return mask
    shared = mask.box.within(VoxelBox(np.zeros(3, dtype=int), np.array(shape)))
    return EMPTY if shared is None else Mask.of(mask.crop(shared.start, shared.stop), shared.start)


def same_lattice(grid: Grid, target: Grid) -> bool:
    """Whether the voxel centers of a grid, over its whole extent, are ones of a target without an end, axis by axis."""
    ends, placed = _ends_on(grid, target)
    return bool(np.abs((placed - np.rint(placed[0]) - ends) * target.spacing).max() < _SAME_MM)


def _same_centers(grid: Grid, target: Grid) -> bool:
    """As `same_lattice`, whatever the order and the directions in which the two count along their axes."""
    placed = _ends_on(grid, target)[1]
    steps = np.abs(np.rint((target.inverse @ grid.affine)[:3, :3]))
    permuted = np.array_equal(np.sort(steps, axis=0), np.sort(np.eye(3), axis=0))
    return bool(permuted and np.abs((placed - np.rint(placed)) * target.spacing).max() < _SAME_MM)


def _ends_on(grid: Grid, target: Grid) -> tuple[Float, Float]:
    """The first voxel's center and the last one's along each axis (4, 3), in a grid's indices and in a target's."""
    ends = np.vstack([np.zeros(3), np.diag(np.subtract(grid.shape, 1.0))])
    return ends, target.to_ijk(grid.to_ras(ends))


def _points_along(grid: Grid, target: Grid) -> tuple[int, ...]:
    """How many points of a target's voxel to look at along each of its axes: odd, so that half is no tie."""
    lengths = np.linalg.norm((grid.inverse @ target.affine)[:3, :3], axis=0)
    return tuple(1 + 2 * (int(np.ceil(length - 1e-3)) // 2) for length in lengths)


def _half_inside(mask: Mask, own: Grid, part: Grid, points: tuple[int, ...]) -> Bools:
    """The voxels of a target's part of which more than half lies in a mask; `own` is a voxel larger than the mask."""
    fine = rescaled(part, tuple(n * m for n, m in zip(part.shape, points, strict=True)))
    inside = resample_onto(np.pad(mask.array, 1).astype(np.float32), own, fine, outside=0.0) > 0.5
    blocks = [size for pair in zip(part.shape, points, strict=True) for size in pair]
    return np.asarray(inside.reshape(blocks).mean(axis=(1, 3, 5)) > 0.5)
