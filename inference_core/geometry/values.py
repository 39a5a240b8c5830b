"""What of a volume's values can be used: non-finite voxels are background, and some volumes deserve a caution.

Voxels are not finite outside a masked parametric map, or where a fit failed. They count as the lowest finite value near
them or, where all are positive, as 0, which is what Slicer shows in their place after reading NIfTI.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference_core.geometry.volume import Volume

_SAMPLES = 32
_MANY_SLICES = 300
_USUAL_MM = (0.01, 30.0)


def background_of(values: NDArray[Any]) -> float | None:
    """What non-finite voxels among these count as; None where no voxel is finite."""
    finite = values[np.isfinite(values)]
    return min(0.0, float(finite.min())) if finite.size else None


def with_background(values: NDArray[Any]) -> NDArray[Any]:
    """The values with those that are not finite as background; the very array where there are none, or all are so."""
    if not np.issubdtype(values.dtype, np.floating) or np.isfinite(values).all():
        return values
    background = background_of(values)
    return values if background is None else np.where(np.isfinite(values), values, values.dtype.type(background))


def is_constant(values: NDArray[Any]) -> bool:
    """Whether all finite voxels have one value. Most images show in a few voxels that they are not."""
    if not values.size:
        return True
    steps = tuple(slice(None, None, max(1, n // _SAMPLES)) for n in values.shape)
    return _is_flat(values[steps]) and _is_flat(values)


def unit_exponent(values: NDArray[Any]) -> int:
    """The power of two that brings the largest finite magnitude to about one, so that no unit is too small or large.

    Scaling by a power of two changes no digit: `np.ldexp(values, unit_exponent(values))`.
    """
    finite = values[np.isfinite(values)]
    largest = max(abs(float(finite.min())), abs(float(finite.max()))) if finite.size else 0.0
    return -int(np.frexp(largest)[1]) if largest > 0 else 0


def volume_cautions(volume: Volume) -> tuple[str, ...]:
    """Sentences about what looks wrong with a volume: its voxel size, or values that are all alike."""
    cautions = []
    if all(step == 1.0 for step in volume.grid.spacing) and max(volume.grid.shape) > _MANY_SLICES:
        cautions.append(
            "The voxel size is exactly 1 x 1 x 1 mm, as where a file has lost it; check that lengths are right."
        )
    elif min(volume.grid.spacing) < _USUAL_MM[0] or max(volume.grid.spacing) > _USUAL_MM[1]:
        size = " x ".join(f"{step:.3g}" for step in volume.grid.spacing)
        cautions.append(
            f"The voxel size of {size} mm is unusual, as where a file has no unit; check that lengths are right."
        )
    if is_constant(volume.array):
        cautions.append("All voxels have the same value; there is nothing to segment.")
    return tuple(cautions)


def _is_flat(values: NDArray[Any]) -> bool:
    if np.issubdtype(values.dtype, np.floating):
        values = values[np.isfinite(values)]
    return not values.size or bool(values.min() == values.max())
