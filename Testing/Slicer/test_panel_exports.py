"""Exports from the panel: files that refer to the image's series, read back in place, and what is refused and why."""

import numpy as np
import pytest
from support.panel_gestures import export
from support.panel_scenes import FIRST, SECOND, center_of, rest, voxels
from support.scenes import spheres

slicer = pytest.importorskip("slicer", reason="slicer-core exists for Python 3.11 on 64-bit Linux")
QtWidgets = pytest.importorskip("PySide6.QtWidgets")
QtCore = pytest.importorskip("PySide6.QtCore")
QtTest = pytest.importorskip("PySide6.QtTest")
pydicom = pytest.importorskip("pydicom")


def write_series(folder, grid, patient_id="P1"):
    from inference_core.io.dicom_writer import write_dicom_series

    balls = [(grid.center_ras + at, radius) for at, radius in ((FIRST, 9.0), (SECOND, 7.0))]
    write_dicom_series(folder, (100 * spheres(grid, balls)).astype(np.int16), grid, patient_id=patient_id)
    return folder


@pytest.fixture
def a_series(tmp_path, a_grid):
    return write_series(tmp_path / "series", a_grid)


@pytest.fixture
def a_dicom_panel(a_stand_in, a_series, a_grid):
    """An image out of DICOM in the panel, with a segment by a click and one that a person drew; the table is open."""
    from Host.opening import openInput

    app = a_stand_in
    app.panel.parameters.choose(volume=openInput(a_series))
    app.panel.logic.segments.next("liver")
    app.panel.logic.prompts.addClick(center_of(a_grid, FIRST))
    rest(app)
    drawn = np.zeros(slicer.util.arrayFromVolume(app.panel.logic.volumeNode).shape, np.uint8)
    drawn[2:4, 3:6, 2:7] = 1
    app.panel.logic.segments.next("by hand")
    logic = app.panel.logic
    slicer.util.updateSegmentBinaryLabelmapFromArray(drawn, logic.segmentationNode, logic.segmentId, logic.volumeNode)
    app.panel.ui.lesionsSection.collapsed = False
    rest(app)
    return app


def masks_of(app):
    """The segments on the image's voxels, (i, j, k)."""
    logic = app.panel.logic
    return {logic.segments.get(key).GetName(): voxels(logic, key).T for key in logic.segments.ids()}


def test_all_three_of_one_export_hold_the_segments_and_refer_to_the_series(
    a_dicom_panel, saved_as, a_series, tmp_path, a_grid
):
    pytest.importorskip("highdicom")
    from inference_core.io.dicom_seg import read_dicom_seg
    from inference_core.io.rtstruct import read_rtstruct

    saved_as(tmp_path / "june.seg.dcm")
    export(a_dicom_panel, "DICOM SEG, report")
    assert "Written: june.seg.dcm, june.sr.dcm, june.rt.dcm" in a_dicom_panel.panel.ui.statusLabel.text
    grid, expected = a_grid, masks_of(a_dicom_panel)
    for found in (read_dicom_seg(tmp_path / "june.seg.dcm", grid), read_rtstruct(tmp_path / "june.rt.dcm", grid)):
        assert set(found) == set(expected)
        for name, mask in found.items():
            assert np.array_equal(mask.on(grid.shape) > 0, expected[name]), name
    source = pydicom.dcmread(next(a_series.iterdir()))
    seg = pydicom.dcmread(tmp_path / "june.seg.dcm")
    assert seg.ReferencedSeriesSequence[0].SeriesInstanceUID == source.SeriesInstanceUID
    assert (seg.PatientID, seg.StudyInstanceUID) == ("P1", source.StudyInstanceUID)
    liver, drawn = seg.SegmentSequence
    assert (liver.SegmentAlgorithmType, drawn.SegmentAlgorithmType) == ("SEMIAUTOMATIC", "MANUAL")
    assert liver.SegmentedPropertyTypeCodeSequence[0].CodeMeaning == "Mass"
    assert seg.SOPInstanceUID.encode() in (tmp_path / "june.sr.dcm").read_bytes()


def test_a_later_report_speaks_of_the_same_lesions_by_their_tracking_uids(a_dicom_panel, saved_as, tmp_path):
    pytest.importorskip("highdicom")
    for words, name in (("DICOM SEG...", "x.seg.dcm"), ("DICOM report", "x.sr.dcm")):
        saved_as(tmp_path / name)
        export(a_dicom_panel, words)
    liver = pydicom.dcmread(tmp_path / "x.seg.dcm").SegmentSequence[0]
    report = (tmp_path / "x.sr.dcm").read_bytes()
    assert liver.TrackingUID.encode() in report
    measured = a_dicom_panel.panel.logic.lesions.lesions()[0].measurements
    values = [item.MeasuredValueSequence[0].NumericValue for item in numbers_in(pydicom.dcmread(tmp_path / "x.sr.dcm"))]
    assert any(float(value) == pytest.approx(measured.volume_ml, rel=1e-5) for value in values)
    assert any(float(value) == pytest.approx(measured.axial.longest.mm, rel=1e-5) for value in values)


