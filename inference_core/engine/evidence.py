"""Whether the image shows anything where clicks say that there is something: of nothing, a model makes something up.

Three cases are told from the image alone, for every family alike. A click lies in what looks like the air, or the empty
background, that surrounds a body: dark, at least 20 mm thick, and reaching to the image's edge, so that gas in bowels
and airways stays a target. A lung or a cyst that a crop cuts looks so too: its mask has a border all around, and is
kept. A mask's surface follows no border: the voxels on both sides of it are alike, as in noise. Or a first
click lies on a few voxels that stand out from all around them, which no window shows to a model.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, reduce

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inference_core.engine.windowed_prediction import PromptGroup
from inference_core.geometry.grid import Float, Grid, squared_distances
from inference_core.geometry.mask import EMPTY, Mask, VoxelBox
from inference_core.geometry.pieces import numbered_pieces
from inference_core.geometry.values import with_background
from inference_core.geometry.volume import Volume
from inference_core.prompts.prompt_set import Click, PromptSet

IN_THE_AIR = "A click lies in the air or the empty background around the body; move it onto the target."
LIKE_AIR = "What is clicked looks like the air around the body; check that the mask is the target."
NO_BORDER = (
    "The image shows no border around the clicks, so that only their surroundings are marked; "
    "click elsewhere, or draw a box around the target."
)
A_SPOT = (
    "A few voxels stand out where the click is, and they alone are marked; if a larger target is meant, click on it "
    "again beside them."
)
Bools = NDArray[np.bool_]
_CELL_MM = 4.0
_THICK_MM = 20.0
# Where Hounsfield units have room for air, air is below -900; where values start at zero, it is near zero.
_HAS_AIR, _AIR = -500.0, -900.0
_DARK_SHARE = 0.05
_SAMPLES, _MOST_CELLS, _DEPTH = 32, 40, 3
_FEW_ML = 2.0
# Of 40 real first answers the least was 0.31, of eight in white noise the largest 0.08.
_LEAST_CONTRAST = 0.13
# A border as clear as this all around: so have dark targets that reach the image's edge.
_CLEAR_CONTRAST, _CLEAR_SHARE = 1.0, 0.95
_MARKED_MM = 5.0
# Voxels around a spot, how many a spot has at most, and by how many standard deviations it differs: of 106 first clicks
# into sarcomas and glioblastomas none was on such a spot, with four of them neither.
_AROUND, _NEAR, _MOST_IN_SPOT, _OUTSTANDING = 6, 3, 7, 5.0


@dataclass(frozen=True, eq=False)
class Surroundings:
    """The air or empty background around what a volume shows, looked for when it is first asked about."""

    volume: Volume

    def hold(self, group: PromptGroup) -> bool:
        """Whether all that a group of prompts says of its target are clicks that lie there."""
        telling = [prompt for prompt in group.prompts.prompts if not isinstance(prompt, Click) or prompt.positive]
        if group.prompts.initial_mask is not None or not telling:
            return False
        return all(isinstance(prompt, Click) and self._holds(prompt.ras) for prompt in telling)

    def _holds(self, ras: tuple[float, float, float]) -> bool:
        voxel = self.volume.grid.nearest_voxels(np.array([ras]))[0]
        beside = tuple(slice(max(0, n - 1), n + 2) for n in voxel)
        if with_background(self.volume.array[beside]).mean() > self._level:
            return False
        return bool(self._cells[tuple(voxel // self._steps)])

    @cached_property
    def _steps(self) -> NDArray[np.int64]:
        return np.maximum(1, (_CELL_MM / np.asarray(self.volume.grid.spacing)).astype(np.int64))

    def _every(self, steps: ArrayLike) -> Float:
        """Some of the voxels: every so many along each axis."""
        picked = self.volume.array[tuple(slice(None, None, int(step)) for step in np.asarray(steps))]
        return with_background(np.ascontiguousarray(picked)).astype(np.float64)

    @cached_property
    def _level(self) -> float:
        """The value that air has at most; lower than any where the image's values do not tell."""
        some = self._every(np.ceil(np.array(self.volume.grid.shape) / _SAMPLES))
        least, bright = float(some.min()), float(np.percentile(some, 99.5))
        if least <= _HAS_AIR:
            return _AIR
        # Interpolation leaves values a little below zero.
        return _DARK_SHARE * bright if least >= -_DARK_SHARE * bright else -np.inf

    @cached_property
    def _cells(self) -> Bools:
        """What is dark, thick and reaches to the edge."""
        import torch
        from torch import Tensor
        from torch.nn.functional import avg_pool3d, max_pool3d, pad

        def mean(values: Tensor) -> Tensor:
            return avg_pool3d(pad(values, (1,) * 6), 3, stride=1)

        def grown(values: Tensor) -> Tensor:
            return max_pool3d(pad(values, [r for r in reversed(radius) for _ in range(2)]), size, stride=1)

        # torch's own padding refuses images thinner than what is pooled.
        values = torch.from_numpy(self._every(self._steps))[None, None]
        dark = mean(values) / mean(torch.ones_like(values)) <= self._level
        steps = self._steps * self.volume.grid.spacing
        radius = [max(1, round(_THICK_MM / 2 / step)) for step in steps]
        size = [2 * r + 1 for r in radius]
        core = 1 - grown((~dark).float())
        outer = torch.from_numpy(_reaching_the_edge(core[0, 0].numpy() > 0).astype(np.float32))[None, None]
        return ((grown(outer) > 0) & dark)[0, 0].numpy()


