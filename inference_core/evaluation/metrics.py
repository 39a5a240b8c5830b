"""How alike two masks are. Masks are (i, j, k), on the same grid.

Two empty masks agree perfectly (1.0); an empty and a non-empty one not at all (0.0).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference_core.errors import VolumeError
from inference_core.evaluation.extras import optional
from inference_core.geometry.grid import Grid
from inference_core.geometry.mask import VoxelBox

Mask = NDArray[np.bool_]


def dice(mask: Mask, truth: Mask) -> float:
    """Twice the shared voxels over the sum of both, 0..1.

    Raises:
        VolumeError: the masks differ in shape.
    """
    _check_shapes(mask, truth)
    total = np.count_nonzero(mask) + np.count_nonzero(truth)
    return float(2 * np.count_nonzero(np.logical_and(mask, truth)) / total) if total else 1.0


def intersection_over_union(mask: Mask, truth: Mask) -> float:
    """The shared voxels over those of either, 0..1.

    Raises:
        VolumeError: the masks differ in shape.
    """
    _check_shapes(mask, truth)
    either = np.count_nonzero(np.logical_or(mask, truth))
    return float(np.count_nonzero(np.logical_and(mask, truth)) / either) if either else 1.0


def surface_dice(mask: Mask, truth: Mask, *, spacing: tuple[float, float, float], tolerance_mm: float) -> float:
    """Normalized surface distance: the share of both surfaces that lies within a tolerance of the other one, 0..1.

    Surfaces are weighted by area (marching cubes), so anisotropic voxels count by their size in mm: Nikolov et al.,
    arXiv:1809.04430, as implemented in MONAI.

    Raises:
        VolumeError: the masks differ in shape.
        SAM3DError: MONAI is not installed.
    """
    _check_shapes(mask, truth)
    either = np.logical_or(mask, truth)
    if not either.any():
        return 1.0
    if not (np.any(mask) and np.any(truth)):
        return 0.0
    torch, monai = optional("torch"), optional("monai.metrics")
    pair = _cropped_pair(mask, truth, either, torch)
    with _without_future_warnings():
        result = monai.compute_surface_dice(
            *pair, class_thresholds=[tolerance_mm], include_background=True, spacing=list(spacing), use_subvoxels=True
        )
    return float(result)


def hausdorff95(mask: Mask, truth: Mask, *, spacing: tuple[float, float, float]) -> float:
    """The 95th percentile of the distances between two surfaces, the larger of both directions, in mm (MONAI's).

    Infinite where one mask is empty and the other is not; 0 where both are.

    Raises:
        VolumeError: the masks differ in shape.
        SAM3DError: MONAI is not installed.
    """
    return hausdorff(mask, truth, spacing=spacing, percentile=95)


def hausdorff(
    mask: Mask, truth: Mask, *, spacing: tuple[float, float, float], percentile: float | None = None
) -> float:
    """The longest distance from either surface to the other, or a percentile of them, as `hausdorff95`."""
    _check_shapes(mask, truth)
    either = np.logical_or(mask, truth)
    if not either.any():
        return 0.0
    if not (np.any(mask) and np.any(truth)):
        return float("inf")
    torch, monai = optional("torch"), optional("monai.metrics")
    pair = _cropped_pair(mask, truth, either, torch)
    how = {"include_background": True, "percentile": percentile, "spacing": list(spacing)}
    with _without_future_warnings():
        return float(monai.compute_hausdorff_distance(*pair, **how))


def volume_ml(mask: Mask, grid: Grid) -> float:
    """Volume of a mask on a grid, in milliliters.

    Raises:
        VolumeError: the mask does not have the grid's shape.
    """
    if mask.shape != grid.shape:
        raise VolumeError(
            f"The mask has {mask.shape} voxels but its grid {grid.shape}; resample it onto the grid first."
        )
    return float(np.count_nonzero(mask) * grid.voxel_volume_mm3 / 1000)


@contextmanager
def _without_future_warnings() -> Iterator[None]:
    """MONAI warns of its own internal calls."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield


def _cropped_pair(mask: Mask, truth: Mask, either: Mask, torch: Any) -> list[Any]:
    """Both as tensors (1, 1, i, j, k) around what they hold.

    A layer of background closes surfaces that the crop, or the border of the image, would leave open.
    """
    box = VoxelBox.over(either)
    assert box is not None, "one of them holds something"
    parts = (np.pad(np.asarray(part[box.slices()], dtype=np.float32), 1) for part in (mask, truth))
    return [torch.from_numpy(part)[None, None] for part in parts]


def _check_shapes(mask: Mask, truth: Mask) -> None:
    if mask.shape != truth.shape:
        raise VolumeError(f"The masks have {mask.shape} and {truth.shape} voxels; resample one onto the other's grid.")
