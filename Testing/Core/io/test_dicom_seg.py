"""DICOM SEG: read back by highdicom and pydicom, voxel by voxel and in place, from plain and enhanced series."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pydicom
import pytest
from support.dicom_files import enhanced, save

from inference_core.errors import OutputError, VolumeError
from inference_core.geometry.grid import LPS_FROM_RAS, Grid
from inference_core.geometry.mask import Mask
from inference_core.io.dicom import find_source, source_among
from inference_core.io.dicom_export import Algorithm, ExportedSegment, check_same_grid
from inference_core.io.dicom_seg import read_dicom_seg, write_dicom_seg
from inference_core.io.dicom_sr import ReportedLesion, write_dicom_sr
from inference_core.io.files import read_volume
from inference_core.io.findings import Coded
from inference_core.io.rtstruct import write_rtstruct

hd = pytest.importorskip("highdicom")

ANATOMY, LIVER = Coded("123037004", "SCT", "Anatomical Structure"), Coded("10200004", "SCT", "Liver")


def test_the_voxels_come_back_and_so_do_empty_segments(tmp_path, a_source, lesions_on):
    write_dicom_seg(tmp_path / "x.seg.dcm", lesions_on(), a_source)
    found = read_dicom_seg(tmp_path / "x.seg.dcm", a_source.grid)
    assert list(found) == ["ring", "Läsion 2", "gone"]
    for segment in lesions_on():
        shape = a_source.grid.shape
        assert np.array_equal(found[segment.name].on(shape), segment.mask.on(shape))


def test_highdicom_reads_the_same_voxels_in_the_same_place(tmp_path, a_source, lesions_on):
    write_dicom_seg(tmp_path / "x.seg.dcm", lesions_on(), a_source)
    read = hd.seg.segread(tmp_path / "x.seg.dcm")
    for number, segment in enumerate(lesions_on(), start=1):
        volume = read.get_volume(segment_numbers=[number], combine_segments=True)
        assert np.count_nonzero(volume.array) == segment.mask.voxel_count
        inside = np.argwhere(volume.array)
        placed = (inside @ volume.affine[:3, :3].T + volume.affine[:3, 3]) @ LPS_FROM_RAS[:3, :3]
        expected = a_source.grid.to_ras(np.argwhere(segment.mask.array) + segment.mask.start)
        assert np.sort(placed.round(2), axis=0) == pytest.approx(np.sort(expected.round(2), axis=0), abs=0.011)


def test_it_refers_to_its_source_and_says_what_made_it(tmp_path, a_source, a_ct_folder, lesions_on):
    write_dicom_seg(tmp_path / "x.seg.dcm", lesions_on(), a_source)
    dataset, first = pydicom.dcmread(tmp_path / "x.seg.dcm"), pydicom.dcmread(a_ct_folder / "slice-0001.dcm")
    assert dataset.StudyInstanceUID == first.StudyInstanceUID
    assert dataset.FrameOfReferenceUID == first.FrameOfReferenceUID
    (series,) = dataset.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == first.SeriesInstanceUID
    assert len(series.ReferencedInstanceSequence) == a_source.grid.shape[2]
    ring = dataset.SegmentSequence[0]
    assert ring.SegmentAlgorithmType == "SEMIAUTOMATIC"
    made = ring.SegmentationAlgorithmIdentificationSequence[0]
    assert made.AlgorithmName == "sam3d_lite"
    assert lesions_on()[0].algorithm.weights_sha256 in made.AlgorithmParameters
    assert ring.SegmentedPropertyTypeCodeSequence[0].CodeMeaning == "Neoplasm"
    assert dataset.SegmentSequence[1].SegmentedPropertyTypeCodeSequence[0].CodeMeaning == "Mass"


def test_the_frames_of_an_enhanced_file_are_found_whatever_their_order(tmp_path, a_larger_oblique_grid, lesions_on):
    grid = a_larger_oblique_grid
    array = np.random.default_rng(3).integers(-100, 200, grid.shape).astype(np.int16)
    dataset = enhanced(array, grid, [4, 1, 8, 0, 3, 2, 7, 6, 5], series="2.25.8")
    dataset.StudyInstanceUID, dataset.FrameOfReferenceUID = "2.25.81", "2.25.82"
    save(dataset, tmp_path / "ct" / "enhanced.dcm")
    source = find_source(tmp_path / "ct")
    write_dicom_seg(tmp_path / "x.seg.dcm", lesions_on(), source)
    found = read_dicom_seg(tmp_path / "x.seg.dcm", read_volume(tmp_path / "ct").grid)
    for segment in lesions_on():
        assert np.array_equal(found[segment.name].on(grid.shape), segment.mask.on(grid.shape))


@pytest.mark.parametrize("order", [[*range(9), *range(9)], [*range(8, -1, -1), 4, 1, 8, 0, 3, 2, 7, 6, 5]])
def test_one_phase_of_an_enhanced_file_is_referred_to_frame_by_frame(
    tmp_path, a_larger_oblique_grid, lesions_on, order
):
    grid = a_larger_oblique_grid
    array = np.random.default_rng(3).integers(-100, 200, grid.shape).astype(np.int16)
    dataset = enhanced(array, grid, order, series="2.25.8")
    for n, groups in enumerate(dataset.PerFrameFunctionalGroupsSequence):
        groups.FrameContentSequence[0].TemporalPositionIndex = n // 9 + 1
    dataset.StudyInstanceUID, dataset.FrameOfReferenceUID = "2.25.81", "2.25.82"
    save(dataset, tmp_path / "ct" / "enhanced.dcm")
    source, volume = find_source(tmp_path / "ct", part=2), read_volume(tmp_path / "ct", part=2)
    seg = write_dicom_seg(tmp_path / "x.seg.dcm", lesions_on(), source)
    write_dicom_sr(
        tmp_path / "x.sr.dcm", [ReportedLesion(segment, ()) for segment in lesions_on()], source, segmentation=seg
    )
    found = read_dicom_seg(tmp_path / "x.seg.dcm", volume.grid)
    assert np.array_equal(found["ring"].on(grid.shape), lesions_on()[0].mask.on(grid.shape))
    for groups in pydicom.dcmread(tmp_path / "x.seg.dcm").PerFrameFunctionalGroupsSequence:
        number = groups.DerivationImageSequence[0].SourceImageSequence[0].ReferencedFrameNumber
        referred = dataset.PerFrameFunctionalGroupsSequence[number - 1]
        assert referred.FrameContentSequence[0].TemporalPositionIndex == 2
        there, here = (item.PlanePositionSequence[0].ImagePositionPatient for item in (referred, groups))
        assert [float(x) for x in here] == pytest.approx([float(x) for x in there], abs=1e-6)


@pytest.mark.parametrize("lacking", ["SliceThickness", "SpecificCharacterSet"])
def test_what_a_series_does_not_say_does_not_stop_an_export(tmp_path, a_ct_folder, a_source, lesions_on, lacking):
    for path in a_ct_folder.iterdir():
        dataset = pydicom.dcmread(path)
        setattr(dataset, lacking, None)
        dataset.save_as(path)
    write_dicom_seg(tmp_path / "x.seg.dcm", lesions_on(), find_source(a_ct_folder))
    found = pydicom.dcmread(tmp_path / "x.seg.dcm")
    assert found.SegmentSequence[1].SegmentLabel == "Läsion 2"
    measures = found.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert float(measures.SliceThickness) == pytest.approx(a_source.grid.spacing[2])
    assert found["ContentCreatorName"].is_empty  # type 2: may be empty, may not be absent


def test_a_name_in_another_script_than_the_patients_is_kept_beside_it(tmp_path, a_ct_folder, lesions_on):
    for path in a_ct_folder.iterdir():
        dataset = pydicom.dcmread(path)
        dataset.SpecificCharacterSet, dataset.PatientName = ["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎"
        dataset.save_as(path)
    source = find_source(a_ct_folder)
    lesion = replace(lesions_on()[0], name="肝臓 Läsion Ω")
    write_dicom_seg(tmp_path / "x.seg.dcm", [lesion], source)
    write_dicom_sr(tmp_path / "x.sr.dcm", [ReportedLesion(lesion, ())], source)
    write_rtstruct(tmp_path / "rt.dcm", [lesion], source)
    seg, sr, rt = (pydicom.dcmread(tmp_path / name) for name in ("x.seg.dcm", "x.sr.dcm", "rt.dcm"))
    for dataset in (seg, sr, rt):
        assert str(dataset.PatientName) == "Yamada^Tarou=山田^太郎"
    assert seg.SegmentSequence[0].SegmentLabel == rt.StructureSetROISequence[0].ROIName == lesion.name
    assert lesion.name.encode() in (tmp_path / "x.sr.dcm").read_bytes()


@pytest.mark.parametrize(
    ("name", "label"),
    [("left\\right", "left/right"), ("two\nlines\x07", "two lines"), ("  ", "segment"), ("x" * 70, "x" * 64)],
)
def test_a_name_is_written_as_dicom_allows_it(tmp_path, a_source, lesions_on, name, label):
    lesion = replace(lesions_on()[0], name=name)
    seg = write_dicom_seg(tmp_path / "x.seg.dcm", [lesion], a_source)
    rt = write_rtstruct(tmp_path / "rt.dcm", [lesion], a_source)
    assert seg.SegmentSequence[0].SegmentLabel == seg.SegmentSequence[0].TrackingID == label
    assert rt.StructureSetROISequence[0].ROIName == label


def test_a_code_longer_than_sixteen_letters_is_a_long_one(tmp_path, a_source, lesions_on):
    kind = Coded("12345678901234567890", "99LOCAL", "Something of a hospital's own")
    lesion = replace(lesions_on()[0], finding=(ANATOMY, kind))
    seg = write_dicom_seg(tmp_path / "x.seg.dcm", [lesion], a_source)
    rt = write_rtstruct(tmp_path / "rt.dcm", [lesion], a_source)
    for item in (
        seg.SegmentSequence[0].SegmentedPropertyTypeCodeSequence[0],
        rt.RTROIObservationsSequence[0].RTROIIdentificationCodeSequence[0],
    ):
        assert item.LongCodeValue == kind.value
        assert "CodeValue" not in item


def test_a_series_without_what_is_referred_to_is_refused(tmp_path, a_ct_folder, lesions_on):
    for path in a_ct_folder.iterdir():
        dataset = pydicom.dcmread(path)
        del dataset.FrameOfReferenceUID
        dataset.save_as(path)
    with pytest.raises(OutputError, match="lacks its FrameOfReferenceUID"):
        write_dicom_seg(tmp_path / "x.seg.dcm", lesions_on(), find_source(a_ct_folder))
    assert not (tmp_path / "x.seg.dcm").exists()


def test_a_mask_on_another_grid_is_refused(tmp_path, a_source):
    beyond = ExportedSegment("far", Mask((30, 0, 0), np.ones((9, 2, 2), dtype=bool)), Algorithm("sam3d_lite"))
    with pytest.raises(OutputError, match="'far' reaches beyond"):
        write_dicom_seg(tmp_path / "x.seg.dcm", [beyond], a_source)
    shifted = a_source.grid.affine.copy()
    shifted[0, 3] += 0.2
    with pytest.raises(OutputError, match="other voxels than the series"):
        check_same_grid(Grid(a_source.grid.shape, shifted), a_source)


def test_a_segmentation_of_another_series_is_not_laid_on_this_one(tmp_path, a_source, lesions_on):
    write_dicom_seg(tmp_path / "x.seg.dcm", lesions_on(), a_source)
    shifted = a_source.grid.affine.copy()
    shifted[:3, 3] += 1.0
    with pytest.raises(VolumeError, match="does not lie on the image's slices"):
        read_dicom_seg(tmp_path / "x.seg.dcm", Grid(a_source.grid.shape, shifted))


def test_a_single_segment_comes_back_too(tmp_path, a_source, lesions_on):
    ring = lesions_on()[0]
    write_dicom_seg(tmp_path / "x.seg.dcm", [ring], a_source)
    found = read_dicom_seg(tmp_path / "x.seg.dcm", a_source.grid)
    assert np.array_equal(found["ring"].on(a_source.grid.shape), ring.mask.on(a_source.grid.shape))


def test_what_a_person_drew_is_manual_and_a_finding_may_be_any_code(tmp_path, a_source, lesions_on):
    ring = replace(lesions_on()[0], algorithm=None, finding=(ANATOMY, LIVER))
    dataset = write_dicom_seg(tmp_path / "x.seg.dcm", [ring], a_source)
    (item,) = pydicom.dcmread(tmp_path / "x.seg.dcm").SegmentSequence
    assert item.SegmentAlgorithmType == "MANUAL"
    assert "SegmentAlgorithmName" not in item
    assert item.SegmentedPropertyTypeCodeSequence[0].CodeValue == LIVER.value
    assert item.SegmentedPropertyCategoryCodeSequence[0].CodeMeaning == ANATOMY.meaning
    write_dicom_sr(tmp_path / "x.sr.dcm", [ReportedLesion(ring, ())], a_source, segmentation=dataset)
    assert b"Liver" in (tmp_path / "x.sr.dcm").read_bytes()
    region = write_rtstruct(tmp_path / "rt.dcm", [ring], a_source).StructureSetROISequence[0]
    assert region.ROIGenerationAlgorithm == "MANUAL"
    assert "ROIDescription" not in region


def test_the_series_under_a_volume_is_found_among_its_files_in_whatever_order_the_voxels_are(a_ct_folder, a_source):
    files, grid = sorted(a_ct_folder.glob("*.dcm"), reverse=True), a_source.grid
    flipped = grid.affine @ np.diag([1.0, 1, -1, 1])
    flipped[:3, 3] = grid.to_ras((0, 0, grid.shape[2] - 1))
    for given in (grid, Grid(grid.shape, flipped)):
        found = source_among(files, given)
        assert found.grid.matches(a_source.grid)
        assert found.paths == a_source.paths


@pytest.mark.parametrize("what", ["moved", "a file short", "two series"])
def test_an_image_that_is_not_its_series_any_more_is_refused(tmp_path, a_ct_folder, a_source, what):
    files, grid = sorted(a_ct_folder.glob("*.dcm")), a_source.grid
    said = "does not lie on the voxels of its DICOM series"
    if what == "moved":
        affine = grid.affine.copy()
        affine[0, 3] += 1
        grid = Grid(grid.shape, affine)
    elif what == "a file short":
        files = files[1:]
    else:
        said, other = "not there as one whole series", pydicom.dcmread(files[0])
        other.SeriesInstanceUID, other.SOPInstanceUID = "2.25.1", "2.25.2"
        save(other, tmp_path / "other.dcm")
        files.append(tmp_path / "other.dcm")
    with pytest.raises(VolumeError, match=said):
        source_among(files, grid)
