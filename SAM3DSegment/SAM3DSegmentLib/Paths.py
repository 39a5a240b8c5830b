"""Where the project's parts lie: at the top of the source tree, or in this library's folder `Core` once installed."""

import sys
from pathlib import Path


def projectRoot() -> Path:
    """The folder that holds `inference_core` and Resources: `Core` beside this file, or the nearest one above it.

    Raises:
        RuntimeError: the module was copied without the core.
    """
    for folder in Path(__file__).resolve().parents:
        for place in (folder, folder / "Core"):
            if (place / "inference_core" / "__init__.py").is_file():
                return place
    raise RuntimeError("SAM3DSegment was installed without its inference_core; install the extension again.")


def resourcePath(name: str) -> Path:
    """A file of the project's Resources folder, such as "UI/SAM3DSegment.ui"; it need not exist."""
    return projectRoot() / "Resources" / name


def makeCoreImportable() -> None:
    """Put the folder of `inference_core` on Python's path: first where it holds nothing else, else last.

    So another package of that name does not hide it, and nothing of the user's is hidden by the source tree.
    """
    root = projectRoot()
    if str(root) not in sys.path:
        sys.path.insert(0 if root.name == "Core" else len(sys.path), str(root))
