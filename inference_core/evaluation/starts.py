"""What a simulated user gives before the first click: a box, a line, a scribble, a lasso, or another tool's mask.

Lines, scribbles and lassos are drawn in the grid's slices that lie nearest to axial, as RECIST has it, and without a
hand's error: all are of the target's largest piece, scribbles and lassos in its largest slice.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from inference_core.errors import PromptError
from inference_core.evaluation.faulty_masks import faulty_mask
from inference_core.geometry.box import Box3D
from inference_core.geometry.contours import contours, signed_area
from inference_core.geometry.grid import Float, Grid
from inference_core.geometry.mask import Mask as Mask3D
from inference_core.geometry.mask import VoxelBox
from inference_core.geometry.pieces import largest_piece
from inference_core.geometry.volume import Volume
from inference_core.measures.diameters import axial_diameters
from inference_core.prompts.prompt_set import BoxPrompt, PromptSet
from inference_core.prompts.strokes import Lasso, Line, Scribble

Mask: TypeAlias = NDArray[np.bool_]
Start: TypeAlias = Callable[[Mask, Grid], PromptSet]
"""What is given of a target (i, j, k) on its grid before any click.

Raises:
    PromptError: the target is empty, or too small for it.
"""

BOX_MARGIN = 0.1
# A scribble keeps to the inner half of the target, and has about as many corners as a hand makes.
_INNER, _CORNERS = 0.5, 12


def boxed(margin: float = BOX_MARGIN) -> Start:
    """The target's box, each edge longer by a share on either side."""
    return lambda target, grid: PromptSet((BoxPrompt(box_around(target, grid, margin=margin)),))


def lined(target: Mask, grid: Grid) -> PromptSet:
    """The longest diameter in an axial slice."""
    found = axial_diameters(Mask3D.of(_piece(target)), grid)
    assert found is not None, "the piece holds something"
    return PromptSet((Line(found.longest.start_ras, found.longest.end_ras),))


def scribbled(target: Mask, grid: Grid) -> PromptSet:
    """A stroke along the middle of the largest slice, from one end of its inner half to the other."""
    from scipy import ndimage

    flat, place = _largest_slice(target, grid)
    spacing = np.delete(np.asarray(grid.spacing), grid.ras_axes[2])
    depth = ndimage.distance_transform_edt(np.pad(flat, 1), sampling=spacing)[1:-1, 1:-1]
    inner = np.argwhere(depth >= _INNER * depth.max())
    centered = (inner - inner.mean(axis=0)) * spacing
    along = centered @ np.linalg.svd(centered, full_matrices=False)[2][0]
    bins = np.digitize(along, np.linspace(along.min(), along.max(), _CORNERS + 1)[1:-1])
    corners = [_middle(inner[bins == number], spacing) for number in np.unique(bins)]
    return PromptSet((Scribble(_points(grid, np.array(corners), place)),))


def lassoed(target: Mask, grid: Grid) -> PromptSet:
    """The outline of the largest slice."""
    flat, place = _largest_slice(target, grid)
    return PromptSet((Lasso(_points(grid, max(contours(flat), key=signed_area), place)),))


def from_faulty_mask(seed: int) -> Start:
    """A mask with a fault, of the kind that a seed says; see `faulty_masks`."""

    def start(target: Mask, grid: Grid) -> PromptSet:
        mask = faulty_mask(target, grid.spacing, seed=seed)
        return PromptSet(initial_mask=Volume(mask.astype(np.uint8), grid, "a mask with faults"))

    return start


STROKES: dict[str, Start] = {"line": lined, "scribble": scribbled, "lasso": lassoed}


def box_around(target: Mask, grid: Grid, *, margin: float = BOX_MARGIN) -> Box3D:
    """The box along the grid's axes that holds a target (i, j, k), with a share of each edge to spare on either side.

    Raises:
        PromptError: the target is empty.
    """
    held = _held(target)
    size = (held.stop - held.start) * (1 + 2 * margin)
    return Box3D.in_voxels(grid, center_ijk=(held.start + held.stop - 1) / 2, size_ijk=size)


def _held(target: Mask) -> VoxelBox:
    held = VoxelBox.over(target)
    if held is None:
        raise PromptError("The target is empty, so there is nothing to draw on; choose a label that is in the volume.")
    return held


def _piece(target: Mask) -> Mask:
    """The largest piece of a target, which holds something."""
    _held(target)
    return largest_piece(target)


def _largest_slice(target: Mask, grid: Grid) -> tuple[Mask, Callable[[Float], Float]]:
    """The largest piece in its largest slice near axial (a, b), and what makes voxels (n, 3) of places (n, 2) there."""
    piece, axis = _piece(target), grid.ras_axes[2]
    index = int(piece.sum(axis=tuple({0, 1, 2} - {axis})).argmax())
    return largest_piece(np.asarray(piece.take(index, axis=axis))), partial(_in_slice, index=index, axis=axis)


def _in_slice(places: Float, *, index: int, axis: int) -> Float:
    return np.insert(np.asarray(places, dtype=np.float64), axis, index, axis=1)


def _middle(places: Float, spacing: Float) -> Float:
    """That of some places (n, 2) which lies nearest to their mean."""
    apart = ((places - places.mean(axis=0)) * spacing) ** 2
    return np.asarray(places[int(apart.sum(axis=1).argmin())])


def _points(grid: Grid, places: Float, place: Callable[[Float], Float]) -> tuple[tuple[float, float, float], ...]:
    return tuple((float(r), float(a), float(s)) for r, a, s in grid.to_ras(place(places)))
