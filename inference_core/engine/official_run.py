"""Answering exactly as a model's own authors' script does, for comparing with published numbers.

One window, no widening, no refinement, no click consistency. Each family's script is reproduced in a module of its own,
which the model's spec names.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

import numpy as np
from numpy.typing import NDArray

from inference_core.engine.composing import EMPTY, changed_extent, trimmed
from inference_core.engine.session import Prediction, Seconds
from inference_core.errors import ModelError, PromptError
from inference_core.geometry.grid import Grid
from inference_core.geometry.volume import Volume
from inference_core.models.interface import Decoded, PromptableModel
from inference_core.prompts.prompt_set import Click, PromptSet

Script = Callable[[Volume, PromptableModel, PromptSet], Prediction]


def predict_officially(volume: Volume, model: PromptableModel, prompts: PromptSet) -> Prediction:
    """The answer of the authors' script to these prompts.

    Raises:
        ModelError: no script of this model's authors is reproduced here.
        PromptError: the script takes no such prompts, or one of them lies outside the volume.
    """
    named = model.spec.window.official
    if named is None:
        raise ModelError(f"'{model.spec.name}' has no official window; use the adaptive one.")
    module, function = named.split(":")
    script: Script = getattr(import_module(module), function)
    return script(volume, model, prompts)


def clicks_alone(prompts: PromptSet, volume: Volume) -> tuple[Click, ...]:
    """The clicks, after making sure that there is nothing else, and a foreground click among them.

    Raises:
        PromptError: there is something else, no foreground click, or a click outside the volume.
    """
    prompts.checked_on(volume.grid, volume.name)
    if prompts.boxes or prompts.initial_mask is not None:
        raise PromptError("The official window takes clicks only; leave out boxes and masks, or the official window.")
    return prompts.clicks


def answered(
    prompts: PromptSet, inside: NDArray[np.bool_], *, decoded: Decoded, window: Grid, seconds: Seconds
) -> Prediction:
    """A script's mask (i, j, k) on the volume's voxels as the answer to a session's first question."""
    mask = trimmed(inside, np.zeros(3, dtype=np.int64))
    return Prediction(
        prompts=prompts,
        mask=mask,
        low_res_logits=decoded.low_res_logits,
        window=window,
        quality=decoded.quality,
        changed=changed_extent(EMPTY, mask),
        seconds=seconds,
    )
