"""From slices to what Medical SAM Adapter's network sees, and from places on them to how it is told of them.

In every convention a slice is squashed to a square of S pixels. In 2D a picture's rows run along the window's second
axis and its columns along the first. Through depth its rows run to the patient's right, its columns to the front and
its slices up, as in the official training on BTCV.

Legend: n slices of a window, S the side of the network's input.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from inference_core.errors import VolumeError
from inference_core.geometry.grid import Float, Grid
from inference_core.models.blocks.slice_preprocess import eight_bit, resized
from inference_core.models.interface import Float32
from inference_core.models.spec import ClickFrame, IntensityRule
from inference_core.prompts.encoding import cross_section

ABDOMEN_HU = (-175.0, 250.0)
TRAINED_SPACING_MM = 1.5
PIXEL_MEAN, PIXEL_STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
_HOUNSFIELD = (IntensityRule.ABDOMEN_UNIT, IntensityRule.ABDOMEN_NORMALIZED)
_NORMALIZED = (IntensityRule.EIGHT_BIT_NORMALIZED, IntensityRule.ABDOMEN_NORMALIZED)


@dataclass(frozen=True)
class PictureFrame:
    """How a window (nx, ny, n) is seen as pictures (n, rows, columns), and where its voxels are on them.

    order: the window's axes in the order of the pictures'. flips: the pictures' axes that run backwards. shape: the
    pictures'. spacing: mm along their axes.
    """

    order: tuple[int, int, int]
    flips: tuple[int, ...]
    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]

    @classmethod
    def plain(cls, grid: Grid) -> PictureFrame:
        """Rows along the window's second axis, columns along the first."""
        return cls._of(grid, (2, 1, 0), ())

    @classmethod
    def towards_ras(cls, grid: Grid) -> PictureFrame:
        """Rows to the right, columns to the front and slices up, as far as the window's axes are near to these."""
        nearest = np.abs(grid.affine[:3, :3]).argmax(axis=0)
        order = (2, 0, 1) if nearest[0] <= nearest[1] else (2, 1, 0)
        falling = [grid.affine[nearest[axis], axis] < 0 for axis in order]
        return cls._of(grid, order, tuple(n for n, backwards in enumerate(falling) if backwards))

    @classmethod
    def _of(cls, grid: Grid, order: tuple[int, int, int], flips: tuple[int, ...]) -> PictureFrame:
        a, b, c = order
        shape, spacing = grid.shape, grid.spacing
        return cls(order, flips, (shape[a], shape[b], shape[c]), (spacing[a], spacing[b], spacing[c]))

    def pictures(self, window: Float32) -> Float32:
        """Values of a window (nx, ny, n), or of as many slices at another resolution, as pictures."""
        return np.flip(window.transpose(self.order), self.flips)

    def window(self, pictures: Float32) -> Float32:
        """Pictures, of any resolution, as a window."""
        return np.ascontiguousarray(np.flip(pictures, self.flips).transpose(np.argsort(self.order)))

    def places(self, points: Float) -> Float:
        """Window indices (N, 3) as (slice, row, column) of the pictures."""
        turned = points[:, list(self.order)]
        return np.where(np.isin(range(3), self.flips), np.array(self.shape) - 1.0 - turned, turned)

    def own_clicks(self, points: Float) -> NDArray[np.bool_]:
        """Which of the points (N, 3) in window indices lie in each of the pictures: (n, N)."""
        slices = np.clip(np.floor(self.places(points)[:, 0] + 0.5), 0, self.shape[0] - 1)
        return np.asarray(np.arange(self.shape[0])[:, None] == slices)


def network_images(pictures: Float32, rule: IntensityRule, size: int) -> Tensor:
    """Pictures (n, rows, columns) of raw voxels as the network's input (n, 3, S, S).

    In 2D they become 8-bit pictures and are resized as Pillow does it; CT numbers are resized as they are, bilinearly.
    SAM's mean and deviation are those of values up to 255. The authors' 2D data sets bring images there first; their 3D
    path takes them off values of 0..1 all the same, and so its weights were trained.

    Raises:
        VolumeError: a voxel is not finite.
    """
    if rule in _HOUNSFIELD:
        if not np.isfinite(pictures).all():
            raise VolumeError("The slices have NaN or infinite voxels; repair or re-export the volume.")
        low, high = ABDOMEN_HU
        scaled = np.clip((pictures - np.float32(low)) / np.float32(high - low), 0, 1)
        unit = F.interpolate(torch.from_numpy(np.ascontiguousarray(scaled))[:, None], (size, size), mode="bilinear")
    else:
        gray = np.stack([resized(eight_bit(picture), (size, size)) for picture in pictures])
        unit = torch.from_numpy(gray).float()[:, None] / 255
    return normalized_images(unit, rule)


def normalized_images(unit: Tensor, rule: IntensityRule) -> Tensor:
    """Gray values 0..1 (n, 1, S, S) as the network's input (n, 3, S, S)."""
    images = unit.expand(-1, 3, -1, -1)
    if rule not in _NORMALIZED:
        return images
    mean, deviation = unit.new_tensor((PIXEL_MEAN, PIXEL_STD))[:, :, None, None]
    brightest = 1 if rule in _HOUNSFIELD else 255
    normalized: Tensor = (brightest * images - mean) / deviation
    return normalized


def network_points(points: Float, frame: PictureFrame, clicks: ClickFrame, size: int) -> Float:
    """Window indices (N, 3) as the two numbers (N, 2) by which the network is told of them."""
    rows_columns = frame.places(points)[:, 1:]
    if clicks is ClickFrame.ROW_COLUMN_UNSCALED:
        return rows_columns * (np.array(frame.spacing[1:]) / TRAINED_SPACING_MM)
    scaled = (rows_columns + 0.5) * (size / np.array(frame.shape[1:])) - 0.5
    return scaled if clicks is ClickFrame.ROW_COLUMN else scaled[:, ::-1]


def network_boxes(corners: Float, frame: PictureFrame, clicks: ClickFrame, size: int) -> Float:
    """The cuts (n, 4) of a box (8, 3) in window indices through each slice, least coordinates first, as the network

    is told of them; no larger than the slices. A slice beyond the box gets the cut nearest to it.
    """
    limits = np.array([frame.shape[frame.order.index(axis)] - 0.5 for axis in (0, 1, 0, 1)])
    boxes = []
    for index in range(frame.shape[0]):
        cut = np.clip(cross_section(corners, index), -0.5, limits).reshape(2, 2)
        ends = network_points(np.column_stack([cut, [index, index]]), frame, clicks, size)
        boxes.append(np.concatenate([ends.min(axis=0), ends.max(axis=0)]))
    # Pictures may run through the slices the other way.
    return np.array(boxes[::-1] if 0 in frame.flips else boxes)
