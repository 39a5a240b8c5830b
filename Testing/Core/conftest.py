"""Grids as they come from scanners (oblique, anisotropic, left-handed) and series written to disk from them."""

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support.shared import SHARED

from inference_core.geometry.grid import Grid
from inference_core.io.dicom_writer import write_dicom_series

SPACINGS = ((1.0, 1.0, 1.0), (0.48828125, 0.7, 3.27), (2.5, 0.9765625, 0.6))
ORIENTATIONS = [
    (axes, signs) for axes in itertools.permutations(range(3)) for signs in itertools.product((1, -1), repeat=3)
]


def rotation(angles_degrees):
    """Rotation about x, then y, then z."""
    matrix = np.eye(3)
    for axis, angle in enumerate(np.radians(angles_degrees)):
        turn = np.eye(3)
        p, q = (axis + 1) % 3, (axis + 2) % 3
        turn[p, p] = turn[q, q] = np.cos(angle)
        turn[p, q], turn[q, p] = -np.sin(angle), np.sin(angle)
        matrix = turn @ matrix
    return matrix


def grid_of(directions, spacing, *, shape=(5, 6, 7), origin=(-191.3, 167.2, -876.44)):
    affine = np.eye(4)
    affine[:3, :3] = np.asarray(directions) * spacing
    affine[:3, 3] = origin
    return Grid(shape, affine)


@pytest.fixture(
    params=list(itertools.product(ORIENTATIONS, SPACINGS)),
    ids=lambda case: (
        "".join(f"{'-' if s < 0 else '+'}{'ijk'[a]}" for a, s in zip(*case[0], strict=True)) + f"/{case[1][0]}"
    ),
)
def an_axis_aligned_grid(request):
    """All 48 ways in which the indices can run along the patient's axes, 24 of them left-handed."""
    (axes, signs), spacing = request.param
    directions = np.zeros((3, 3))
    directions[list(axes), range(3)] = signs
    return grid_of(directions, spacing)


@pytest.fixture
def an_oblique_grid():
    return grid_of(rotation((18, -7, 25)) @ np.diag([-1, -1, 1]), (0.5, 0.75, 3.0))


@pytest.fixture
def a_left_handed_grid():
    return grid_of(rotation((-11, 5, 40)) @ np.diag([-1, 1, 1]), (0.9, 0.6, 2.2))


@pytest.fixture
def voxels_of() -> Callable[[Grid], np.ndarray]:
    """int16 voxels all different from each other, so that a swapped axis cannot hide."""
    return lambda grid: (np.arange(np.prod(grid.shape)).reshape(grid.shape, order="F") * 7 - 600).astype(np.int16)


@pytest.fixture
def a_mask_of() -> Callable[[Grid], np.ndarray]:
    """An L of voxels near one corner: no flip or permutation maps it onto itself."""

    def mask_of(grid):
        mask = np.zeros(grid.shape, dtype=bool)
        mask[1:4, 1, 1] = mask[1, 1:3, 1] = mask[1, 1, 1:6] = True
        return mask

    return mask_of


@pytest.fixture
def a_series(tmp_path, an_oblique_grid, voxels_of) -> Path:
    """A folder with seven CT slices of the oblique grid."""
    folder = tmp_path / "series"
    write_dicom_series(folder, voxels_of(an_oblique_grid), an_oblique_grid)
    return folder


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real volumes beside the repository."""
    folder = SHARED / "data"
    if not folder.is_dir():
        pytest.skip(f"the real volumes are not at {folder}")
    return folder
