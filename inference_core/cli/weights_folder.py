"""A folder of weights: training runs, and files called as a model or as its official file is."""

from __future__ import annotations

from pathlib import Path

from inference_core.cli.loading import find_model
from inference_core.cli.reporting import say
from inference_core.errors import CheckpointError
from inference_core.models.registry import all_specs
from inference_core.models.spec import ModelSpec
from inference_core.models.store import RUN_FILE, trained_model

Weighed = tuple[str, ModelSpec, Path]
"""What a table calls it, the model, and the file of its weights."""


def weights_in(path: Path, *, model: str) -> list[Weighed]:
    """A run or a file by itself, of the `model`; else all that a folder holds, what is not understood named and left.

    Raises:
        CheckpointError: the folder holds none, or the file is not there.
        ModelError: a run is of another model than asked for, or has no weights yet.
    """
    if not path.is_dir() or (path / RUN_FILE).is_file():
        spec, weights = find_model(model, path)
        return [(spec.name, spec, weights)]
    found = []
    for entry in sorted(path.iterdir()):
        name = _model_of(entry)
        if name is None:
            say(f"'{entry.name}' is not evaluated: it is no run, and not called as a model or its file is.")
            continue
        spec, weights = find_model(name, entry)
        found.append((f"{spec.name} ({entry.name})" if entry.is_dir() else spec.name, spec, weights))
    if not found:
        raise CheckpointError(
            f"'{path}' holds no weights; put training runs there, or files that are called as their models are "
            "(sam_med3d.pth)."
        )
    return found


def _model_of(entry: Path) -> str | None:
    """The model of a run's folder, or of a file by its name."""
    if entry.is_dir():
        return trained_model(entry) if (entry / RUN_FILE).is_file() else None
    named = [spec.name for spec in all_specs() if entry.name == spec.checkpoint.filename or entry.stem == spec.name]
    return next(iter(named), None)
