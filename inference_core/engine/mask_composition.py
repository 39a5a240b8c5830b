"""From low-res logits in windows to a mask on the volume's own voxels.

Click consistency is on by default (`engine.click_consistency`). The clicked voxel itself is always as the click says,
and an outlined slice as its outline (`engine.lasso_consistency`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference_core.engine.click_consistency import ClickCorrection, click_corrections, clicks_inside, radius_of
from inference_core.engine.lasso_consistency import extent_of, obey_lassos, standing_lassos
from inference_core.engine.logit_field import LogitField
from inference_core.engine.windowed_prediction import WindowedPrediction
from inference_core.errors import OptionError
from inference_core.geometry.grid import Grid
from inference_core.geometry.mask import EMPTY, Mask, VoxelBox
from inference_core.geometry.numbers import is_number
from inference_core.geometry.sampling import extent_on
from inference_core.geometry.volume import Volume
from inference_core.prompts.prompt_set import Click, PromptSet, is_background
from inference_core.prompts.strokes import Lasso, Line, telling_points
from inference_core.prompts.translation import in_known_kinds

Index = NDArray[np.int64]
SideOf = Callable[[VoxelBox], bool | None]
# Smaller boxes leave fewer voxels to compute, larger ones cost fewer calls; smoothed ones bring a margin along.
SMALLEST_BOX = 48
_SMALLEST_SMOOTH_BOX = 80
_MOST_SMOOTHING_MM = 100.0


@dataclass(frozen=True)
class MaskOptions:
    """How logits become a mask.

    threshold: logit above which a voxel is inside. smoothing_mm: standard deviation of a Gaussian over the logits,
    which smooths the surface; 0 for none. consistent_clicks: click consistency. keep_clicked_pieces: drop pieces of
    the mask that hold neither a foreground click nor the center of a box nor a point of a line (never when it would
    leave nothing). local_corrections: a correction counts near itself (`engine.local_correction`).

    Raises:
        OptionError: the threshold is not a finite number, or the smoothing is none between 0 and 100 mm.
    """

    threshold: float = 0.0
    consistent_clicks: bool = True
    keep_clicked_pieces: bool = True
    smoothing_mm: float = 0.0
    local_corrections: bool = True

    def __post_init__(self) -> None:
        if not is_number(self.threshold):
            raise OptionError("The threshold is {value!r}; give a finite number, such as 0.", value=self.threshold)
        if not is_number(self.smoothing_mm, least=0, most=_MOST_SMOOTHING_MM):
            raise OptionError(
                "The smoothing is {value!r}; give a number of mm from 0 to {most:g}.",
                value=self.smoothing_mm,
                most=_MOST_SMOOTHING_MM,
            )
        object.__setattr__(self, "threshold", float(self.threshold))
        object.__setattr__(self, "smoothing_mm", float(self.smoothing_mm))


def compose_mask(prediction: WindowedPrediction, prompts: PromptSet, volume: Volume, options: MaskOptions) -> Mask:
    """Compose a windowed prediction's layers on the volume's voxels and cut them at the threshold."""
    told = in_known_kinds(prompts, (Click, Line))
    start, stop = mask_extent(prediction, told, volume.grid, options.threshold)
    start, stop = _with_lassos(start, stop, prompts, volume.grid)
    if (stop <= start).any():
        return EMPTY
    region = volume.grid.cropped(start, stop)
    surface = LogitField(prediction, region, threshold=options.threshold, smoothing_mm=options.smoothing_mm)
    clicks = clicks_inside(told, region) if options.consistent_clicks else []
    corrections = click_corrections(
        clicks, surface, prediction, region=region, voxels=volume.array[VoxelBox(start, stop).slices()]
    )
    mask = np.zeros(region.shape, dtype=bool, order="F")
    smallest = _SMALLEST_SMOOTH_BOX if surface.smooth else SMALLEST_BOX
    for box, side, drawn in boxes_to_fill(surface.box, corrections, surface.side, smallest=smallest):
        mask[box.slices()] = corrected_logits(surface, drawn, box) > 0 if side is None else side
    for click, voxel in clicks:
        mask[voxel] = click.positive
    lassos = standing_lassos(prompts, volume.grid) if options.consistent_clicks else ()
    obey_lassos(mask, lassos, region)
    if options.keep_clicked_pieces and not any(group.keeps_pieces for group in prediction):
        mask = clicked_pieces(mask, told, region)
    return Mask.of(mask, start)


def boxes_to_fill(
    box: VoxelBox, corrections: Sequence[ClickCorrection], side_of: SideOf, *, smallest: int
) -> Iterator[tuple[VoxelBox, bool | None, list[ClickCorrection]]]:
    """A box in parts, halved until each is plain or small: the part, its side (None: compute it), what is drawn in it.

    `side_of` says of a box without corrections that it lies all inside, all outside, or neither.
    """
    drawn = [correction for correction in corrections if box.within(correction.box) is not None]
    side = None if drawn else side_of(box)
    if side is not None or max(box.shape) <= smallest:
        yield box, side, drawn
        return
    for half in box.halves():
        yield from boxes_to_fill(half, drawn, side_of, smallest=smallest)


def corrected_logits(field: LogitField, drawn: Sequence[ClickCorrection], box: VoxelBox) -> NDArray[np.float32]:
    """The logits in a box, less the threshold, with the corrections drawn over them."""
    logits = field.logits(box)
    for correction in drawn:
        correction.draw(logits, box)
    return logits


def mask_extent(
    prediction: WindowedPrediction, prompts: PromptSet, grid: Grid, threshold: float
) -> tuple[Index, Index]:
    """Voxels where the mask can be: under cells near or above the threshold, and around the clicks."""
    starts, stops = [], []
    for layer in (layer for group in prediction for layer in group.all_layers):
        cells = VoxelBox.over(layer.logits > threshold)
        if cells is not None:
            above = layer.cells.cropped(cells.start - 1, cells.stop + 1)
            start, stop = extent_on(above, grid)
            starts.append(start)
            stops.append(stop)
    points = np.array([click.ras for click in prompts.clicks if click.positive]).reshape(-1, 3)
    if len(points) and prediction:
        widest = max(radius_of(group) for group in prediction)
        around = np.ceil(3 * widest / np.asarray(grid.spacing)).astype(np.int64)
        centers = grid.nearest_voxels(points)
        starts.append(np.maximum(0, centers.min(axis=0) - around))
        stops.append(np.minimum(grid.shape, centers.max(axis=0) + around + 1))
    if not starts:
        return np.zeros(3, dtype=np.int64), np.zeros(3, dtype=np.int64)
    return np.min(starts, axis=0), np.max(stops, axis=0)


def _with_lassos(start: Index, stop: Index, prompts: PromptSet, grid: Grid) -> tuple[Index, Index]:
    """The extent with what outlines of the target hold."""
    lassos = [stroke for stroke in prompts.strokes if isinstance(stroke, Lasso) and stroke.positive]
    for box in (extent_of(lasso, grid) for lasso in lassos):
        if box is not None:
            empty = (stop <= start).any()
            start = box.start if empty else np.minimum(start, box.start)
            stop = box.stop if empty else np.maximum(stop, box.stop)
    return start, stop


def clicked_pieces(mask: NDArray[np.bool_], prompts: PromptSet, region: Grid) -> NDArray[np.bool_]:
    """The pieces of a mask on a region that prompts say are the target's; all of them where none is."""
    import SimpleITK as sitk

    if prompts.initial_mask is not None:
        return mask
    points = [click.ras for click in prompts.clicks if click.positive] + [box.center for box in prompts.boxes]
    points += [point for stroke in prompts.strokes if not is_background(stroke) for point in telling_points(stroke)]
    image = sitk.GetImageFromArray(mask.T.view(np.uint8))
    numbered = sitk.ConnectedComponent(image, True)
    # A view does not keep its image alive: `numbered` must outlive it.
    pieces = sitk.GetArrayViewFromImage(numbered).T
    at = region.voxels_at(np.array(points).reshape(-1, 3))
    inside = at[region.holds(at)]
    kept = {int(piece) for piece in pieces[tuple(inside.T)]} - {0}
    if not kept:
        return mask
    # One comparison a piece: np.isin was measured fifty times slower.
    return np.asarray(np.logical_or.reduce([pieces == piece for piece in kept]))
