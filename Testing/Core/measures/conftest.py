"""Random lesions on grids as scanners make them, and volumes around them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from inference_core.geometry.grid import Grid
from inference_core.geometry.mask import Mask
from inference_core.geometry.volume import Volume


def random_grid(rng: np.random.Generator, shape: tuple[int, int, int]) -> Grid:
    """Turned anyhow, with its axes in any order and of either hand, and with spacings of 0.4 to 5 mm."""
    turned, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    affine = np.eye(4)
    affine[:3, :3] = turned * rng.uniform(0.4, 5.0, 3)
    affine[:3, 3] = rng.uniform(-400, 400, 3)
    return Grid(shape, affine)


def random_voxels(rng: np.random.Generator, shape: tuple[int, int, int]) -> np.ndarray:
    """One of: a smooth lump, scattered voxels, two lumps apart, a crescent, a single line or voxel."""
    ijk = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), axis=-1)

    def lump():
        center, radius = rng.uniform(0.2, 0.8, 3) * shape, rng.uniform(0.1, 0.5, 3) * shape
        return (((ijk - center) / radius) ** 2).sum(axis=-1) < 1

    kind = rng.integers(5)
    if kind == 0:
        voxels = lump()
    elif kind == 1:
        voxels = rng.random(shape) < rng.uniform(0.01, 0.5)
    elif kind == 2:
        voxels = lump() | lump()
    elif kind == 3:
        voxels = lump() & ~lump()
    else:
        voxels = np.zeros(shape, dtype=bool)
        voxels[rng.integers(shape[0]), rng.integers(shape[1]), : rng.integers(1, shape[2])] = True
    if not voxels.any():
        voxels[tuple(rng.integers(shape))] = True
    return voxels


@pytest.fixture
def random_lesions() -> Callable[[int], list[tuple[Mask, Grid]]]:
    """So many masks, each on a grid of its own."""

    def make(number: int) -> list[tuple[Mask, Grid]]:
        rng = np.random.default_rng(14)
        made = []
        for _ in range(number):
            shape = tuple(int(n) for n in rng.integers(4, 15, 3))
            made.append((Mask.of(random_voxels(rng, shape)), random_grid(rng, shape)))
        return made

    return make


@pytest.fixture
def a_ball() -> Callable[..., tuple[Mask, Volume]]:
    """A ball of a radius in mm off the voxels' centers, on a turned grid, in a volume of noise around 40."""

    def make(radius_mm: float, spacing=(0.7, 0.7, 1.0), *, value: float = 40.0, seed: int = 0):
        rng = np.random.default_rng(seed)
        half = [int(np.ceil(radius_mm / step)) + 3 for step in spacing]
        shape = tuple(2 * n + 1 for n in half)
        turned = random_grid(rng, shape).directions
        affine = np.eye(4)
        affine[:3, :3] = turned * spacing
        grid = Grid(shape, affine)
        offset = np.array(half) + rng.uniform(-0.5, 0.5, 3)
        ijk = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), axis=-1)
        voxels = (((ijk - offset) * spacing) ** 2).sum(axis=-1) <= radius_mm**2
        array = np.rint(rng.normal(value, 15, shape)).astype(np.int16)
        return Mask.of(voxels), Volume(array, grid, "ball")

    return make
