"""What a segment remembers in its tags, so that a saved scene or `.seg.nrrd` can be gone on with where it was left.

The prompts are also Markups nodes in the scene; the tag brings them back where only the segmentation was saved.
"""

import base64
import json
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from SAM3DSegmentLib.History import Maker
from SAM3DSegmentLib.Settings import SegmentSettings
from SAM3DSegmentLib.WriteBack import tagOf

if TYPE_CHECKING:
    from inference_core.geometry.mask import Mask
    from inference_core.prompts.prompt_set import PromptSet

PROMPTS_TAG = "SAM3DSegment.Prompts"
STATE_TAG = "SAM3DSegment.State"
WEIGHTS_TAG = "SAM3DSegment.Weights"
# What Slicer's own exporter to DICOM SEG asks a segment for.
_TYPE_TAG, _ALGORITHM_TAG = "DICOM.SegmentAlgorithmType", "DICOM.SegmentAlgorithmName"


@dataclass(frozen=True)
class Remembered:
    """What was in effect when a segment was last answered; masks are on its segmentation's grid."""

    prompts: "PromptSet"
    made: Maker
    settings: SegmentSettings
    base: "Mask"
    added: "Mask"
    removed: "Mask"


def remember(segment: Any, state: Remembered, imageToNode: np.ndarray) -> None:
    """Write a segment's tags; `imageToNode` (4, 4) tells where the masks' indices lie."""
    from inference_core.io.prompts_json import prompts_as_json

    made = state.made
    prompts = prompts_as_json(state.prompts, model=made.model or None, threshold=state.settings.threshold, indent=None)
    segment.SetTag(PROMPTS_TAG, prompts)
    masks = {"base": state.base, "added": state.added, "removed": state.removed}
    content = {
        "version": 1,
        "imageToNode": imageToNode.tolist(),
        "window": made.window,
        "settings": asdict(state.settings),
        "masks": {name: _written(mask) for name, mask in masks.items() if mask.array.size},
    }
    segment.SetTag(STATE_TAG, json.dumps(content, separators=(",", ":")))
    kind = "SEMIAUTOMATIC" if state.prompts.prompts else "AUTOMATIC"
    tags = {WEIGHTS_TAG: made.weights, _TYPE_TAG: kind if made.model else "", _ALGORITHM_TAG: made.model}
    for tag, value in tags.items():
        segment.SetTag(tag, value) if value else segment.RemoveTag(tag)


def recall(segment: Any, imageToNode: np.ndarray) -> Remembered | None:
    """What a segment's tags say; None where there are none that can be understood.

    Masks on other voxels than `imageToNode` tells are left out: the segmentation was resampled since.
    """
    from inference_core.errors import PromptError
    from inference_core.geometry.mask import EMPTY
    from inference_core.io.prompts_json import prompts_from_json

    text = tagOf(segment, PROMPTS_TAG)
    if not text:
        return None
    try:
        file = prompts_from_json(text, name=segment.GetName())
        state = json.loads(tagOf(segment, STATE_TAG) or "{}")
        fits = np.allclose(state.get("imageToNode", np.nan), imageToNode, rtol=0, atol=1e-3)
        settings = _readSettings(state.get("settings", {}), file.threshold or 0.0)
        made = Maker(file.model or "", tagOf(segment, WEIGHTS_TAG), dict(state.get("window", {})))
        masks = {name: _read(entry) for name, entry in state.get("masks", {}).items()} if fits else {}
    except (PromptError, ValueError, KeyError, TypeError, AttributeError):
        return None
    kept = [masks.get(name, EMPTY) for name in ("base", "added", "removed")]
    return Remembered(file.prompts, made, settings, *kept)


def forget(segment: Any) -> None:
    """Remove a segment's tags."""
    for tag in (PROMPTS_TAG, STATE_TAG, WEIGHTS_TAG, _TYPE_TAG, _ALGORITHM_TAG):
        segment.RemoveTag(tag)


def _readSettings(entry: dict[str, Any], threshold: float) -> SegmentSettings:
    """Settings as `asdict` gave them; scenes saved before have the threshold with their prompts alone."""
    known = {field.name: entry[field.name] for field in fields(SegmentSettings) if field.name in entry}
    for name, value in known.items():
        if not isinstance(value, (bool, int, float)) and (
            value is not None or name not in ("windowMm", "localRadiusMm")
        ):
            raise ValueError(f"{name} is not a number")
    return SegmentSettings(**{"threshold": threshold, **known})


def _written(mask: "Mask") -> dict[str, Any]:
    packed = mask.pack()
    bits = base64.b64encode(packed.bits).decode("ascii")
    return {"start": list(packed.start), "shape": list(packed.shape), "bits": bits}


def _read(entry: dict[str, Any]) -> "Mask":
    from inference_core.geometry.mask import PackedMask

    start, shape = (tuple(int(n) for n in entry[name]) for name in ("start", "shape"))
    if len(start) != 3 or len(shape) != 3 or min(shape) < 1 or np.prod(shape) > 2**33:
        raise ValueError("not the extent of a mask")
    return PackedMask(start, shape, base64.b64decode(entry["bits"], validate=True)).unpack()
