"""Answering exactly as SAM-Med3D's own script does: one window, no widening, no refinement, no click consistency.

For comparing with published numbers. The script centers its window on a label it must be given; here the first
foreground click stands for a label of one voxel, which lands on the same voxel of the window (specification 4.1, 4.3).
"""

from __future__ import annotations

from time import perf_counter

import numpy as np
import torch
import torch.nn.functional as F

from inference_core.geometry.volume import Volume
from inference_core.models.interface import Decoded, PromptableModel
from inference_core.models.original import OriginalAnswer, check_clicks_inside, clicks_alone
from inference_core.models.sam_med3d.original_window import original_mask_on, original_window
from inference_core.prompts.encoding import WindowPrompts, encode_prompts
from inference_core.prompts.prompt_set import PromptSet


def predict(volume: Volume, model: PromptableModel, prompts: PromptSet) -> OriginalAnswer:
    """The official script's answer to clicks: all clicks so far with the logits before, nearest neighbor back.

    Raises:
        PromptError: there is no foreground click, a box is among the prompts, or a click lies outside the volume or
            outside the window around the first foreground click.
    """
    started = perf_counter()
    clicks = clicks_alone(prompts, volume)
    first = next(click.ras for click in clicks if click.positive)
    window = original_window(volume, center_ras=first, size=model.spec.window.shape[0])
    check_clicks_inside(clicks, window.grid)
    embedding = model.encode(window)
    encoded = perf_counter()
    seen = encode_prompts(prompts, window.grid)
    decoded: Decoded | None = None
    for count in range(1, len(seen.points) + 1):
        given = WindowPrompts(seen.points[:count], seen.labels[:count], seen.boxes)
        decoded = model.decode(embedding, given, None if decoded is None else decoded.low_res_logits)
    assert decoded is not None, "the first foreground click is always in its own window"
    finished = perf_counter()
    inside = Volume(_upsampled(decoded, window.grid.shape) > 0, window.grid)
    mask = original_mask_on(volume.grid, inside).array.astype(np.bool_)
    return OriginalAnswer(mask, decoded, window.grid, encoded - started, finished - encoded)


def _upsampled(decoded: Decoded, shape: tuple[int, int, int]) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    logits = torch.from_numpy(decoded.low_res_logits)[None, None]
    return np.asarray(F.interpolate(logits, size=shape, mode="trilinear", align_corners=False)[0, 0].numpy())
