"""Where a mask's boundary could as well lie a little further in or out: cut from logits that are there already."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from inference_core.engine.click_consistency import ClickCorrection, click_corrections, clicks_inside
from inference_core.engine.logit_field import LogitField
from inference_core.engine.mask_composition import SMALLEST_BOX, MaskOptions, clicked_pieces, mask_extent
from inference_core.engine.windowed_prediction import WindowedPrediction
from inference_core.geometry.mask import EMPTY, Bools, Mask, VoxelBox
from inference_core.geometry.volume import Volume
from inference_core.prompts.prompt_set import Click, PromptSet
from inference_core.prompts.strokes import Line
from inference_core.prompts.translation import in_known_kinds


@dataclass(frozen=True, eq=False)
class _Fields:
    """The logits less the threshold, and the same fields at the band's two borders, which tell plain boxes."""

    at: LogitField
    outer: LogitField
    inner: LogitField
    corrections: list[ClickCorrection]
    margin: float


def compose_band(
    prediction: WindowedPrediction, prompts: PromptSet, volume: Volume, options: MaskOptions, *, margin: float
) -> Mask:
    """The voxels whose logits are within `margin` of the threshold, of the pieces that `compose_mask` would keep.

    Each logit is computed once. A clicked voxel is sure.
    """
    told = in_known_kinds(prompts, (Click, Line))
    start, stop = mask_extent(prediction, told, volume.grid, options.threshold - margin)
    if (stop <= start).any():
        return EMPTY
    region = volume.grid.cropped(start, stop)
    at, outer, inner = (
        LogitField(prediction, region, threshold=options.threshold + step, smoothing_mm=options.smoothing_mm)
        for step in (0.0, -margin, margin)
    )
    clicks = clicks_inside(told, region) if options.consistent_clicks else []
    voxels = volume.array[VoxelBox(start, stop).slices()]
    corrections = click_corrections(clicks, at, prediction, region=region, voxels=voxels)
    band = np.zeros(region.shape, dtype=bool, order="F")
    larger = np.zeros(region.shape, dtype=bool, order="F")
    _fill(band, larger, _Fields(at, outer, inner, corrections, margin), box=at.box)
    for click, voxel in clicks:
        band[voxel], larger[voxel] = False, click.positive
    if options.keep_clicked_pieces and not any(group.keeps_pieces for group in prediction):
        band &= clicked_pieces(larger, told, region)
    return Mask.of(band, start)


def _fill(band: Bools, larger: Bools, fields: _Fields, *, box: VoxelBox) -> None:
    """Fill a box, halving it until its parts are plain or small."""
    drawn = [correction for correction in fields.corrections if box.within(correction.box) is not None]
    if not drawn and fields.outer.side(box) is False:
        return
    if not drawn and fields.inner.side(box) is True:
        larger[box.slices()] = True
    elif max(box.shape) > SMALLEST_BOX:
        for half in box.halves():
            _fill(band, larger, replace(fields, corrections=drawn), box=half)
    else:
        logits = fields.at.logits(box)
        for correction in drawn:
            correction.draw(logits, box)
        band[box.slices()] = np.abs(logits) <= fields.margin
        larger[box.slices()] = logits > -fields.margin
