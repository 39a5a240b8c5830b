"""DICOM as scanners, archives and CDs write it: what is read, at which place and with which values, and what is not."""

import logging
import shutil

import numpy as np
import pytest
import SimpleITK as sitk
from pydicom import dcmread
from pydicom.encaps import encapsulate, generate_frames
from pydicom.fileset import FileSet
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
)
from support.dicom_files import CT, ENHANCED_MR, MR, NM, enhanced, image, item, orientation, position, save, slice_of

from inference_core.errors import VolumeError
from inference_core.geometry.grid import Grid
from inference_core.io.dicom import list_series
from inference_core.io.files import read_volume


@pytest.fixture
def a_ct(tmp_path, an_oblique_grid, voxels_of):
    """Writes the oblique grid's slices into a folder; `edit(dataset, k)` changes each of them first."""

    def write(folder="ct", *, edit=None, ks=range(7), syntax=None, name="IM{:04d}.dcm", **settings):
        for k in ks:
            dataset = slice_of(voxels_of(an_oblique_grid), an_oblique_grid, k, **settings)
            if edit is not None:
                edit(dataset, k)
            save(dataset, tmp_path / folder / name.format(k), **({} if syntax is None else {"syntax": syntax}))
        return tmp_path / folder

    return write


@pytest.fixture
def assert_whole(an_oblique_grid, voxels_of):
    """Whether a volume is the oblique grid's, every voxel at its place."""

    def check(volume, *, values=None, tolerance_mm=1e-4):
        expected = voxels_of(an_oblique_grid) if values is None else values
        assert volume.grid.matches(an_oblique_grid, tolerance_mm=tolerance_mm)
        assert np.array_equal(volume.array, expected)

    return check


def test_a_cd_with_a_dicomdir_is_read_by_folder_by_slice_and_by_its_directory(a_ct, assert_whole, tmp_path):
    cd = FileSet()
    for path in sorted(a_ct(edit=_with_patient).iterdir()):
        cd.add(path)
    cd.write(tmp_path / "cd")
    assert_whole(read_volume(tmp_path / "cd"))
    assert_whole(read_volume(tmp_path / "cd" / "DICOMDIR"))
    beside = next(path for path in (tmp_path / "cd").rglob("*") if path.is_file() and path.name != "DICOMDIR")
    shutil.copy(tmp_path / "cd" / "DICOMDIR", beside.parent)
    assert_whole(read_volume(beside))


def test_a_vendors_private_positions_count_for_nothing(an_oblique_grid, voxels_of, tmp_path, assert_whole):
    dataset = enhanced(voxels_of(an_oblique_grid), an_oblique_grid, range(7), sop_class=ENHANCED_MR, modality="MR")
    for k, groups in enumerate(dataset.PerFrameFunctionalGroupsSequence):
        own = item(ImagePositionPatient=position(an_oblique_grid, k + 0.2), RescaleSlope="3", RescaleIntercept="0")
        groups.private_block(0x2005, "Philips MR Imaging DD 005", create=True).add_new(0x0F, "SQ", Sequence([own]))
    assert_whole(read_volume(save(dataset, tmp_path / "philips.dcm")))


def test_functional_groups_count_before_the_same_attributes_at_the_top(
    an_oblique_grid, voxels_of, tmp_path, assert_whole
):
    dataset = enhanced(voxels_of(an_oblique_grid), an_oblique_grid, range(7))
    dataset.ImagePositionPatient, dataset.PixelSpacing = [1, 2, 3], [9, 9]
    dataset.ImageOrientationPatient, dataset.RescaleSlope, dataset.RescaleIntercept = [1, 0, 0, 0, 1, 0], "7", "1"
    assert_whole(read_volume(save(dataset, tmp_path / "hyperfine.dcm")))


@pytest.mark.parametrize("syntax", [DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian])
def test_every_plain_encoding_is_read(a_ct, assert_whole, syntax):
    def swapped(dataset, _k):
        if syntax == ExplicitVRBigEndian:
            dataset.PixelData = np.frombuffer(dataset.PixelData, "<i2").astype(">i2").tobytes()

    volume = read_volume(a_ct(edit=swapped, syntax=syntax))
    assert volume.array.dtype.isnative
    assert_whole(volume)


