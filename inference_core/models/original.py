"""Pipelines of the models' own authors: what each of them takes and gives, and what all of them refuse.

Each family's pipeline is reproduced in its own folder (`original.py`), which the model's spec names
(`WindowSpec.original`). `engine.original_pipeline` runs it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference_core.errors import PromptError
from inference_core.geometry.grid import Grid
from inference_core.geometry.volume import Volume
from inference_core.models.interface import Decoded
from inference_core.prompts.prompt_set import Click, PromptSet


@dataclass(frozen=True, eq=False)
class OriginalAnswer:
    """What a pipeline answers: a mask, bool (i, j, k) on the volume's voxels, what was decoded in which window.

    Seconds are those of cutting and encoding the window, and of decoding.
    """

    mask: NDArray[np.bool_]
    decoded: Decoded
    window: Grid
    encode_seconds: float
    decode_seconds: float


def clicks_alone(prompts: PromptSet, volume: Volume) -> tuple[Click, ...]:
    """The clicks, after making sure that there is nothing else, and a foreground click among them.

    Raises:
        PromptError: there is something else, no foreground click, or a click outside the volume.
    """
    prompts.checked_on(volume.grid, volume.name)
    if prompts.boxes or prompts.initial_mask is not None:
        raise PromptError("The official window takes clicks only; leave out boxes and masks, or the official window.")
    return prompts.clicks


def check_clicks_inside(clicks: tuple[Click, ...], window: Grid) -> None:
    """Refuse clicks that the window does not show, which the authors' pipeline would ignore without a word.

    Raises:
        PromptError: a click lies outside the window.
    """
    for click in clicks:
        if not window.contains(click.ras):
            r, a, s = click.ras
            raise PromptError(
                "The click at ({r:.1f}, {a:.1f}, {s:.1f}) is {value:.0f} mm outside the official window, "
                "which lies around the other clicks; leave it out, or the official window.",
                r=r,
                a=a,
                s=s,
                value=window.distance_outside(click.ras),
            )
