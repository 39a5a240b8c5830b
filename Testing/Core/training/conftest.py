"""Labeled patients small enough to be read in a moment, on grids as scanners make them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from support.scenes import oblique_grid, spheres

from inference_core.geometry.grid import Grid
from inference_core.io.files import write_labels
from inference_core.io.itk import sitk_from_array

RADIUS_MM = 8.0


@pytest.fixture
def a_grid() -> Grid:
    return oblique_grid(orientation=29, spacing=1, size_mm=28.0)


@pytest.fixture
def a_patient(a_grid) -> Callable[..., None]:
    """A function that writes a folder with one ball as the tumor; its images are `background` beside it."""

    def write(folder: Path, *, background: int = 100, images: tuple[str, ...] = ("CT", "MR_T1", "PET")) -> None:
        folder.mkdir(parents=True)
        ball = spheres(a_grid, [(a_grid.center_ras, RADIUS_MM)]) > 0.5
        for name in images:
            voxels = (background + 500 * ball).astype(np.int16)
            sitk.WriteImage(sitk_from_array(voxels, a_grid), folder / f"{name}_image.nii.gz")
            write_labels(folder / f"{name}_label.nii.gz", ball.astype(np.uint8), a_grid)

    return write
