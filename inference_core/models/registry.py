"""The list of models, and the one way to build one. Importing this file loads no torch."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from inference_core.errors import CheckpointError, ModelError
from inference_core.models.ma_sam.spec import SPECS as MA_SAM
from inference_core.models.medical_sam_adapter.spec import SPECS as MEDICAL_SAM_ADAPTER
from inference_core.models.sam.spec import SPECS as SAM
from inference_core.models.sam3d_adapter.spec import SPECS as SAM3D_ADAPTER
from inference_core.models.sam3d_lite.spec import SPECS as SAM3D_LITE
from inference_core.models.sam_med3d.spec import SPECS as SAM_MED3D
from inference_core.models.spec import ModelSpec

if TYPE_CHECKING:
    from inference_core.models.interface import Model

DEFAULT_MODEL = "sam3d_lite"
_SPECS = (*SAM3D_LITE, *SAM_MED3D, *SAM, *MEDICAL_SAM_ADAPTER, *MA_SAM, *SAM3D_ADAPTER)
# Saved prompts and scenes may name a model as it was once called.
_FORMER_NAMES = {
    "medical_sam_adapter_normalised": "medical_sam_adapter_normalized",
    "medical_sam_adapter_3d_normalised": "medical_sam_adapter_3d_normalized",
}


def all_specs() -> tuple[ModelSpec, ...]:
    """Every registered model, the default first."""
    return _SPECS


def get_spec(name: str) -> ModelSpec:
    """The spec of a model.

    Raises:
        ModelError: there is no model of this name.
    """
    current = _FORMER_NAMES.get(name, name)
    for spec in _SPECS:
        if spec.name == current:
            return spec
    raise ModelError(
        "There is no model '{name}'; choose one of {names}.", name=name, names=", ".join(spec.name for spec in _SPECS)
    )


def build_model(
    model: str | ModelSpec,
    *,
    weights: Path,
    device: str,
    base: Path | None = None,
    precision: str = "auto",
    text_encoder: Path | None = None,
) -> Model:
    """Build a model, by its name or spec, from a weights file on a torch device.

    `base` is the weights file of `spec.base`, if any; `text_encoder` the folder of a CLIP.

    Raises:
        ModelError: there is no model of this name, no such precision, or the model reads no texts.
        CheckpointError: the file does not fit the model.
    """
    spec = get_spec(model) if isinstance(model, str) else model
    module, function = spec.builder.split(":")
    build = getattr(import_module(module), function)
    if text_encoder is not None and not spec.reads_text:
        raise ModelError(
            "{title} reads no texts; leave out the text encoder, or choose a Medical SAM Adapter.", title=spec.title
        )
    own = ({"base": base} if spec.base else {}) | ({"text_encoder": text_encoder} if spec.reads_text else {})
    try:
        built: Model = build(spec, weights, device, precision=precision, **own)
    except CheckpointError as error:
        if any(path is not None and path.name in str(error) for path in (weights, base)):
            raise
        values = {**error.values, "name": weights.name, "reason": str(error)}
        raise CheckpointError("'{name}' cannot be used: {reason}", remedy=error.remedy, **values) from error
    except (IndexError, TypeError, ValueError) as error:
        # Readers take tensors apart before a network can compare shapes.
        raise CheckpointError(
            "'{name}' has tensors of other shapes than {title}'s files; download it again, or choose another model.",
            name=weights.name,
            title=spec.title,
        ) from error
    return built
