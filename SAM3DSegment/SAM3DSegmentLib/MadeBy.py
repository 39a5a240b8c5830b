"""What made a segment, and what it is in the words of a terminology, as its tags say."""

import json
from typing import TYPE_CHECKING, Any

from SAM3DSegmentLib.Persistence import PROMPTS_TAG
from SAM3DSegmentLib.WriteBack import tagOf

if TYPE_CHECKING:
    from inference_core.io.dicom_export import Algorithm
    from inference_core.io.findings import Finding

# Where a terminology entry "context~category~type~modifier~..." has what.
_CATEGORY, _TYPE = 1, 2


def modelOf(segment: Any) -> str:
    """The model that a segment's prompts were answered by; "" where a person drew it."""
    try:
        model = json.loads(tagOf(segment, PROMPTS_TAG) or "{}").get("model")
    except ValueError:
        return ""
    return model if isinstance(model, str) else ""


def weightsOf(model: str) -> str:
    """The sha256 of a model's published weights; "" where it is not known."""
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
    return Algorithm(model, weightsOf(model)) if model else None


def findingOf(segment: Any) -> "str | Finding":
    """A segment's category and type by its terminology; the exports' own default where it has none."""
    from inference_core.io.findings import DEFAULT_FINDING, Coded

    parts = tagOf(segment, segment.GetTerminologyEntryTagName()).split("~")
    codes = [part.split("^") for part in parts[_CATEGORY : _TYPE + 1]]
    if len(codes) != 2 or any(len(code) != 3 or not all(code) for code in codes):
        return DEFAULT_FINDING
    category, kind = (Coded(value, scheme, meaning) for scheme, value, meaning in codes)
    return category, kind
