"""TID 1500 reports: numbers and end points read back by highdicom, on the images or in the patient."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest

from inference_core.geometry.grid import LPS_FROM_RAS, Grid
from inference_core.geometry.mask import Mask
from inference_core.geometry.volume import Volume
from inference_core.io.dicom import find_source
from inference_core.io.dicom_export import Algorithm, ExportedSegment
from inference_core.io.dicom_seg import write_dicom_seg
from inference_core.io.dicom_sr import ReportedLesion, write_dicom_sr
from inference_core.io.dicom_writer import write_dicom_series
from inference_core.io.files import read_volume
from inference_core.measures.measurements import measure
from inference_core.measures.reported import reported

hd = pytest.importorskip("highdicom")


def reports_of(segments, folder):
    volume = read_volume(folder)
    return [ReportedLesion(segment, reported(measure(segment.mask, volume, unit="HU"))) for segment in segments]


def read_groups(path):
    report = hd.sr.srread(path).content
    return [*report.get_image_measurement_groups(), *report.get_volumetric_roi_measurement_groups()]


def numbers_in(groups, uid):
    """(name, derivation) -> (value, unit, item) of a lesion's measurements, over all of its groups."""
    found = {}
    for group in groups:
        if group.tracking_uid == uid:
            for item in group.get_measurements():
                derivation = "" if item.derivation is None else item.derivation.meaning
                found[item.name.meaning, derivation] = (item.value, item.unit.value, item)
    return found


@pytest.mark.parametrize("with_seg", [False, True])
def test_the_numbers_come_back_with_their_units(tmp_path, a_source, a_ct_folder, lesions_on, with_seg):
    segments = lesions_on()
    seg = write_dicom_seg(tmp_path / "x.seg.dcm", segments, a_source) if with_seg else None
    write_dicom_sr(tmp_path / "x.sr.dcm", reports_of(segments, a_ct_folder), a_source, segmentation=seg)
    groups = read_groups(tmp_path / "x.sr.dcm")
    ring = measure(segments[0].mask, read_volume(a_ct_folder))
    found = numbers_in(groups, segments[0].tracking_uid)
    expected = {
        ("Volume", ""): (ring.volume_ml, "ml"),
        ("Long Axis", ""): (ring.axial.longest.mm, "mm"),
        ("Short Axis", ""): (ring.axial.perpendicular.mm, "mm"),
        ("Diameter", "Maximum"): (ring.longest_3d.mm, "mm"),
        ("Attenuation Coefficient", "Mean"): (ring.statistics.mean, "[hnsf'U]"),
        ("Attenuation Coefficient", "Standard Deviation"): (ring.statistics.sd, "[hnsf'U]"),
        ("Attenuation Coefficient", "Median"): (ring.statistics.median, "[hnsf'U]"),
        ("Attenuation Coefficient", "Minimum"): (ring.statistics.min, "[hnsf'U]"),
        ("Attenuation Coefficient", "Maximum"): (ring.statistics.max, "[hnsf'U]"),
    }
    assert set(found) == set(expected)
    for key, (value, unit) in expected.items():
        assert found[key][0] == pytest.approx(value, rel=1e-5)
        assert found[key][1] == unit
    gone = numbers_in(groups, segments[2].tracking_uid)
    assert [(key, value[0]) for key, value in gone.items()] == [(("Volume", ""), 0)]


def test_both_axes_are_lines_on_the_image_of_their_slice(tmp_path, a_source, a_ct_folder, lesions_on):
    segments = lesions_on()[1:2]
    write_dicom_sr(tmp_path / "x.sr.dcm", reports_of(segments, a_ct_folder), a_source)
    slices = {item.SOPInstanceUID: item for item in map(pydicom.dcmread, a_ct_folder.iterdir())}
    axial = measure(segments[0].mask, read_volume(a_ct_folder)).axial
    found = numbers_in(read_groups(tmp_path / "x.sr.dcm"), segments[0].tracking_uid)
    for name, line in (("Long Axis", axial.longest), ("Short Axis", axial.perpendicular)):
        (drawn,) = [item for item in found[name, ""][2][0].ContentSequence if item.ValueType == "SCOORD"]
        assert drawn.GraphicType == "POLYLINE"
        columns_rows = np.array(drawn.GraphicData, dtype=float).reshape(2, 2) - 0.5
        named = slices[drawn.ContentSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID]
        axes = np.array(named.ImageOrientationPatient, dtype=float).reshape(2, 3)
        rows, columns = (float(step) for step in named.PixelSpacing)
        lps = np.array(named.ImagePositionPatient, dtype=float) + (columns_rows * (columns, rows)) @ axes
        assert lps @ LPS_FROM_RAS[:3, :3] == pytest.approx(np.array([line.start_ras, line.end_ras]), abs=0.01)


def test_on_a_sagittal_series_the_axes_are_lines_in_the_patient(tmp_path):
    axes = np.array([[0, 0, 1], [1, 0, 0], [0, -1, 0]], dtype=float)  # i to A, j to I, k to R
    grid = Grid((20, 24, 12), np.block([[axes * (0.8, 0.9, 2.5), np.array([[3], [4], [5]])], [0, 0, 0, 1]]))
    assert grid.ras_axes[2] == 1
    voxels = np.zeros(grid.shape, dtype=np.int16)
    voxels[4:15, 6:9, 3:7] = 100
    write_dicom_series(tmp_path / "mr", voxels, grid, modality="MR")
    source = find_source(tmp_path / "mr")
    segment = ExportedSegment("lesion", Mask.of(voxels > 0), Algorithm("sam3d_lite"))
    measured = measure(segment.mask, Volume(voxels, grid))
    write_dicom_sr(tmp_path / "x.sr.dcm", [ReportedLesion(segment, reported(measured))], source)
    found = numbers_in(read_groups(tmp_path / "x.sr.dcm"), segment.tracking_uid)
    (drawn,) = [item for item in found["Long Axis", ""][2][0].ContentSequence if item.ValueType == "SCOORD3D"]
    ras = np.array(drawn.GraphicData, dtype=float).reshape(2, 3) @ LPS_FROM_RAS[:3, :3]
    assert ras == pytest.approx(np.array([measured.axial.longest.start_ras, measured.axial.longest.end_ras]), abs=0.01)
    assert (
        drawn.ReferencedFrameOfReferenceUID == pydicom.dcmread(tmp_path / "mr" / "slice-0001.dcm").FrameOfReferenceUID
    )
    assert found["MR signal intensity", "Mean"][:2] == (100, "1")


def test_the_report_refers_to_the_series_and_the_segmentation(tmp_path, a_source, a_ct_folder, lesions_on):
    segments = lesions_on()
    seg = write_dicom_seg(tmp_path / "x.seg.dcm", segments, a_source)
    write_dicom_sr(tmp_path / "x.sr.dcm", reports_of(segments, a_ct_folder), a_source, segmentation=seg)
    dataset = pydicom.dcmread(tmp_path / "x.sr.dcm")
    evidence = {
        item.ReferencedSOPInstanceUID
        for study in dataset.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    }
    assert evidence >= {seg.SOPInstanceUID, *(frame.header.instance_uid for frame in a_source.frames)}
    assert dataset.VerificationFlag == "UNVERIFIED"
    assert segments[0].algorithm.weights_sha256.encode() in (tmp_path / "x.sr.dcm").read_bytes()
