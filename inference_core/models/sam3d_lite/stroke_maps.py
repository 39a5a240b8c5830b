"""Lines, scribbles and lassos drawn as dense maps at half the window's resolution.

Whatever the number of its points, a stroke is rasterized once, so that it costs about as much as a click.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from inference_core.geometry.grid import Float, squared_lengths
from inference_core.prompts.encoding import WindowStroke
from inference_core.prompts.polygon import PlanarOutline
from inference_core.prompts.strokes import Lasso, Line

LINE, BALL, SCRIBBLE, SCRIBBLE_BACKGROUND, LASSO, LASSO_BACKGROUND = range(6)
STROKE_CHANNELS = 6
_STAMP_CELLS = 1.0
_REACH_CELLS = 2
_SLAB_VOXELS = 1.0
_STEP_VOXELS = 0.7
_MOST_STEPS = 4096


def draw_strokes(strokes: Sequence[WindowStroke], half: tuple[int, ...]) -> Tensor:
    """Strokes in a window as (STROKE_CHANNELS, d, h, w), zero where there is none.

    A line: a stamp along it, and from 1 at its center over 0 on the ball that it spans to -1. A scribble: a stamp of
    its sign. A positive lasso: 1 within and -1 without, in its slice alone, where several are parts of one answer; a
    negative one: 1 within.
    """
    maps = np.zeros((STROKE_CHANNELS, *half), dtype=np.float32)
    for stroke in strokes:
        if stroke.kind is Line:
            _draw_line(maps, stroke.points, half)
        elif stroke.kind is Lasso:
            _draw_lasso(maps, stroke, half)
        else:
            channel = SCRIBBLE if stroke.positive else SCRIBBLE_BACKGROUND
            maps[channel] = np.maximum(maps[channel], stamped(path_cells(stroke.points, half)))
    return torch.from_numpy(maps)


def stroke_seeds(maps: Tensor) -> Tensor:
    """The cells (B, 2, d, h, w) that strokes (B, STROKE_CHANNELS, d, h, w) say to be target, and those to be none."""
    target = (maps[:, SCRIBBLE] > 0.99) | (maps[:, LASSO] > 0.5)
    none = (maps[:, SCRIBBLE_BACKGROUND] > 0.99) | (maps[:, LASSO] < -0.5) | (maps[:, LASSO_BACKGROUND] > 0.5)
    return torch.stack([target, none], dim=1)


def line_maps(points: Float, half: tuple[int, ...]) -> np.ndarray:
    """A line from points[0] to points[1] in window voxels, as (2, d, h, w): its stamp and the ball that it spans."""
    center, radius = points.mean(axis=0), float(np.linalg.norm(points[1] - points[0])) / 2
    distance = np.sqrt(squared_lengths([2 * np.arange(n) + 0.5 - c for n, c in zip(half, center, strict=True)]))
    return np.stack([stamped(path_cells(points, half)), np.clip(1 - distance / max(radius, 1.0), -1, 1)])


def path_cells(points: Float, half: tuple[int, ...]) -> np.ndarray:
    """The cells (d, h, w) that a path through points (n, 3) in window voxels meets."""
    lengths = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    steps = int(min(_MOST_STEPS, np.ceil(lengths[-1] / _STEP_VOXELS) + 1))
    along = np.linspace(0, lengths[-1], steps)
    places = np.stack([np.interp(along, lengths, points[:, axis]) for axis in range(3)], axis=1)
    cells = np.rint((places - 0.5) / 2).astype(np.int64)
    met = np.zeros(half, dtype=bool)
    inside = ((cells >= 0) & (cells < half)).all(axis=1)
    met[tuple(cells[inside].T)] = True
    return met


def stamped(cells: np.ndarray) -> np.ndarray:
    """1 on some cells (d, h, w), falling off around them as a click's stamp does."""
    stamp = cells.astype(np.float32)
    if not cells.any():
        return stamp
    for axis in range(3):
        padded = np.pad(stamp, [(_REACH_CELLS,) * 2 if a == axis else (0, 0) for a in range(3)])
        count = stamp.shape[axis]
        moved = [
            np.float32(np.exp(-0.5 * ((shift - _REACH_CELLS) / _STAMP_CELLS) ** 2))
            * padded.take(range(shift, shift + count), axis=axis)
            for shift in range(2 * _REACH_CELLS + 1)
        ]
        stamp = np.max(moved, axis=0)
    return stamp


def _draw_line(maps: np.ndarray, points: Float, half: tuple[int, ...]) -> None:
    stamp, ball = line_maps(points, half)
    maps[LINE] = np.maximum(maps[LINE], stamp)
    maps[BALL] = np.where(maps[LINE].any() & (maps[BALL] != 0), np.maximum(maps[BALL], ball), ball)


def _draw_lasso(maps: np.ndarray, stroke: WindowStroke, half: tuple[int, ...]) -> None:
    outline = PlanarOutline.around(stroke.points)
    cells = np.stack(np.meshgrid(*[2 * np.arange(n) + 0.5 for n in half], indexing="ij"), axis=-1)
    in_slice = np.abs(outline.off_plane(cells)) <= _SLAB_VOXELS
    held = outline.holds(cells[in_slice])
    if stroke.positive:
        maps[LASSO][in_slice] = np.where(held | (maps[LASSO][in_slice] > 0), 1.0, -1.0)
    else:
        maps[LASSO_BACKGROUND][in_slice] = np.maximum(maps[LASSO_BACKGROUND][in_slice], held)
