"""Where weights live: bundled ones in Resources/Models, fetched ones in a folder of the user's. No torch here."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from inference_core.errors import ModelError, Remedy
from inference_core.models.spec import ModelSpec

FOLDER_VARIABLE = "SAM3DSEGMENT_MODELS"
RUN_FILE = "run.json"
"""In the folder of a training run: the model's name, and the name of the file with its weights."""


def resources_dir() -> Path | None:
    """The project's Resources folder, or None where the package was installed without it.

    In the source tree it lies beside the package, in an installed extension one level away: the nearest one above wins.
    """
    for folder in Path(__file__).resolve().parents:
        if (folder / "Resources" / "Models").is_dir():
            return folder / "Resources"
    return None


def models_dir() -> Path:
    """The folder for fetched weights: `SAM3DSEGMENT_MODELS` where set, else the platform's place for a user's data.

    It need not exist.
    """
    chosen = os.environ.get(FOLDER_VARIABLE)
    return Path(chosen).expanduser() if chosen else _user_data_dir() / "SAM3DSegment" / "models"


def installed_path(spec: ModelSpec) -> Path | None:
    """The weights file of a model, or None when it is not on this computer. A user's copy goes before a bundled one."""
    folders = [models_dir()]
    resources = resources_dir()
    if spec.checkpoint.bundled and resources is not None:
        folders.append(resources / "Models")
    return next((path for folder in folders if (path := folder / spec.checkpoint.filename).is_file()), None)


def require_installed(spec: ModelSpec) -> Path:
    """The weights file of a model.

    Raises:
        ModelError: it is not on this computer.
    """
    path = installed_path(spec)
    if path is not None:
        return path
    if spec.checkpoint.bundled:
        raise ModelError(
            f"{spec.title} belongs to this package but '{spec.checkpoint.filename}' is missing from Resources/Models; "
            f"install the package again or put the file into '{models_dir()}'."
        )
    if spec.checkpoint.page is not None:
        raise ModelError(
            "{title} is not installed; get its weights by way of {page} first.",
            remedy=Remedy.INSTALL_FROM_FILE,
            title=spec.title,
            page=spec.checkpoint.page,
            model=spec.name,
        )
    raise ModelError(
        "{title} is not installed; fetch its weights first.",
        remedy=Remedy.INSTALL,
        title=spec.title,
        model=spec.name,
        filename=spec.checkpoint.filename,
    )


def weights_of(path: Path) -> Path:
    """A weights file as it is given, or the best weights of a training run's folder.

    Raises:
        ModelError: the folder is not a run's, or the run has no weights yet.
    """
    if not path.is_dir():
        return path
    return path / _run(path)[1]


def trained_model(path: Path) -> str | None:
    """The model that a training run's folder is of; None for a file."""
    return _run(path)[0] if path.is_dir() else None


def _run(folder: Path) -> tuple[str, str]:
    try:
        content = json.loads((folder / RUN_FILE).read_text(encoding="utf-8"))
        model, weights = str(content["model"]), content["weights"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"'{folder.name}' is a folder but not of a training run; choose a weights file.") from error
    if not isinstance(weights, str) or Path(weights).name != weights:
        raise ModelError(f"The training run '{folder.name}' has no weights yet; let it go on with `train --resume`.")
    return model, weights


def _user_data_dir() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support"
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
