"""The geometry of SAM-Med3D's official script: how it cuts its window, and how it lays the mask back.

The script resamples the whole volume to 1.5 mm, turns it to the nearest right-anterior-superior axes, and takes 128
voxels a side around a label or a click, zero beyond the volume. Two things in it surprise. Integer voxels stay so, and
interpolated values lose their fraction. And the resampled grid starts at the volume's corner (torchio up to
0.20.9, which the model was developed with) or shares its center (torchio from 0.20.17 on), which moves every voxel.

Where a slice of the original lies exactly between two of the window, as every 3 mm slice does, rounding noise decides
which of them is taken.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inference_core.geometry.grid import LPS_FROM_RAS, Float, Grid
from inference_core.geometry.mask import VoxelBox
from inference_core.geometry.volume import Volume
from inference_core.io.itk import sitk_from_array, volume_from_sitk
from inference_core.models.interface import WindowImage

ORIGINAL_SPACING_MM = 1.5
ORIGINAL_SIZE = 128


def original_volume(
    volume: Volume, *, spacing: float = ORIGINAL_SPACING_MM, labels: bool = False, centered: bool = False
) -> Volume:
    """The whole volume at the official spacing, in axes nearest to right, anterior, superior, its voxel type kept.

    `labels` takes the nearest voxel instead of interpolating; `centered` follows torchio 0.20.17 and later.
    """
    grid = resampled_grid(volume.grid, spacing, centered=centered)
    return canonical(Volume(_resample(volume, grid, nearest=labels), grid, volume.name))


def original_window(
    volume: Volume,
    *,
    center_ras: ArrayLike | None = None,
    label: Volume | None = None,
    size: int = ORIGINAL_SIZE,
    spacing: float = ORIGINAL_SPACING_MM,
    centered: bool = False,
) -> WindowImage:
    """The window the official script would show the model, raw values in float32, `size` voxels a side.

    It lies around the bounding box of `label` (non-zero voxels, on the volume's grid), else around the voxel at
    `center_ras` (RAS mm), else, and where resampling leaves nothing of the label, around the middle of the volume.
    """
    image = original_volume(volume, spacing=spacing, centered=centered)
    begin = np.asarray(image.grid.shape) // 2 - size // 2
    if label is not None:
        whole = original_volume(label, spacing=spacing, labels=True, centered=centered)
        begin = begin_around(whole.array, size) if whole.array.any() else begin
    elif center_ras is not None:
        begin = np.asarray(image.grid.voxel_of(center_ras)) - size // 2
    cut = crop_or_pad(image, begin, size=size)
    return WindowImage(cut.array.astype(np.float32), cut.grid)


def original_mask_on(grid: Grid, mask: Volume) -> Volume:
    """A window's mask on another grid, each voxel from the nearest of the window (halves round up), 0 outside it."""
    values = _resample(Volume(mask.array.astype(np.uint8), mask.grid), grid, nearest=True)
    return Volume(values.astype(np.bool_), grid, mask.name)


def resampled_grid(grid: Grid, spacing: float, *, centered: bool = False) -> Grid:
    """The grid of cubic voxels that torchio resamples to: from the first corner on, or of one center (`centered`)."""
    old_spacing, old_size = np.asarray(grid.spacing), np.asarray(grid.shape)
    extent = old_size * old_spacing / spacing
    size = np.maximum(np.floor(extent) if centered else np.ceil(extent), 1).astype(np.int64)
    size[old_size == 1] = 1
    first = 0.5 * (spacing / old_spacing - 1)
    if centered:
        first = (old_size - 1) / 2 - (size - 1) / 2 * spacing / old_spacing
    affine = grid.affine.copy()
    affine[:3, :3] = grid.affine[:3, :3] / old_spacing * spacing
    affine[:3, 3] = grid.to_ras(first)
    return Grid((int(size[0]), int(size[1]), int(size[2])), affine)


def canonical(volume: Volume) -> Volume:
    """The same voxels in the axis order and directions nearest to right, anterior, superior; a view, not a copy."""
    order, flips = _orientation(volume.grid)
    array = volume.array.transpose(order)
    array = array[tuple(slice(None, None, -1 if flip else 1) for flip in flips)]
    turn = np.zeros((4, 4))
    turn[3, 3] = 1
    for axis, (source, flip) in enumerate(zip(order, flips, strict=True)):
        turn[source, axis] = -1 if flip else 1
        turn[source, 3] = volume.grid.shape[source] - 1 if flip else 0
    return Volume(array, Grid(array.shape, volume.grid.affine @ turn), volume.name)


def begin_around(label: NDArray[Any], size: int) -> NDArray[np.int64]:
    """The first voxel (3,) of a window around the bounding box of a label's non-zero voxels."""
    box = VoxelBox.over(label)
    assert box is not None, "the label holds something"
    return (box.start + box.stop) // 2 - size // 2


def crop_or_pad(volume: Volume, begin: ArrayLike, *, size: int) -> Volume:
    """The cube of `size` voxels a side that starts at voxel `begin` (3,), 0 where it leaves the volume."""
    first = np.asarray(begin, dtype=np.int64)
    low, high = np.maximum(first, 0), np.minimum(first + size, volume.grid.shape)
    array = np.zeros((size, size, size), dtype=volume.array.dtype)
    if (low < high).all():
        inner = tuple(slice(a, b) for a, b in zip(low - first, high - first, strict=True))
        array[inner] = volume.array[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    # In two steps, pad and then crop, as torchio does it: so ties in the way back round as they do there.
    padded = volume.grid.cropped(np.minimum(first, 0), np.maximum(first + size, volume.grid.shape))
    start = np.maximum(first, 0)
    return Volume(array, padded.cropped(start, start + size), volume.name)


def _resample(volume: Volume, grid: Grid, *, nearest: bool) -> NDArray[Any]:
    """Voxels (i, j, k) on another grid in the volume's type, 0 outside it; ITK truncates interpolated integers."""
    import SimpleITK as sitk

    image = sitk_from_array(_for_itk(volume.array), volume.grid)
    lps = LPS_FROM_RAS @ grid.affine
    directions: Float = lps[:3, :3] / np.asarray(grid.spacing)
    result = sitk.Resample(
        image,
        list(grid.shape),
        sitk.Transform(),
        sitk.sitkNearestNeighbor if nearest else sitk.sitkLinear,
        lps[:3, 3].tolist(),
        list(grid.spacing),
        directions.ravel().tolist(),
        0.0,
        image.GetPixelID(),
    )
    return volume_from_sitk(result).array


def _for_itk(array: NDArray[Any]) -> NDArray[Any]:
    """The array in a type and byte order that ITK holds."""
    if array.dtype == np.bool_:
        return array.astype(np.uint8)
    if array.dtype == np.float16:
        return array.astype(np.float32)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _orientation(grid: Grid) -> tuple[list[int], list[bool]]:
    """For right, anterior, superior in turn: the index axis nearest to it, and whether it runs the other way.

    An axis is used once; the axis that lies closest to a patient axis chooses first.
    """
    directions = grid.directions
    free = np.abs(directions)
    order, flips = [0, 0, 0], [False, False, False]
    for source in np.argsort(-free.max(axis=0), kind="stable"):
        target = int(free[:, source].argmax())
        free[target] = -1
        order[target], flips[target] = int(source), bool(directions[target, source] < 0)
    return order, flips
