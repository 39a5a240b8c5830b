"""The table of lesions: a row each, roles within RECIST's limits, sorting, jumping, saving, and thirty of them."""

import csv
import json
import time

import numpy as np
import pytest
from support.module_scenes import RADII
from support.panel_scenes import FIRST, SECOND, center_of, click_with, press_cell, rest, texts_of, voxels

slicer = pytest.importorskip("slicer", reason="slicer-core exists for Python 3.11 on 64-bit Linux")
QtWidgets = pytest.importorskip("PySide6.QtWidgets")
QtCore = pytest.importorskip("PySide6.QtCore")
QtTest = pytest.importorskip("PySide6.QtTest")

NAME, VOLUME, AXES, MEAN, ROLE, REVIEW, CHANGE, ORGAN = range(8)


@pytest.fixture
def two_lesions(a_panel, a_grid):
    """Both balls as segments; the second one, which is smaller, is the current one; the table is open."""
    app = a_panel
    for name, at in (("liver", FIRST), ("node", SECOND)):
        app.panel.logic.segments.next(name)
        app.panel.logic.prompts.addClick(center_of(a_grid, at))
        rest(app)
        mask = voxels(app.panel.logic) & near(app, a_grid, at)
        keep_only(app, mask)
    app.panel.ui.lesionsSection.collapsed = False
    rest(app)
    return app


def near(app, grid, at):
    shape = slicer.util.arrayFromVolume(app.panel.logic.volumeNode).shape
    ijk = np.stack(np.indices(shape[::-1]), axis=-1)
    return (np.linalg.norm(grid.to_ras(ijk) - center_of(grid, at), axis=-1) < 12).T


def keep_only(app, mask):
    logic = app.panel.logic
    slicer.util.updateSegmentBinaryLabelmapFromArray(
        mask.astype(np.uint8), logic.segmentationNode, logic.segmentId, logic.volumeNode
    )
    app.panel.pollTimer.refreshSoon()
    rest(app)


