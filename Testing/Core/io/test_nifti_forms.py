"""Where a NIfTI file with two orientations lies: where Slicer's reader shows it; and a mask lies on it everywhere."""

import gzip

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inference_core.errors import VolumeError
from inference_core.io.files import read_labels, read_volume, write_labels
from inference_core.io.itk import grid_from_sitk
from inference_core.io.nifti_forms import quaternion


def turned(angle, spacing, origin):
    affine = np.eye(4)
    cosine, sine = np.cos(angle), np.sin(angle)
    affine[:3, :3] = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]]) * spacing
    affine[:3, 3] = origin
    return affine


@pytest.fixture
def a_file(tmp_path):
    """Writes 4 x 5 x 6 int16 voxels under any header."""

    def write(*, sform=(0, None), qform=(0, None), name="image.nii", behind=b"", voxels=None, **fields):
        header = nibabel.Nifti1Header()
        header.set_data_shape((4, 5, 6))
        header.set_data_dtype(np.int16 if voxels is None else voxels.dtype)
        header["magic"], header["vox_offset"], header["xyzt_units"] = b"n+1", 352, 2
        if qform[1] is not None:
            header.set_qform(qform[1], 1)
        if sform[1] is not None:
            header.set_sform(sform[1], 1)
        header["sform_code"], header["qform_code"] = sform[0], qform[0]
        for field, value in fields.items():
            header[field] = value
        voxels = np.arange(120, dtype="<i2").reshape(4, 5, 6, order="F") if voxels is None else voxels
        data = header.binaryblock + bytes(4) + voxels.tobytes(order="F")
        path = tmp_path / name
        path.write_bytes((gzip.compress(data) if name.endswith(".gz") else data) + behind)
        return path

    return write


SFORM = turned(0.3, (1.5, 1.25, 4), (10, 20, 30))
QFORM = turned(-0.2, (1.5, 1.25, 4), (-5, 2, 3))


@pytest.mark.parametrize("sform_code", range(5))
@pytest.mark.parametrize("qform_code", range(5))
@pytest.mark.parametrize("lengths", [(1.5, 1.25, 4), (1, 1, 1), (3, 0.5, 2)])
def test_of_two_orientations_the_one_that_itk_and_slicer_show_is_read(a_file, sform_code, qform_code, lengths):
    pixdim = (1, *lengths, 1, 1, 1, 1)
    path = a_file(sform=(sform_code, SFORM), qform=(qform_code, QFORM), pixdim=pixdim)
    assert read_volume(path).grid.matches(grid_from_sitk(sitk.ReadImage(str(path))), tolerance_mm=1e-3)


def test_codes_two_and_one_are_read_by_the_qform_with_a_warning_that_says_so(a_file, caplog):
    grid = read_volume(a_file(sform=(2, SFORM), qform=(1, QFORM))).grid
    assert np.allclose(grid.affine, QFORM, atol=1e-4)
    assert "the qform is used, as Slicer does" in caplog.text


def test_voxel_sizes_that_contradict_the_sform_are_taken_with_a_warning(a_file, caplog):
    unit = turned(0.3, (1, 1, 1), (10, 20, 30))
    grid = read_volume(a_file(sform=(1, unit), pixdim=(1, 1.5, 1.25, 4, 1, 1, 1, 1))).grid
    assert np.allclose(grid.affine, SFORM, atol=1e-4)
    assert "gives two voxel sizes: 1.5 x 1.25 x 4 mm" in caplog.text


@pytest.mark.parametrize("rows", [np.zeros(4), (np.nan, 0, 0, 0), (1.5, 0.6, 0, 0)])
def test_an_sform_that_is_no_rotation_gives_way_to_a_good_qform(a_file, rows, caplog):
    path = a_file(sform=(1, SFORM), qform=(1, QFORM), srow_x=rows)
    assert np.allclose(read_volume(path).grid.affine, QFORM, atol=1e-4)
    assert "its qform is used" in caplog.text


