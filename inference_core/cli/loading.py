"""Getting hold of a model: what can be refused cheaply first, torch last."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from inference_core.cli.reporting import say
from inference_core.errors import CheckpointError, ModelError
from inference_core.io.opening import is_regular_file
from inference_core.models.registry import DEFAULT_MODEL, get_spec
from inference_core.models.spec import ModelSpec
from inference_core.models.store import installed_path, require_installed, trained_model, weights_of

if TYPE_CHECKING:
    from inference_core.models.interface import Model


def find_model(name: str, weights: Path | None) -> tuple[ModelSpec, Path]:
    """The spec of a model and the file of its weights: the one given, else the installed one.

    A training run's folder stands for its best weights, and for its model where another is not asked for.

    Raises:
        ModelError: there is no such model, or it is not installed.
        CheckpointError: there is no such file.
    """
    trained = trained_model(weights) if weights is not None else None
    if trained is not None and name not in (trained, DEFAULT_MODEL):
        raise ModelError(f"The run '{weights}' trained '{trained}', not '{name}'; give --model {trained}.")
    spec = get_spec(trained or name)
    if weights is None:
        return spec, require_installed(spec)
    weights = weights_of(weights)
    if not is_regular_file(weights):
        raise CheckpointError(f"There is no weights file '{weights}'; give the path of one.")
    return spec, weights


def model_files(options: argparse.Namespace) -> list[Path]:
    """The files that the options of `parsing.add_model_options` name, and all in the folders that they name."""
    given = [path for path in (options.weights, options.base, options.text_encoder) if path is not None]
    return [file for path in given for file in (path.iterdir() if path.is_dir() else (path,))]


def load(spec: ModelSpec, weights: Path, options: argparse.Namespace) -> Model:
    """Load a model with the device, base, text encoder and precision of `parsing.add_model_options`.

    Installed weights are checked by their sha256 first. What the file lacks or leaves open is said.

    Raises:
        DeviceError: the device is absent.
        CheckpointError: the file does not fit the model, or there is no base file of this name.
    """
    if options.base is not None and not is_regular_file(options.base):
        raise CheckpointError(f"There is no weights file '{options.base}'; give the path of one.")
    from inference_core.engine.open_model import open_model

    own = None if weights == installed_path(spec) else weights
    model = open_model(
        spec.name, device=options.device, weights=own, base=options.base, precision=options.precision,
        text_encoder=options.text_encoder,
    )  # fmt: skip
    for caution in model.spec.cautions:
        say(f"Caution: {caution}")
    return model
