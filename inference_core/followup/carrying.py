"""Prompts of one visit at their places in another, and prompts that stand for a mask where there are none.

A mask itself is never carried: the lesion may have grown or shrunk, and is found anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from inference_core.errors import PromptError
from inference_core.followup.warping import Warp
from inference_core.geometry.box import Box3D
from inference_core.geometry.grid import Float, Grid, apply_affine
from inference_core.geometry.mask import Mask
from inference_core.measures.diameters import axial_diameters
from inference_core.prompts.prompt_set import BoxPrompt, Click, Prompt, PromptSet
from inference_core.prompts.strokes import Line, Point
from inference_core.prompts.text import TextPrompt

_SHORTEST_MM = 1e-2


def carried(prompts: PromptSet, way: Float | Warp) -> PromptSet:
    """Prompts moved from RAS mm before to RAS mm after, in their order; no mask goes along.

    `way` is a matrix (4, 4), or takes points (n, 3) there. A box becomes the one of right angles nearest to what the
    way makes of it over its own size.

    Raises:
        VolumeError: the way is not defined at a prompt's place.
    """
    warp = way if callable(way) else partial(apply_affine, way)
    return PromptSet(tuple(_moved(prompt, warp) for prompt in prompts.prompts))


def prompts_for(mask: Mask, grid: Grid) -> PromptSet:
    """What stands for a mask: a line across its longest axial diameter, as in RECIST; of one voxel a click on it.

    On seven patients with glioblastoma a line found each lesion again at the next visit, a click where the mask is
    deepest three of seven: those lesions are rings.

    Raises:
        PromptError: the mask is empty.
    """
    axial = axial_diameters(mask, grid)
    if axial is None:
        raise PromptError("The lesion is empty at the earlier visit, so there is nothing to carry over.")
    start, end = axial.longest.start_ras, axial.longest.end_ras
    return PromptSet((Click(start) if axial.longest.mm < _SHORTEST_MM else Line(start, end),))


def _moved(prompt: Prompt, warp: Warp) -> Prompt:
    if isinstance(prompt, TextPrompt):
        return prompt
    if isinstance(prompt, BoxPrompt):
        return BoxPrompt(_moved_box(prompt.box, warp))
    if isinstance(prompt, Click):
        return replace(prompt, ras=_points(warp, [prompt.ras])[0])
    points = _points(warp, prompt.points_ras)
    if isinstance(prompt, Line):
        return Line(points[0], points[1])
    return replace(prompt, points_ras=tuple(points))


def _points(warp: Warp, points: Sequence[Point]) -> list[Point]:
    return [(float(r), float(a), float(s)) for r, a, s in warp(np.asarray(points, dtype=np.float64))]


def _moved_box(box: Box3D, warp: Warp) -> Box3D:
    """The box of right angles nearest to the moved one, which is sheared or bent: its faces' middles are moved."""
    half = box.axes * box.size / 2
    ends = warp(np.concatenate([[box.center], box.center + half.T, box.center - half.T]))
    edges = (ends[1:4] - ends[4:]).T / box.size
    left, _, right = np.linalg.svd(edges)
    return Box3D(ends[0], left @ right, box.size * np.linalg.norm(edges, axis=0))