@pytest.mark.parametrize("pixels", ["no pixels", "no class"])
def test_an_object_without_pixels_is_left_out_and_named(a_ct, assert_whole, caplog, pixels):
    folder = a_ct()
    private = item(
        SOPClassUID="1.3.12.2.1107.5.9.1", SOPInstanceUID="2.25.5", Modality="MR", SeriesInstanceUID="2.25.6"
    )
    if pixels == "no class":
        private.SOPClassUID = CT
    save(private, folder / "csa.dcm")
    with caplog.at_level(logging.INFO):
        assert_whole(read_volume(folder))
    assert "'csa.dcm'" in caplog.text


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", b"\0" * 400])
def test_a_stray_file_called_dcm_is_left_out_and_named(a_ct, assert_whole, caplog, content):
    folder = a_ct()
    (folder / "IM0099.dcm").write_bytes(content)
    with caplog.at_level(logging.INFO):
        assert_whole(read_volume(folder))
        assert_whole(read_volume(folder / "IM0003.dcm"))
    assert "Left out: 'IM0099.dcm'" in caplog.text


def test_a_damaged_slice_of_another_series_does_not_stop_the_folder(a_ct, assert_whole):
    folder = a_ct()
    other = a_ct("ct/other", ks=range(2), series="2.25.9")
    damaged = next(other.iterdir())
    damaged.write_bytes(damaged.read_bytes()[:-30])
    assert_whole(read_volume(folder))


@pytest.mark.parametrize("keep", [-2, -60, 700, 420])
def test_a_damaged_slice_of_the_series_itself_refuses_it_by_name(a_ct, keep):
    folder = a_ct()
    path = folder / "IM0006.dcm"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(VolumeError, match=r"'IM0006\.dcm' cannot be read"):
        read_volume(folder)


@pytest.mark.parametrize("ks", [range(1), range(7)])
def test_copies_of_a_slice_are_read_once(a_ct, assert_whole, caplog, ks):
    folder = a_ct()
    for k in ks:
        shutil.copy(folder / f"IM{k:04d}.dcm", folder / f"copy-{k}.dcm")
    with caplog.at_level(logging.INFO):
        assert_whole(read_volume(folder))
    assert "is a copy of" in caplog.text


def test_a_localizer_of_the_same_size_in_the_series_is_left_out(a_ct, assert_whole, an_oblique_grid, caplog):
    folder = a_ct()
    turned = Grid(an_oblique_grid.shape, an_oblique_grid.affine[:, [1, 2, 0, 3]])
    scout = slice_of(np.zeros((5, 6, 7), np.int16), an_oblique_grid, 3)
    scout.ImageOrientationPatient = orientation(turned)
    save(scout, folder / "scout.dcm")
    with caplog.at_level(logging.INFO):
        assert_whole(read_volume(folder))
    assert "'scout.dcm'" in caplog.text


@pytest.mark.parametrize(
    ("attribute", "values", "noun"),
    [
        ("AcquisitionNumber", (1, 2, 3), "phases"),
        ("EchoTime", ("2.3", "4.6", "9.2"), "echoes"),
        ("TemporalPositionIdentifier", (1, 2, 10), "time points"),
        ("DiffusionBValue", (0.0, 50.0, 1000.0), "b-values"),
        ("ImageType", (["A", "M"], ["A", "P"], ["A", "R"]), "kinds of image"),
        ("ConvolutionKernel", ("B30", "B60", "B70"), "reconstructions"),
        ("ContentTime", ("120000", "120100", "120200"), "time points"),
    ],
)
def test_the_parts_of_a_series_are_listed_and_each_can_be_taken(  # noqa: PLR0917 - fixtures
    a_ct, an_oblique_grid, voxels_of, caplog, attribute, values, noun
):
    for number, value in enumerate(values):

        def edit(dataset, _k, number=number, value=value):
            setattr(dataset, attribute, value)
            dataset.PixelData = (np.frombuffer(dataset.PixelData, np.int16) + np.int16(number)).tobytes()

        folder = a_ct(edit=edit, name=f"{number}-{{:04d}}.dcm")
    with caplog.at_level(logging.INFO):
        assert np.array_equal(read_volume(folder).array, voxels_of(an_oblique_grid))
    assert f"The series has 3 {noun}, told apart by {attribute}" in caplog.text
    for part in (1, 2, 3):
        volume = read_volume(folder, part=part)
        assert np.array_equal(volume.array, voxels_of(an_oblique_grid) + (part - 1))
        assert volume.grid.matches(an_oblique_grid)
    with pytest.raises(VolumeError, match=f"3 {noun}.* choose a part from 1 to 3"):
        read_volume(folder, part=4)
    (series,) = list_series(folder)
    assert [len(part.frames) for part in series.parts] == [7, 7, 7]


