"""Prompts as one window sees them: points, boxes and an earlier mask in the window's own voxel indices."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference_core.geometry.grid import Float, Grid
from inference_core.prompts.prompt_set import PromptSet


@dataclass(frozen=True, eq=False)
class WindowPrompts:
    """Prompts in continuous window indices (i, j, k).

    points (N, 3) float64 in the order the user gave them; labels (N,) int64, 1 positive and 0 negative;
    boxes (M, 8, 3) float64, the corners of each oriented box, bit n of the corner's number set at edge n's far end.
    """

    points: Float
    labels: NDArray[np.int64]
    boxes: Float


def encode_prompts(prompts: PromptSet, window: Grid, *, margin: float = 0.5) -> WindowPrompts:
    """Express the prompts in a window; clicks more than `margin` voxels outside it are left out, boxes are kept."""
    points = window.to_ijk(np.array([click.ras for click in prompts.clicks]).reshape(-1, 3))
    labels = np.array([int(click.positive) for click in prompts.clicks], dtype=np.int64)
    inside = np.all((points >= -margin) & (points <= np.asarray(window.shape) - 1 + margin), axis=1)
    boxes = np.array([window.to_ijk(box.corners_ras) for box in prompts.boxes]).reshape(-1, 8, 3)
    return WindowPrompts(points[inside], labels[inside], boxes)
