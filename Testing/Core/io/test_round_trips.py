"""What is written is read back where it was: every format, every orientation."""

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inference_core.geometry.grid import LPS_FROM_RAS, Grid
from inference_core.io.dicom_writer import write_dicom_series
from inference_core.io.files import read_labels, read_volume, write_labels
from inference_core.io.itk import grid_from_sitk, sitk_from_array, volume_from_sitk

FORMATS = (".nii.gz", ".nii", ".nrrd", ".seg.nrrd")


@st.composite
def any_grid(draw):
    """A turned, possibly mirrored grid; its last axis is long so that an error of angle shows."""
    quaternion = np.array(
        draw(st.lists(st.floats(-1, 1), min_size=4, max_size=4).filter(lambda q: np.linalg.norm(q) > 0.1))
    )
    a, b, c, d = quaternion / np.linalg.norm(quaternion)
    turn = np.eye(3) + 2 * np.array(
        [
            [-(c * c + d * d), b * c - a * d, b * d + a * c],
            [b * c + a * d, -(b * b + d * d), c * d - a * b],
            [b * d - a * c, c * d + a * b, -(b * b + c * c)],
        ]
    )
    spacing = draw(st.tuples(*[st.floats(0.2, 6)] * 3))
    affine = np.eye(4)
    affine[:3, :3] = turn * spacing * draw(st.tuples(*[st.sampled_from((-1.0, 1.0))] * 3))
    affine[:3, 3] = draw(st.tuples(*[st.floats(-900, 900)] * 3))
    return Grid((3, 4, 60), affine)


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_mask_keeps_its_voxels_and_its_place(an_axis_aligned_grid, a_mask_of, suffix, tmp_path):
    mask = a_mask_of(an_axis_aligned_grid)
    write_labels(tmp_path / f"mask{suffix}", mask, an_axis_aligned_grid)
    labels = read_labels(tmp_path / f"mask{suffix}")
    assert labels.array.dtype == np.uint8
    assert np.array_equal(labels.array, mask)
    assert labels.grid.matches(an_axis_aligned_grid, tolerance_mm=1e-4)
    seen_by_itk = sitk.ReadImage(str(tmp_path / f"mask{suffix}"))
    assert np.array_equal(sitk.GetArrayViewFromImage(seen_by_itk).T, mask)
    expected_lps = LPS_FROM_RAS[:3, :3] @ an_axis_aligned_grid.to_ras((3, 1, 1))
    assert np.allclose(seen_by_itk.TransformIndexToPhysicalPoint((3, 1, 1)), expected_lps, rtol=0, atol=1e-4)


@pytest.mark.parametrize("suffix", FORMATS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(grid=any_grid())
def test_an_oblique_grid_comes_back_within_a_ten_thousandth_of_a_millimeter(grid, suffix, tmp_path):
    write_labels(tmp_path / f"mask{suffix}", np.ones(grid.shape, dtype=bool), grid)
    assert read_labels(tmp_path / f"mask{suffix}").grid.matches(grid, tolerance_mm=1e-4)


@settings(max_examples=150, deadline=None)
@given(grid=any_grid())
def test_the_qform_of_a_nifti_file_agrees_with_its_sform(grid, tmp_path_factory):
    path = tmp_path_factory.mktemp("qform") / "mask.nii.gz"
    write_labels(path, np.ones(grid.shape, dtype=bool), grid)
    header = nibabel.load(path).header
    assert header["sform_code"] == header["qform_code"] == 1
    # One single-precision step of a part near 1 is 6.9e-4 of rotation.
    format_limit = 7e-4 * np.linalg.norm(np.multiply(grid.shape, grid.spacing))
    assert Grid(grid.shape, header.get_qform()).matches(grid, tolerance_mm=format_limit)


def test_the_grid_of_a_clinical_volume_keeps_its_far_corner(tmp_path, a_left_handed_grid):
    grid = Grid((512, 512, 300), a_left_handed_grid.affine)
    mask = np.zeros(grid.shape, dtype=np.uint8, order="F")
    for suffix in FORMATS:
        write_labels(tmp_path / f"m{suffix}", mask, grid)
        assert read_labels(tmp_path / f"m{suffix}").grid.matches(grid, tolerance_mm=1e-4)


@pytest.mark.parametrize("suffix", [".nrrd", ".nhdr", ".mha", ".mhd", ".nii.gz"])
@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64])
def test_a_volume_written_by_itk_keeps_type_voxels_and_place(suffix, kind, a_left_handed_grid, voxels_of, tmp_path):
    array = voxels_of(a_left_handed_grid).astype(kind)
    sitk.WriteImage(sitk_from_array(array, a_left_handed_grid), str(tmp_path / f"image{suffix}"))
    volume = read_volume(tmp_path / f"image{suffix}")
    assert volume.array.dtype == kind
    assert np.array_equal(volume.array, array)
    assert volume.grid.matches(a_left_handed_grid, tolerance_mm=1e-4)


