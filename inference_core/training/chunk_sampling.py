"""Chunks of slices as Medical SAM Adapter's loader cuts and changes them (specification 3.1).

Legend: X Y Z a volume at 1.5 x 1.5 x 2 mm, R the side of a crop, n slices of it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

CROP = 96
_FLIP, _TURN, _SHIFT = 0.1, 0.1, 0.5
_LARGEST_SHIFT = 0.1

Pair = tuple[NDArray[np.float32], NDArray[np.integer]]


def random_crop(image: NDArray[Any], labels: NDArray[Any], rng: np.random.Generator, *, slices: int) -> Pair:
    """A crop (R, R, n) with a labeled voxel in its middle, or as often another one; less where the volume is smaller.

    A volume of fewer slices is repeated at its last one.
    """
    shape = np.minimum(image.shape, (CROP, CROP, slices))
    inside = rng.random() < 0.5
    voxels = np.flatnonzero((np.asarray(labels) > 0) == inside)
    middle = np.array(np.unravel_index(int(rng.choice(voxels)) if len(voxels) else 0, labels.shape))
    start = np.clip(middle - shape // 2, 0, np.array(image.shape) - shape)
    part = tuple(slice(int(a), int(a + size)) for a, size in zip(start, shape, strict=True))
    return _deep_enough(image[part], slices), _deep_enough(labels[part], slices)


def whole_slices(image: NDArray[Any], labels: NDArray[Any], rng: np.random.Generator, *, slices: int) -> Pair:
    """A chunk of whole slices (X, Y, n) with a labeled one in its middle, as far as the volume's ends allow."""
    held = np.flatnonzero(np.asarray(labels).any(axis=(0, 1)))
    start = int(np.clip(rng.choice(held) - slices // 2, 0, max(0, image.shape[2] - slices)))
    part = slice(start, start + slices)
    return _deep_enough(image[:, :, part], slices), _deep_enough(labels[:, :, part], slices)


def changed(image: NDArray[np.float32], labels: NDArray[Any], rng: np.random.Generator) -> Pair:
    """Flipped along each axis, turned by quarters within the slices, and shifted in gray value, each now and then."""
    axes = tuple(axis for axis in range(3) if rng.random() < _FLIP)
    image, labels = np.flip(image, axes), np.flip(labels, axes)
    if rng.random() < _TURN:
        turns = int(rng.integers(1, 4))
        image, labels = np.rot90(image, turns), np.rot90(labels, turns)
    if rng.random() < _SHIFT:
        image = image + np.float32(rng.uniform(-_LARGEST_SHIFT, _LARGEST_SHIFT))
    return image, labels


def _deep_enough(array: NDArray[Any], slices: int) -> NDArray[Any]:
    missing = slices - array.shape[2]
    return np.pad(array, ((0, 0), (0, 0), (0, missing)), mode="edge") if missing > 0 else array
