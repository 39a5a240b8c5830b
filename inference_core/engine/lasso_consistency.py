"""A closed outline in one slice is that slice's answer: what it holds is in the mask, and nothing else of the slice.

A background outline takes out what it holds. Either counts until a later prompt is placed in its slice: then the
model's answer, which has read both, counts there.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from inference_core.geometry.grid import Float, Grid
from inference_core.geometry.mask import VoxelBox
from inference_core.prompts.polygon import PlanarOutline
from inference_core.prompts.prompt_set import Placed, PromptSet, center_of
from inference_core.prompts.strokes import Lasso, Line, Scribble

_ROUNDING = 1e-6


def standing_lassos(prompts: PromptSet, grid: Grid) -> tuple[Lasso, ...]:
    """The lassos in whose slice of the grid's voxels no later prompt but a lasso has been placed."""
    found = []
    for number, prompt in enumerate(prompts.placed):
        later = [other for other in prompts.placed[number + 1 :] if not isinstance(other, Lasso)]
        if isinstance(prompt, Lasso) and not any(_meets(prompt, other, grid) for other in later):
            found.append(prompt)
    return tuple(found)


def obey_lassos(mask: NDArray[np.bool_], lassos: tuple[Lasso, ...], region: Grid) -> None:
    """Make a mask on a region's voxels (i, j, k) follow outlines, in place; a later outline wins where two meet."""
    targets = [lasso for lasso in lassos if lasso.positive]
    for lasso in targets:
        voxels = np.argwhere(mask & _slab(lasso, region))
        places = region.to_ras(voxels)
        held = np.any([_holds(other, places, region) for other in targets], axis=0)
        mask[tuple(voxels[~held].T)] = False
    for lasso in lassos:
        mask[tuple(_held_voxels(lasso, region).T)] = lasso.positive


def extent_of(lasso: Lasso, grid: Grid) -> VoxelBox | None:
    """The voxels of a grid around a lasso's points; None where it lies beside the grid."""
    indices = grid.to_ijk(np.array(lasso.points_ras))
    low = np.maximum(0, np.floor(indices.min(axis=0)).astype(np.int64) - 1)
    high = np.minimum(grid.shape, np.ceil(indices.max(axis=0)).astype(np.int64) + 2)
    return VoxelBox(low, high) if (high > low).all() else None


def _held_voxels(lasso: Lasso, region: Grid) -> NDArray[np.int64]:
    """The voxels (n, 3) of the lasso's slice that it holds."""
    box = extent_of(lasso, region)
    if box is None:
        return np.zeros((0, 3), dtype=np.int64)
    voxels = np.argwhere(np.ones(box.shape, dtype=bool)) + box.start
    return voxels[_holds(lasso, region.to_ras(voxels), region)]


def _holds(lasso: Lasso, places: Float, grid: Grid) -> NDArray[np.bool_]:
    """Whether places (n, 3), RAS mm, lie in the outline's slice and within it."""
    return _in_slice(lasso, places, grid) & _outline(lasso).holds(places)


def _slab(lasso: Lasso, grid: Grid) -> NDArray[np.bool_]:
    """The voxels (i, j, k) of a grid that are in the outline's slice, from their distance along each index alone."""
    outline = _outline(lasso)
    per_index = grid.affine[:3, :3].T @ outline.axes[:, 2]
    along = np.ix_(*[np.arange(n) * step for n, step in zip(grid.shape, per_index, strict=True)])
    distance = along[0] + along[1] + along[2] + outline.off_plane(grid.affine[:3, 3])
    return np.asarray(np.abs(distance) < np.abs(per_index).sum() / 2 + _ROUNDING)


def _in_slice(lasso: Lasso, places: Float, grid: Grid) -> NDArray[np.bool_]:
    """Whether places lie as near to the outline's plane as the grid's voxels reach; in an image's slice, within it."""
    outline = _outline(lasso)
    reach = np.abs(grid.affine[:3, :3].T @ outline.axes[:, 2]).sum() / 2
    return np.asarray(np.abs(outline.off_plane(places)) < reach + _ROUNDING)


def _meets(lasso: Lasso, other: Placed, grid: Grid) -> bool:
    places = np.array(other.points_ras) if isinstance(other, Line | Scribble | Lasso) else center_of(other)[None]
    return bool(_in_slice(lasso, places, grid).any())


def _outline(lasso: Lasso) -> PlanarOutline:
    return PlanarOutline.around(np.array(lasso.points_ras))
