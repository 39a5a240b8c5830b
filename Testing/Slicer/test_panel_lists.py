"""The lists of segments and prompts: what they say, and what a click on each of their cells does."""

import numpy as np
import pytest
from support.module_scenes import RADII, ball_of, dice
from support.panel_scenes import FIRST, SECOND, center_of, click_with, kinds_of, press_cell, rest, texts_of, voxels

slicer = pytest.importorskip("slicer", reason="slicer-core exists for Python 3.11 on 64-bit Linux")
QtWidgets = pytest.importorskip("PySide6.QtWidgets")

CURRENT, COLOR, NAME, VOLUME, STATUS, SHOWN, LOCK, REMOVE = range(8)
SIGN, TEXT, VISIBLE, JUMP, FLIP, DELETE = range(6)


@pytest.fixture
def a_lesion(a_panel, a_grid):
    """The panel with the first ball segmented by one click."""
    click_with(a_panel, "foreground", center_of(a_grid, FIRST))
    return a_panel


def segment_of(app, row=0):
    return app.panel.logic.segmentationNode.GetSegmentation().GetNthSegment(row)


def test_an_empty_list_says_how_to_get_its_first_row(a_panel):
    ui = a_panel.panel.ui
    assert texts_of(ui.promptsTable, TEXT) == texts_of(ui.segmentsTable, NAME) == []
    assert "Press A " in ui.promptsTable.item(0, TEXT).text()
    assert "first click" in ui.segmentsTable.item(0, NAME).text()
    press_cell(a_panel, ui.promptsTable, 0, TEXT)


def test_a_segments_row_tells_its_volume(a_lesion, a_grid):
    milliliters = voxels(a_lesion.panel.logic).sum() * a_grid.voxel_volume_mm3 / 1000
    assert texts_of(a_lesion.panel.ui.segmentsTable, VOLUME) == [f"{milliliters:.1f} ml"]


def test_a_click_on_a_row_makes_its_segment_the_current_one(a_lesion, a_grid):
    logic, table = a_lesion.panel.logic, a_lesion.panel.ui.segmentsTable
    a_lesion.pressButton(a_lesion.panel.ui.nextButton)
    rest(a_lesion)
    assert [table.item(row, NAME).font().bold() for row in (0, 1)] == [False, True]
    assert kinds_of(a_lesion) == []
    press_cell(a_lesion, table, 0, NAME)
    assert logic.segmentId == logic.segments.ids()[0]
    assert [table.item(row, NAME).font().bold() for row in (0, 1)] == [True, False]
    assert kinds_of(a_lesion) == ["foreground"], "its prompts come back with it"


def test_a_locked_segment_grays_the_tools_with_the_reason(a_lesion):
    ui = a_lesion.panel.ui
    press_cell(a_lesion, ui.segmentsTable, 0, LOCK)
    for button in (ui.foregroundButton, ui.backgroundButton, ui.boxButton):
        assert not button.enabled
        assert "locked" in button.toolTip
    assert a_lesion.panel.tools.active is None, "a tool in hand is put down"
    assert "locked" in ui.statusLabel.text
    press_cell(a_lesion, ui.segmentsTable, 0, LOCK)
    assert ui.foregroundButton.enabled
    assert "Ctrl+click" in ui.foregroundButton.toolTip


def test_the_eye_hides_a_segment_in_the_views(a_lesion):
    display = a_lesion.panel.logic.segmentationNode.GetDisplayNode()
    segmentId = a_lesion.panel.logic.segmentId
    press_cell(a_lesion, a_lesion.panel.ui.segmentsTable, 0, SHOWN)
    assert not display.GetSegmentVisibility(segmentId)
    press_cell(a_lesion, a_lesion.panel.ui.segmentsTable, 0, SHOWN)
    assert display.GetSegmentVisibility(segmentId)


def test_a_segment_with_voxels_is_removed_only_after_asking(a_lesion):
    a_lesion.app.setTestingEnabled(False)
    try:
        press_cell(a_lesion, a_lesion.panel.ui.segmentsTable, 0, REMOVE)
        assert a_lesion.panel.logic.segments.ids(), "an answer was not given, so nothing happened"
        a_lesion.dialogs.answer("OK")
        press_cell(a_lesion, a_lesion.panel.ui.segmentsTable, 0, REMOVE)
    finally:
        a_lesion.app.setTestingEnabled(True)
    assert "Lesion 1" in a_lesion.dialogs.seen[0].text
    assert a_lesion.panel.logic.segments.ids() == []
    assert kinds_of(a_lesion) == []


def test_a_renamed_segment_keeps_its_number_and_color_to_itself(a_lesion):
    segment_of(a_lesion).SetName("Liver")
    a_lesion.pressButton(a_lesion.panel.ui.nextButton)
    rest(a_lesion)
    assert texts_of(a_lesion.panel.ui.segmentsTable, NAME) == ["Liver", "Lesion 2"]
    assert segment_of(a_lesion, 0).GetColor() != segment_of(a_lesion, 1).GetColor()


