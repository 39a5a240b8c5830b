"""Click consistency: where the logits contradict a click, they are drawn towards its sign around it.

The less, the further a voxel is and the less its intensity is like the clicked one's; voxels that look unlike it, or
lie further than a few window voxels, keep the model's answer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference_core.engine.local_correction import Reach
from inference_core.engine.logit_field import FIRM_LOGIT, LogitField
from inference_core.engine.windowed_prediction import PromptGroup, WindowedPrediction
from inference_core.geometry.grid import Grid, squared_lengths
from inference_core.geometry.mask import VoxelBox
from inference_core.geometry.values import unit_exponent
from inference_core.models.interface import Float32
from inference_core.prompts.prompt_set import Click, PromptSet

Voxel = tuple[int, ...]
_BUMP_WINDOW_VOXELS = 2.5
_ALIKE_STD = 0.75
_LEAST_SHARE = 0.02
_TILE = 16


@dataclass(frozen=True, eq=False)
class ClickCorrection:
    """A click that the logits of a region contradict: where it draws them, how much each of them, and to what."""

    box: VoxelBox
    share: Float32
    wanted: float

    def draw(self, logits: Float32, box: VoxelBox) -> None:
        """Draw the logits of a box of voxels, in place."""
        shared = box.within(self.box)
        if shared is None:
            return
        here, share = logits[shared.slices(box.start)], self.share[shared.slices(self.box.start)]
        drawn = (1 - share) * np.clip(here, -FIRM_LOGIT, FIRM_LOGIT) + share * self.wanted
        here[...] = np.where(share > _LEAST_SHARE, drawn, here)


def clicks_inside(prompts: PromptSet, region: Grid) -> list[tuple[Click, Voxel]]:
    """The clicks that lie in a region, and the voxels of it that they are on."""
    clicks = prompts.clicks
    at = region.voxels_at(np.array([click.ras for click in clicks]).reshape(-1, 3))
    return [(clicks[n], tuple(at[n].tolist())) for n in np.flatnonzero(region.holds(at))]


def click_corrections(
    clicks: list[tuple[Click, Voxel]],
    surface: LogitField,
    prediction: WindowedPrediction,
    *,
    region: Grid,
    voxels: NDArray[np.generic],
) -> list[ClickCorrection]:
    """What the clicks draw, in their order; `voxels` are the image's in the region. The later click wins."""
    corrections: list[ClickCorrection] = []
    places = np.array([voxel for _, voxel in clicks], dtype=np.int64).reshape(-1, 3)
    answers = _logits_at(places, surface)
    wanted = np.array([FIRM_LOGIT if click.positive else -FIRM_LOGIT for click, _ in clicks])
    # Only clicks that the logits contradict, or that an earlier click's correction reaches, cost anything.
    concerned = answers * wanted <= 0
    for n in range(len(clicks)):
        if not concerned[n]:
            continue
        (click, voxel), logit = clicks[n], answers[n : n + 1].reshape(1, 1, 1)
        for correction in corrections:
            correction.draw(logit, VoxelBox.around(voxel))
        if float(logit[0, 0, 0]) * wanted[n] <= 0:
            group = min(prediction, key=lambda group: group.base.window.distance_outside(click.ras))
            box = _around(voxel, group, region)
            share = _share(voxel, box, radius_of(group), region=region, voxels=voxels)
            if click.reach_mm is not None:
                share *= Reach(click.ras, click.reach_mm, click.reach_mm).weights_in(region, box)
            corrections.append(ClickCorrection(box, share, float(wanted[n])))
            concerned |= ((places >= box.start) & (places < box.stop)).all(axis=1)
    return corrections


def _logits_at(voxels: NDArray[np.int64], surface: LogitField) -> Float32:
    """The logits of some voxels (N, 3), as (N,): those that lie close together are asked for together."""
    answers = np.empty(len(voxels), dtype=np.float32)
    _, tiles = np.unique(voxels // _TILE, axis=0, return_inverse=True)
    for tile in range(int(tiles.max(initial=-1)) + 1):
        members = tiles.ravel() == tile
        start = voxels[members].min(axis=0)
        logits = surface.logits(VoxelBox(start, voxels[members].max(axis=0) + 1))
        answers[members] = logits[tuple((voxels[members] - start).T)]
    return answers


def radius_of(group: PromptGroup) -> float:
    """The standard deviation (mm) of a click's reach."""
    window = min((layer.window for layer in group.layers), key=lambda window: window.spacing)
    return _BUMP_WINDOW_VOXELS * window.spacing[0]


def _around(voxel: Voxel, group: PromptGroup, region: Grid) -> VoxelBox:
    """The voxels that a click may draw along; one on a slice that was looked at by itself, those of the slice only."""
    reach = [max(1, int(np.ceil(3 * radius_of(group) / step))) for step in region.spacing]
    low, high = np.maximum(0, np.subtract(voxel, reach)), np.add(voxel, reach)
    window = group.base.window
    if 1 in window.shape and window.contains(region.to_ras(voxel)):
        ends = np.rint(region.to_ijk(window.to_ras(np.array([(0, 0, 0), window.shape]) - [[0], [1]]))).astype(np.int64)
        low, high = np.maximum(low, ends.min(axis=0)), np.minimum(high, ends.max(axis=0))
    return VoxelBox(low, np.minimum(high + 1, region.shape))


def _share(voxel: Voxel, box: VoxelBox, radius: float, *, region: Grid, voxels: NDArray[np.generic]) -> Float32:
    offsets = [
        (np.arange(a, b) - v) * step for a, b, v, step in zip(box.start, box.stop, voxel, region.spacing, strict=True)
    ]
    squared = squared_lengths(offsets)
    unlike = _unlike(np.asarray(voxels[box.slices()]), tuple(np.asarray(voxel) - box.start))
    share = np.exp(-squared / (2 * radius**2) - 0.5 * (unlike / _ALIKE_STD) ** 2)
    return np.asarray(share, dtype=np.float32)


def _unlike(near: NDArray[np.generic], clicked: Voxel) -> Float32:
    """How many standard deviations each value is from the clicked one; a voxel without a value is unlike any."""
    finite = np.isfinite(near)
    exponent = unit_exponent(near)
    values = np.ldexp(np.asarray(near, dtype=np.float32), exponent) if exponent else np.asarray(near, dtype=np.float32)
    spread = values.std() if finite.all() else values[finite].std()
    unlike = (values - values[clicked]) / spread if spread > 0 else np.where(values == values[clicked], 0.0, np.inf)
    return np.asarray(np.where(finite, unlike, np.inf), dtype=np.float32)
