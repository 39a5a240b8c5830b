"""DICOM as an archive exports it: the series that a SEG or RTSTRUCT was drawn on, among others of the same patient."""

from __future__ import annotations

import numpy as np
import pytest
from support.scenes import oblique_grid

from inference_core.errors import VolumeError
from inference_core.geometry.grid import Grid
from inference_core.geometry.mask import Mask
from inference_core.io.dicom import find_source
from inference_core.io.dicom_export import Algorithm, ExportedSegment
from inference_core.io.dicom_seg import write_dicom_seg
from inference_core.io.dicom_writer import write_dicom_series
from inference_core.io.rtstruct import write_rtstruct
from inference_core.training.data import read_data_set


@pytest.fixture
def a_slab():
    """Right-handed, as DICOM slices are, oblique, 0.8 x 0.8 x 2.5 mm."""
    grid = oblique_grid(orientation=8, spacing=1, size_mm=20.0)
    affine = grid.affine if np.linalg.det(grid.affine[:3, :3]) > 0 else grid.affine @ np.diag([-1.0, 1, 1, 1])
    return Grid((14, 11, 6), affine)


def a_mask(grid, start):
    voxels = np.zeros(grid.shape, dtype=bool)
    voxels[start : start + 3, 2:6, 1:4] = True
    return Mask.of(voxels)


def a_patient(folder, grid, kind, names):
    """A series, a longer one beside it, and what was drawn on the first."""
    rng = np.random.default_rng(len(folder.name))
    voxels = rng.integers(0, 500, grid.shape).astype(np.int16)
    write_dicom_series(folder / "drawn_on", voxels, grid)
    longer = Grid((14, 11, 9), grid.affine)
    write_dicom_series(folder / "longer", rng.integers(0, 500, longer.shape).astype(np.int16), longer)
    source = find_source(folder / "drawn_on")
    algorithm = Algorithm("reader", "")
    segments = [ExportedSegment(name, a_mask(grid, 4 * n), algorithm) for n, name in enumerate(names)]
    (write_dicom_seg if kind == "SEG" else write_rtstruct)(folder / "label.dcm", segments, source)
    return voxels


@pytest.mark.parametrize("kind", ["SEG", "RTSTRUCT"])
def test_segments_of_one_name_are_one_class_in_all_patients(tmp_path, a_slab, kind):
    if kind == "SEG":
        pytest.importorskip("highdicom")
    first = a_patient(tmp_path / "P01", a_slab, kind, ["tumor", "edema"])
    a_patient(tmp_path / "P002", a_slab, kind, ["edema"])
    data = read_data_set(tmp_path)
    assert data.classes == {1: "edema", 2: "tumor"}
    assert [case.patient for case in data.cases] == ["P002", "P01"]
    case = data["P01"]
    assert case.read().grid.shape == a_slab.shape
    np.testing.assert_array_equal(case.read().array, first)
    labels = case.read_labels()
    np.testing.assert_array_equal(labels.array == 2, a_mask(a_slab, 0).on(a_slab.shape) > 0)
    np.testing.assert_array_equal(labels.array == 1, a_mask(a_slab, 4).on(a_slab.shape) > 0)
    np.testing.assert_array_equal(data["P002"].read_labels().array == 1, a_mask(a_slab, 0).on(a_slab.shape) > 0)


def test_a_series_in_dicom_and_a_label_map_are_a_case(tmp_path, a_slab, put):
    voxels = np.random.default_rng(1).integers(0, 500, a_slab.shape).astype(np.int16)
    write_dicom_series(tmp_path / "a" / "dicom", voxels, a_slab)
    mask = a_mask(a_slab, 2).on(a_slab.shape)
    (case_grid,) = {find_source(tmp_path / "a" / "dicom").grid.shape}
    assert case_grid == a_slab.shape
    put(tmp_path / "a" / "label.nii.gz", mask, grid=find_source(tmp_path / "a" / "dicom").grid)
    (case,) = read_data_set(tmp_path).cases
    np.testing.assert_array_equal(case.read_labels().array, mask)


def test_a_contour_between_the_slices_is_refused(tmp_path, a_slab):
    a_patient(tmp_path / "P01", a_slab, "RTSTRUCT", ["tumor"])
    (tmp_path / "P01" / "drawn_on").rename(tmp_path / "gone")
    with pytest.raises(VolumeError, match="series"):
        read_data_set(tmp_path)["P01"].read_labels()
