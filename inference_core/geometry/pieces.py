"""Pieces of a mask: voxels that hang together."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def numbered_pieces(mask: NDArray[Any]) -> NDArray[Any]:
    """The number of the piece that each voxel (i, j, k) is in, where corners and edges hold together too; 0 outside."""
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(np.ascontiguousarray(mask).astype(np.uint8))
    return np.asarray(sitk.GetArrayFromImage(sitk.ConnectedComponent(image, True)))


def largest_piece(mask: NDArray[Any]) -> NDArray[np.bool_]:
    """The largest piece of a mask of two or three dimensions, held together by faces, the first of equals.

    Of an empty mask it is nothing.
    """
    from scipy import ndimage

    numbers, count = ndimage.label(mask)
    if not count:
        return np.zeros(mask.shape, dtype=np.bool_)
    return np.asarray(numbers == 1 + int(np.bincount(numbers.ravel())[1:].argmax()))
