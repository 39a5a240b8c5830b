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

Within that distance a click changes what it points at: a foreground click adds, a background click removes, and either
only what hangs together with it (`engine/connected_change`); but for one that says again what the one before it said.

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
from inference_core.geometry.sampling import extent_on, rescaled
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

    def weights(self, grid: Grid, box: VoxelBox | None = None) -> Float32:
        """How much the correction counts in each of a grid's cells, or of a box of them, 0 to 1.

        A reach that ends at once counts only in cells from which no interpolation leads beyond it.
        """
        full, end = self.full_mm, self.end_mm
        if full == end:
            full = end = max(0.0, end - float(np.linalg.norm(grid.spacing)))
        part = (VoxelBox.whole(grid.shape) if box is None else box).slices()
        return _falling(np.sqrt(squared_distances(self.center_ras, grid, part)), full, end)

    def weights_in(self, region: Grid, box: VoxelBox) -> Float32:
        """How much it counts in each voxel of a box of a region."""
        here = region.cropped(box.start, box.stop)
        return _falling(np.sqrt(squared_distances(self.center_ras, here)), self.full_mm, self.end_mm)

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


def points_at_its_change(prompt: Prompt, before: PromptSet) -> bool:
    """Whether a prompt is a click that means no more than what hangs together with it.

    Whoever clicks again beside the click before, or says by a distance where all may change, means more.
    """
    if not isinstance(prompt, Click) or prompt.reach_mm is not None:
        return False
    return not (before.prompts and _insists_on(before.prompts[-1], prompt))


def fading(window: Grid, cells: Grid, box: VoxelBox | None = None) -> Float32:
    """How much an answer in a window counts in each of a grid's cells: 1 inside, falling to 0 at its faces and beyond.

    The grid's axes are the window's, in any order. With a box, in its cells only.
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
    part = (VoxelBox.whole(cells.shape) if box is None else box).slices()
    i, j, k = (profile[taken] for profile, taken in zip(profiles, part, strict=True))
    return np.asarray(i[:, None, None] * j[:, None] * k)


def reach_of_exchange(old: Prompt, new: Prompt | None) -> Reach | None:
    """How far it counts that a prompt is another now, such as one moved, or gone: around both; None is everywhere."""
    kept = old if new is None else new
    if not isinstance(old, Click | Scribble) or not isinstance(kept, Click | Scribble):
        return None
    ends = np.stack([center_of(old), center_of(kept)])
    r, a, s = (float(value) for value in ends.mean(axis=0))
    full = LEAST_REACH_MM + float(np.linalg.norm(ends[1] - ends[0])) / 2 + max(_extent_mm(old), _extent_mm(kept))
    return Reach((r, a, s), full, full + LEAST_REACH_MM)


@dataclass(frozen=True, eq=False)
class Counting:
    """The cells of a grid in which a correction counts at all, and how much it does in each of them."""

    box: VoxelBox
    weights: Float32

    @classmethod
    def on(cls, cells: Grid, reach: Reach, window: Grid) -> Counting | None:
        """Of a correction seen in a window; None where it counts in no cell."""
        center, radii = cells.to_ijk(reach.center_ras), reach.end_mm / np.asarray(cells.spacing)
        ball = VoxelBox(np.floor(center - radii).astype(np.int64), np.ceil(center + radii).astype(np.int64) + 1)
        box = ball.within(VoxelBox(*extent_on(window, cells)))
        return None if box is None else cls(box, reach.weights(cells, box) * fading(window, cells, box))

    def laid_over(self, old: Float32, new: Float32) -> Float32:
        """The new logits of all cells where they count, the old ones elsewhere."""
        logits = old.copy(order="K")
        here = self.box.slices()
        logits[here] = mixed(new[here], old[here], self.weights)
        return logits


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


def _falling(distances: Float, full: float, end: float) -> Float32:
    if full >= end:
        return (distances <= full).astype(np.float32)
    return np.clip((end - distances) / (end - full), 0, 1).astype(np.float32)
