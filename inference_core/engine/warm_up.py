"""Answering a click that nobody made: what a process does once is done before the first click that counts."""

from __future__ import annotations

import numpy as np

from inference_core.engine.session import Session
from inference_core.errors import SAM3DError
from inference_core.geometry.grid import Grid
from inference_core.geometry.volume import Volume
from inference_core.models.interface import Model, PromptableModel
from inference_core.models.spec import PromptKind
from inference_core.prompts.prompt_set import Click, PromptSet

_VOXELS = 32
# On a CPU, an encoder of more weights than this takes longer than all that warming up could spare.
_LIGHT_BYTES = 32 * 1024**2


def warm_up(model: PromptableModel) -> None:
    """Click once on a ball in a volume of 32^3 voxels of 1 mm, so that libraries load, kernels and plans are made.

    Does nothing where that would cost more than it spares: a large model on a CPU, or one that takes no clicks. What
    goes wrong is left for the first real click to tell.
    """
    if PromptKind.POSITIVE_CLICK not in model.spec.accepted_kinds or not is_light(model):
        return
    volume = _ball()
    try:
        Session(volume, model).predict(PromptSet((Click(tuple(volume.grid.center_ras)),)))
    except SAM3DError:
        return


def is_light(model: Model) -> bool:
    """Whether a click costs little enough to be worked out unasked: on a GPU, or by a small encoder."""
    size = model.spec.checkpoint.size_bytes
    return model.device != "cpu" or (size is not None and size < _LIGHT_BYTES)


def _ball() -> Volume:
    radii = np.linalg.norm(np.indices((_VOXELS,) * 3) - (_VOXELS - 1) / 2, axis=0)
    return Volume((100 * (radii < _VOXELS / 4)).astype(np.int16), Grid((_VOXELS,) * 3, np.eye(4)))
