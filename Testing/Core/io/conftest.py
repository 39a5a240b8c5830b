"""Lesions on an oblique DICOM series, to be sent to the hospital."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from inference_core.geometry.grid import Grid
from inference_core.geometry.mask import EMPTY, Mask
from inference_core.io.dicom import DicomSource, find_source
from inference_core.io.dicom_export import Algorithm, ExportedSegment
from inference_core.io.dicom_writer import write_dicom_series

SHA256 = "e4e98a3e" * 8


@pytest.fixture
def a_larger_oblique_grid(an_oblique_grid: Grid) -> Grid:
    return Grid((34, 29, 9), an_oblique_grid.affine)


@pytest.fixture
def a_ct_folder(tmp_path: Path, a_larger_oblique_grid: Grid) -> Path:
    noise = np.random.default_rng(2).integers(-100, 200, a_larger_oblique_grid.shape).astype(np.int16)
    write_dicom_series(tmp_path / "ct", noise, a_larger_oblique_grid, description="thorax")
    return tmp_path / "ct"


@pytest.fixture
def a_source(a_ct_folder: Path) -> DicomSource:
    return find_source(a_ct_folder)


@pytest.fixture
def lesions_on(a_larger_oblique_grid: Grid) -> Callable[[], list[ExportedSegment]]:
    """One with a hole, an island in it, single voxels and empty slices between; one of noise; and an empty one."""

    def make() -> list[ExportedSegment]:
        shape = a_larger_oblique_grid.shape
        i, j = np.mgrid[: shape[0], : shape[1]]
        radius = np.hypot(i - 15, j - 13)
        rings = np.zeros(shape, dtype=bool)
        rings[:, :, 2] = ((radius < 12) & (radius > 7)) | (radius < 4)
        rings[:, :, 3] = radius < 9
        rings[33, 28, 6] = rings[0, 0, 6] = True
        noise = np.random.default_rng(7).random(shape) < 0.4
        noise[:, :, [0, 8]] = False
        algorithm = Algorithm("sam3d_lite", SHA256)
        return [
            ExportedSegment("ring", Mask.of(rings), algorithm),
            ExportedSegment("Läsion 2", Mask.of(noise), algorithm, finding="mass"),
            ExportedSegment("gone", EMPTY, algorithm, finding="lymph-node"),
        ]

    return make
