"""From low-res logits in windows to a mask on the volume's own voxels.

Click consistency is on by default (`engine.obeying`). The clicked voxel itself always obeys.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inference_core.engine.laying import Box, Surface
from inference_core.engine.looking import Look
from inference_core.engine.obeying import Bump, bumps_of, held_clicks, radius_of
from inference_core.geometry.grid import Grid
from inference_core.geometry.sampling import extent_on, rescaled
from inference_core.geometry.volume import Volume
from inference_core.prompts.prompt_set import PromptSet

Index = NDArray[np.int64]
# Smaller boxes leave fewer voxels to compute, larger ones cost fewer calls; smoothed ones bring a margin along.
_SMALLEST_BOX = 48
_SMALLEST_SMOOTH_BOX = 80


@dataclass(frozen=True, eq=False)
class MaskPatch:
    """A mask on part of a volume's grid: voxels start <= ijk < start + array.shape; all others are outside it."""

    start: tuple[int, int, int]
    array: NDArray[np.bool_]

    @property
    def stop(self) -> tuple[int, int, int]:
        """One past the last voxel along each axis."""
        i, j, k = (int(a + n) for a, n in zip(self.start, self.array.shape, strict=True))
        return i, j, k

    def on(self, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
        """The whole mask as uint8 (i, j, k), in the memory order of image files (i fastest)."""
        whole = np.zeros(shape, dtype=np.uint8, order="F")
        whole[_slices(self.start, self.stop)] = self.array
        return whole

    def at(self, voxel: tuple[int, int, int]) -> bool:
        """Whether one voxel is in the mask."""
        local = tuple(v - a for v, a in zip(voxel, self.start, strict=True))
        inside = all(0 <= v < n for v, n in zip(local, self.array.shape, strict=True))
        return bool(inside and self.array[local])


EMPTY = MaskPatch((0, 0, 0), np.zeros((0, 0, 0), dtype=bool))


@dataclass(frozen=True)
class CutOptions:
    """How logits become a mask.

    threshold: logit above which a voxel is inside. smoothing_mm: standard deviation of a Gaussian over the logits,
    which smooths the surface; 0 for none. obey_clicks: click consistency. keep_clicked_pieces: drop pieces of
    the mask that hold neither a foreground click nor the centre of a box (never when it would leave nothing).
    """

    threshold: float = 0.0
    obey_clicks: bool = True
    keep_clicked_pieces: bool = True
    smoothing_mm: float = 0.0


def cut(look: Look, prompts: PromptSet, volume: Volume, options: CutOptions) -> MaskPatch:
    """Compose a look's layers on the volume's voxels and cut them at the threshold."""
    start, stop = _extent(look, prompts, volume.grid, options.threshold)
    if (stop <= start).any():
        return EMPTY
    region = volume.grid.cropped(start, stop)
    surface = Surface(look, region, threshold=options.threshold, smoothing_mm=options.smoothing_mm)
    clicks = held_clicks(prompts, region) if options.obey_clicks else []
    bumps = bumps_of(clicks, surface, look, region=region, voxels=volume.array[_slices(start, stop)])
    mask = np.zeros(region.shape, dtype=bool, order="F")
    _fill(mask, surface, bumps, box=surface.box)
    for click, voxel in clicks:
        mask[voxel] = click.positive
    if options.keep_clicked_pieces and not any(part.keeps_pieces for part in look):
        mask = _clicked_pieces(mask, prompts, region)
    return trimmed(mask, start)


def changed_extent(before: MaskPatch, after: MaskPatch) -> tuple[tuple[int, int, int], tuple[int, int, int]] | None:
    """The smallest box of voxels, start and stop, outside which two masks agree; None if they are the same."""
    if before.array.size == 0 and after.array.size == 0:
        return None
    patches = [patch for patch in (before, after) if patch.array.size]
    start = np.min([patch.start for patch in patches], axis=0)
    stop = np.max([patch.stop for patch in patches], axis=0)
    differs = _moved(before, start, stop) != _moved(after, start, stop)
    smallest = trimmed(differs, start)
    return (smallest.start, smallest.stop) if smallest.array.size else None


def _fill(mask: NDArray[np.bool_], surface: Surface, bumps: list[Bump], *, box: Box) -> None:
    """Fill a box of a mask with what lies inside the surface, halving it until its parts are plain or small."""
    drawn = [bump for bump in bumps if box.within(bump.box) is not None]
    side = None if drawn else surface.side(box)
    if side is not None:
        mask[box.slices()] = side
    elif max(box.shape) > (_SMALLEST_SMOOTH_BOX if surface.smooth else _SMALLEST_BOX):
        for half in box.halves():
            _fill(mask, surface, drawn, box=half)
    else:
        logits = surface.logits(box)
        for bump in drawn:
            bump.draw(logits, box)
        mask[box.slices()] = logits > 0


def _extent(look: Look, prompts: PromptSet, grid: Grid, threshold: float) -> tuple[Index, Index]:
    """Voxels where the mask can be: under cells near or above the threshold, and around the clicks."""
    starts, stops = [], []
    for layer in (layer for part in look for layer in part.layers):
        cells = _occupied(layer.logits > threshold)
        if cells is not None:
            above = rescaled(layer.window, layer.logits.shape).cropped(cells.start - 1, cells.stop + 1)
            start, stop = extent_on(above, grid)
            starts.append(start)
            stops.append(stop)
    for part in look:
        around = np.ceil(3 * radius_of(part) / np.asarray(grid.spacing)).astype(np.int64)
        for click in (click for click in prompts.clicks if click.positive):
            centre = np.asarray(grid.voxel_of(click.ras))
            starts.append(np.maximum(0, centre - around))
            stops.append(np.minimum(grid.shape, centre + around + 1))
    if not starts:
        return np.zeros(3, dtype=np.int64), np.zeros(3, dtype=np.int64)
    return np.min(starts, axis=0), np.max(stops, axis=0)


def _clicked_pieces(mask: NDArray[np.bool_], prompts: PromptSet, region: Grid) -> NDArray[np.bool_]:
    import SimpleITK as sitk

    if prompts.initial_mask is not None:
        return mask
    points = [click.ras for click in prompts.clicks if click.positive] + [box.centre for box in prompts.boxes]
    image = sitk.GetImageFromArray(mask.T.view(np.uint8))
    numbered = sitk.ConnectedComponent(image, True)
    # A view does not keep its image alive: `numbered` must outlive it.
    pieces = sitk.GetArrayViewFromImage(numbered).T
    at = [np.floor(region.to_ijk(point) + 0.5).astype(int) for point in points]
    kept = {int(pieces[tuple(v)]) for v in at if _inside(v, region.shape)} - {0}
    if not kept:
        return mask
    # One comparison a piece: np.isin was measured fifty times slower.
    return np.asarray(np.logical_or.reduce([pieces == piece for piece in kept]))


def _inside(ijk: NDArray[np.generic], shape: tuple[int, ...]) -> bool:
    values = np.asarray(ijk, dtype=np.float64)
    return bool(np.all(values >= -0.5) and np.all(values < np.asarray(shape) - 0.5))


def _slices(start: ArrayLike, stop: ArrayLike) -> tuple[slice, ...]:
    return tuple(slice(int(a), int(b)) for a, b in zip(np.asarray(start), np.asarray(stop), strict=True))


def trimmed(mask: NDArray[np.bool_], start: Index) -> MaskPatch:
    """The smallest patch that holds a mask whose first voxel lies at `start` of its volume."""
    used = _occupied(mask)
    if used is None:
        return EMPTY
    i, j, k = (int(n) for n in start + used.start)
    return MaskPatch((i, j, k), np.asfortranarray(mask[used.slices()]))


def _occupied(mask: NDArray[np.bool_]) -> Box | None:
    """The smallest box that holds a mask's voxels; None if there are none."""
    used = [np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis))) for axis in range(3)]
    if not used[0].size:
        return None
    return Box(np.array([index[0] for index in used]), np.array([index[-1] + 1 for index in used]))


def _moved(patch: MaskPatch, start: Index, stop: Index) -> NDArray[np.bool_]:
    whole = np.zeros(tuple(int(n) for n in stop - start), dtype=bool, order="F")
    if patch.array.size:
        whole[_slices(np.asarray(patch.start) - start, np.asarray(patch.stop) - start)] = patch.array
    return whole
