"""Reading a window straight from a volume, and laying a window's values back onto voxels.

Only the voxels under the window are touched, so the cost does not depend on the volume's length. Where the window is
coarser than the volume, voxels are averaged first (no aliasing). SimpleITK interpolates in index space: its physical
space is the source's (i, j, k), so orientation is one 4x4 matrix and never a convention.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference_core.errors import VolumeError
from inference_core.geometry.grid import Float, Grid, corners_ijk
from inference_core.geometry.volume import Volume

Float32 = NDArray[np.float32]


def sample_window(volume: Volume, window: Grid, *, reflect: bool) -> Float32:
    """Sample a volume on a window grid, linearly, float32 in the window's (i, j, k) order.

    Beyond the volume the image is mirrored (`reflect`) or zero.

    Raises:
        VolumeError: the window meets voxels that are not finite.
    """
    step = volume.grid.inverse @ window.affine
    factors = [max(1, int(np.linalg.norm(row) + 1e-6)) for row in step[:3, :3]]
    low, high = _block(step, window.shape)
    # BinShrink drops the part of a bin that is left over at the far end, where the window's last voxels are.
    high = low + -(-(high - low) // factors) * factors
    block = _take(volume.array, low, high, reflect=reflect)
    if np.issubdtype(block.dtype, np.floating) and not np.isfinite(block).all():
        raise VolumeError(f"'{volume.name}' has NaN or infinite voxels here; repair or re-export the volume.")
    return _interpolate(block, low, step, window.shape, shrink=factors, outside=0.0)


def lay_onto(values: Float32, window: Grid, target: Grid, *, outside: float) -> Float32:
    """Interpolate a window's values (spanning its grid edge to edge) at the voxels of another grid.

    `values` may be coarser or finer than `window.shape`; both cover the same extent. Voxels outside get `outside`.
    """
    source = window if values.shape == window.shape else rescaled(window, values.shape)
    return _interpolate(values, np.zeros(3, dtype=np.int64), source.inverse @ target.affine, target.shape,
                        shrink=[1, 1, 1], outside=outside)  # fmt: skip


def rescaled(grid: Grid, shape: tuple[int, ...]) -> Grid:
    """The grid of another shape over the same extent, edge to edge."""
    factors = np.asarray(grid.shape) / np.asarray(shape)
    affine = grid.affine.copy()
    affine[:3, :3] = grid.affine[:3, :3] * factors
    affine[:3, 3] = grid.to_ras((factors - 1) / 2)
    return Grid((shape[0], shape[1], shape[2]), affine)


def extent_on(window: Grid, target: Grid) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The voxels of `target` that may lie in the window: start and stop (3,), clipped to the target; may be empty."""
    corners = target.to_ijk(window.to_ras(corners_ijk(window.shape)))
    start = np.clip(np.floor(corners.min(axis=0)).astype(np.int64), 0, target.shape)
    stop = np.clip(np.ceil(corners.max(axis=0)).astype(np.int64) + 1, 0, target.shape)
    return start, np.maximum(start, stop)


def _block(step: Float, shape: tuple[int, int, int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    corners = corners_ijk(shape) @ step[:3, :3].T + step[:3, 3]
    return np.floor(corners.min(axis=0)).astype(np.int64) - 1, np.ceil(corners.max(axis=0)).astype(np.int64) + 2


def _take(array: NDArray[Any], low: NDArray[np.int64], high: NDArray[np.int64], *, reflect: bool) -> NDArray[Any]:
    if (low >= 0).all() and (high <= array.shape).all():
        return array[low[0] : high[0], low[1] : high[1], low[2] : high[2]]
    index = [np.arange(a, b) for a, b in zip(low, high, strict=True)]
    mirrored = [_mirror(axis, size) for axis, size in zip(index, array.shape, strict=True)]
    first = [int(axis.min()) for axis in mirrored]
    inner = array[tuple(slice(int(axis.min()), int(axis.max()) + 1) for axis in mirrored)]
    block = inner[np.ix_(*[axis - start for axis, start in zip(mirrored, first, strict=True)])]
    if not reflect:
        for axis, size in enumerate(array.shape):
            beyond = (index[axis] < 0) | (index[axis] >= size)
            block[(slice(None),) * axis + (beyond,)] = 0
    return block


def _mirror(index: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    period = 2 * size
    folded = np.mod(index, period)
    return np.where(folded < size, folded, period - 1 - folded)


def _interpolate(
    block: NDArray[Any],
    low: NDArray[np.int64],
    step: Float,
    shape: tuple[int, int, int],
    *,
    shrink: list[int],
    outside: float,
) -> Float32:
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(np.ascontiguousarray(block.T, dtype=np.float32))
    image.SetOrigin([float(value) for value in low])
    if max(shrink) > 1:
        image = sitk.BinShrink(image, [min(factor, size) for factor, size in zip(shrink, block.shape, strict=True)])
    transform = sitk.AffineTransform(3)
    transform.SetMatrix([float(value) for value in step[:3, :3].ravel()])
    transform.SetTranslation([float(value) for value in step[:3, 3]])
    result = sitk.Resample(
        image, [int(n) for n in shape], transform, sitk.sitkLinear, [0.0] * 3, [1.0] * 3, [1.0, 0, 0, 0, 1, 0, 0, 0, 1],
        outside, sitk.sitkFloat32,
    )  # fmt: skip
    return np.asarray(sitk.GetArrayFromImage(result).T, dtype=np.float32)
