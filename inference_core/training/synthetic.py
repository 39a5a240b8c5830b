"""Procedurally generated windows of any modality: deformed shapes, textures, contrasts, blur, bias, outliers.

A window is a map of regions (an arg-max of smooth random fields, so that organs touch) with deformed ellipsoids,
branching tubes and shells laid into it; each region has its own intensity and texture. The target is one of them. Some
show a whole body in air, as a wide window does, where the lesion that is meant is small.
Arrays are (i, j, k) float32; no real data.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi

from inference_core.geometry.pieces import largest_piece

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]
_SMALLEST_TARGET = 24
_BODY_SHARE = 0.25


@dataclass(frozen=True, eq=False)
class Sample:
    """A window and what is to be segmented in it: image float32 (D, H, W), target bool (D, H, W).

    `whole` is the target's size in window voxels, with what lies outside the window.
    """

    image: Array
    target: Mask
    whole: float


def synthetic_sample(rng: np.random.Generator, size: int) -> Sample:
    """One random window of `size`^3 voxels with a non-empty target that fills at most 60 % of it."""
    while True:
        regions, lesions = random_regions(rng, size)
        target = _choose_target(rng, regions, lesions)
        in_air = rng.random() < _BODY_SHARE
        if in_air:
            air = _body_depth(rng, size) < 0
            regions[air] = regions.max() + 1
            target &= ~air
        if _SMALLEST_TARGET <= target.sum() <= 0.6 * target.size:
            return Sample(_paint(rng, regions, lesions, in_air=in_air), target, float(target.sum()))


def lesion_into(rng: np.random.Generator, image: Array) -> Sample:
    """A real background with an artificial lesion: a deformed blob whose intensity shifts the tissue it lies in."""
    size = image.shape[0]
    while True:
        inside = _blob_depth(rng, size) > 0
        if _SMALLEST_TARGET <= inside.sum() <= 0.3 * inside.size:
            break
    soft = ndi.gaussian_filter(inside.astype(np.float32), rng.uniform(0.4, 1.2))
    spread = float(image[inside].std()) + 0.15 * float(image.std())
    texture = smooth_noise(rng, size, int(rng.integers(size // 6, size // 2)))
    level = float(np.median(image[inside])) + float(rng.choice([-1, 1]) * rng.uniform(0.8, 3.0)) * spread
    lesion = level + rng.uniform(0.1, 0.8) * spread * texture + rng.uniform(0, 0.5) * (image - image[inside].mean())
    return Sample((image * (1 - soft) + lesion * soft).astype(np.float32), inside, float(inside.sum()))


def smooth_noise(rng: np.random.Generator, size: int, knots: int) -> Array:
    """A random field of unit variance, linear between `knots`^3 random values."""
    knots = max(3, min(knots, size))
    coarse = rng.standard_normal((knots,) * 3).astype(np.float32)
    for axis in range(3):
        position = np.linspace(0, knots - 1, size, dtype=np.float32)
        low = np.minimum(position.astype(np.int64), knots - 2)
        weight = (position - low).reshape([-1 if a == axis else 1 for a in range(3)])
        coarse = coarse.take(low, axis=axis) * (1 - weight) + coarse.take(low + 1, axis=axis) * weight
    return np.asarray(coarse / (coarse.std() + 1e-6), dtype=np.float32)


def random_regions(rng: np.random.Generator, size: int) -> tuple[NDArray[np.int64], list[int]]:
    """Region labels (D, H, W) and the labels among them that are lesions."""
    count = int(rng.integers(2, 8))
    knots = int(rng.integers(3, 9))
    rough = float(rng.uniform(0, 0.3))
    fields = [smooth_noise(rng, size, knots) + rough * smooth_noise(rng, size, size // 4) for _ in range(count)]
    regions = np.argmax(fields, axis=0).astype(np.int64)
    lesions: list[int] = []
    for _ in range(int(rng.integers(1, 5))):
        shape = _tube_depth(rng, size) if rng.random() < 0.15 else _blob_depth(rng, size)
        if (shape > 0).sum() >= _SMALLEST_TARGET:
            regions[shape > 0] = count + len(lesions)
            lesions.append(count + len(lesions))
    return regions, [label for label in lesions if (regions == label).sum() >= _SMALLEST_TARGET]


def _blob_depth(rng: np.random.Generator, size: int) -> Array:
    """Positive inside a deformed ellipsoid, anywhere in the window."""
    center = rng.uniform(0.1, 0.9, 3) * size
    radii = size * np.exp(rng.uniform(np.log(0.035), np.log(0.4))) * np.exp(rng.uniform(-0.4, 0.4, 3))
    axes = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    grid = np.stack(np.meshgrid(*[np.arange(size, dtype=np.float32)] * 3, indexing="ij"), axis=-1)
    local = ((grid - center) @ axes) / radii
    radius = np.sqrt((local**2).sum(axis=-1))
    bumps = rng.uniform(0, 0.3) * smooth_noise(rng, size, int(rng.integers(4, 9)))
    bumps += rng.uniform(0, 0.12) * smooth_noise(rng, size, size // 4)
    return np.asarray(1 - radius + bumps, dtype=np.float32)


def _body_depth(rng: np.random.Generator, size: int) -> Array:
    """Positive inside a smooth body that fills much of the window."""
    radii = size * rng.uniform(0.3, 0.6, 3)
    axes = [(np.arange(size) - (0.5 + rng.uniform(-0.15, 0.15)) * size) / radius for radius in radii]
    squares = [axis.reshape([-1 if a == n else 1 for a in range(3)]) ** 2 for n, axis in enumerate(axes)]
    return np.asarray(1 - np.sqrt(sum(squares)) + 0.1 * smooth_noise(rng, size, 4), dtype=np.float32)


def _tube_depth(rng: np.random.Generator, size: int) -> Array:
    """Positive inside a vessel-like tube along a random walk."""
    steps = 3 * size
    heading = ndi.gaussian_filter1d(rng.standard_normal((steps, 3)), size / 6, axis=0)
    heading += 0.05 * rng.standard_normal(3)
    path = np.cumsum(heading / (np.linalg.norm(heading, axis=1, keepdims=True) + 1e-6), axis=0) * 0.7
    path = np.round(path + rng.uniform(0.2, 0.8, 3) * size).astype(np.int64)
    path = path[((path >= 0) & (path < size)).all(axis=1)]
    line = np.ones((size,) * 3, dtype=bool)
    line[tuple(path.T)] = False
    radius = size * rng.uniform(0.03, 0.09)
    return np.asarray(radius - ndi.distance_transform_edt(line), dtype=np.float32)


def _choose_target(rng: np.random.Generator, regions: NDArray[np.int64], lesions: list[int]) -> Mask:
    if lesions and rng.random() < 0.75:
        chosen = int(rng.choice(lesions))
        target = np.asarray(regions == chosen)
        # A tumor with a core of another brightness is one target.
        return np.asarray(ndi.binary_fill_holes(target)) if rng.random() < 0.5 else target
    return largest_piece(regions == int(rng.integers(0, regions.max() + 1)))


def _paint(rng: np.random.Generator, regions: NDArray[np.int64], lesions: list[int], *, in_air: bool) -> Array:
    """Gray values of labeled regions; `in_air`: the last label is what surrounds the body."""
    size, count = regions.shape[0], int(regions.max()) + 1
    level = rng.uniform(0, 1, count)
    if rng.random() < 0.4:
        # Air, bone or metal: far from all other tissue, as on CT.
        level[rng.integers(0, count)] += float(rng.choice([-1, 1])) * rng.uniform(2, 8)
    if in_air:
        level[-1] = -rng.uniform(0, 4)
    for lesion in lesions:
        if rng.random() < 0.6:
            level[lesion] = level[int(rng.integers(0, count))] + float(rng.choice([-1, 1])) * rng.uniform(0.06, 0.35)
    texture = smooth_noise(rng, size, int(rng.integers(size // 6, size // 2)))
    image = level[regions] + (rng.uniform(0, 0.1, count) * (rng.random(count) < 0.7))[regions] * texture
    if rng.random() < 0.5:
        image = image + rng.uniform(0, 0.15) * smooth_noise(rng, size, 4)
    blur = rng.uniform(0, 1.2, 3)
    if rng.random() < 0.4:
        blur[rng.integers(0, 3)] = rng.uniform(1, 3)
    image = ndi.gaussian_filter(image.astype(np.float32), blur)
    image += np.float32(rng.uniform(0, 0.08)) * rng.standard_normal(image.shape, dtype=np.float32)
    return np.asarray(image, dtype=np.float32)
