"""Prompts as one window sees them: points, boxes and an earlier mask in the window's own voxel indices."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference_core.geometry.grid import Float, Grid
from inference_core.prompts.prompt_set import PromptSet
from inference_core.prompts.strokes import Line, Stroke

_FLAT = 1e-9
_ROUNDING = 1e-6


@dataclass(frozen=True, eq=False)
class WindowStroke:
    """A line, scribble or lasso (`kind`): its points (n, 3) in window indices, and its sign (a line's is positive)."""

    kind: type[Stroke]
    points: Float
    positive: bool = True


@dataclass(frozen=True, eq=False)
class WindowPrompts:
    """Prompts in continuous window indices (i, j, k).

    points (N, 3) float64 in the order the user gave them; labels (N,) int64, 1 positive and 0 negative;
    boxes (M, 8, 3) float64, the corners of each oriented box, bit n of the corner's number set at edge n's far end;
    strokes in the order given; texts name the target, whatever the window.
    """

    points: Float
    labels: NDArray[np.int64]
    boxes: Float
    strokes: tuple[WindowStroke, ...] = ()
    texts: tuple[str, ...] = ()


def encode_prompts(prompts: PromptSet, window: Grid, *, margin: float = 0.5) -> WindowPrompts:
    """Express the prompts in a window; clicks more than `margin` voxels outside it are left out, the rest is kept."""
    points = window.to_ijk(np.array([click.ras for click in prompts.clicks]).reshape(-1, 3))
    labels = np.array([int(click.positive) for click in prompts.clicks], dtype=np.int64)
    reach = margin + _ROUNDING  # a click between two slices is in the one that rounding gives it to
    inside = np.all((points >= -reach) & (points <= np.asarray(window.shape) - 1 + reach), axis=1)
    boxes = np.array([window.to_ijk(box.corners_ras) for box in prompts.boxes]).reshape(-1, 8, 3)
    strokes = tuple(_encoded(stroke, window) for stroke in prompts.strokes)
    return WindowPrompts(points[inside], labels[inside], boxes, strokes, prompts.texts)


def _encoded(stroke: Stroke, window: Grid) -> WindowStroke:
    positive = isinstance(stroke, Line) or stroke.positive
    return WindowStroke(type(stroke), window.to_ijk(np.array(stroke.points_ras)), positive)


def cross_section(corners: Float, index: float) -> Float:
    """The rectangle (4,), i0, j0, i1, j1, around a box's cut through the slice at window index k = `index`.

    `corners` (8, 3) are a box of `WindowPrompts`. A slice beyond the box is given the cut nearest to it.
    """
    edges = np.array([(n, n | 1 << axis) for n in range(8) for axis in range(3) if not n & 1 << axis])
    starts, ends = corners[edges[:, 0]], corners[edges[:, 1]]
    # Edges within the slice can be left out: their ends are those of others.
    rising = np.abs(ends[:, 2] - starts[:, 2]) > _FLAT
    starts, ends = starts[rising], ends[rising]
    level = np.clip(index, corners[:, 2].min(), corners[:, 2].max())
    share = (level - starts[:, 2]) / (ends[:, 2] - starts[:, 2])
    met = (share >= -_FLAT) & (share <= 1 + _FLAT)
    around = (starts + share[:, None] * (ends - starts))[met, :2]
    return np.concatenate([around.min(axis=0), around.max(axis=0)])
