"""Masks as other tools leave them, near the truth and wrong somewhere: to be repaired, not forgotten."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import ndimage as ndi

from inference_core.geometry.grid import squared_lengths
from inference_core.training.clicking import clicked_cell
from inference_core.training.synthetic import Mask, smooth_noise

_MOST_FAULTS = 3


def foreign_mask(rng: np.random.Generator, target: Mask) -> Mask:
    """A corrupted copy of a target (D, H, W): one to three faults. It is never empty and never all of the window."""
    mask = target
    for _ in range(int(rng.integers(1, _MOST_FAULTS + 1))):
        fault = _FAULTS[int(rng.integers(len(_FAULTS)))]
        faulty = fault(rng, mask)
        if faulty.any() and not faulty.all():
            mask = faulty
    return mask


def _dilated(rng: np.random.Generator, mask: Mask) -> Mask:
    return np.asarray(ndi.binary_dilation(mask, iterations=_depth(rng, mask)))


def _eroded(rng: np.random.Generator, mask: Mask) -> Mask:
    return np.asarray(ndi.binary_erosion(mask, iterations=_depth(rng, mask)))


def _shifted(rng: np.random.Generator, mask: Mask) -> Mask:
    reach = 1 + _depth(rng, mask)
    return np.asarray(ndi.shift(mask.astype(np.uint8), rng.integers(-reach, reach + 1, 3), order=0) > 0)


def _bitten(rng: np.random.Generator, mask: Mask) -> Mask:
    """A ball is missing."""
    return np.asarray(mask & ~_ball(rng, mask, around=mask))


def _bulged(rng: np.random.Generator, mask: Mask) -> Mask:
    """A ball at the rim is too much."""
    return np.asarray(mask | _ball(rng, mask, around=ndi.binary_dilation(mask, iterations=2) & ~mask))


def _spotted(rng: np.random.Generator, mask: Mask) -> Mask:
    """A ball elsewhere is too much."""
    return np.asarray(mask | _ball(rng, mask, around=~mask))


def _warped(rng: np.random.Generator, mask: Mask) -> Mask:
    """The border wanders in and out."""
    depth = ndi.distance_transform_edt(mask) - ndi.distance_transform_edt(~mask)
    size = max(mask.shape)
    noise = smooth_noise(rng, size, int(rng.integers(4, 10)))[tuple(slice(n) for n in mask.shape)]
    return np.asarray(depth + _depth(rng, mask) * noise > 0)


def _ball(rng: np.random.Generator, mask: Mask, *, around: Mask) -> Mask:
    if not around.any():
        return np.zeros_like(mask)
    center = clicked_cell(rng, around)
    radius = _radius(mask) * rng.uniform(0.25, 0.8)
    squares = squared_lengths([np.arange(n) - c for n, c in zip(mask.shape, center, strict=True)])
    return np.asarray(squares <= max(1.0, radius) ** 2)


def _radius(mask: Mask) -> float:
    """Of a ball of the mask's volume, in voxels."""
    return float((3 * mask.sum() / (4 * np.pi)) ** (1 / 3))


def _depth(rng: np.random.Generator, mask: Mask) -> int:
    return int(np.clip(np.round(_radius(mask) * rng.uniform(0.08, 0.35)), 1, 6))


_FAULTS: tuple[Callable[[np.random.Generator, Mask], Mask], ...] = (
    _dilated,
    _eroded,
    _shifted,
    _bitten,
    _bulged,
    _spotted,
    _warped,
)