def test_a_file_stands_for_the_part_that_it_is_in(a_ct, an_oblique_grid, voxels_of):
    for number in (1, 2):

        def edit(dataset, _k, number=number):
            dataset.AcquisitionNumber = number
            dataset.PixelData = (np.frombuffer(dataset.PixelData, np.int16) + np.int16(number)).tobytes()

        folder = a_ct(edit=edit, name=f"{number}-{{:04d}}.dcm")
    assert np.array_equal(read_volume(folder / "2-0004.dcm").array, voxels_of(an_oblique_grid) + 2)


def test_diffusion_directions_of_one_b_value_are_told_apart_too(a_ct):
    scans = [(0.0, None), (1000.0, [1.0, 0.0, 0.0]), (1000.0, [0.0, 1.0, 0.0])]
    for number, (b_value, direction) in enumerate(scans):

        def edit(dataset, _k, b_value=b_value, direction=direction):
            dataset.DiffusionBValue = b_value
            if direction is not None:
                dataset.DiffusionGradientOrientation = direction

        folder = a_ct(edit=edit, name=f"{number}-{{:04d}}.dcm", sop_class=MR, modality="MR")
    (series,) = list_series(folder)
    assert [len(part.frames) for part in series.parts] == [7, 7, 7]


def test_trigger_times_that_differ_from_slice_to_slice_put_phases_in_order(a_ct, an_oblique_grid, voxels_of):
    for number in range(3):

        def edit(dataset, k, number=number):
            dataset.TriggerTime = str(30 * number + k)
            dataset.PixelData = (np.frombuffer(dataset.PixelData, np.int16) + np.int16(number)).tobytes()

        folder = a_ct(edit=edit, name=f"{number}-{{:04d}}.dcm", sop_class=MR, modality="MR")
    for part in (1, 2, 3):
        assert np.array_equal(read_volume(folder, part=part).array, voxels_of(an_oblique_grid) + (part - 1))


