"""Pieces of a mask: voxels that hang together by their faces."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def largest_piece(mask: NDArray[Any]) -> NDArray[np.bool_]:
    """The largest piece of a mask of two or three dimensions, the first of equals; of an empty mask nothing."""
    from scipy import ndimage

    numbers, count = ndimage.label(mask)
    if not count:
        return np.zeros(mask.shape, dtype=np.bool_)
    return np.asarray(numbers == 1 + int(np.bincount(numbers.ravel())[1:].argmax()))
