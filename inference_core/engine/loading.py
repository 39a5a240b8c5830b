"""Opening a model: find its weights, check them, put it on a device."""

from __future__ import annotations

from pathlib import Path

from inference_core.engine.device import choose_device, told_when_memory_runs_out
from inference_core.models.interface import AutomaticModel, PromptableModel
from inference_core.models.registry import get_spec, load_automatic_model, load_model
from inference_core.models.store import installed_path, require_installed
from inference_core.models.weights import verify_sha256


def open_model(
    name: str, *, device: str = "auto", weights: Path | None = None, base: Path | None = None
) -> PromptableModel:
    """Load a model by name, from its installed weights or from a file of the user's own.

    Installed weights are checked against their published sha256, where there is one, before they are read. A model that
    adapts another one (`spec.base`) needs that one's weights too: `base`, or the installed ones if any; its builder
    says what is missing where there are none.

    Raises:
        ModelError: there is no such model, or its weights are not installed.
        CheckpointError: the file is damaged or belongs to another model.
        DeviceError: the device is absent, or has too little memory.
    """
    path, base = _files(name, weights, base)
    chosen = choose_device(device)
    with told_when_memory_runs_out(chosen):
        return load_model(name, weights=path, device=chosen, base=base)


def open_automatic_model(
    name: str, *, device: str = "auto", weights: Path | None = None, base: Path | None = None
) -> AutomaticModel:
    """Load a model that needs no prompt (`spec.automatic`), likewise.

    Raises:
        ModelError: there is no such model, its weights are not installed, or it needs prompts.
        CheckpointError: the file is damaged or belongs to another model.
        DeviceError: the device is absent, or has too little memory.
    """
    path, base = _files(name, weights, base)
    chosen = choose_device(device)
    with told_when_memory_runs_out(chosen):
        return load_automatic_model(name, weights=path, device=chosen, base=base)


def _files(name: str, weights: Path | None, base: Path | None) -> tuple[Path, Path | None]:
    """The weights to read, and those under them; installed ones are verified."""
    spec = get_spec(name)
    path = weights or require_installed(spec)
    if weights is None and spec.checkpoint.sha256:
        verify_sha256(path, spec.checkpoint.sha256)
    if spec.base and base is None:
        base = installed_path(get_spec(spec.base))
    return path, base
