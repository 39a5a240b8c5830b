"""Reading a window straight from a volume, and laying a window's values back onto voxels.

Only the voxels under the window are touched, so the cost does not depend on the volume's length. Where the window is
coarser than the volume, voxels are averaged first (no aliasing). Interpolation happens in index space: its physical
space is the source's (i, j, k), so orientation is one 4x4 matrix and never a convention. Where the axes of two grids
match, as a window's and its volume's do, it is done axis by axis; SimpleITK does it where they do not.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inference_core.errors import VolumeError
from inference_core.geometry.axes import interpolate_along, matching_axes
from inference_core.geometry.block_mean import block_mean
from inference_core.geometry.grid import Float, Grid, corners_ijk
from inference_core.geometry.values import background_of
from inference_core.geometry.volume import Volume

Float32 = NDArray[np.float32]
_DECIMALS = 6


def sample_window(volume: Volume, window: Grid, *, reflect: bool, beyond: float = 0.0) -> Float32:
    """Sample a volume on a window grid, linearly, float32 in the window's (i, j, k) order.

    Beyond the volume the image is mirrored (`reflect`) or has the value `beyond`. Voxels that are not finite are
    background (`geometry.values`).

    Raises:
        VolumeError: the window meets no voxel that is finite.
    """
    step = volume.grid.inverse @ window.affine
    bins = [max(1, int(np.linalg.norm(row) + 1e-6)) for row in step[:3, :3]]
    low, high = _binned(*_block(step, window.shape), bins, step)
    means = block_mean(volume.array, low, high, bins=tuple(bins), reflect=reflect)
    if np.issubdtype(volume.array.dtype, np.floating) and not np.isfinite(means).all():
        background = background_of(volume.array[_overlap(low, high, volume.grid.shape)])
        if background is None:
            raise VolumeError(
                "'{name}' has no finite value around the prompts; place them on the image.", name=volume.name
            )
        means = block_mean(volume.array, low, high, bins=tuple(bins), reflect=reflect, background=background)
    if beyond and not reflect:
        means += np.float32(beyond) * (1 - _share_inside(low, high, bins, volume.grid.shape))
    to_bins = _scaling(low + (np.asarray(bins) - 1) / 2, bins)
    return _interpolate(means, np.linalg.inv(to_bins) @ step, window.shape, outside=beyond)


def resample_onto(values: Float32, window: Grid, target: Grid, *, outside: float) -> Float32:
    """Interpolate a window's values (spanning its grid edge to edge) at the voxels of another grid.

    `values` may be coarser or finer than `window.shape`; both cover the same extent. Voxels outside get `outside`.
    """
    source = window if values.shape == window.shape else rescaled(window, values.shape)
    step = source.inverse @ target.affine
    axes = matching_axes(step, target.shape)
    if axes is None:
        return _interpolate(values, step, target.shape, outside=outside)
    return interpolate_along(values, step, target.shape, axes=axes, outside=outside)


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


def extent_within(window: Grid, margin: ArrayLike, target: Grid) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The voxels of `target`, of the same axes, that lie at least `margin` window voxels inside the window's faces."""
    low = np.asarray(margin) - 0.5
    corners = target.to_ijk(window.to_ras(np.array([low, np.asarray(window.shape) - 1 - low])))
    start = np.clip(np.ceil(corners.min(axis=0)).astype(np.int64), 0, target.shape)
    stop = np.clip(np.floor(corners.max(axis=0)).astype(np.int64) + 1, 0, target.shape)
    return start, np.maximum(start, stop)


def _block(step: Float, shape: tuple[int, int, int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    # Rounded, so that a face between two voxels stays there whichever way they are counted.
    corners = np.round(corners_ijk(shape) @ step[:3, :3].T + step[:3, 3], _DECIMALS)
    return np.floor(corners.min(axis=0)).astype(np.int64) - 1, np.ceil(corners.max(axis=0)).astype(np.int64) + 2


def _binned(
    low: NDArray[np.int64], high: NDArray[np.int64], bins: list[int], step: Float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The block extended to whole bins, at the same side in the patient in whatever direction its voxels are stored.

    That is where the indices end of a volume stored towards left, posterior and superior, as most are.
    """
    beyond = -(high - low) % bins
    along = np.abs(step[:3, :3]).argmax(axis=1)
    rising = step[range(3), along] > 0
    at_end = rising == (along == 2)
    return np.where(at_end, low, low - beyond), np.where(at_end, high + beyond, high)


def _overlap(low: NDArray[np.int64], high: NDArray[np.int64], shape: tuple[int, int, int]) -> tuple[slice, ...]:
    """The voxels of a volume of this shape among low <= ijk < high."""
    return tuple(slice(max(0, int(a)), max(0, min(n, int(b)))) for a, b, n in zip(low, high, shape, strict=True))


def _share_inside(
    low: NDArray[np.int64], high: NDArray[np.int64], bins: list[int], shape: tuple[int, int, int]
) -> Float32:
    """The share of each bin's voxels, low <= ijk < high, that a volume of this shape has."""
    shares = []
    for axis, size in enumerate(bins):
        index = np.arange(low[axis], high[axis])
        shares.append(((index >= 0) & (index < shape[axis])).reshape(-1, size).mean(axis=1))
    return np.asarray(np.einsum("i,j,k->ijk", *shares), dtype=np.float32)


def _scaling(origin: Float, steps: ArrayLike) -> Float:
    matrix = np.diag([*np.asarray(steps, dtype=np.float64), 1.0])
    matrix[:3, 3] = origin
    return matrix


def _interpolate(values: NDArray[Any], step: Float, shape: tuple[int, int, int], *, outside: float) -> Float32:
    """Linear interpolation of values at step @ ijk for all voxels ijk of a shape."""
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(np.ascontiguousarray(values.T, dtype=np.float32))
    transform = sitk.AffineTransform(3)
    transform.SetMatrix([float(value) for value in step[:3, :3].ravel()])
    transform.SetTranslation([float(value) for value in step[:3, 3]])
    result = sitk.Resample(
        image, [int(n) for n in shape], transform, sitk.sitkLinear, [0.0] * 3, [1.0] * 3, [1.0, 0, 0, 0, 1, 0, 0, 0, 1],
        outside, sitk.sitkFloat32,
    )  # fmt: skip
    return np.asarray(sitk.GetArrayFromImage(result).T, dtype=np.float32)