def test_a_click_on_the_review_goes_through_slicers_own_statuses(a_lesion):
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    seen = []
    for _ in range(4):
        press_cell(a_lesion, a_lesion.panel.ui.segmentsTable, 0, STATUS)
        seen.append(logic.GetSegmentStatusAsHumanReadableString(logic.GetSegmentStatus(segment_of(a_lesion))))
    assert seen == ["In progress", "Completed", "Flagged", "Not started"]


def test_a_lesion_is_a_mass_in_slicers_terminology(a_lesion):
    import vtk

    text = vtk.reference("")
    segment_of(a_lesion).GetTag(segment_of(a_lesion).GetTerminologyEntryTagName(), text)
    entry = slicer.vtkSlicerTerminologyEntry()
    assert slicer.modules.terminologies.logic().DeserializeTerminologyEntry(str(text), entry)
    assert entry.GetTypeObject().GetCodeMeaning() == "Mass"


def test_a_segmentation_made_in_the_selector_is_the_images(a_lesion, a_grid):
    logic, selector = a_lesion.panel.logic, a_lesion.panel.ui.segmentationSelector
    first, mask = logic.segmentationNode, voxels(logic)
    assert selector.addEnabled
    selector.addNode()
    rest(a_lesion)
    assert logic.segmentationNode is not first
    click_with(a_lesion, "foreground", center_of(a_grid, SECOND))
    assert dice(voxels(logic), ball_of(a_grid, SECOND, RADII[1])) > 0.93
    selector.setCurrentNode(first)
    rest(a_lesion)
    np.testing.assert_array_equal(voxels(logic), mask)


def test_a_name_changed_elsewhere_is_shown(a_lesion):
    segment_of(a_lesion).SetName("Segment 3, liver")
    rest(a_lesion)
    assert texts_of(a_lesion.panel.ui.segmentsTable, NAME) == ["Segment 3, liver"]


def test_a_deleted_prompt_is_gone_and_the_mask_with_it(a_lesion, a_grid):
    click_with(a_lesion, "foreground", center_of(a_grid, SECOND))
    press_cell(a_lesion, a_lesion.panel.ui.promptsTable, 0, DELETE)
    assert kinds_of(a_lesion) == ["foreground"]
    assert dice(voxels(a_lesion.panel.logic), ball_of(a_grid, SECOND, RADII[1])) > 0.93


def test_a_flipped_prompt_changes_its_sign(a_lesion, a_grid):
    click_with(a_lesion, "foreground", center_of(a_grid, SECOND))
    press_cell(a_lesion, a_lesion.panel.ui.promptsTable, 1, FLIP)
    assert kinds_of(a_lesion) == ["foreground", "background"]
    assert dice(voxels(a_lesion.panel.logic), ball_of(a_grid, FIRST, RADII[0])) > 0.95


def test_a_hidden_prompt_still_counts(a_lesion):
    before = voxels(a_lesion.panel.logic)
    press_cell(a_lesion, a_lesion.panel.ui.promptsTable, 0, VISIBLE)
    assert not a_lesion.panel.logic.prompts.items()[0].visible
    np.testing.assert_array_equal(voxels(a_lesion.panel.logic), before)


def test_jump_shows_the_prompt_in_all_slice_views(a_lesion):
    views = (a_lesion.red, a_lesion.green, a_lesion.yellow)
    for view in views:
        a_lesion.scroll(view, 5)
    press_cell(a_lesion, a_lesion.panel.ui.promptsTable, 0, JUMP)
    ras = a_lesion.panel.logic.prompts.items()[0].ras
    for view in views:
        x, y, z, _ = np.linalg.inv(slicer.util.arrayFromVTKMatrix(view.mrmlSliceNode().GetSliceToRAS())) @ (*ras, 1)
        np.testing.assert_allclose((x, y, z), 0, atol=1e-6, err_msg=view.name)


def test_clear_removes_all_prompts_and_undo_brings_them_back(a_lesion, a_grid):
    click_with(a_lesion, "foreground", center_of(a_grid, SECOND))
    before = voxels(a_lesion.panel.logic)
    a_lesion.pressButton(a_lesion.panel.ui.clearButton)
    rest(a_lesion)
    assert kinds_of(a_lesion) == []
    assert not voxels(a_lesion.panel.logic).any()
    assert not a_lesion.panel.ui.clearButton.enabled
    a_lesion.pressButton(a_lesion.panel.ui.undoButton)
    rest(a_lesion)
    assert len(kinds_of(a_lesion)) == 2
    np.testing.assert_array_equal(voxels(a_lesion.panel.logic), before)
