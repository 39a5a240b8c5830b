"""Gives memory that was freed back to the system, which the C library otherwise keeps for itself."""

import ctypes
import sys
from typing import Any


def giveBack() -> None:
    """Give back what can be; nothing where the C library has no such function (only glibc's has)."""
    trim: Any = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)