def numbers_in(item):
    """All numeric content items below one."""
    found = [item] if item.get("ValueType") == "NUM" else []
    return found + [number for child in item.get("ContentSequence", ()) for number in numbers_in(child)]


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".seg.nrrd"])
def test_a_label_map_holds_each_segment_in_its_place(a_dicom_panel, saved_as, tmp_path, suffix):
    from inference_core.io.files import read_labels

    saved_as(tmp_path / f"x{suffix}")
    export(a_dicom_panel, f"Label map ({suffix})")
    labels = read_labels(tmp_path / f"x{suffix}")
    for value, mask in enumerate(masks_of(a_dicom_panel).values(), start=1):
        places = labels.grid.to_ras(np.argwhere(labels.array == value))
        expected = np.argwhere(mask)
        assert len(places) == len(expected)
        found = np.rint(labels.grid.to_ijk(places)).astype(int)
        assert np.array_equal(found, expected)


def test_an_image_whose_slices_slicer_counts_from_the_other_end_is_exported_in_place(
    a_dicom_panel, saved_as, tmp_path, a_grid
):
    """Readers differ in where they begin; what counts is where a voxel is in the patient."""
    pytest.importorskip("highdicom")
    from inference_core.io.dicom_seg import read_dicom_seg

    app, first = a_dicom_panel, a_dicom_panel.panel.logic.volumeNode
    array = slicer.util.arrayFromVolume(first)[::-1].copy()
    affine = a_grid.affine @ np.diag([1.0, 1.0, -1.0, 1.0])
    affine[:3, 3] = a_grid.to_ras((0, 0, a_grid.shape[2] - 1))
    flipped = slicer.util.addVolumeFromArray(array, ijkToRAS=affine, name="flipped")
    flipped.SetAttribute("DICOM.instanceUIDs", first.GetAttribute("DICOM.instanceUIDs"))
    app.panel.parameters.choose(volume=flipped)
    app.panel.logic.segments.next("liver")
    app.panel.logic.prompts.addClick(center_of(a_grid, FIRST))
    rest(app)
    saved_as(tmp_path / "x.seg.dcm")
    export(app, "DICOM SEG...")
    found = read_dicom_seg(tmp_path / "x.seg.dcm", a_grid)["liver"].on(a_grid.shape) > 0
    assert np.array_equal(found, masks_of(app)["liver"][:, :, ::-1])


def test_a_segmentation_on_voxels_of_its_own_is_brought_onto_the_slices(a_dicom_panel, saved_as, tmp_path, a_grid):
    """Of voxels half as wide: a block of eight for each of the image's."""
    import vtk
    from vtk.util.numpy_support import numpy_to_vtk

    pytest.importorskip("highdicom")
    from inference_core.io.dicom_seg import read_dicom_seg

    expected = np.zeros(a_grid.shape, bool)
    expected[20:30, 24:40, 8:13] = True
    fine = expected.repeat(2, 0).repeat(2, 1).repeat(2, 2).astype(np.uint8)
    affine = a_grid.affine @ np.diag([0.5, 0.5, 0.5, 1.0])
    affine[:3, 3] = a_grid.to_ras((-0.25, -0.25, -0.25))
    labels = slicer.vtkOrientedImageData()
    labels.SetExtent(0, fine.shape[0] - 1, 0, fine.shape[1] - 1, 0, fine.shape[2] - 1)
    labels.GetPointData().SetScalars(numpy_to_vtk(fine.T.ravel(), deep=1, array_type=vtk.VTK_UNSIGNED_CHAR))
    labels.SetGeometryFromImageToWorldMatrix(slicer.util.vtkMatrixFromArray(affine))
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "fine")
    node.CreateDefaultDisplayNodes()
    node.AddSegmentFromBinaryLabelmapRepresentation(labels, "block")
    a_dicom_panel.panel.parameters.choose(segmentation=node)
    rest(a_dicom_panel)
    saved_as(tmp_path / "x.seg.dcm")
    export(a_dicom_panel, "DICOM SEG...")
    found = read_dicom_seg(tmp_path / "x.seg.dcm", a_grid)["block"]
    assert np.array_equal(found.on(a_grid.shape) > 0, expected)


