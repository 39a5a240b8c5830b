"""MA-SAM's augmentation of a stack of slices (specification 8): the same for all of its slices, in 8-bit gray values.

Legend: n slices, S rows and columns.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi

Stack = NDArray[np.float32]
Labels = NDArray[np.int64]
Rng = np.random.Generator

_GAMMA = (0.5, 3.5)
_DEGREES = 15.0
_SCALES, _SHEAR, _SHIFT = (0.8, 1.2), 0.3, 0.2
_ERASED = (0.02, 0.05)


def augmented_stack(images: Stack, labels: Labels, rng: Rng, *, moved: bool = True) -> tuple[Stack, Labels]:
    """A stack (n, S, S) in 0..1 and its labels, changed at random; `moved` allows scaling, shearing and shifting.

    Erased parts lose their labels too; beyond the image there is 0.
    """
    if rng.random() < 0.5:
        turns, axis = int(rng.integers(4)), int(rng.integers(1, 3))
        images, labels = _turned(images, turns, axis), _turned(labels, turns, axis)
    if rng.random() < 0.5:
        images, labels = _warped(images, labels, _rotation(rng))
    if rng.random() < 0.5:
        images = _eight_bit(images) ** np.float32(1 / rng.uniform(*_GAMMA))
    if rng.random() < 0.5:
        images, labels = _erased(images, labels, rng)
    gray, geometric = _gray_changes(rng), _geometric_changes(rng) if moved else []
    chosen = rng.choice(len(gray) + len(geometric), 2, replace=False)
    for number in chosen:
        if number < len(gray):
            images = gray[number](images)
        else:
            images, labels = _warped(images, labels, geometric[number - len(gray)])
    return images.astype(np.float32), labels


def _turned(stack: NDArray[Any], turns: int, axis: int) -> NDArray[Any]:
    return np.ascontiguousarray(np.flip(np.rot90(stack, turns, (1, 2)), axis))


def _gray_changes(rng: Rng) -> list[Callable[[Stack], Stack]]:
    levels = 2.0 ** rng.integers(4, 9) - 1
    factor, sharpness = rng.uniform(0.7, 1.3), rng.uniform(0.1, 1.9)
    return [
        lambda x: np.floor(x * levels) / levels,
        lambda x: np.clip((x - x.mean()) * factor + x.mean(), 0, 1),
        lambda x: np.clip(x * factor, 0, 1),
        lambda x: np.clip(_smooth(x) + sharpness * (x - _smooth(x)), 0, 1),
        lambda x: x,
    ]


def _geometric_changes(rng: Rng) -> list[NDArray[np.float64]]:
    """Matrices (3, 3) from the new pixels to the old ones, in rows and columns of an image of size 1."""
    scale, shear, shift = rng.uniform(*_SCALES), rng.uniform(-_SHEAR, _SHEAR), rng.uniform(-_SHIFT, _SHIFT)
    made = [np.eye(3) for _ in range(5)]
    made[0][0, 0] = made[0][1, 1] = 1 / scale
    made[1][1, 0], made[2][0, 1] = shear, shear
    made[3][1, 2], made[4][0, 2] = shift, shift
    return made


def _rotation(rng: Rng) -> NDArray[np.float64]:
    angle = np.deg2rad(rng.uniform(-_DEGREES, _DEGREES))
    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
    to_center = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    return np.asarray(to_center @ turn @ np.linalg.inv(to_center))


def _warped(images: Stack, labels: Labels, matrix: NDArray[np.float64]) -> tuple[Stack, Labels]:
    """Both by the nearest pixel, as the authors do it."""
    size = images.shape[1]
    turn, offset = matrix[:2, :2], matrix[:2, 2] * size
    warp: Callable[[NDArray[np.generic]], NDArray[np.generic]] = lambda x: np.stack(  # noqa: E731
        [ndi.affine_transform(one, turn, offset, order=0, mode="constant", cval=0) for one in x]
    )
    return warp(images), warp(labels)  # type: ignore[return-value]


def _erased(images: Stack, labels: Labels, rng: Rng) -> tuple[Stack, Labels]:
    size = images.shape[1]
    area, ratio = rng.uniform(*_ERASED) * size**2, np.exp(rng.uniform(-1.0, 1.0))
    shape = [int(np.clip(round(np.sqrt(area * r)), 1, size)) for r in (ratio, 1 / ratio)]
    start = [int(rng.integers(size - edge + 1)) for edge in shape]
    part = (slice(None), *(slice(first, first + edge) for first, edge in zip(start, shape, strict=True)))
    images, labels = images.copy(), labels.copy()
    images[part] = rng.random(images[part].shape, dtype=np.float32)
    labels[part] = 0
    return images, labels


def _eight_bit(images: Stack) -> Stack:
    return np.round(np.clip(images, 0, 1) * 255).astype(np.float32) / np.float32(255)


def _smooth(images: Stack) -> Stack:
    kernel = np.array([[[1, 1, 1], [1, 5, 1], [1, 1, 1]]], dtype=np.float32) / 13
    return np.asarray(ndi.convolve(images, kernel, mode="nearest"), dtype=np.float32)
