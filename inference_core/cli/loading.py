"""Getting hold of a model: what can be refused cheaply first, torch last."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from inference_core.cli.reporting import say
from inference_core.errors import CheckpointError
from inference_core.models.registry import get_spec
from inference_core.models.spec import ModelSpec
from inference_core.models.store import installed_path, require_installed

if TYPE_CHECKING:
    from inference_core.models.interface import AutomaticModel, PromptableModel


def find_model(name: str, weights: Path | None) -> tuple[ModelSpec, Path]:
    """The spec of a model and the file of its weights: the one given, else the installed one.

    Raises:
        ModelError: there is no such model, or it is not installed.
        CheckpointError: there is no such file.
    """
    spec = get_spec(name)
    if weights is None:
        return spec, require_installed(spec)
    if not weights.is_file():
        raise CheckpointError(f"There is no weights file '{weights}'; give the path of one.")
    return spec, weights


def load(spec: ModelSpec, weights: Path, device: str, *, base: Path | None = None) -> PromptableModel:
    """Load a model onto a device of `engine.device.DEVICES`; installed weights are checked by their sha256 first.

    `base` is the checkpoint under a model that holds only what it adapted, where it is not the installed one. What the
    file lacks or leaves open is said.

    Raises:
        DeviceError: the device is absent.
        CheckpointError: the file does not fit the model, or there is no base file of this name.
    """
    _check_base(base)
    from inference_core.engine.loading import open_model

    model = open_model(spec.name, device=device, weights=_own(spec, weights), base=base)
    _caution(model.spec)
    return model


def load_automatic(spec: ModelSpec, weights: Path, device: str, *, base: Path | None = None) -> AutomaticModel:
    """Load a model that needs no prompt, likewise.

    Raises:
        DeviceError, CheckpointError: as `load`.
    """
    _check_base(base)
    from inference_core.engine.loading import open_automatic_model

    model = open_automatic_model(spec.name, device=device, weights=_own(spec, weights), base=base)
    _caution(model.spec)
    return model


def _check_base(base: Path | None) -> None:
    if base is not None and not base.is_file():
        raise CheckpointError(f"There is no weights file '{base}'; give the path of one.")


def _own(spec: ModelSpec, weights: Path) -> Path | None:
    return None if weights == installed_path(spec) else weights


def _caution(spec: ModelSpec) -> None:
    for caution in spec.cautions:
        say(f"Caution: {caution}")
