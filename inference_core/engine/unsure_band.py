"""Where a mask's boundary could as well lie a little further in or out: cut from logits that are there already."""

from __future__ import annotations

from functools import partial

import numpy as np

from inference_core.engine.click_consistency import click_corrections, clicks_inside
from inference_core.engine.logit_field import LogitField
from inference_core.engine.mask_composition import (
    SMALLEST_BOX,
    MaskOptions,
    boxes_to_fill,
    clicked_pieces,
    corrected_logits,
    mask_extent,
)
from inference_core.engine.windowed_prediction import WindowedPrediction
from inference_core.geometry.mask import EMPTY, Mask, VoxelBox
from inference_core.geometry.volume import Volume
from inference_core.prompts.prompt_set import Click, PromptSet
from inference_core.prompts.strokes import Line
from inference_core.prompts.translation import in_known_kinds


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
    side_of = partial(_side_of_both, outer=outer, inner=inner)
    for box, side, drawn in boxes_to_fill(at.box, corrections, side_of, smallest=SMALLEST_BOX):
        if side is not None:
            larger[box.slices()] = side
            continue
        logits = corrected_logits(at, drawn, box)
        band[box.slices()] = np.abs(logits) <= margin
        larger[box.slices()] = logits > -margin
    for click, voxel in clicks:
        band[voxel], larger[voxel] = False, click.positive
    if options.keep_clicked_pieces and not any(group.keeps_pieces for group in prediction):
        band &= clicked_pieces(larger, told, region)
    return Mask.of(band, start)


def _side_of_both(box: VoxelBox, *, outer: LogitField, inner: LogitField) -> bool | None:
    """Whether a box lies beyond the band: outside its outer border, or inside its inner one."""
    if outer.side(box) is False:
        return False
    return True if inner.side(box) is True else None