def test_an_image_that_is_not_from_dicom_is_told_what_needs_it_and_the_rest_is_written(
    a_panel, a_grid, saved_as, tmp_path
):
    a_panel.panel.logic.prompts.addClick(center_of(a_grid, FIRST))
    a_panel.panel.ui.lesionsSection.collapsed = False
    rest(a_panel)
    saved_as(tmp_path / "x.seg.dcm")
    for words in ("DICOM SEG,", "DICOM SEG...", "DICOM report", "DICOM RTSTRUCT"):
        export(a_panel, words)
        assert "refer to the DICOM series of an image" in a_panel.panel.ui.messageLabel.text
        assert "export a label map, or save the table and the page" in a_panel.panel.ui.messageLabel.text
        a_panel.pressButton(a_panel.panel.ui.dismissButton)
    assert list(tmp_path.iterdir()) == []
    saved_as(tmp_path / "x.nii.gz")
    export(a_panel, "Label map (.nii.gz)")
    assert (tmp_path / "x.nii.gz").is_file()


def test_an_image_under_another_patient_than_its_files_is_refused(a_dicom_panel, saved_as, tmp_path):
    pytest.importorskip("highdicom")
    hierarchy, node = slicer.mrmlScene.GetSubjectHierarchyNode(), a_dicom_panel.panel.logic.volumeNode
    other = hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), "P2")
    hierarchy.SetItemUID(other, "DICOM", "P2")
    hierarchy.SetItemParent(hierarchy.GetItemByDataNode(node), other)
    saved_as(tmp_path / "x.seg.dcm")
    export(a_dicom_panel, "DICOM SEG...")
    assert "another patient than its DICOM files" in a_dicom_panel.panel.ui.messageLabel.text
    assert not (tmp_path / "x.seg.dcm").exists()


def test_an_image_that_was_moved_is_not_exported_to_its_series(a_dicom_panel, saved_as, tmp_path):
    node = a_dicom_panel.panel.logic.volumeNode
    origin = np.array(node.GetOrigin()) + (3, 0, 0)
    node.SetOrigin(*origin)
    saved_as(tmp_path / "x.rt.dcm")
    export(a_dicom_panel, "DICOM RTSTRUCT")
    assert "does not lie on the voxels of its DICOM series" in a_dicom_panel.panel.ui.messageLabel.text
    assert not (tmp_path / "x.rt.dcm").exists()


def turned(grid):
    """Finer, and turned about its middle by angles that no axis shares."""
    from inference_core.geometry.grid import Grid
    from inference_core.geometry.sampling import rescaled

    fine, (a, b) = rescaled(grid, tuple(2 * n for n in grid.shape)), np.deg2rad((17.0, -11.0))
    about_s = [[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]]
    about_r = [[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]]
    matrix, back = np.eye(4), np.eye(4)
    matrix[:3, :3] = np.array(about_s) @ np.array(about_r)
    matrix[:3, 3], back[:3, 3] = grid.center_ras, -grid.center_ras
    return Grid(fine.shape, matrix @ back @ fine.affine)


def shell(grid, center):
    places = grid.to_ras(np.moveaxis(np.indices(grid.shape), 0, -1))
    far = np.linalg.norm(places - center, axis=-1)
    return (far < 9.0) & (far > 3.5)


@pytest.fixture
def a_foreign_segmentation(a_stand_in, a_series, a_grid):
    """A segment on a grid that is finer than the image's and turned against it, as other programs bring them."""
    from Host.opening import openInput

    app, other = a_stand_in, turned(a_grid)
    app.panel.parameters.choose(volume=openInput(a_series))
    app.panel.logic.segments.next("ring")
    array = shell(other, center_of(a_grid, FIRST)).astype(np.uint8).T
    reference = slicer.util.addVolumeFromArray(array, ijkToRAS=other.affine, name="elsewhere")
    logic = app.panel.logic
    slicer.util.updateSegmentBinaryLabelmapFromArray(array, logic.segmentationNode, logic.segmentId, reference)
    app.panel.ui.lesionsSection.collapsed = False
    rest(app)
    return app


def found_in(tmp_path, grid):
    from inference_core.io.dicom_seg import read_dicom_seg
    from inference_core.io.rtstruct import read_rtstruct

    seg, rt = read_dicom_seg(tmp_path / "x.seg.dcm", grid)["ring"], read_rtstruct(tmp_path / "x.rt.dcm", grid)["ring"]
    assert np.array_equal(seg.on(grid.shape), rt.on(grid.shape))
    return seg.on(grid.shape) > 0