def press_title(app, column):
    header = app.panel.ui.lesionsTable.horizontalHeader()
    at = QtCore.QPoint(header.sectionViewportPosition(column) + 5, header.height // 2)
    QtTest.QTest.mouseClick(header.viewport(), QtCore.Qt.LeftButton, QtCore.Qt.NoModifier, at)
    rest(app)


def test_each_lesion_is_a_row_with_its_numbers(two_lesions, a_grid):
    table = two_lesions.panel.ui.lesionsTable
    assert texts_of(table, NAME) == ["liver", "node"]
    mask = voxels(two_lesions.panel.logic)
    assert texts_of(table, VOLUME)[1] == f"{mask.sum() * a_grid.voxel_volume_mm3 / 1000:.1f}"
    long, short = (float(text) for text in texts_of(table, AXES)[0].split(" × "))
    assert long == pytest.approx(2 * RADII[0], abs=2.5)
    assert short <= long
    values = slicer.util.arrayFromVolume(two_lesions.panel.logic.volumeNode)[mask]
    assert float(texts_of(table, MEAN)[1]) == pytest.approx(values.mean(), rel=1e-2)


def test_nothing_is_measured_while_the_table_is_closed(a_panel, a_grid):
    click_with(a_panel, "foreground", center_of(a_grid, FIRST))
    first = a_panel.panel.logic.segmentId
    a_panel.pressButton(a_panel.panel.ui.nextButton)
    keep_only(a_panel, near(a_panel, a_grid, SECOND))
    a_panel.panel.logic.measuring.forget()
    a_panel.panel.pollTimer.refreshSoon()
    rest(a_panel)
    assert not a_panel.panel.logic.measuring.isKnown(first)
    a_panel.panel.ui.lesionsSection.collapsed = False
    rest(a_panel)
    assert a_panel.panel.logic.measuring.isKnown(first)


def test_a_click_on_a_row_goes_to_the_slice_where_its_lesion_was_measured(two_lesions):
    press_cell(two_lesions, two_lesions.panel.ui.lesionsTable, 0, AXES)
    logic = two_lesions.panel.logic
    assert logic.segments.get(logic.segmentId).GetName() == "liver"
    line = logic.measuring.of(logic.segmentId).axial.longest
    offset = two_lesions.red.mrmlSliceNode().GetSliceToRAS()
    center = np.array([offset.GetElement(row, 3) for row in range(3)])
    normal = np.array([offset.GetElement(row, 2) for row in range(3)])
    assert abs(np.dot(center - np.mean([line.start_ras, line.end_ras], axis=0), normal)) < 1.0


def test_the_sum_is_that_of_the_targets_and_a_node_counts_by_its_short_axis(two_lesions):
    ui, lesions = two_lesions.panel.ui, two_lesions.panel.logic.lesions
    assert "No targets" in ui.lesionSumLabel.text
    press_cell(two_lesions, ui.lesionsTable, 0, ROLE)
    press_cell(two_lesions, ui.lesionsTable, 1, ROLE)
    press_cell(two_lesions, ui.lesionsTable, 1, ROLE)
    assert texts_of(ui.lesionsTable, ROLE) == ["target", "node"]
    liver, node = lesions.lesions()
    expected = liver.measurements.axial.longest.mm + node.measurements.axial.perpendicular.mm
    assert f"{expected:.1f} mm, targets: 2" in ui.lesionSumLabel.text
    assert "RECIST 1.1 takes nodes of 15 mm or more" in ui.lesionSumLabel.text
    press_cell(two_lesions, ui.lesionsTable, 1, ROLE)
    assert "targets: 1" in ui.lesionSumLabel.text


def test_a_third_target_in_one_organ_is_refused_and_said(two_lesions):
    logic, ui = two_lesions.panel.logic, two_lesions.panel.ui
    logic.segments.next("third")
    for segmentId in logic.segments.ids():
        logic.lesions.setOrgan(segmentId, "Liver")
    for row in range(2):
        logic.lesions.setRole(logic.segments.ids()[row], "target")
    rest(two_lesions)
    press_cell(two_lesions, ui.lesionsTable, 2, ROLE)
    assert "2 target lesions an organ at most" in ui.messageLabel.text
    assert texts_of(ui.lesionsTable, ROLE) == ["target", "target", "–"]


def test_the_organ_is_typed_into_the_table_and_saved_with_the_scene(two_lesions, tmp_path):
    ui = two_lesions.panel.ui
    ui.lesionsTable.item(0, ORGAN).setText("lung")
    press_cell(two_lesions, ui.lesionsTable, 0, ROLE)
    assert slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    slicer.mrmlScene.Clear(False)
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    rest(two_lesions)
    assert texts_of(ui.lesionsTable, ORGAN)[0] == "lung"
    assert texts_of(ui.lesionsTable, ROLE) == ["target", "–"]


def test_the_organ_is_that_of_the_terminology_where_the_user_says_none(two_lesions):
    logic = two_lesions.panel.logic
    segment = logic.segments.get(logic.segmentId)
    entry = (
        "Segmentation category and type - 3D Slicer General Anatomy list~SCT^49755003^Morphologically Altered Structure"
        "~SCT^4147007^Mass~^^~Anatomic codes - DICOM master list~SCT^10200004^Liver~^^"
    )
    segment.SetTag(segment.GetTerminologyEntryTagName(), entry)
    assert logic.lesions.organ(logic.segmentId) == "Liver"
    assert logic.lesions.finding(logic.segmentId) == "Mass"


def test_titles_sort_up_and_down_and_back(two_lesions):
    table = two_lesions.panel.ui.lesionsTable
    for expected in (["node", "liver"], ["liver", "node"], ["liver", "node"]):
        press_title(two_lesions, VOLUME)
        assert texts_of(table, NAME) == expected
    press_title(two_lesions, NAME)
    assert texts_of(table, NAME) == ["liver", "node"]
    press_title(two_lesions, NAME)
    assert texts_of(table, NAME) == ["node", "liver"]


def test_the_review_goes_on_by_a_click(two_lesions):
    logic = two_lesions.panel.logic
    press_cell(two_lesions, two_lesions.panel.ui.lesionsTable, 1, REVIEW)
    assert logic.segments.status(logic.segments.ids()[1]) == "in progress"


def test_the_table_is_copied_as_text(two_lesions):
    two_lesions.pressButton(two_lesions.panel.ui.copyTableButton)
    lines = QtWidgets.QApplication.clipboard().text().splitlines()
    assert lines[0].startswith("Lesion\tRECIST")
    assert [line.split("\t")[0] for line in lines[1:3]] == ["liver", "node"]


@pytest.mark.parametrize("name", ["lesions.csv", "lesions.json"])
def test_the_table_is_saved_with_units_and_without_names_of_images(two_lesions, saved_as, tmp_path, name):
    path = tmp_path / name
    saved_as(path)
    two_lesions.pressButton(two_lesions.panel.ui.saveTableButton)
    text = path.read_text()
    assert "Secret Name" not in text
    if name.endswith("json"):
        first = json.loads(text)["lesions"][0]
        assert first["volume"]["unit"] == "ml"
        value = first["volume"]["value"]
    else:
        value = float(next(csv.DictReader(text.splitlines()))["volume_ml"])
    logic = two_lesions.panel.logic
    assert value == pytest.approx(logic.segments.volumeMl(logic.segments.ids()[0]), rel=1e-5)


def test_an_empty_table_cannot_be_copied(an_app):
    an_app.panel.ui.lesionsSection.collapsed = False
    rest(an_app)
    assert not an_app.panel.ui.copyTableButton.enabled


def test_the_table_is_of_the_chosen_image_alone(two_lesions, a_grid):
    """Another patient's image has a segmentation, and so a table, of its own."""
    array = np.zeros((12, 12, 12), np.float32)
    other = slicer.util.addVolumeFromArray(array, ijkToRAS=a_grid.affine, name="other")
    two_lesions.panel.parameters.choose(volume=other)
    rest(two_lesions)
    assert texts_of(two_lesions.panel.ui.lesionsTable, NAME) == []
    two_lesions.panel.logic.segments.next("theirs")
    rest(two_lesions)
    assert texts_of(two_lesions.panel.ui.lesionsTable, NAME) == ["theirs"]


def thirty_balls(shape):
    """Labels 1 to 30 in (k, j, i), balls of 8 to 12 voxels across."""
    labels = np.zeros(shape, np.uint8)
    offsets = np.stack(np.indices((17, 17, 17)), axis=-1) - 8
    far = np.linalg.norm(offsets, axis=-1)
    places = [(k, j, i) for k in (10, 35, 60) for j in (20, 80) for i in (15, 50, 85, 120, 155)]
    for value, (k, j, i) in enumerate(places, start=1):
        labels[k - 8 : k + 9, j - 8 : j + 9, i - 8 : i + 9][far <= 4 + value % 3] = value
    return labels


@pytest.fixture
def thirty_lesions(a_stand_in):
    """Thirty segments in one labelmap on their image, the table closed, and the labels in (k, j, i)."""
    app, labels = a_stand_in, thirty_balls((80, 110, 180))
    image = np.random.default_rng(0).normal(40, 10, labels.shape).astype(np.int16)
    volume = slicer.util.addVolumeFromArray(image, ijkToRAS=np.diag([0.8, 0.8, 2.5, 1.0]), name="many")
    app.panel.parameters.choose(volume=volume)
    node = app.panel.logic.workspace.ensureSegmentation()
    labelNode = slicer.util.addVolumeFromArray(
        labels, ijkToRAS=np.diag([0.8, 0.8, 2.5, 1.0]), nodeClassName="vtkMRMLLabelMapVolumeNode"
    )
    slicer.modules.segmentations.logic().ImportLabelmapToSegmentationNode(labelNode, node)
    rest(app)
    return app, labels


def open_table(app):
    """Open the table and wait until all is measured; the numbers by segment, in the order of the segments."""
    app.panel.ui.lesionsSection.collapsed = False
    measuring, ids = app.panel.logic.measuring, app.panel.logic.segments.ids()
    assert app.waitUntil(lambda: all(measuring.isKnown(segmentId) for segmentId in ids), seconds=60)
    rest(app)
    return {segmentId: measuring.of(segmentId) for segmentId in ids}


def rows_written(table):
    """The rows of a list in which something is written from now on, as Qt's model tells."""
    rows = set()
    table.model().dataChanged.connect(lambda first, last, *_: rows.update(range(first.row(), last.row() + 1)))
    return rows


def test_a_refresh_without_time_to_spare_measures_one_of_thirty_lesions(thirty_lesions):
    """However slow the computer: the panel is held up by one lesion at a time, and all are measured in the end."""
    app, _ = thirty_lesions
    section, measuring, ids = app.panel.lesions, app.panel.logic.measuring, app.panel.logic.segments.ids()
    section.budgetSeconds = 0.0
    app.panel.ui.lesionsSection.blockSignals(True)  # no refresh but those of this test
    app.panel.ui.lesionsSection.collapsed = False
    for count in range(1, 31):
        section.refresh()
        assert sum(measuring.isKnown(segmentId) for segmentId in ids) == count
        assert (app.panel.ui.lesionSumLabel.text == "…") is (count < 30)


def test_thirty_lesions_stay_fluid(thirty_lesions):
    """All in one labelmap: a refresh that changes nothing measures, writes and looks up nothing."""
    from SAM3DSegmentLib.Panel import Icons

    app, labels = thirty_lesions
    before, measuring = open_table(app), app.panel.logic.measuring
    assert texts_of(app.panel.ui.lesionsTable, VOLUME)[0] == f"{(labels == 1).sum() * 1.6e-3:.2f}"
    written = [rows_written(table) for table in (app.panel.ui.lesionsTable, app.panel.ui.segmentsTable)]
    looked, seconds = Icons.isDark.cache_info().misses, []
    for _ in range(5):
        began = time.thread_time()  # what others do on the machine is no matter
        app.panel._refresh()
        seconds.append(time.thread_time() - began)
    assert [segmentId for segmentId in before if measuring.of(segmentId) is not before[segmentId]] == []
    assert written == [set(), set()]
    assert Icons.isDark.cache_info().misses == looked
    assert min(seconds) < 0.5, seconds


def test_of_thirty_lesions_only_the_changed_one_is_measured_and_written_anew(thirty_lesions):
    app, labels = thirty_lesions
    before, measuring, logic = open_table(app), app.panel.logic.measuring, app.panel.logic
    changed = list(before)[4]
    written = [rows_written(table) for table in (app.panel.ui.lesionsTable, app.panel.ui.segmentsTable)]
    mask = labels == 5
    mask[:10] = False  # its lower half
    slicer.util.updateSegmentBinaryLabelmapFromArray(
        mask.astype(np.uint8), logic.segmentationNode, changed, logic.volumeNode
    )
    app.panel.pollTimer.refreshSoon()
    rest(app)
    assert [segmentId for segmentId in before if measuring.of(segmentId) is not before[segmentId]] == [changed]
    assert written == [{4}, {4}]