def test_the_frames_of_an_enhanced_file_are_told_apart_by_their_dimensions(an_oblique_grid, voxels_of, tmp_path):
    dataset = enhanced(voxels_of(an_oblique_grid), an_oblique_grid, [*range(7), *range(7)])
    for number, groups in enumerate(dataset.PerFrameFunctionalGroupsSequence):
        groups.FrameContentSequence[0].DimensionIndexValues = [number % 7 + 1, number // 7 + 1]
    path = save(dataset, tmp_path / "enhanced.dcm")
    assert [len(part.frames) for part in list_series(tmp_path)[0].parts] == [7, 7]
    assert np.array_equal(read_volume(path, part=2).array, voxels_of(an_oblique_grid))


def test_monochrome1_is_not_turned_round(a_ct, assert_whole):
    def edit(dataset, _k):
        dataset.PhotometricInterpretation = "MONOCHROME1"

    assert_whole(read_volume(a_ct(edit=edit)))


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_compressed_slices_keep_their_stored_values_and_their_own_scaling(
    a_ct, an_oblique_grid, voxels_of, photometric
):
    def edit(dataset, k):
        dataset.PhotometricInterpretation = photometric
        dataset.RescaleSlope, dataset.RescaleIntercept = str(k + 1), "-10"
        dataset.compress(RLELossless)

    volume = read_volume(a_ct(edit=edit, syntax=RLELossless))
    assert np.array_equal(volume.array, voxels_of(an_oblique_grid).astype(int) * (np.arange(7) + 1) - 10)


def test_compressed_frames_that_are_missing_are_refused(tmp_path, an_oblique_grid, voxels_of):
    dataset = enhanced(voxels_of(an_oblique_grid), an_oblique_grid, range(7))
    dataset.compress(RLELossless)
    whole = list(generate_frames(dataset.PixelData, number_of_frames=7))
    dataset.PixelData = encapsulate(whole[:4])
    with pytest.raises(VolumeError, match="cannot be read"):
        read_volume(save(dataset, tmp_path / "short.dcm", syntax=RLELossless))


def test_a_cut_off_jpeg_is_refused_instead_of_filled_up(tmp_path, an_oblique_grid):
    noise = np.random.default_rng(0).integers(0, 4000, (64, 64)).astype(np.uint16)
    sitk.WriteImage(sitk.GetImageFromArray(noise[None]), str(tmp_path / "one.dcm"), True, imageIO="GDCMImageIO")
    compressed = dcmread(tmp_path / "one.dcm")
    assert compressed.file_meta.TransferSyntaxUID == JPEG2000Lossless
    (frame,) = generate_frames(compressed.PixelData, number_of_frames=1)
    for k in range(3):
        dataset = image(noise)
        dataset.ImagePositionPatient, dataset.ImageOrientationPatient = [0, 0, k], [1, 0, 0, 0, 1, 0]
        dataset.PixelSpacing = [1, 1]
        dataset.PixelData = encapsulate([frame if k < 2 else frame[: len(frame) // 2]])
        dataset["PixelData"].VR = "OB"
        save(dataset, tmp_path / "series" / f"{k}.dcm", syntax=JPEG2000Lossless)
    with pytest.raises(VolumeError, match=r"'2\.dcm' cannot be read"):
        read_volume(tmp_path / "series")
    (tmp_path / "series" / "2.dcm").unlink()
    assert np.array_equal(read_volume(tmp_path / "series").array[:, :, 1].T, noise)


def test_a_modality_table_is_looked_up(a_ct, an_oblique_grid, voxels_of):
    table = np.arange(3000, dtype=np.uint16)[::-1]

    def edit(dataset, _k):
        stored = np.frombuffer(dataset.PixelData, np.int16).astype(np.uint16) % 2000
        dataset.PixelData, dataset.PixelRepresentation = stored.tobytes(), 0
        entry = item(LUTDescriptor=[3000, 0, 16], ModalityLUTType="US", LUTData=table.tobytes())
        entry["LUTData"].VR = "OW"
        entry["LUTDescriptor"].VR = "US"
        dataset.ModalityLUTSequence = Sequence([entry])

    stored = voxels_of(an_oblique_grid).astype(np.uint16) % 2000
    assert np.array_equal(read_volume(a_ct(edit=edit)).array, table[stored])


def test_bits_above_the_stored_ones_are_no_part_of_the_value(a_ct, an_oblique_grid, voxels_of):
    def edit(dataset, _k):
        stored = np.frombuffer(dataset.PixelData, np.int16) & 0x0FFF
        dataset.PixelData = (stored.astype(np.uint16) | 0xA000).tobytes()
        dataset.BitsStored, dataset.HighBit = 12, 11

    expected = voxels_of(an_oblique_grid) & 0x0FFF
    assert np.array_equal(read_volume(a_ct(edit=edit)).array, np.where(expected > 2047, expected - 4096, expected))


@pytest.mark.parametrize("step", [3.0, -3.0])
def test_one_position_and_the_distance_of_the_slices_place_a_nuclear_medicine_file(
    an_oblique_grid, voxels_of, tmp_path, assert_whole, step
):
    frames = range(7) if step > 0 else range(6, -1, -1)
    dataset = image(
        np.stack([voxels_of(an_oblique_grid)[:, :, k].T for k in frames]), sop_class=NM, modality="NM", series="2.25.3"
    )
    first = position(an_oblique_grid, frames[0])
    detector = item(ImagePositionPatient=first, ImageOrientationPatient=orientation(an_oblique_grid))
    dataset.DetectorInformationSequence = Sequence([detector])
    dataset.PixelSpacing, dataset.SpacingBetweenSlices = [0.75, 0.5], step
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "RECON TOMO", "EMISSION"]
    assert_whole(read_volume(save(dataset, tmp_path / "nm.dcm")))


def test_projections_of_nuclear_medicine_are_no_volume(tmp_path):
    dataset = image(np.zeros((8, 6, 5), np.int16), sop_class=NM, modality="NM")
    dataset.ImageType, dataset.RotationVector = ["ORIGINAL", "PRIMARY", "TOMO", "EMISSION"], [1] * 8
    save(dataset, tmp_path / "tomo.dcm")
    with pytest.raises(VolumeError, match="projections, not slices"):
        read_volume(tmp_path)


@pytest.mark.parametrize("said", ["SpacingBetweenSlices", "SliceThickness"])
def test_a_dental_ct_has_one_position_and_one_distance(  # noqa: PLR0917 - fixtures
    an_oblique_grid, voxels_of, tmp_path, assert_whole, caplog, said
):
    dataset = image(np.stack([voxels_of(an_oblique_grid)[:, :, k].T for k in range(7)]))
    dataset.ImagePositionPatient = position(an_oblique_grid, 0)
    dataset.ImageOrientationPatient = orientation(an_oblique_grid)
    dataset.PixelSpacing = [0.75, 0.5]
    setattr(dataset, said, "3.0")
    assert_whole(read_volume(save(dataset, tmp_path / "cbct.dcm")))
    assert ("thickness is taken for it" in caplog.text) == (said == "SliceThickness")


def test_a_volume_over_several_multi_frame_files_is_read_whole(an_oblique_grid, voxels_of, tmp_path, assert_whole):
    for number, frames in enumerate([[4, 5, 6], [0, 1], [2, 3]]):
        dataset = enhanced(voxels_of(an_oblique_grid), an_oblique_grid, frames)
        save(dataset, tmp_path / "mr" / f"{number}.dcm")
    assert_whole(read_volume(tmp_path / "mr"))
    assert_whole(read_volume(tmp_path / "mr" / "1.dcm"))


@pytest.mark.parametrize("step", [0.625, 1.25, 0.4, 3.3])
def test_positions_rounded_to_a_tenth_of_a_millimeter_are_read_with_the_mean_step(tmp_path, step):
    grid = Grid((5, 6, 40), np.diag([-1, -1, step, 1.0]))
    array = np.arange(5 * 6 * 40, dtype=np.int16).reshape(grid.shape)
    for k in range(40):
        dataset = slice_of(array, grid, k)
        dataset.ImagePositionPatient = ["0", "0", f"{round(k * step, 1):.1f}"]
        save(dataset, tmp_path / "ct" / f"{k}.dcm")
    volume = read_volume(tmp_path / "ct")
    assert np.array_equal(volume.array, array)
    assert volume.grid.matches(grid, tolerance_mm=0.06)


def test_a_missing_slice_shows_among_rounded_positions(tmp_path):
    grid = Grid((5, 6, 40), np.diag([-1, -1, 0.625, 1.0]))
    for k in [n for n in range(40) if n != 17]:
        dataset = slice_of(np.zeros(grid.shape, np.int16), grid, k)
        dataset.ImagePositionPatient = ["0", "0", f"{round(k * 0.625, 1):.1f}"]
        save(dataset, tmp_path / "ct" / f"{k}.dcm")
    with pytest.raises(VolumeError, match="seems missing"):
        read_volume(tmp_path / "ct")


@pytest.mark.parametrize("imager", [False, True])
def test_a_series_without_pixel_spacing_is_refused_for_that(a_ct, imager):
    def edit(dataset, _k):
        del dataset.PixelSpacing
        if imager:
            dataset.ImagerPixelSpacing = [0.1, 0.1]

    with pytest.raises(VolumeError, match="does not say how large its pixels are"):
        read_volume(a_ct(edit=edit))


def test_a_description_is_read_in_its_own_characters_and_loses_its_control_characters(a_ct):
    def edit(dataset, _k):
        dataset.SpecificCharacterSet = ["", "ISO 2022 IR 87"]
        dataset.SeriesDescription = "腹部\u001b[31mCT\u0007"

    folder = a_ct(edit=edit)
    assert read_volume(folder).name == "腹部 [31mCT"
    assert list_series(folder)[0].description == "腹部 [31mCT"


def test_a_header_that_promises_endless_frames_is_refused_at_once(a_ct):
    def edit(dataset, k):
        if k == 3:
            dataset.NumberOfFrames = 2_000_000_000

    with pytest.raises(VolumeError, match=r"'IM0003\.dcm' cannot be read"):
        read_volume(a_ct(edit=edit))


def _with_patient(dataset, _k):
    dataset.PatientID, dataset.PatientName, dataset.StudyID, dataset.SeriesNumber = "P", "Phantom", "1", 1
    dataset.StudyDate, dataset.StudyTime, dataset.StudyInstanceUID = "20000101", "120000", "2.25.2"
