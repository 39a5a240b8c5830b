"""Libraries that only evaluation needs; the core runs without them."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from inference_core.errors import SAM3DError


def optional(module: str) -> Any:
    """Import a module of the `evaluate` extra.

    Raises:
        SAM3DError: it is not installed.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        package = module.partition(".")[0]
        raise SAM3DError(
            f"This needs the library '{package}'; install it with: pip install 'sam3dsegment[evaluate]'."
        ) from error
