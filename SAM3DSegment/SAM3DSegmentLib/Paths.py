"""Where the project's parts lie: the source tree and an installed extension differ by one level."""

import sys
from pathlib import Path


def projectRoot() -> Path:
    """The nearest folder above this file that holds `inference_core`.

    Raises:
        RuntimeError: the module was copied without the core.
    """
    for folder in Path(__file__).resolve().parents:
        if (folder / "inference_core" / "__init__.py").is_file():
            return folder
    raise RuntimeError("SAM3DSegment was installed without its inference_core; install the extension again.")


def resourcePath(name: str) -> Path:
    """A file of the project's Resources folder, such as "UI/SAM3DSegment.ui"; it need not exist."""
    return projectRoot() / "Resources" / name


def makeCoreImportable() -> None:
    """Put the folder of `inference_core` on Python's path, last, so that nothing of the user's is hidden."""
    root = str(projectRoot())
    if root not in sys.path:
        sys.path.append(root)
