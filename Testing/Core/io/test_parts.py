"""Single volumes of 4D NIfTI files, grids from headers alone, and volumes of one slice where they are asked for."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from inference_core.errors import VolumeError
from inference_core.geometry.grid import Grid
from inference_core.io.files import read_grid, read_labels, read_volume
from inference_core.io.itk import sitk_from_array
from inference_core.io.nifti import nifti_parts


@pytest.fixture(params=[".nii", ".nii.gz"])
def a_4d_file(tmp_path, an_oblique_grid, request):
    """Three channels of int16 on an oblique grid, with its voxels."""
    voxels = np.random.default_rng(0).integers(-500, 500, (*an_oblique_grid.shape, 3)).astype(np.int16)
    path = tmp_path / f"4d{request.param}"
    nibabel.save(nibabel.Nifti1Image(voxels, an_oblique_grid.affine), path)
    return path, voxels


def test_a_part_of_a_4d_file_is_read_in_its_place(a_4d_file, an_oblique_grid):
    path, voxels = a_4d_file
    assert nifti_parts(path) == 3
    for part in (1, 2, 3):
        volume = read_volume(path, part=part)
        np.testing.assert_array_equal(volume.array, voxels[..., part - 1])
        assert volume.grid.matches(an_oblique_grid, tolerance_mm=1e-3)
    assert read_grid(path).matches(an_oblique_grid, tolerance_mm=1e-3)


@pytest.mark.parametrize(
    ("part", "said"), [(4, "has no part 4; it has 3"), (0, "has no part 0"), (None, "4 dimensions")]
)
def test_a_part_that_is_not_there_is_refused(a_4d_file, part, said):
    with pytest.raises(VolumeError, match=said):
        read_volume(a_4d_file[0], part=part)


def test_a_4d_file_that_is_cut_off_is_refused(tmp_path, an_oblique_grid):
    path = tmp_path / "4d.nii"
    nibabel.save(
        nibabel.Nifti1Image(np.zeros((*an_oblique_grid.shape, 3), dtype=np.int16), an_oblique_grid.affine), path
    )
    path.write_bytes(path.read_bytes()[:-10])
    assert read_volume(path, part=2).grid.shape == an_oblique_grid.shape
    with pytest.raises(VolumeError, match="cut off"):
        read_volume(path, part=3)


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
def test_the_grid_is_that_of_the_volume(tmp_path, a_left_handed_grid, voxels_of, suffix):
    path = tmp_path / f"image{suffix}"
    sitk.WriteImage(sitk_from_array(voxels_of(a_left_handed_grid), a_left_handed_grid), str(path))
    assert read_grid(path).matches(read_volume(path).grid, tolerance_mm=1e-6)


def test_the_grid_of_a_series_is_that_of_the_volume(a_series):
    assert read_grid(a_series).matches(read_volume(a_series).grid, tolerance_mm=1e-6)


@pytest.mark.parametrize("name", ["image.nii.gz", "image.nrrd", "image.txt"])
def test_a_grid_of_no_image_is_refused(tmp_path, name):
    (tmp_path / name).write_bytes(b"this is no image at all")
    with pytest.raises(VolumeError, match=r"readable|cannot be read|no known kind"):
        read_grid(tmp_path / name)


def test_a_volume_of_one_slice_is_read_where_it_is_asked_for(tmp_path, an_oblique_grid):
    grid = Grid((5, 6, 1), an_oblique_grid.affine)
    voxels = np.arange(30, dtype=np.uint8).reshape(5, 6, 1)
    sitk.WriteImage(sitk_from_array(voxels, grid), str(tmp_path / "flat.nii.gz"))
    np.testing.assert_array_equal(read_labels(tmp_path / "flat.nii.gz", single_slice=True).array, voxels)
    with pytest.raises(VolumeError, match="single slice"):
        read_labels(tmp_path / "flat.nii.gz")
