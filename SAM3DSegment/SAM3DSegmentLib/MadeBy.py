"""What made a segment, and what it is in the words of a terminology, as its tags say."""

import json
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from SAM3DSegmentLib.History import Maker
from SAM3DSegmentLib.Persistence import PROMPTS_TAG, WEIGHTS_TAG
from SAM3DSegmentLib.Settings import Settings
from SAM3DSegmentLib.Terminology import CATEGORY, TYPE, codeOf
from SAM3DSegmentLib.WriteBack import tagOf

if TYPE_CHECKING:
    from inference_core.io.dicom_export import Algorithm
    from inference_core.io.findings import Finding

_UNKNOWN = "unknown"


def modelOf(segment: Any) -> str:
    """The model that a segment's prompts were answered by; "" where a person drew it."""
    try:
        model = json.loads(tagOf(segment, PROMPTS_TAG) or "{}").get("model")
    except ValueError:
        return ""
    return model if isinstance(model, str) else ""


def makerOf(settings: Settings, window: dict[str, Any] | None = None) -> Maker:
    """What answers by these settings: with its model the adapted weights, where there are some for it."""
    from inference_core.models.registry import DEFAULT_MODEL

    isAdapted = bool(settings.weights) and settings.model == DEFAULT_MODEL
    return Maker(settings.model, _sha256(settings.weights) if isAdapted else "", window or {})


def weightsOf(segment: Any) -> str:
    """The sha256 of the weights that a segment was answered by; "" where it is not known."""
    noted = tagOf(segment, WEIGHTS_TAG)
    return noted.replace(_UNKNOWN, "") if noted else _published(modelOf(segment))


@lru_cache(maxsize=4)
def _sha256(folder: str) -> str:
    """Of the weights in a folder of an adaptation, which is written once and not changed."""
    from inference_core.errors import SAM3DError
    from inference_core.models.store import weights_of
    from inference_core.models.weights import sha256_of

    try:
        return sha256_of(weights_of(Path(folder)))
    except (OSError, SAM3DError):
        return _UNKNOWN


def _published(model: str) -> str:
    from inference_core.errors import SAM3DError
    from inference_core.models.registry import get_spec

    try:
        return get_spec(model).checkpoint.sha256 or ""
    except SAM3DError:
        return ""


def algorithmOf(segment: Any) -> "Algorithm | None":
    """What made a segment, as DICOM has it; None for a person."""
    from inference_core.io.dicom_export import Algorithm

    model = modelOf(segment)
    return Algorithm(model, weightsOf(segment)) if model else None


def findingOf(segment: Any) -> "str | Finding":
    """A segment's category and type by its terminology; the exports' own default where it has none."""
    from inference_core.io.findings import DEFAULT_FINDING, Coded

    codes = codeOf(segment, CATEGORY), codeOf(segment, TYPE)
    if not all(code is not None and all(code) for code in codes):
        return DEFAULT_FINDING
    category, kind = (Coded(value, scheme, meaning) for scheme, value, meaning in filter(None, codes))
    return category, kind
