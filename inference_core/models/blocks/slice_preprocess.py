"""Slices as the 8-bit pictures that SAM was trained on, resized as its authors do (Pillow's bilinear filter).

Legend: H W a picture's rows and columns; arrays are (H, W) or (H, W, channels).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference_core.errors import VolumeError
from inference_core.geometry.grid import Float

UInt8 = NDArray[np.uint8]

_HOUNSFIELD_BELOW = -500.0
_SOFT_TISSUE_HU = (-160.0, 240.0)
_PERCENTILES = (0.5, 99.5)
_FRACTION_BITS = 22


def eight_bit(window: NDArray[Any]) -> UInt8:
    """Gray values 0..255 of raw voxels, of any shape.

    A minimum below -500 is taken for CT, shown between -160 and 240 HU; anything else between the 0.5th and the 99.5th
    percentile of the window. SAM's authors leave this open: it was trained on photographs.

    Raises:
        VolumeError: a voxel is not finite.
    """
    values = np.asarray(window, dtype=np.float32)
    if not np.isfinite(values).all():
        raise VolumeError("The slice has NaN or infinite voxels; repair or re-export the volume.")
    ct = values.min() < _HOUNSFIELD_BELOW
    low, high = _SOFT_TISSUE_HU if ct else np.percentile(values, _PERCENTILES)
    if not high > low:
        return np.zeros(values.shape, dtype=np.uint8)
    return np.asarray(np.rint(np.clip((values - low) / (high - low), 0, 1) * 255), dtype=np.uint8)


@dataclass(frozen=True)
class LongestSide:
    """Scales a picture so that its longer side has `size` pixels, and what is drawn on it alike."""

    size: int

    def shape_of(self, shape: tuple[int, int]) -> tuple[int, int]:
        """Rows and columns of a picture (H, W) after scaling."""
        scale = self.size / max(shape)
        return int(shape[0] * scale + 0.5), int(shape[1] * scale + 0.5)

    def picture(self, picture: UInt8) -> UInt8:
        """The picture scaled."""
        return resized(picture, self.shape_of((picture.shape[0], picture.shape[1])))

    def points(self, points: Float, shape: tuple[int, int]) -> Float:
        """Points (..., 2), (x, y) pixels of a picture of `shape` (H, W), in pixels of the scaled one."""
        height, width = self.shape_of(shape)
        return np.asarray(points, dtype=np.float64) * (width / shape[1], height / shape[0])


def resized(picture: UInt8, shape: tuple[int, int]) -> UInt8:
    """A picture resized to `shape` (H, W), bit for bit as Pillow's bilinear filter does it.

    It is a triangle filter as wide as the reduction, its weights rounded to 22 fractional bits, first along the rows
    and, rounded to 8 bits, along the columns. (Pillow 13 takes the columns first where that is less work, which differs
    by one gray value in places; SAM's predictor was published with an earlier one.)
    """
    across = _filtered(picture, shape[1], axis=1)
    return _filtered(across, shape[0], axis=0)


def _filtered(picture: UInt8, length: int, *, axis: int) -> UInt8:
    if picture.shape[axis] == length:
        return picture
    weights, first = _taps(picture.shape[axis], length)
    lines = np.moveaxis(picture, axis, 0)
    # Sums of 8-bit values with weights that add up to 2**22 stay below 2**31.
    total = np.full((length, *lines.shape[1:]), 1 << (_FRACTION_BITS - 1), dtype=np.int32)
    for tap, weight in enumerate(weights.T):
        index = np.minimum(first + tap, len(lines) - 1)
        total += weight.reshape(-1, *[1] * (lines.ndim - 1)) * lines[index].astype(np.int32)
    return np.asarray(np.moveaxis(np.clip(total >> _FRACTION_BITS, 0, 255).astype(np.uint8), 0, axis))


def _taps(inputs: int, outputs: int) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Integer weights (outputs, taps), zero beyond an output's own taps, and the first input of each output."""
    step = inputs / outputs
    reach = max(step, 1.0)
    centers = (np.arange(outputs) + 0.5) * step
    first = np.maximum((centers - reach + 0.5).astype(np.int64), 0)
    last = np.minimum((centers + reach + 0.5).astype(np.int64), inputs)
    taps = first[:, None] + np.arange((last - first).max())
    weights = np.maximum(0.0, 1 - np.abs((taps - centers[:, None] + 0.5) / reach))
    weights[taps >= last[:, None]] = 0
    weights /= weights.sum(axis=1, keepdims=True)
    return (weights * (1 << _FRACTION_BITS) + 0.5).astype(np.int32), first
