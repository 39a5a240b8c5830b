"""Targets that are easily passed over: a few voxels in real tissue, and a lesion inside a limb not much wider."""

from __future__ import annotations

import numpy as np
from scipy import ndimage as ndi

from inference_core.geometry.grid import squared_lengths
from inference_core.training.synthetic import Array, Mask, Sample, smooth_noise

_FEWEST, _MOST = 1, 60


def tiny_lesion_into(rng: np.random.Generator, image: Array) -> Sample:
    """A real window with a lesion of one to some sixty voxels that differs from the tissue around it."""
    size = image.shape[0]
    center = rng.uniform(0.15, 0.85, 3) * size
    voxels = np.exp(rng.uniform(np.log(_FEWEST), np.log(_MOST)))
    radii = (3 * voxels / (4 * np.pi)) ** (1 / 3) * np.exp(rng.uniform(-0.25, 0.25, 3))
    inside = _ellipsoid(size, center, radii) <= 1
    inside[tuple(np.round(center).astype(int))] = True
    around = ndi.binary_dilation(inside, iterations=3) & ~inside
    spread = float(image[around].std()) + 0.1 * float(image.std())
    level = float(image[around].mean()) + float(rng.choice([-1, 1]) * rng.uniform(1.5, 4.0)) * spread
    share = ndi.gaussian_filter(inside.astype(np.float32), rng.uniform(0.2, 0.6))
    share /= share.max()
    lesion = level + rng.uniform(0, 0.3) * spread * rng.standard_normal(image.shape, dtype=np.float32)
    return Sample((image * (1 - share) + lesion * share).astype(np.float32), inside, float(inside.sum()))


def lesion_in_limb(rng: np.random.Generator, size: int) -> Sample:
    """A long limb in air, perhaps with a bone, and a lesion inside it that is fainter than the limb against the air."""
    limb, across = _limb(rng, size)
    while True:
        center = _random_cell(rng, limb & (across < 0.7))
        radii = size * rng.uniform(0.03, 0.12) * np.exp(rng.uniform(-0.3, 0.3, 3))
        lesion = (_ellipsoid(size, center, radii) + 0.2 * smooth_noise(rng, size, 6) <= 1) & limb
        if lesion.sum() >= 4:
            break
    tissue, air, contrast = rng.uniform(0.4, 0.7), rng.uniform(-0.2, 0.1), rng.choice([-1, 1]) * rng.uniform(0.08, 0.4)
    image = np.where(limb, tissue + rng.uniform(0, 0.08) * smooth_noise(rng, size, size // 4), air)
    if rng.random() < 0.5:
        image[across < rng.uniform(0.15, 0.35)] = tissue + rng.choice([-1, 1]) * rng.uniform(0.3, 1.5)
    image[lesion] = tissue + contrast + rng.uniform(0, 0.05) * smooth_noise(rng, size, size // 3)[lesion]
    image = ndi.gaussian_filter(image.astype(np.float32), rng.uniform(0.2, 1.0, 3))
    image += np.float32(rng.uniform(0, 0.05)) * rng.standard_normal(image.shape, dtype=np.float32)
    return Sample(image.astype(np.float32), lesion, float(lesion.sum()))


def _limb(rng: np.random.Generator, size: int) -> tuple[Mask, Array]:
    """A tapered cylinder of any direction, and how far from its axis each voxel lies, in radii."""
    direction = rng.standard_normal(3)
    direction /= np.linalg.norm(direction)
    grid = np.stack(np.meshgrid(*[np.arange(size, dtype=np.float32)] * 3, indexing="ij"), axis=-1)
    offset = grid - rng.uniform(0.4, 0.6, 3) * size
    along = offset @ direction
    radius = size * rng.uniform(0.1, 0.28) * (1 + rng.uniform(-0.3, 0.3) * along / size)
    across = np.linalg.norm(offset - along[..., None] * direction, axis=-1) / radius
    across += 0.06 * smooth_noise(rng, size, 6)
    return np.asarray(across < 1), across.astype(np.float32)


def _ellipsoid(size: int, center: np.ndarray, radii: np.ndarray) -> Array:
    """The distance from a center in radii (D, H, W)."""
    squares = squared_lengths([(np.arange(size) - c) / r for c, r in zip(center, radii, strict=True)])
    return np.asarray(np.sqrt(squares), dtype=np.float32)


def _random_cell(rng: np.random.Generator, mask: Mask) -> np.ndarray:
    cells = np.argwhere(mask)
    return np.asarray(cells[rng.integers(len(cells))])
