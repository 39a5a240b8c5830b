"""A simulated user: where the next click goes, after the CVPR 2025 interactive 3D segmentation challenge.

The first click is the deepest voxel of the target. Each next one is the deepest voxel of the largest connected error,
positive where target is missed and negative where the mask spills over. Depth is the Euclidean distance in millimeters
to the nearest voxel outside; what lies beyond the volume counts as outside. Components are face-connected.

Protocol: JunMa11/CVPR-MedSegFMCompetition, `CVPR25_iter_eval.py`, which works on (k, j, i) arrays. Ties go to the voxel
or component that comes first in that order, and between equal sizes to the missed target.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from inference_core.errors import PromptError
from inference_core.geometry.mask import VoxelBox
from inference_core.geometry.pieces import largest_piece

Mask = NDArray[np.bool_]
Voxel = tuple[int, int, int]
Spacing = tuple[float, float, float]


def deepest_voxel(mask: Mask, spacing: Spacing) -> Voxel:
    """The voxel (i, j, k) of a mask (i, j, k) that is furthest from the outside; spacing (i, j, k) in mm.

    Raises:
        PromptError: the mask is empty.
    """
    inside, start = _cropped(_to_kji(mask))
    if not inside.size:
        raise PromptError("The target is empty, so there is nowhere to click; choose a label that is in the volume.")
    return _deepest(inside, start, spacing)


def voxel_anywhere(mask: Mask, spacing: Spacing, *, seed: int) -> Voxel:
    """Any voxel (i, j, k) of a mask (i, j, k), all alike.

    Raises:
        PromptError: the mask is empty.
    """
    return _drawn(mask, seed, lambda depth: depth > 0, spacing)


def voxel_near_the_border(mask: Mask, spacing: Spacing, *, seed: int) -> Voxel:
    """A voxel (i, j, k) of a mask (i, j, k) in the quarter of its greatest depth next to the outside.

    Raises:
        PromptError: the mask is empty.
    """
    return _drawn(mask, seed, _near_the_border, spacing)


def next_click(target: Mask, mask: Mask, spacing: Spacing) -> tuple[Voxel, bool] | None:
    """The click that corrects a mask (i, j, k) towards a target (i, j, k): its voxel (i, j, k), and whether positive.

    Returns None when the mask equals the target. `spacing` is (i, j, k) in mm.
    """
    wanted, given = _to_kji(target), _to_kji(mask)
    missed, missed_start = _largest_component(wanted & ~given)
    spilled, spilled_start = _largest_component(given & ~wanted)
    missed_size, spilled_size = np.count_nonzero(missed), np.count_nonzero(spilled)
    if missed_size == spilled_size == 0:
        return None
    if missed_size >= spilled_size:
        return _deepest(missed, missed_start, spacing), True
    return _deepest(spilled, spilled_start, spacing), False


def _near_the_border(depth: NDArray[np.float64]) -> Mask:
    return np.asarray((depth > 0) & (depth <= max(depth.max() / 4, depth[depth > 0].min())))


def _drawn(mask: Mask, seed: int, chosen: Callable[[NDArray[np.float64]], Mask], spacing: Spacing) -> Voxel:
    """One of the voxels that are chosen by their depth (k, j, i)."""
    inside, start = _cropped(_to_kji(mask))
    if not inside.size:
        raise PromptError("The target is empty, so there is nowhere to click; choose a label that is in the volume.")
    places = np.argwhere(chosen(_depth(inside, spacing)))
    k, j, i = places[np.random.default_rng(seed).integers(len(places))] + np.array(start)
    return int(i), int(j), int(k)


def _to_kji(mask: Mask) -> Mask:
    return np.asarray(mask, dtype=np.bool_).transpose()


def _cropped(mask: Mask) -> tuple[Mask, Voxel]:
    """The part of a mask (k, j, i) within its bounding box, and where that starts; an empty array for an empty mask."""
    box = VoxelBox.over(mask)
    return (mask[:0, :0, :0], (0, 0, 0)) if box is None else (mask[box.slices()], box.extent[0])


def _largest_component(mask: Mask) -> tuple[Mask, Voxel]:
    """The largest component of a mask (k, j, i) in its bounding box, the first of equals, and where the box starts."""
    inside, outer = _cropped(mask)
    component, inner = _cropped(largest_piece(inside))
    return component, (outer[0] + inner[0], outer[1] + inner[1], outer[2] + inner[2])


def _deepest(component: Mask, start: Voxel, spacing: Spacing) -> Voxel:
    """The deepest voxel (i, j, k) of a component (k, j, i) that begins at `start` (k, j, i)."""
    k, j, i = np.unravel_index(int(_depth(component, spacing).argmax()), component.shape)
    return int(i) + start[2], int(j) + start[1], int(k) + start[0]


def _depth(component: Mask, spacing: Spacing) -> NDArray[np.float64]:
    """How far each voxel of a component (k, j, i) in its bounding box is from the outside, in mm.

    One layer of background around the box is enough: an outside voxel beyond it has a nearer one within it.
    """
    from scipy import ndimage

    depth = ndimage.distance_transform_edt(np.pad(component, 1), sampling=spacing[::-1])[1:-1, 1:-1, 1:-1]
    return np.asarray(depth)
