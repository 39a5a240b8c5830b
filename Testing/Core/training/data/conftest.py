"""Data sets of a few voxels, on oblique grids, laid out as their publishers lay them out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from support.scenes import oblique_grid

from inference_core.geometry.grid import Grid
from inference_core.io.itk import sitk_from_array


@pytest.fixture
def a_grid() -> Grid:
    """Left-handed, oblique, of three sizes and three spacings."""
    base = oblique_grid(orientation=29, spacing=1, size_mm=8.0)
    return Grid((9, 7, 5), base.affine)


@pytest.fixture
def put(a_grid: Grid) -> Callable[..., Path]:
    """Write an array (i, j, k), or one of a seed's own, as a file on the grid, its folders too."""

    def write(path: Path, array: np.ndarray | int = 0, *, grid: Grid | None = None) -> Path:
        grid = grid or a_grid
        if isinstance(array, int):
            array = np.random.default_rng(array).integers(-500, 500, grid.shape).astype(np.int16)
        path.parent.mkdir(parents=True, exist_ok=True)
        sitk.WriteImage(sitk_from_array(array, grid), str(path))
        return path

    return write


@pytest.fixture
def a_label(a_grid: Grid) -> Callable[..., np.ndarray]:
    """A label map with a block of each of the values."""

    def of(*values: int, shape: tuple[int, int, int] | None = None) -> np.ndarray:
        labels = np.zeros(shape or a_grid.shape, dtype=np.uint8)
        for n, value in enumerate(values):
            labels[1 + 2 * n : 3 + 2 * n, 1:3, 1:3] = value
        return labels

    return of