def _reaching_the_edge(inside: Bools) -> Bools:
    pieces = numbered_pieces(inside)
    edges = [pieces.take(end, axis=axis).ravel() for axis in range(3) for end in (0, -1)]
    return np.asarray(np.isin(pieces, np.setdiff1d(np.concatenate(edges), [0])))


def believable(mask: Mask, prompts: PromptSet, volume: Volume) -> tuple[Mask, str | None]:
    """The mask and None; or, where clicks alone led to it and the image does not bear it out, another and a caution.

    That is what of it is near the clicks, where its surface follows no border; and a spot, where a single click lies on
    one that stands out.
    """
    if prompts.initial_mask is not None or not all(isinstance(prompt, Click) for prompt in prompts.prompts):
        return mask, None
    spot = spot_at(volume, prompts.clicks[0].ras) if len(prompts.clicks) == 1 else None
    if spot is not None and mask.voxel_count > spot.voxel_count:
        return spot, A_SPOT
    if border_contrast(mask, volume) >= _LEAST_CONTRAST:
        return mask, None
    return near_clicks(mask, prompts, volume.grid), NO_BORDER


def near_clicks(mask: Mask, prompts: PromptSet, grid: Grid) -> Mask:
    """What of a mask is near the foreground clicks."""
    parts = (_part_around(mask, np.array(click.ras), grid) for click in prompts.clicks if click.positive)
    return reduce(Mask.union, parts, EMPTY)


def spot_at(volume: Volume, ras: tuple[float, float, float]) -> Mask | None:
    """The voxels at a place that stand out from those around, if they are seven at most; None where none do."""
    voxel = volume.grid.nearest_voxels(np.array([ras]))[0]
    box = VoxelBox(np.maximum(0, voxel - _AROUND), np.minimum(volume.grid.shape, voxel + _AROUND + 1))
    offsets = with_background(volume.array[box.slices()]).astype(np.float64)
    far = np.ones(offsets.shape, dtype=bool)
    far[VoxelBox(np.maximum(box.start, voxel - _NEAR + 1), voxel + _NEAR).slices(box.start)] = False
    if not far.any():
        return None
    offsets -= np.median(offsets[far])
    spread = 1.4826 * float(np.median(np.abs(offsets[far])))
    own = offsets[tuple(voxel - box.start)]
    if not abs(own) > _OUTSTANDING * spread:
        return None
    pieces = numbered_pieces(offsets * np.sign(own) > abs(own) / 2)
    piece = pieces == pieces[tuple(voxel - box.start)]
    return Mask.of(piece, box.start) if piece.sum() <= _MOST_IN_SPOT else None


