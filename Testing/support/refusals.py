"""What is either made or refused in one sentence."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from inference_core.errors import SAM3DError

Made = TypeVar("Made")


def made_or_refused(make: Callable[[], Made]) -> Made | None:
    """What a function makes, or None where it refuses in one sentence; anything else that it raises is an error."""
    try:
        return make()
    except SAM3DError as error:
        refusal = str(error)
    if not refusal.endswith(".") or "\n" in refusal or len(refusal) > 600 or "nan mm" in refusal:
        raise AssertionError(f"no sentence to show anyone: {refusal!r}")
    return None
