"""DICOM series: chosen, sorted and scaled as the files say; whatever is no even, upright stack is refused."""

import logging
import shutil

import numpy as np
import pytest
import SimpleITK as sitk
from support.dicom_files import decimals, enhanced, item, save, slice_of

from inference_core.errors import VolumeError
from inference_core.geometry.grid import LPS_FROM_RAS, Grid
from inference_core.io.companions import is_part_of_an_image
from inference_core.io.dicom import list_series
from inference_core.io.dicom_writer import write_dicom_series
from inference_core.io.files import read_volume

PLAN = {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.481.3", "SOPInstanceUID": "2.25.99", "Modality": "RTSTRUCT"}


@pytest.fixture
def a_slice_file(tmp_path, an_oblique_grid, voxels_of):
    """Writes one CT slice of the oblique grid into a folder, with attributes changed or (None) left out."""
    array = voxels_of(an_oblique_grid)

    def write(k, *, folder="series", name=None, **changed):
        dataset = slice_of(array, an_oblique_grid, k)
        del dataset.InstanceNumber
        for keyword, value in changed.items():
            if value is None:
                delattr(dataset, keyword)
            else:
                setattr(dataset, keyword, value)
        return save(dataset, tmp_path / folder / (name or f"{k}.dcm"))

    return write


@pytest.fixture
def an_enhanced_file(tmp_path, an_oblique_grid, voxels_of):
    """Writes the oblique grid as one enhanced multi-frame CT, its frames in the given order."""

    def write(frames, *, slopes=None):
        dataset = enhanced(voxels_of(an_oblique_grid), an_oblique_grid, frames, series="2.25.8")
        for groups, slope in zip(dataset.PerFrameFunctionalGroupsSequence, slopes or [1] * len(frames), strict=True):
            groups.PixelValueTransformationSequence[0].RescaleSlope = str(slope)
        return save(dataset, tmp_path / "enhanced.dcm")

    return write


def test_slices_are_sorted_by_place_not_by_name(a_slice_file, an_oblique_grid, voxels_of, tmp_path):
    for name, k in zip("gbfcead", range(7), strict=True):
        a_slice_file(k, name=name)
    volume = read_volume(tmp_path / "series")
    assert np.array_equal(volume.array, voxels_of(an_oblique_grid))
    assert volume.grid.matches(an_oblique_grid)


def test_one_file_of_a_series_stands_for_the_series(a_series, an_oblique_grid):
    assert read_volume(a_series / "slice-0004.dcm").grid.matches(an_oblique_grid)


def test_other_files_in_the_folder_are_passed_over(a_series, an_oblique_grid):
    (a_series / "readme.txt").write_text("scanned on a Tuesday")
    (a_series / "._slice-0001.dcm").write_bytes(b"\0\5\x16\7resource fork")
    (a_series / "empty").touch()
    save(item(**PLAN), a_series / "plan.dcm")
    assert read_volume(a_series).grid.matches(an_oblique_grid)


def test_sub_folders_are_searched(a_series, an_oblique_grid, tmp_path):
    shutil.move(a_series, tmp_path / "patient" / "study" / "series")
    assert read_volume(tmp_path / "patient").grid.matches(an_oblique_grid)


def test_slices_without_any_uid_or_suffix_make_one_series(a_slice_file, an_oblique_grid, tmp_path):
    for k in range(7):
        a_slice_file(k, name=f"CT.1.2.{k}", SeriesInstanceUID="")
    (series,) = list_series(tmp_path / "series")
    assert (series.uid, series.slices) == ("unnamed-1", 7)
    assert read_volume(tmp_path / "series", series_uid="unnamed-1").grid.matches(an_oblique_grid)


def test_a_file_without_uids_whose_frames_are_miscounted_harms_no_series_beside_it(
    a_series, an_oblique_grid, voxels_of
):
    bad = enhanced(voxels_of(an_oblique_grid), an_oblique_grid, range(3), series="")
    bad.NumberOfFrames = 1
    save(bad, a_series.parent / "folder" / "other" / "x.dcm")
    shutil.move(a_series, a_series.parent / "folder" / "good")
    assert read_volume(a_series.parent / "folder").grid.matches(an_oblique_grid)


def test_the_largest_series_is_taken_and_the_others_are_named(a_series, a_slice_file, an_oblique_grid, caplog):
    for k in range(3):
        a_slice_file(k, name=f"small-{k}.dcm")
    with caplog.at_level(logging.INFO):
        assert read_volume(a_series).grid.matches(an_oblique_grid)
    assert "2.25.7 (CT, 5 x 6 x 3)" in caplog.text
    assert [series.slices for series in list_series(a_series)] == [7, 3]


def test_a_series_is_chosen_by_its_uid(a_series, a_slice_file):
    for k in range(3):
        a_slice_file(k, name=f"small-{k}.dcm")
    assert read_volume(a_series, series_uid="2.25.7").grid.shape == (5, 6, 3)


def test_an_unknown_uid_is_answered_with_those_present(a_series, a_slice_file):
    a_slice_file(0, name="other.dcm")
    with pytest.raises(VolumeError, match=r"no series '9\.9'.*one of: 2\.25\.\d+ .*2\.25\.7"):
        read_volume(a_series, series_uid="9.9")


def test_a_localizer_of_another_size_under_the_same_uid_is_left_out(a_series, an_oblique_grid, tmp_path, voxels_of):
    uid = list_series(a_series)[0].uid
    scout = Grid((4, 4, 2), an_oblique_grid.affine)
    write_dicom_series(tmp_path / "series" / "scout", voxels_of(scout), scout, series_uid=uid)
    assert read_volume(a_series, series_uid=uid).grid.matches(an_oblique_grid)


@pytest.mark.parametrize(("scaling", "kind"), [((1, 0), np.int16), ((1, -1024), np.int16), ((2.5, 0), np.float32)])
def test_rescaling_is_applied_and_whole_numbers_stay_whole(tmp_path, an_oblique_grid, voxels_of, scaling, kind):
    array = voxels_of(an_oblique_grid)
    write_dicom_series(tmp_path / "s", array, an_oblique_grid, scaling=[scaling] * 7)
    volume = read_volume(tmp_path / "s")
    assert volume.array.dtype == kind
    assert np.allclose(volume.array, array * float(scaling[0]) + scaling[1])


def test_values_beyond_16_bits_are_kept(tmp_path, an_oblique_grid, voxels_of):
    array = voxels_of(an_oblique_grid)
    array[0, 0, 4] = -32000
    write_dicom_series(tmp_path / "s", array, an_oblique_grid, scaling=[(1, -1024)] * 7)
    volume = read_volume(tmp_path / "s")
    assert volume.array.dtype == np.int32
    assert np.array_equal(volume.array, array.astype(np.int32) - 1024)


def test_each_slice_is_scaled_by_its_own_numbers(tmp_path, an_oblique_grid, voxels_of):
    array = voxels_of(an_oblique_grid)
    scaling = [(0.5 + 0.25 * k, float(k)) for k in range(7)]
    write_dicom_series(tmp_path / "pet", array, an_oblique_grid, modality="PT", scaling=scaling)
    volume = read_volume(tmp_path / "pet")
    slopes, intercepts = np.array(scaling).T
    assert volume.array.dtype == np.float32
    assert np.allclose(volume.array, array * slopes + intercepts)


def test_the_array_of_a_series_is_held_once(a_series):
    array = read_volume(a_series).array
    assert array.flags.f_contiguous
    assert array.nbytes == 5 * 6 * 7 * 2


@pytest.mark.parametrize("frames", [range(7), (3, 0, 6, 1, 5, 2, 4)])
def test_an_enhanced_multi_frame_file_is_read_in_the_order_of_its_places(
    an_enhanced_file, an_oblique_grid, voxels_of, frames
):
    volume = read_volume(an_enhanced_file(frames))
    assert np.array_equal(volume.array, voxels_of(an_oblique_grid))
    assert volume.grid.matches(an_oblique_grid)


def test_enhanced_frames_are_each_scaled_by_their_own_numbers(an_enhanced_file, an_oblique_grid, voxels_of):
    volume = read_volume(an_enhanced_file(range(7), slopes=[0.5 + k for k in range(7)]))
    assert volume.array.dtype == np.float32
    assert np.allclose(volume.array, voxels_of(an_oblique_grid) * (0.5 + np.arange(7)))


def test_enhanced_frames_at_one_place_are_refused(an_enhanced_file):
    with pytest.raises(VolumeError, match="share their place"):
        read_volume(an_enhanced_file([0, 0, 1, 1, 2, 2]))


def test_a_missing_slice_is_refused_with_its_place(a_series, an_oblique_grid):
    (a_series / "slice-0004.dcm").unlink()
    s = an_oblique_grid.to_ras((0, 0, 2))[2]
    message = rf"jumps from 3 to 6 mm after the slice at S = {s:.1f} mm; a slice seems missing"
    with pytest.raises(VolumeError, match=message):
        read_volume(a_series)


def test_several_missing_slices_are_counted(a_series):
    (a_series / "slice-0003.dcm").unlink()
    (a_series / "slice-0004.dcm").unlink()
    with pytest.raises(VolumeError, match=r"from 3 to 9 mm .* 2 slices seem missing"):
        read_volume(a_series)


def test_uneven_spacing_is_refused(a_slice_file, an_oblique_grid, tmp_path):
    for k in range(6):
        a_slice_file(k)
    a_slice_file(6, ImagePositionPatient=decimals(LPS_FROM_RAS[:3, :3] @ an_oblique_grid.to_ras((0, 0, 6.4))))
    with pytest.raises(VolumeError, match=r"from 3 to 4\.2 mm .*resample"):
        read_volume(tmp_path / "series")


def test_positions_rounded_to_a_hundredth_are_accepted(a_slice_file, an_oblique_grid, tmp_path):
    for k in range(7):
        lps = LPS_FROM_RAS[:3, :3] @ an_oblique_grid.to_ras((0, 0, k))
        a_slice_file(k, ImagePositionPatient=decimals(np.round(lps, 2)))
    assert read_volume(tmp_path / "series").grid.matches(an_oblique_grid, tolerance_mm=0.02)


def test_spacing_that_drifts_is_refused(a_slice_file, an_oblique_grid, tmp_path):
    for k in range(7):
        drifted = an_oblique_grid.to_ras((0, 0, k + 0.0045 * k * k))
        a_slice_file(k, ImagePositionPatient=decimals(LPS_FROM_RAS[:3, :3] @ drifted))
    with pytest.raises(VolumeError, match=r"0\.12 mm from its place in an evenly spaced stack"):
        read_volume(tmp_path / "series")


def test_a_slice_shifted_sideways_is_refused(a_slice_file, an_oblique_grid, tmp_path):
    for k in range(7):
        shifted = an_oblique_grid.to_ras((0.8 * (k == 3), 0, k))
        a_slice_file(k, ImagePositionPatient=decimals(LPS_FROM_RAS[:3, :3] @ shifted))
    with pytest.raises(VolumeError, match=r"0\.4 mm from its place"):
        read_volume(tmp_path / "series")


def test_slices_at_one_place_that_nothing_tells_apart_are_refused_and_counted(a_slice_file, tmp_path):
    for k in range(7):
        a_slice_file(k)
        a_slice_file(k, name=f"late-{k}.dcm")
    with pytest.raises(VolumeError, match=r"14 of the 14 slices share their place .* nothing tells them apart"):
        read_volume(tmp_path / "series")


def test_a_tilted_gantry_is_refused_with_its_angle(a_slice_file, an_oblique_grid, tmp_path):
    for k in range(7):
        tilted = an_oblique_grid.to_ras((0, k * 3.0 * np.tan(np.radians(12)) / 0.75, k))
        a_slice_file(k, ImagePositionPatient=decimals(LPS_FROM_RAS[:3, :3] @ tilted))
    with pytest.raises(VolumeError, match=r"tilted by 12\.0 degrees"):
        read_volume(tmp_path / "series")


def test_a_few_slices_of_another_direction_are_left_out_and_counted(a_slice_file, tmp_path, caplog):
    for k in range(7):
        a_slice_file(k, **({"ImageOrientationPatient": [1, 0, 0, 0, 0, -1]} if k > 4 else {}))
    with caplog.at_level(logging.INFO):
        assert read_volume(tmp_path / "series").grid.shape == (5, 6, 5)
    assert "2 slices of the series are left out" in caplog.text
    assert "'5.dcm'" in caplog.text


def test_a_slice_turned_by_a_hair_is_refused(a_slice_file, tmp_path, an_oblique_grid):
    axes = (LPS_FROM_RAS @ an_oblique_grid.affine)[:3, :3] / np.asarray(an_oblique_grid.spacing)
    turned = decimals([*(axes[:, 0] + 0.005 * axes[:, 1]), *(axes[:, 1] - 0.005 * axes[:, 0])])
    for k in range(7):
        a_slice_file(k, **({"ImageOrientationPatient": turned} if k == 3 else {}))
    with pytest.raises(VolumeError, match="mixes orientations: 1 of 7"):
        read_volume(tmp_path / "series")


@pytest.mark.parametrize("missing", ["ImagePositionPatient", "ImageOrientationPatient"])
def test_slices_that_do_not_say_where_they_lie_are_refused(a_slice_file, tmp_path, missing):
    for k in range(4):
        a_slice_file(k, **{missing: None})
    with pytest.raises(VolumeError, match=r"where they lie|how its slices lie"):
        read_volume(tmp_path / "series")


def test_a_single_slice_is_refused(a_slice_file):
    with pytest.raises(VolumeError, match="single slice"):
        read_volume(a_slice_file(0))


def test_a_slice_cut_off_is_refused_by_its_name(a_series, capfd):
    path = a_series / "slice-0007.dcm"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(VolumeError, match=r"'slice-0007\.dcm' cannot be read"):
        read_volume(a_series)
    assert capfd.readouterr().err == ""


def test_a_color_series_is_refused(tmp_path):
    image = sitk.Image([8, 8, 1], sitk.sitkVectorUInt8, 3)
    for k in range(3):
        image.SetMetaData("0020|0032", f"0\\0\\{k}")
        sitk.WriteImage(image, str(tmp_path / f"{k}.dcm"))
    with pytest.raises(VolumeError, match="color"):
        read_volume(tmp_path)


def test_what_is_left_out_is_named_in_a_note(a_series, caplog):
    save(item(**PLAN), a_series / "plan.dcm")
    with caplog.at_level(logging.INFO):
        read_volume(a_series)
    assert "Left out: 'plan.dcm' holds no image (RTSTRUCT)." in caplog.text


def test_a_description_in_another_alphabet_does_not_stop_the_reading(a_slice_file, tmp_path):
    for k in range(3):
        a_slice_file(k, SeriesDescription="Sch\u00e4del", SpecificCharacterSet="ISO_IR 100")
    assert str(list_series(tmp_path / "series")[0]) == "2.25.7 (CT Sch\u00e4del, 5 x 6 x 3)"


def test_a_folder_without_images_is_refused(tmp_path):
    (tmp_path / "note.txt").write_text("nothing here")
    with pytest.raises(VolumeError, match="holds no DICOM images"):
        read_volume(tmp_path)


@pytest.mark.parametrize("vr", [b"??", b"\xff\xff"])
def test_an_element_of_no_known_kind_leaves_its_slice_out(a_series, vr):
    """Such an element is looked at late, after the file was parsed."""
    path = sorted(a_series.iterdir())[2]
    path.write_bytes(path.read_bytes().replace(b"\x08\x00\x60\x00CS", b"\x08\x00\x60\x00" + vr))
    with pytest.raises(VolumeError, match=path.name):
        read_volume(a_series)


def test_a_slice_is_known_as_part_of_an_image(a_series, tmp_path):
    (tmp_path / "note.dcm").write_text("no slice")
    assert is_part_of_an_image(sorted(a_series.iterdir())[0])
    assert not is_part_of_an_image(tmp_path / "note.dcm")
