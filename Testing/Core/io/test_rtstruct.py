"""RTSTRUCT: contours on the source's slices, holes and small pieces kept, read back voxel by voxel."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest

from inference_core.errors import VolumeError
from inference_core.geometry.grid import LPS_FROM_RAS, Grid
from inference_core.io.rtstruct import read_rtstruct, write_rtstruct


def test_the_voxels_come_back_with_holes_islands_and_single_voxels(tmp_path, a_source, lesions_on):
    write_rtstruct(tmp_path / "rt.dcm", lesions_on(), a_source)
    found = read_rtstruct(tmp_path / "rt.dcm", a_source.grid)
    assert list(found) == ["ring", "Läsion 2", "gone"]
    for segment in lesions_on():
        shape = a_source.grid.shape
        assert np.array_equal(found[segment.name].on(shape), segment.mask.on(shape))


def test_each_contour_lies_on_the_slice_that_it_names(tmp_path, a_source, a_ct_folder, lesions_on):
    write_rtstruct(tmp_path / "rt.dcm", lesions_on(), a_source)
    slices = {item.SOPInstanceUID: item for item in map(pydicom.dcmread, a_ct_folder.iterdir())}
    drawn = [
        c for roi in pydicom.dcmread(tmp_path / "rt.dcm").ROIContourSequence for c in roi.get("ContourSequence", [])
    ]
    assert len(drawn) > 100
    for contour in drawn:
        (image,) = contour.ContourImageSequence
        named = slices[image.ReferencedSOPInstanceUID]
        points = np.array(contour.ContourData, dtype=float).reshape(-1, 3)
        assert len(points) == contour.NumberOfContourPoints
        axes = np.array(named.ImageOrientationPatient, dtype=float).reshape(2, 3)
        off = (points - np.array(named.ImagePositionPatient, dtype=float)) @ np.cross(*axes)
        assert np.abs(off).max() < 0.001


def test_outlines_run_half_way_between_voxels(tmp_path, a_source, lesions_on):
    write_rtstruct(tmp_path / "rt.dcm", lesions_on(), a_source)
    contour = pydicom.dcmread(tmp_path / "rt.dcm").ROIContourSequence[0].ContourSequence[-1]
    points = np.array(contour.ContourData, dtype=float).reshape(-1, 3) @ LPS_FROM_RAS[:3, :3]
    ijk = a_source.grid.to_ijk(points)
    corner = (33, 28, 6) if ijk[:, 0].mean() > 1 else (0, 0, 6)
    assert np.abs(ijk - corner).sum(axis=1) == pytest.approx(0.5, abs=1e-3)


def test_it_refers_to_its_source_and_says_what_made_it(tmp_path, a_source, a_ct_folder, lesions_on):
    write_rtstruct(tmp_path / "rt.dcm", lesions_on(), a_source)
    dataset, first = pydicom.dcmread(tmp_path / "rt.dcm"), pydicom.dcmread(a_ct_folder / "slice-0001.dcm")
    assert (dataset.StudyInstanceUID, dataset.PatientID) == (first.StudyInstanceUID, first.PatientID)
    frame_of_reference = dataset.ReferencedFrameOfReferenceSequence[0]
    assert frame_of_reference.FrameOfReferenceUID == first.FrameOfReferenceUID
    series = frame_of_reference.RTReferencedStudySequence[0].RTReferencedSeriesSequence[0]
    assert series.SeriesInstanceUID == first.SeriesInstanceUID
    assert len(series.ContourImageSequence) == a_source.grid.shape[2]
    roi = dataset.StructureSetROISequence[0]
    assert roi.ROIGenerationAlgorithm == "SEMIAUTOMATIC"
    assert lesions_on()[0].algorithm.weights_sha256 in roi.ROIDescription
    assert dataset.RTROIObservationsSequence[1].RTROIIdentificationCodeSequence[0].CodeMeaning == "Mass"
    assert dataset.ApprovalStatus == "UNAPPROVED"


def test_contours_of_another_series_are_not_laid_on_this_one(tmp_path, a_source, lesions_on):
    write_rtstruct(tmp_path / "rt.dcm", lesions_on(), a_source)
    shifted = a_source.grid.affine.copy()
    shifted[:3, 3] += 1.0
    with pytest.raises(VolumeError, match="none of the image's slices"):
        read_rtstruct(tmp_path / "rt.dcm", Grid(a_source.grid.shape, shifted))


def test_a_file_of_another_kind_is_refused(a_ct_folder, a_source):
    with pytest.raises(VolumeError, match="cannot be read as an RTSTRUCT"):
        read_rtstruct(a_ct_folder / "slice-0001.dcm", a_source.grid)
