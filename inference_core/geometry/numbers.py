"""Numbers that come from outside, looked at before anything is computed with them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

FARTHEST_MM = 1e7
"""No patient reaches further from the origin of any frame; beyond, arithmetic would overflow unseen."""


def finite_numbers(value: Any, shape: tuple[int, ...]) -> NDArray[np.float64] | None:
    """A value as float64 of a shape, or None where it is of another shape or not of finite numbers."""
    try:
        found = np.array(value, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        return None
    return found if found.shape == shape and np.isfinite(found).all() else None


def is_number(value: Any, *, least: float = -np.inf, most: float = np.inf) -> bool:
    """Whether a value is one finite number between two others, these included; a truth value is none."""
    if isinstance(value, (bool, np.bool_, str, bytes)):
        return False
    found = finite_numbers(value, ())
    return found is not None and least <= float(found) <= most
