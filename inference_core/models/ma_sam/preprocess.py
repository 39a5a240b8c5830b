"""From a volume's slices to MA-SAM's input and back: gray values, size and orientation, as its authors' scripts do it.

A slice is windowed (or scaled to the volume's own range), resized to a square where it is none of the right size, and
turned: out[row, column] = in[X - 1 - column, Y - 1 - row]. A stack of slices is then stretched to 0..1 as a whole, so
that the same slice may enter with other gray values in other stacks. Axes are the file's own, as stored; nothing is
resampled across the slices.

Legend: X Y a slice's voxels, S the side of the network's input, n slices of a stack.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from inference_core.errors import VolumeError
from inference_core.geometry.grid import Float
from inference_core.geometry.volume import Volume
from inference_core.models.interface import Float32

_TOP_QUANTILE = 0.99
_EPSILON = 1e-8


@dataclass(frozen=True)
class GrayRule:
    """How gray values become numbers: clipped to low..high, laid on 0..scale, and standardized before the stretch.

    The standardization cancels in the stretch but for rounding; it is kept so that the numbers are the official ones.
    """

    low: float
    high: float
    scale: float = 255.0
    mean: float = 0.0
    std: float = 1.0
    clips_below: bool = True

    def windowed(self, raw: NDArray[Any]) -> Float32:
        """Raw gray values to float32 on 0..scale; worked out in double precision, as for files of whole numbers."""
        clipped = np.clip(raw.astype(np.float64), self.low if self.clips_below else None, self.high)
        return np.asarray((clipped - self.low) / (self.high - self.low) * self.scale, dtype=np.float32)

    def stretched(self, stack: Float32) -> Float32:
        """A windowed stack to 0..1 over all of its slices."""
        standard = (stack - np.float32(self.mean)) / np.float32(self.std)
        low, high = standard.min(), standard.max()
        return np.asarray((standard - low) / (high - low + np.float32(_EPSILON)), dtype=np.float32)

    def stretch_of(self, low: float, high: float) -> tuple[float, float]:
        """Gain and offset by which a windowed stack with these extremes is stretched: `stretched` as a line."""
        span = (high - low) / self.std + _EPSILON
        return 1 / (self.std * span), -low / (self.std * span)


ABDOMINAL_CT = GrayRule(-200.0, 250.0, mean=50.21997497685108, std=68.47153712416372)
PANCREATIC_CT = GrayRule(-50.0, 200.0, mean=30.52402855024227, std=64.07289127027198)


def range_of(volume: Volume) -> GrayRule:
    """The rule for images without a unit, as MR: from the volume's least value to its 0.99 quantile, cut at the top.

    Raises:
        VolumeError: the volume has no contrast.
    """
    low, high = float(volume.array.min()), float(np.quantile(volume.array, _TOP_QUANTILE))
    if not high > low:
        raise VolumeError(
            "'{name}' has the same value nearly everywhere; choose an image with contrast.", name=volume.name
        )
    return GrayRule(low, high, scale=1.0, clips_below=False)


def check_finite(voxels: NDArray[Any], name: str) -> None:
    """Refuse voxels that are no numbers.

    Raises:
        VolumeError: there are some.
    """
    if np.issubdtype(voxels.dtype, np.floating) and not np.isfinite(voxels).all():
        raise VolumeError("'{name}' has NaN or infinite voxels; repair or re-export the volume.", name=name)


def network_slice(windowed: Float32, size: int) -> Float32:
    """A windowed slice (X, Y) as the network sees it, (S, S): resized by cubic splines where need be, and turned."""
    if windowed.shape != (size, size):
        down, across = (cubic_zoom(n, size) for n in windowed.shape)
        windowed = np.asarray(down @ windowed.astype(np.float64) @ across.T, dtype=np.float32)
    return np.ascontiguousarray(windowed.T[::-1, ::-1])


def on_voxels(maps: Tensor, shape: tuple[int, int]) -> Tensor:
    """Maps (..., S, S) in the network's orientation to (..., X, Y) on a slice's voxels, linearly where resized."""
    turned = maps.flip(-1, -2).transpose(-1, -2)
    if turned.shape[-2:] == shape:
        return turned
    flat = turned.reshape(1, -1, *turned.shape[-2:])
    # The zoom put the centers of the first and last voxels onto those of the first and last pixels.
    return F.interpolate(flat, size=shape, mode="bilinear", align_corners=True).reshape(*maps.shape[:-2], *shape)


def box_in_pixels(low: Float, high: Float, *, shape: tuple[int, int], size: int) -> tuple[float, float, float, float]:
    """A rectangle's edges, in voxel indices of a slice (X, Y), as x0, y0, x1, y1 in the network's pixels.

    The last pixel's number is one past the last one inside, as MA-SAM's training has it.
    """
    scale = [(size - 1) / max(n - 1, 1) for n in shape]
    x0, x1 = ((shape[0] - 1 - edge) * scale[0] + 0.5 for edge in (high[0], low[0]))
    y0, y1 = ((shape[1] - 1 - edge) * scale[1] + 0.5 for edge in (high[1], low[1]))
    return x0, y0, x1, y1


@lru_cache(maxsize=8)
def cubic_zoom(before: int, after: int) -> Float:
    """The matrix (after, before) that resizes a row of numbers by an interpolating cubic spline (scipy's `zoom`).

    The first and last samples stay in place; beyond them the row is mirrored about its last sample.
    """
    if before == 1:
        return np.ones((after, 1))
    basis = np.zeros((before, before))
    index = np.arange(before)
    for offset, weight in ((-1, 1 / 6), (0, 4 / 6), (1, 1 / 6)):
        np.add.at(basis, (index, _mirrored(index + offset, before)), weight)
    places = np.arange(after) * ((before - 1) / max(after - 1, 1))
    first = np.floor(places).astype(int)
    sampling = np.zeros((after, before))
    for offset in (-1, 0, 1, 2):
        weights = _cubic(places - first - offset)
        np.add.at(sampling, (np.arange(after), _mirrored(first + offset, before)), weights)
    return np.asarray(np.linalg.solve(basis.T, sampling.T).T)


def _mirrored(index: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    folded = np.abs(index) % (2 * (size - 1))
    return np.asarray(np.minimum(folded, 2 * (size - 1) - folded))


def _cubic(distance: Float) -> Float:
    """The cubic B-spline."""
    d = np.abs(distance)
    return np.where(d < 1, 2 / 3 - d**2 + d**3 / 2, np.where(d < 2, (2 - d) ** 3 / 6, 0.0))