def test_a_dicom_series_keeps_its_voxels_and_its_place(an_axis_aligned_grid, voxels_of, tmp_path):
    array = voxels_of(an_axis_aligned_grid)
    write_dicom_series(tmp_path / "series", array, an_axis_aligned_grid)
    volume = read_volume(tmp_path / "series")
    assert volume.array.dtype == np.int16
    left_handed = np.linalg.det(an_axis_aligned_grid.affine[:3, :3]) < 0
    expected, affine = array, an_axis_aligned_grid.affine.copy()
    if left_handed:  # slices are sorted along their normal, which makes every series right-handed
        expected = array[:, :, ::-1]
        affine[:3, 3] = an_axis_aligned_grid.to_ras((0, 0, array.shape[2] - 1))
        affine[:3, 2] *= -1
    assert np.array_equal(volume.array, expected)
    assert volume.grid.matches(Grid(array.shape, affine), tolerance_mm=1e-4)


@settings(max_examples=8, deadline=None)
@given(grid=any_grid())
def test_a_voxel_of_an_oblique_series_lies_where_itk_says(grid, tmp_path_factory):
    folder = tmp_path_factory.mktemp("series")
    array = np.arange(np.prod(grid.shape), dtype=np.int16).reshape(grid.shape)
    paths = write_dicom_series(folder, array, grid)
    volume = read_volume(folder)
    for k in (0, 37):
        value, ras = array[2, 1, k], grid.to_ras((2, 1, k))
        assert np.allclose(volume.grid.to_ras(np.argwhere(volume.array == value)[0]), ras, rtol=0, atol=1e-4)
        one_slice = sitk.ReadImage(str(paths[k]))
        assert one_slice.GetPixel(2, 1, 0) == value
        lps = LPS_FROM_RAS[:3, :3] @ ras
        assert np.allclose(one_slice.TransformIndexToPhysicalPoint((2, 1, 0)), lps, rtol=0, atol=1e-3)


def test_an_itk_image_and_a_volume_agree_on_every_voxel(a_left_handed_grid, voxels_of):
    array = voxels_of(a_left_handed_grid)
    volume = volume_from_sitk(sitk_from_array(array, a_left_handed_grid))
    assert np.array_equal(volume.array, array)
    assert volume.grid.matches(a_left_handed_grid, tolerance_mm=1e-9)


def test_the_voxels_of_an_itk_image_are_not_copied_and_outlive_it(an_oblique_grid, voxels_of):
    image = sitk_from_array(voxels_of(an_oblique_grid), an_oblique_grid)
    address = sitk.GetArrayViewFromImage(image).__array_interface__["data"][0]
    array = volume_from_sitk(image).array
    assert array.__array_interface__["data"][0] == address
    corner = array[1:, 1:, 1:]
    del image, array
    [np.full(corner.size, 99, dtype=np.int16) for _ in range(50)]  # would land in freed memory
    assert np.array_equal(corner, voxels_of(an_oblique_grid)[1:, 1:, 1:])


def test_the_grid_is_read_from_an_itk_header_alone(tmp_path, an_oblique_grid, voxels_of):
    sitk.WriteImage(sitk_from_array(voxels_of(an_oblique_grid), an_oblique_grid), str(tmp_path / "image.mha"))
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(tmp_path / "image.mha"))
    reader.ReadImageInformation()
    assert grid_from_sitk(reader).matches(an_oblique_grid, tolerance_mm=1e-6)
