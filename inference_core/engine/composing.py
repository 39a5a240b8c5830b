"""From low-res logits in windows to a mask on the volume's own voxels.

Click consistency (on by default): where the logits contradict a click, they are drawn towards the click's sign around
it, the less the further a voxel is and the less its intensity is like the clicked one's. The clicked voxel itself
always obeys; voxels that look unlike it, or lie further than a few window voxels, keep the model's answer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inference_core.engine.looking import FAR_OUTSIDE, Layer, Look, Part
from inference_core.geometry.grid import Grid
from inference_core.geometry.sampling import extent_on, lay_onto, rescaled
from inference_core.geometry.volume import Volume
from inference_core.models.interface import Float32
from inference_core.prompts.prompt_set import Click, PromptSet

Index = NDArray[np.int64]
_BASE_WEIGHT = 0.1
_TAPER = 0.125
_OBEY_MARGIN = 0.5
_BUMP_WINDOW_VOXELS = 2.5
_FIRM_LOGIT = 4.0
_ALIKE_STD = 0.75
_LEAST_SHARE = 0.02


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

    threshold: logit above which a voxel is inside. smoothing_mm: standard deviation of a Gaussian over the logits, which
    smooths the surface; 0 for none. obey_clicks: click consistency. keep_clicked_pieces: drop pieces of
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
    logits = np.full(region.shape, FAR_OUTSIDE, dtype=np.float32)
    for part in look:
        _lay(part, region, logits)
    if options.smoothing_mm > 0:
        logits = _smoothed(logits, region, _smoothing(options.smoothing_mm, look, region))
    logits -= options.threshold
    if options.obey_clicks:
        _obey(logits, look, prompts, region=region, voxels=_view(volume, start, stop))
    mask = logits > 0
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


def _extent(look: Look, prompts: PromptSet, grid: Grid, threshold: float) -> tuple[Index, Index]:
    """Voxels where the mask can be: under cells near or above the threshold, and around the clicks."""
    starts, stops = [], []
    for layer in (layer for part in look for layer in part.layers):
        cells = np.argwhere(layer.logits > threshold)
        if len(cells):
            low, high = cells.min(axis=0) - 1, cells.max(axis=0) + 2
            start, stop = extent_on(rescaled(layer.window, layer.logits.shape).cropped(low, high), grid)
            starts.append(start)
            stops.append(stop)
    for part in look:
        reach = 3 * _bump_radius(part)
        for click in (click for click in prompts.clicks if click.positive):
            centre = np.asarray(grid.voxel_of(click.ras))
            around = np.ceil(reach / np.asarray(grid.spacing)).astype(np.int64)
            starts.append(np.maximum(0, centre - around))
            stops.append(np.minimum(grid.shape, centre + around + 1))
    if not starts:
        return np.zeros(3, dtype=np.int64), np.zeros(3, dtype=np.int64)
    return np.min(starts, axis=0), np.max(stops, axis=0)


def _lay(part: Part, region: Grid, logits: Float32) -> None:
    """Raise the logits of a region to those of a part, under its windows."""
    extents = [extent_on(layer.window, region) for layer in part.layers]
    start, stop = np.min([start for start, _ in extents], axis=0), np.max([stop for _, stop in extents], axis=0)
    if (start < stop).all():
        here = logits[_slices(start, stop)]
        np.maximum(here, _laid(part, region.cropped(start, stop)), out=here)


def _laid(part: Part, region: Grid) -> Float32:
    base = lay_onto(part.base.logits, part.base.window, region, outside=FAR_OUTSIDE)
    if not part.tiles:
        return base
    total, weight = _BASE_WEIGHT * base, np.full(region.shape, _BASE_WEIGHT, dtype=np.float32)
    for tile in part.tiles:
        _add_tile(total, weight, tile.layer, region)
    return np.asarray(total / weight, dtype=np.float32)


def _smoothing(width_mm: float, look: Look, region: Grid) -> tuple[float, float, float]:
    """The smoothing along each axis of a region; none across slices that were looked at each by itself."""
    widths = np.full(3, width_mm)
    for window in (part.base.window for part in look if 1 in part.base.window.shape):
        across = region.inverse[:3, :3] @ window.affine[:3, window.shape.index(1)]
        widths[np.abs(across).argmax()] = 0.0
    return float(widths[0]), float(widths[1]), float(widths[2])


def _smoothed(logits: Float32, region: Grid, widths_mm: tuple[float, float, float]) -> Float32:
    """Logits under a Gaussian; clipped before, since the value beyond all windows would outweigh everything near it."""
    import SimpleITK as sitk

    clipped = np.clip(logits, -_FIRM_LOGIT, _FIRM_LOGIT)
    image = sitk.GetImageFromArray(np.ascontiguousarray(clipped.T))
    image.SetSpacing(region.spacing)
    smooth = sitk.DiscreteGaussian(image, [width**2 for width in widths_mm], 64, 0.01, True)
    return np.asarray(sitk.GetArrayFromImage(smooth).T, dtype=np.float32)


def _add_tile(total: Float32, weight: Float32, tile: Layer, region: Grid) -> None:
    start, stop = extent_on(tile.window, region)
    if (stop <= start).any():
        return
    here = _slices(start, stop)
    part = region.cropped(start, stop)
    share = np.clip(lay_onto(_taper(tile.logits.shape), tile.window, part, outside=0.0), 0, 1)
    total[here] += share * lay_onto(tile.logits, tile.window, part, outside=0.0)
    weight[here] += share


def _taper(shape: tuple[int, ...]) -> Float32:
    """1 inside, falling to 0 at the faces, so that neighbouring tiles meet without a step."""
    ramps = [np.clip(np.minimum(np.arange(n) + 0.5, n - np.arange(n) - 0.5) / (_TAPER * n), 0, 1) for n in shape]
    return np.asarray(np.einsum("i,j,k->ijk", *ramps), dtype=np.float32)


def _bump_radius(part: Part) -> float:
    window = min((layer.window for layer in part.layers), key=lambda window: window.spacing)
    return _BUMP_WINDOW_VOXELS * window.spacing[0]


def _obey(logits: Float32, look: Look, prompts: PromptSet, *, region: Grid, voxels: NDArray[np.generic]) -> None:
    """Make the logits agree with every click, in place; the later click wins where two meet."""
    clicks = [(click, region.to_ijk(click.ras)) for click in prompts.clicks]
    held = [(click, tuple(np.floor(ijk + 0.5).astype(int))) for click, ijk in clicks if _inside(ijk, region.shape)]
    for click, voxel in held:
        part = min(look, key=lambda part: part.base.window.distance_outside(click.ras))
        box = _around(voxel, part, region)
        _bump(logits, click, voxel, box=box, radius=_bump_radius(part), spacing=region.spacing, voxels=voxels)
    for click, voxel in held:
        logits[voxel] = max(logits[voxel], _OBEY_MARGIN) if click.positive else min(logits[voxel], -_OBEY_MARGIN)


def _around(voxel: tuple[int, ...], part: Part, region: Grid) -> tuple[slice, ...]:
    """The voxels that a click may draw along; one on a slice that was looked at by itself, those of the slice only."""
    reach = [max(1, int(np.ceil(3 * _bump_radius(part) / step))) for step in region.spacing]
    low, high = np.maximum(0, np.subtract(voxel, reach)), np.add(voxel, reach)
    window = part.base.window
    if 1 in window.shape and window.contains(region.to_ras(voxel)):
        ends = np.rint(region.to_ijk(window.to_ras(np.array([(0, 0, 0), window.shape]) - [[0], [1]]))).astype(np.int64)
        low, high = np.maximum(low, ends.min(axis=0)), np.minimum(high, ends.max(axis=0))
    return _slices(low, high + 1)


def _bump(
    logits: Float32,
    click: Click,
    voxel: tuple[int, ...],
    *,
    box: tuple[slice, ...],
    radius: float,
    spacing: tuple[float, float, float],
    voxels: NDArray[np.generic],
) -> None:
    wanted = _FIRM_LOGIT if click.positive else -_FIRM_LOGIT
    if float(logits[voxel]) * wanted > 0:
        return
    offsets = [
        (np.arange(s.start, min(s.stop, n)) - v) * step
        for s, v, n, step in zip(box, voxel, logits.shape, spacing, strict=True)
    ]
    squared = sum(axis**2 for axis in np.ix_(*offsets))
    near = np.asarray(voxels[box], dtype=np.float32)
    unlike = (near - near[tuple(v - s.start for v, s in zip(voxel, box, strict=True))]) / (near.std() + 1e-6)
    share = np.exp(-squared / (2 * radius**2) - 0.5 * (unlike / _ALIKE_STD) ** 2).astype(np.float32)
    here = logits[box]
    drawn = (1 - share) * np.clip(here, -_FIRM_LOGIT, _FIRM_LOGIT) + share * wanted
    logits[box] = np.where(share > _LEAST_SHARE, drawn, here)


def _clicked_pieces(mask: NDArray[np.bool_], prompts: PromptSet, region: Grid) -> NDArray[np.bool_]:
    import SimpleITK as sitk

    points = [click.ras for click in prompts.clicks if click.positive] + [box.centre for box in prompts.boxes]
    image = sitk.GetImageFromArray(np.ascontiguousarray(mask.T, dtype=np.uint8))
    pieces = sitk.GetArrayFromImage(sitk.ConnectedComponent(image, True)).T
    at = [np.floor(region.to_ijk(point) + 0.5).astype(int) for point in points]
    kept = {int(pieces[tuple(v)]) for v in at if _inside(v, region.shape)} - {0}
    if not kept or prompts.initial_mask is not None:
        return mask
    return np.asarray(np.isin(pieces, list(kept)))


def _inside(ijk: NDArray[np.generic], shape: tuple[int, ...]) -> bool:
    values = np.asarray(ijk, dtype=np.float64)
    return bool(np.all(values >= -0.5) and np.all(values < np.asarray(shape) - 0.5))


def _view(volume: Volume, start: Index, stop: Index) -> NDArray[np.generic]:
    return volume.array[_slices(start, stop)]


def _slices(start: ArrayLike, stop: ArrayLike) -> tuple[slice, ...]:
    return tuple(slice(int(a), int(b)) for a, b in zip(np.asarray(start), np.asarray(stop), strict=True))


def trimmed(mask: NDArray[np.bool_], start: Index) -> MaskPatch:
    """The smallest patch that holds a mask whose first voxel lies at `start` of its volume."""
    lows, highs = [], []
    for axis in range(3):
        used = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
        if not len(used):
            return EMPTY
        lows.append(int(used[0]))
        highs.append(int(used[-1]) + 1)
    inner = mask[_slices(lows, highs)]
    i, j, k = (int(a + b) for a, b in zip(start, lows, strict=True))
    return MaskPatch((i, j, k), np.asfortranarray(inner))


def _moved(patch: MaskPatch, start: Index, stop: Index) -> NDArray[np.bool_]:
    whole = np.zeros(tuple(int(n) for n in stop - start), dtype=bool)
    if patch.array.size:
        whole[tuple(slice(int(a - s), int(b - s)) for a, b, s in zip(patch.start, patch.stop, start, strict=True))] = (
            patch.array
        )
    return whole
