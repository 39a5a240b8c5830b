"""Answering exactly as a model's own authors' script does, for comparing with published numbers.

One window, no widening, no refinement, no click consistency; the script is the family's own (`models.original`).
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from time import perf_counter

from inference_core.engine.session import Prediction, Seconds
from inference_core.errors import ModelError
from inference_core.geometry.mask import Mask
from inference_core.geometry.volume import Volume
from inference_core.models.interface import Model, PromptableModel, promptable
from inference_core.models.original import OriginalAnswer
from inference_core.prompts.prompt_set import PromptSet

Script = Callable[[Volume, PromptableModel, PromptSet], OriginalAnswer]


def predict_as_original(volume: Volume, model: Model, prompts: PromptSet) -> Prediction:
    """The answer of the authors' script to these prompts.

    Raises:
        ModelError: no script of this model's authors is reproduced here.
        PromptError: the script takes no such prompts, or one of them lies outside the volume or the script's window.
    """
    named = model.spec.window.original
    if named is None:
        raise ModelError("'{name}' has no official window; use the adaptive one.", name=model.spec.name)
    started = perf_counter()
    module, function = named.split(":")
    script: Script = getattr(import_module(module), function)
    answer = script(volume, promptable(model), prompts)
    return Prediction(
        prompts=prompts,
        mask=Mask.of(answer.mask),
        low_res_logits=answer.decoded.low_res_logits,
        window=answer.window,
        quality=answer.decoded.quality,
        seconds=Seconds(answer.encode_seconds, answer.decode_seconds, perf_counter() - started),
    )
