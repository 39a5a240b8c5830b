"""What is right stays right: a correction counts near itself, and further away the answer before it holds.

A click that corrects an answer makes the model answer anew, and everywhere a little differently. So the new logits
count in full up to some distance from the correction, not at all from twice that distance on, and linearly less in
between; beyond, the logits before it hold. The distance is three times the click's own from the surface it corrects,
and 15 mm at least: who clicks far outside, or deep inside, means a large change. A click right beside the one before
it, and of its sign, doubles it: that one was not enough. A scribble counts like a click in its middle, further by its
own extent. A mask that was given to start from is somebody's work and mostly right: clicks on what came of it count up
to one and a half times their distance from the surface. A box, a line or a lasso is an answer's size, so that nothing
is held back. A click may bring a distance of its own (`Click.reach_mm`): beyond it no voxel changes, by this click or
any later one that keeps to its own.

The rule is the same for every family, and can be turned off (`MaskOptions.local_corrections`). Its numbers were chosen
on training patients and on brain and abdominal images, not on the held-out sarcomas (Resources/Docs/results.md).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference_core.geometry.axes import matching_axes
from inference_core.geometry.grid import Float, Grid, squared_distances
from inference_core.geometry.mask import VoxelBox
from inference_core.geometry.sampling import rescaled
from inference_core.models.interface import Float32
from inference_core.prompts.prompt_set import Click, Prompt, PromptSet, center_of
from inference_core.prompts.strokes import Scribble

LEAST_REACH_MM = 15.0
REACH_PER_DISTANCE = 3.0
REACH_FROM_MASK = 1.5
_BESIDE_MM = 15.0
FADING = 0.06
_FIRM = 4.0


@dataclass(frozen=True)
class Reach:
    """Where a correction counts: in full up to `full_mm` from `center_ras`, not at all from `end_mm` on."""

    center_ras: tuple[float, float, float]
    full_mm: float
    end_mm: float

    def weights(self, grid: Grid) -> Float32:
        """How much the correction counts in each of a grid's cells, 0 to 1.

        A reach that ends at once counts only in cells from which no interpolation leads beyond it.
        """
        full, end = self.full_mm, self.end_mm
        if full == end:
            full = end = max(0.0, end - float(np.linalg.norm(grid.spacing)))
        return _falling(_distances(self.center_ras, grid), full, end)

    def weights_in(self, region: Grid, box: VoxelBox) -> Float32:
        """How much it counts in each voxel of a box of a region."""
        return _falling(_distances(self.center_ras, region.cropped(box.start, box.stop)), self.full_mm, self.end_mm)

    def covers(self, region: Grid, box: VoxelBox) -> bool | None:
        """Whether it counts in full in a whole box (True) or nowhere in it (False); None where it takes computing."""
        steps = np.asarray(region.spacing)
        center = region.to_ijk(self.center_ras)
        low, high = box.start - center, box.stop - 1 - center
        nearest = np.linalg.norm(np.maximum(np.maximum(low, -high), 0) * steps)
        furthest = np.linalg.norm(np.maximum(np.abs(low), np.abs(high)) * steps)
        if nearest >= self.end_mm:
            return False
        return True if furthest <= self.full_mm else None


def reach_of(prompt: Prompt, before: PromptSet, logits: Float32, window: Grid) -> Reach | None:
    """How far a prompt's correction counts, after `before` led to low-res logits over a window; None is everywhere.

    Where the logits know no surface, there is nothing yet that could be right.
    """
    if not isinstance(prompt, Click | Scribble):
        return None
    if isinstance(prompt, Click) and prompt.reach_mm is not None:
        return Reach(prompt.ras, prompt.reach_mm, prompt.reach_mm)
    r, a, s = (float(value) for value in center_of(prompt))
    distance = _distance_to_surface((r, a, s), logits > 0, rescaled(window, logits.shape))
    if distance is None:
        return None
    share = REACH_PER_DISTANCE if before.initial_mask is None else REACH_FROM_MASK
    full = max(LEAST_REACH_MM, share * distance) + _extent_mm(prompt)
    for earlier in reversed(before.prompts):
        if not (isinstance(prompt, Click) and _insists_on(earlier, prompt)):
            break
        full *= 2
    return Reach((r, a, s), full, 2 * full)


def fading(window: Grid, cells: Grid) -> Float32:
    """How much an answer in a window counts in each of a grid's cells: 1 inside, falling to 0 at its faces and beyond.

    The grid's axes are the window's, in any order.
    """
    step = window.inverse @ cells.affine
    axes = matching_axes(step, cells.shape)
    assert axes is not None, "windows lie along the volume's axes"
    profiles: list[Float32] = [np.ones(1, dtype=np.float32)] * 3
    for axis, other in enumerate(axes):
        at = step[axis, other] * np.arange(cells.shape[other]) + step[axis, 3]
        size = window.shape[axis]
        inside = np.minimum(at + 0.5, size - 0.5 - at) / (FADING * size)
        # A single slice has no inside; it counts as a whole.
        profiles[other] = np.clip(inside, 0, 1).astype(np.float32) if size > 1 else (inside >= 0).astype(np.float32)
    i, j, k = profiles
    return np.asarray(i[:, None, None] * j[:, None] * k)


def mixed(new: Float32, old: Float32, weights: Float32) -> Float32:
    """New logits where they count, the old ones elsewhere; where both do, neither outweighs the other by its size."""
    between = weights * np.clip(new, -_FIRM, _FIRM) + (1 - weights) * np.clip(old, -_FIRM, _FIRM)
    return np.where(weights >= 1, new, np.where(weights <= 0, old, between)).astype(np.float32)


def _extent_mm(prompt: Click | Scribble) -> float:
    """How far a stroke reaches from its middle; a click does not."""
    if isinstance(prompt, Click):
        return 0.0
    return float(np.linalg.norm(np.array(prompt.points_ras) - center_of(prompt), axis=1).max())


def _insists_on(earlier: Prompt, click: Click) -> bool:
    """Whether a click says again what an earlier prompt said right beside it."""
    if not isinstance(earlier, Click) or earlier.positive is not click.positive or earlier.reach_mm is not None:
        return False
    return float(np.linalg.norm(np.subtract(earlier.ras, click.ras))) <= _BESIDE_MM


def _distance_to_surface(ras: tuple[float, float, float], inside: NDArray[np.bool_], cells: Grid) -> float | None:
    """How far a place is from the nearest cell on the other side of the surface, in mm; None without a surface."""
    if inside.all() or not inside.any():
        return None
    held = bool(inside[cells.voxel_of(ras)]) if cells.contains(ras) else False
    return float(np.sqrt(squared_distances(ras, cells)[inside != held].min()))


def _distances(center_ras: tuple[float, float, float], grid: Grid) -> Float:
    return np.asarray(np.sqrt(squared_distances(center_ras, grid)))


def _falling(distances: Float, full: float, end: float) -> Float32:
    if full >= end:
        return (distances <= full).astype(np.float32)
    return np.clip((end - distances) / (end - full), 0, 1).astype(np.float32)