@pytest.mark.parametrize("codes", [(1, 1), (2, 1), (1, 2), (4, 4), (1, 0), (0, 1), (2, 0), (0, 0)])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_a_mask_lies_on_its_image_in_every_program(a_file, tmp_path, codes, suffix):
    path = a_file(sform=(codes[0], SFORM), qform=(codes[1], QFORM))
    volume = read_volume(path)
    write_labels(tmp_path / f"mask{suffix}", volume.array > 50, volume.grid)
    image, mask = nibabel.load(path), nibabel.load(tmp_path / f"mask{suffix}")
    assert np.allclose(mask.affine, image.affine, atol=1e-5)
    for ours, theirs in ((mask.get_sform, image.get_sform), (mask.get_qform, image.get_qform)):
        form, code = ours(coded=True)
        expected, expected_code = theirs(coded=True)
        assert code == expected_code
        assert (form is None) == (expected is None)
        assert form is None or np.allclose(form, expected, atol=1e-4)
    seen = [grid_from_sitk(sitk.ReadImage(str(p))) for p in (path, tmp_path / f"mask{suffix}")]
    assert seen[1].matches(seen[0], tolerance_mm=1e-4)
    assert read_labels(tmp_path / f"mask{suffix}").grid.matches(volume.grid, tolerance_mm=1e-4)


@settings(max_examples=400, deadline=None)
@given(st.lists(st.floats(-1, 1), min_size=4, max_size=4).filter(lambda q: np.linalg.norm(q) > 0.1))
def test_nibabel_can_always_read_the_quaternion_that_is_written(numbers):
    a, b, c, d = np.array(numbers) / np.linalg.norm(numbers)
    axes = np.eye(3) + 2 * np.array(
        [
            [-(c * c + d * d), b * c - a * d, b * d + a * c],
            [b * c + a * d, -(b * b + d * d), c * d - a * b],
            [b * d - a * c, c * d + a * b, -(b * b + c * c)],
        ]
    )
    header = nibabel.Nifti1Header()
    _, (header["quatern_b"], header["quatern_c"], header["quatern_d"]) = quaternion(axes)
    header["qform_code"] = 1
    assert np.allclose(header.get_qform()[:3, :3], axes, atol=1e-3)


@pytest.mark.parametrize("dim", [(4, 4, 5, 6, 0, 1, 1, 1), (5, 4, 5, 6, 1, 0, 1, 1), (3, 4, 5, 6, 0, 0, 0, 0)])
def test_trailing_dimensions_of_zero_are_dropped(a_file, dim):
    assert read_volume(a_file(sform=(1, SFORM), dim=dim)).grid.shape == (4, 5, 6)


@pytest.mark.parametrize("intercept", [np.nan, np.inf])
def test_a_slope_counts_although_the_intercept_is_no_number(a_file, intercept):
    volume = read_volume(a_file(sform=(1, SFORM), scl_slope=2, scl_inter=intercept))
    assert np.array_equal(volume.array.ravel(order="F"), 2 * np.arange(120))


def test_bytes_behind_the_compressed_stream_are_passed_over(a_file):
    assert read_volume(a_file(sform=(1, SFORM), name="a.nii.gz", behind=b"rubbish")).array.max() == 119


@pytest.mark.parametrize("magic", [b"ni1", b"n+1"])
def test_a_lone_file_is_read_whatever_it_calls_itself(a_file, magic):
    assert read_volume(a_file(sform=(1, SFORM), magic=magic)).array.max() == 119


@pytest.mark.parametrize("given", ["image.hdr", "image.img"])
@pytest.mark.parametrize("packed", [False, True])
def test_a_pair_of_header_and_image_is_read_from_either(tmp_path, given, packed):
    array = np.arange(120, dtype=np.int16).reshape(4, 5, 6)
    nibabel.save(nibabel.Nifti1Pair(array, SFORM), tmp_path / "image.hdr")
    if packed:
        for name in ("image.hdr", "image.img"):
            (tmp_path / f"{name}.gz").write_bytes(gzip.compress((tmp_path / name).read_bytes()))
            (tmp_path / name).unlink()
        given += ".gz"
    volume = read_volume(tmp_path / given)
    assert np.array_equal(volume.array, array)
    assert np.allclose(volume.grid.affine, SFORM, atol=1e-4)
    next(tmp_path.glob("image.img*")).unlink()
    with pytest.raises(VolumeError, match=r"lacks its voxels|no file"):
        read_volume(tmp_path / given)


def test_an_analyze_image_is_refused_since_left_and_right_are_not_said(tmp_path):
    nibabel.save(nibabel.AnalyzeImage(np.zeros((4, 5, 6), np.int16), np.eye(4)), tmp_path / "a.img")
    with pytest.raises(VolumeError, match="left and right"):
        read_volume(tmp_path / "a.hdr")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 347), byte=st.integers(0, 255))
def test_any_byte_of_the_header_may_be_wrong(a_file, at, byte):
    data = bytearray(a_file(sform=(1, SFORM), qform=(1, QFORM)).read_bytes())
    data[at] = byte
    path = a_file()
    path.write_bytes(data)
    try:
        volume = read_volume(path)
    except VolumeError:
        return
    assert np.isfinite(volume.grid.affine).all()