def test_a_segmentation_on_another_grid_is_exported_on_the_series_and_it_is_said(
    a_foreign_segmentation, saved_as, tmp_path, a_grid
):
    pytest.importorskip("highdicom")
    from inference_core.evaluation.metrics import dice
    from inference_core.io.files import read_labels

    app = a_foreign_segmentation
    saved_as(tmp_path / "x.seg.dcm")
    export(app, "DICOM SEG, report")
    assert "they were resampled onto its own" in app.panel.ui.messageLabel.text
    found = found_in(tmp_path, a_grid)
    assert dice(found, shell(a_grid, center_of(a_grid, FIRST))) > 0.92
    saved_as(tmp_path / "x.nii.gz")
    export(app, "Label map (.nii.gz)")
    assert np.array_equal(read_labels(tmp_path / "x.nii.gz").array == 1, found)


def test_image_and_segmentation_under_one_transform_are_exported_where_the_series_lies(
    a_foreign_segmentation, saved_as, tmp_path, a_grid
):
    pytest.importorskip("highdicom")

    app = a_foreign_segmentation
    saved_as(tmp_path / "x.seg.dcm")
    export(app, "DICOM SEG, report")
    before = found_in(tmp_path, a_grid)
    for path in tmp_path.glob("x.*"):
        path.unlink()
    moved = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "moved")
    matrix = np.array([[0.96, -0.28, 0, 40.0], [0.28, 0.96, 0, -7.0], [0, 0, 1.0, 12.0], [0, 0, 0, 1.0]])
    moved.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    for node in (app.panel.logic.volumeNode, app.panel.logic.segmentationNode):
        node.SetAndObserveTransformNodeID(moved.GetID())
    export(app, "DICOM SEG, report")
    assert np.array_equal(found_in(tmp_path, a_grid), before)


def test_files_that_are_there_are_not_overwritten_beside_the_one_that_was_named(a_dicom_panel, saved_as, tmp_path):
    pytest.importorskip("highdicom")
    (tmp_path / "x.sr.dcm").write_text("mine")
    saved_as(tmp_path / "x.seg.dcm")
    export(a_dicom_panel, "DICOM SEG, report")
    assert "'x.sr.dcm' is there already" in a_dicom_panel.panel.ui.messageLabel.text
    assert (tmp_path / "x.sr.dcm").read_text() == "mine"
    assert not (tmp_path / "x.seg.dcm").exists()


def test_segments_that_overlap_are_no_label_map_and_nothing_is_written(a_dicom_panel, saved_as, tmp_path):
    logic = a_dicom_panel.panel.logic
    logic.segments.next("twin")
    twin = masks_of(a_dicom_panel)["by hand"].T.astype(np.uint8)
    slicer.util.updateSegmentBinaryLabelmapFromArray(twin, logic.segmentationNode, logic.segmentId, logic.volumeNode)
    saved_as(tmp_path / "x.nii.gz")
    export(a_dicom_panel, "Label map (.nii.gz)")
    assert "'twin' overlaps another segment" in a_dicom_panel.panel.ui.messageLabel.text
    assert not (tmp_path / "x.nii.gz").exists()


def test_weights_that_were_adapted_are_named_and_not_the_shipped_ones(
    a_dicom_panel, adapted_weights, saved_as, tmp_path, a_grid
):
    pytest.importorskip("highdicom")
    run, sha256 = adapted_weights
    app, logic = a_dicom_panel, a_dicom_panel.panel.logic
    shipped = logic.studyReports.report().made_by[0]
    logic.setSegment(logic.segments.ids()[0])
    logic.options.setWeights(run)
    logic.prompts.addClick(center_of(a_grid, FIRST + 2))
    rest(app)
    assert sha256 in logic.studyReports.report().made_by[0] != shipped
    saved_as(tmp_path / "x.seg.dcm")
    export(app, "DICOM SEG...")
    made = pydicom.dcmread(tmp_path / "x.seg.dcm").SegmentSequence[0].SegmentationAlgorithmIdentificationSequence[0]
    assert sha256 in made.AlgorithmParameters


def test_slicers_own_exporter_finds_what_made_a_segment(a_dicom_panel):
    from SAM3DSegmentLib.WriteBack import tagOf

    logic = a_dicom_panel.panel.logic
    liver, drawn = (logic.segments.get(key) for key in logic.segments.ids())
    assert tagOf(liver, "DICOM.SegmentAlgorithmType") == "SEMIAUTOMATIC"
    assert tagOf(liver, "DICOM.SegmentAlgorithmName") == logic.options.modelName
    assert tagOf(drawn, "DICOM.SegmentAlgorithmType") == ""