def border_contrast(mask: Mask, volume: Volume) -> float:
    """How far the means on both sides of a mask's surface are apart, in standard deviations of the voxels there.

    The mean over eight parts of the surface, since a target may be darker than one neighbor and brighter than another.
    Infinite for masks under 2 ml, and such as have no surface: a few voxels tell nothing.
    """
    contrasts, sizes = _contrasts(mask, volume)
    return float(np.average(contrasts, weights=sizes)) if len(sizes) else np.inf


def has_clear_border(mask: Mask, volume: Volume) -> bool:
    """Whether a mask of 2 ml or more ends at a clear border wherever it does not end at the image's edge."""
    contrasts, sizes = _contrasts(mask, volume)
    return bool(sizes[contrasts > _CLEAR_CONTRAST].sum() >= _CLEAR_SHARE * sizes.sum() > 0)


def _contrasts(mask: Mask, volume: Volume) -> tuple[Float, Float]:
    """Of the eight parts of a mask's surface as far as it has them: the contrasts, and how large the parts are.

    Of a mask under 2 ml there are none.
    """
    if mask.voxel_count * volume.grid.voxel_volume_mm3 < 1000 * _FEW_ML:
        return np.zeros(0), np.zeros(0)
    inside, values = _thinned(mask, volume)
    inner, outer = _shells(inside)
    middle = np.argwhere(inside).mean(axis=0)
    sides = [(np.arange(n) > middle[axis]).astype(np.int8) << axis for axis, n in enumerate(inside.shape)]
    part = sum(np.ix_(*sides))
    contrasts, sizes = [], []
    for number in range(8):
        ours, theirs = values[inner & (part == number)], values[outer & (part == number)]
        if min(len(ours), len(theirs)) > 1:
            spread = np.sqrt((ours.var() + theirs.var()) / 2)
            contrasts.append(abs(ours.mean() - theirs.mean()) / max(spread, 1e-12))
            sizes.append(len(ours))
    return np.array(contrasts), np.array(sizes, dtype=float)


def _thinned(mask: Mask, volume: Volume) -> tuple[Bools, Float]:
    """The mask and the image's values around it, in at most 40 x 40 x 40 of the voxels; outliers are drawn in."""
    reach = np.maximum(1, np.ceil(np.array(mask.box.shape) / _MOST_CELLS)).astype(int)
    around = VoxelBox(
        np.maximum(0, mask.box.start - _DEPTH * reach), np.minimum(mask.box.stop + _DEPTH * reach, volume.grid.shape)
    )
    picked = tuple(slice(None, None, step) for step in reach)
    values = with_background(volume.array[around.slices()][picked]).astype(np.float64)
    low, high = np.nanpercentile(values, [1, 99])
    return mask.crop(around.start, around.stop)[picked], np.clip(values, low, high)


def _shells(inside: Bools) -> tuple[Bools, Bools]:
    """The voxels on both sides of a mask's surface, three deep: a mask that stops short of a border still meets it."""
    inner, outer = inside, inside
    for _ in range(_DEPTH):
        inner, outer = ~_grown(~inner), _grown(outer)
    return inside & ~inner, outer & ~inside


def _grown(inside: Bools) -> Bools:
    """A mask with the voxels that share a face with it; beyond the edges nothing is inside."""
    padded = np.pad(inside, 1)
    beside = [np.roll(padded, step, axis)[1:-1, 1:-1, 1:-1] for axis in range(3) for step in (-1, 1)]
    return inside | np.logical_or.reduce(beside)


def _part_around(mask: Mask, ras: Float, grid: Grid) -> Mask:
    reach = np.ceil(_MARKED_MM / np.asarray(grid.spacing)).astype(int)
    voxel = grid.nearest_voxels(ras[None])[0]
    box = mask.box.within(VoxelBox(voxel - reach, voxel + reach + 1))
    if box is None:
        return EMPTY
    near = squared_distances(ras, grid.cropped(box.start, box.stop)) <= _MARKED_MM**2
    return Mask.of(mask.crop(box.start, box.stop) & near, box.start)
