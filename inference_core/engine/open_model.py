"""Opening a model: find its weights, check them, put it on a device."""

from __future__ import annotations

from pathlib import Path

from inference_core.engine.device import choose_device, memory_errors_as_device_error
from inference_core.models.interface import Model
from inference_core.models.registry import build_model, get_spec
from inference_core.models.spec import ModelSpec
from inference_core.models.store import installed_path, require_installed, weights_of
from inference_core.models.weights import verify_sha256


def open_model(
    model: str | ModelSpec,
    *,
    device: str = "auto",
    weights: Path | None = None,
    base: Path | None = None,
    precision: str = "auto",
    text_encoder: Path | None = None,
) -> Model:
    """Load a model, from its installed weights or from a file of the user's own.

    Installed weights are checked against their published sha256, where there is one, before they are read.

    Args:
        model: its name in the registry, or a spec; `model.spec.automatic` of the result says whether it takes prompts.
        device: "auto" (the fastest one present), "cuda", "mps" or "cpu".
        weights: a file of the user's own, or the folder of a training run.
        base: the weights of the model that this one adapts (`spec.base`), where they are not installed; the model says
            what is missing where there are none.
        text_encoder: the folder of the CLIP with which weights learned to read texts (`models.text_encoder`).
        precision: what its encoder computes in: "float32", "bfloat16", or "auto", which is float32 on a CPU.

    Raises:
        ModelError: there is no such model, its weights are not installed, or there is no such precision.
        CheckpointError: the file is damaged or belongs to another model.
        DeviceError: the device is absent, or has too little memory.
    """
    spec = get_spec(model) if isinstance(model, str) else model
    path = require_installed(spec) if weights is None else weights_of(weights)
    if weights is None and spec.checkpoint.sha256:
        verify_sha256(path, spec.checkpoint.sha256)
    if spec.base and base is None:
        base = installed_path(get_spec(spec.base))
    chosen = choose_device(device)
    with memory_errors_as_device_error(chosen):
        return build_model(spec, weights=path, device=chosen, base=base, precision=precision, text_encoder=text_encoder)
