"""Promptable 3D segmentation without Slicer, Qt or a server: volumes in, clicks in, masks out.

    from inference_core import Click, PromptSet, Session, open_model, read_volume, write_segmentation

    volume = read_volume("ct_series")
    answer = Session(volume, open_model("sam3d_lite")).predict(PromptSet((Click((-81.5, 12.0, -243.0)),)))
    write_segmentation("tumor.seg.nrrd", answer.mask, volume.grid)

Importing this package loads neither torch nor SimpleITK; what is named here is imported when it is first used. It says
to torch's threads, unless the environment does, that they shall wait without spinning.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inference_core.engine.mask_composition import MaskOptions as MaskOptions
    from inference_core.engine.open_model import open_model as open_model
    from inference_core.engine.session import Prediction as Prediction
    from inference_core.engine.session import Session as Session
    from inference_core.errors import SAM3DError as SAM3DError
    from inference_core.geometry.box import Box3D as Box3D
    from inference_core.geometry.grid import Grid as Grid
    from inference_core.geometry.mask import Mask as Mask
    from inference_core.geometry.volume import Volume as Volume
    from inference_core.io.files import read_volume as read_volume
    from inference_core.io.files import write_segmentation as write_segmentation
    from inference_core.prompts.prompt_set import BoxPrompt as BoxPrompt
    from inference_core.prompts.prompt_set import Click as Click
    from inference_core.prompts.prompt_set import PromptSet as PromptSet
    from inference_core.prompts.strokes import Lasso as Lasso
    from inference_core.prompts.strokes import Line as Line
    from inference_core.prompts.strokes import Scribble as Scribble

__version__ = "0.1.0"

# A thread that waits by spinning takes the processor from the one it waits for (Resources/Docs/speed.md). OpenMP reads
# this once, while torch is loaded; whatever here loads torch passes by here first.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

_HOMES = {
    "Box3D": "geometry.box",
    "BoxPrompt": "prompts.prompt_set",
    "Click": "prompts.prompt_set",
    "Grid": "geometry.grid",
    "Lasso": "prompts.strokes",
    "Line": "prompts.strokes",
    "Mask": "geometry.mask",
    "MaskOptions": "engine.mask_composition",
    "Prediction": "engine.session",
    "PromptSet": "prompts.prompt_set",
    "SAM3DError": "errors",
    "Scribble": "prompts.strokes",
    "Session": "engine.session",
    "Volume": "geometry.volume",
    "open_model": "engine.open_model",
    "read_volume": "io.files",
    "write_segmentation": "io.files",
}
__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'inference_core' has no attribute '{name}'")
    return getattr(import_module(f"inference_core.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
