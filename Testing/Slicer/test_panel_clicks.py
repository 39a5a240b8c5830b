"""Clicks, drags and boxes with the mouse in real views: the mask follows."""

import numpy as np
import pytest
from support.module_scenes import RADII, ball_of, dice
from support.panel_scenes import FIRST, SECOND, beside, center_of, click_with, kinds_of, rest, texts_of, voxels

slicer = pytest.importorskip("slicer", reason="slicer-core exists for Python 3.11 on 64-bit Linux")
QtTest = pytest.importorskip("PySide6.QtTest")
QtCore = pytest.importorskip("PySide6.QtCore")

CONTROL = QtCore.Qt.ControlModifier


def test_a_click_in_the_red_view_segments_what_was_clicked(a_panel, a_grid):
    click_with(a_panel, "foreground", center_of(a_grid, FIRST))
    assert dice(voxels(a_panel.panel.logic), ball_of(a_grid, FIRST, RADII[0])) > 0.95
    ui = a_panel.panel.ui
    assert texts_of(ui.segmentsTable, 2) == ["Lesion 1"]
    (row,) = texts_of(ui.promptsTable, 1)
    assert [part.split()[-1] for part in row.split("  ")] == ["R", "P", "S"]
    assert "last click" in ui.statusLabel.text


def test_the_tool_stays_in_hand_for_the_next_click(a_panel, a_grid):
    click_with(a_panel, "foreground", center_of(a_grid, FIRST))
    a_panel.click(a_panel.red, center_of(a_grid, SECOND))
    rest(a_panel)
    both = ball_of(a_grid, FIRST, RADII[0]) | ball_of(a_grid, SECOND, RADII[1])
    assert dice(voxels(a_panel.panel.logic), both) > 0.95
    assert a_panel.panel.ui.foregroundButton.checked


def test_a_background_click_takes_out_what_was_clicked(a_panel, a_grid):
    for at in (FIRST, SECOND):
        click_with(a_panel, "foreground", center_of(a_grid, at))
    click_with(a_panel, "background", center_of(a_grid, SECOND))
    assert dice(voxels(a_panel.panel.logic), ball_of(a_grid, FIRST, RADII[0])) > 0.95
    assert kinds_of(a_panel) == ["foreground", "foreground", "background"]


def test_ctrl_click_places_the_other_sign_and_keeps_the_tool(a_panel, a_grid):
    click_with(a_panel, "foreground", center_of(a_grid, FIRST))
    hit = a_panel.click(a_panel.red, beside(a_panel, center_of(a_grid, FIRST), 16.0), modifier=CONTROL)
    rest(a_panel)
    assert kinds_of(a_panel) == ["foreground", "background"]
    np.testing.assert_allclose(a_panel.panel.logic.prompts.items()[1].ras, hit, atol=1e-6)
    click_with(a_panel, "foreground", center_of(a_grid, SECOND))
    assert kinds_of(a_panel) == ["foreground", "background", "foreground"]


def test_ctrl_let_go_before_the_button_still_places_one_click_of_the_other_sign(a_panel, a_grid):
    a_panel.pressButton(a_panel.panel.ui.foregroundButton)
    a_panel.showPoint(a_panel.red, center_of(a_grid, FIRST))
    pixel = a_panel.pixelOf(a_panel.red, center_of(a_grid, FIRST))
    a_panel.hover(a_panel.red, pixel)
    QtTest.QTest.mousePress(a_panel.red, QtCore.Qt.LeftButton, CONTROL, pixel)
    QtTest.QTest.mouseRelease(a_panel.red, QtCore.Qt.LeftButton, QtCore.Qt.NoModifier, pixel)
    rest(a_panel)
    assert kinds_of(a_panel) == ["background"]


def test_a_point_dragged_in_the_view_moves_the_mask(a_panel, a_grid):
    click_with(a_panel, "foreground", center_of(a_grid, FIRST))
    a_panel.press("Esc")
    start = a_panel.panel.logic.prompts.items()[0].ras
    end = beside(a_panel, start, 5.0, 3.0)
    released = a_panel.drag(a_panel.red, start, end)
    rest(a_panel)
    (item,) = a_panel.panel.logic.prompts.items()
    np.testing.assert_allclose(item.ras, released, atol=1.0)
    assert np.linalg.norm(np.subtract(item.ras, start)) > 4
    assert dice(voxels(a_panel.panel.logic), ball_of(a_grid, FIRST, RADII[0])) > 0.95


def test_a_box_drawn_with_two_clicks_holds_the_mask(a_panel, a_grid):
    center = center_of(a_grid, FIRST)
    a_panel.pressButton(a_panel.panel.ui.boxButton)
    a_panel.click(a_panel.red, beside(a_panel, center, -11.0, -11.0))
    a_panel.click(a_panel.red, beside(a_panel, center, 11.0, 11.0))
    rest(a_panel)
    assert kinds_of(a_panel) == ["box"]
    assert texts_of(a_panel.panel.ui.promptsTable, 1)[0].startswith("box ")
    assert not a_panel.panel.ui.boxButton.checked, "one box, then the mouse is free for its handles"
    mask = voxels(a_panel.panel.logic)
    assert mask.any()
    assert not (mask & ball_of(a_grid, SECOND, RADII[1])).any()


def test_a_box_tool_put_down_before_drawing_leaves_no_node(a_panel):
    a_panel.pressButton(a_panel.panel.ui.boxButton)
    a_panel.clickPixel(a_panel.red, a_panel.red.rect.center())
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLMarkupsROINode") == 1
    a_panel.press("Esc")
    rest(a_panel)
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLMarkupsROINode") == 0


def test_a_box_from_the_mask_surrounds_it(a_panel, a_grid):
    click_with(a_panel, "foreground", center_of(a_grid, FIRST))
    a_panel.pressButton(a_panel.panel.ui.boxFromMaskButton)
    rest(a_panel)
    box = a_panel.panel.logic.prompts.items()[1]
    assert box.kind == "box"
    np.testing.assert_allclose(box.ras, a_grid.center_ras + FIRST, atol=2.0)
    assert min(box.size) > 2 * RADII[0]


def test_undo_and_redo_by_button_bring_back_masks_and_prompts(a_panel, a_grid):
    logic, ui = a_panel.panel.logic, a_panel.panel.ui
    click_with(a_panel, "foreground", center_of(a_grid, FIRST))
    one = voxels(logic)
    click_with(a_panel, "foreground", center_of(a_grid, SECOND))
    two = voxels(logic)
    a_panel.pressButton(ui.undoButton)
    rest(a_panel)
    np.testing.assert_array_equal(voxels(logic), one)
    assert kinds_of(a_panel) == ["foreground"]
    a_panel.pressButton(ui.redoButton)
    rest(a_panel)
    np.testing.assert_array_equal(voxels(logic), two)
    assert not ui.redoButton.enabled


def test_the_tool_goes_on_after_undo(a_panel, a_grid):
    click_with(a_panel, "foreground", center_of(a_grid, FIRST))
    click_with(a_panel, "background", center_of(a_grid, SECOND))
    a_panel.pressButton(a_panel.panel.ui.undoButton)
    rest(a_panel)
    assert kinds_of(a_panel) == ["foreground"]
    assert a_panel.panel.ui.backgroundButton.checked
    a_panel.click(a_panel.red, center_of(a_grid, SECOND))
    rest(a_panel)
    assert kinds_of(a_panel) == ["foreground", "background"]


def test_after_next_segment_clicks_go_to_the_new_one(a_panel, a_grid):
    logic = a_panel.panel.logic
    click_with(a_panel, "foreground", center_of(a_grid, FIRST))
    first = logic.segmentId
    before = voxels(logic, first)
    a_panel.pressButton(a_panel.panel.ui.nextButton)
    rest(a_panel)
    a_panel.click(a_panel.red, center_of(a_grid, SECOND))
    rest(a_panel)
    assert texts_of(a_panel.panel.ui.segmentsTable, 2) == ["Lesion 1", "Lesion 2"]
    assert dice(voxels(logic), ball_of(a_grid, SECOND, RADII[1])) > 0.93
    np.testing.assert_array_equal(voxels(logic, first), before)


def test_the_boundary_slider_recuts_without_asking_the_model(a_panel, a_grid, a_model):
    click_with(a_panel, "foreground", center_of(a_grid, FIRST))
    slider, before, decoded = a_panel.panel.ui.boundarySlider, voxels(a_panel.panel.logic).sum(), a_model.decoded
    slider.setFocus()
    for _ in range(20):
        a_panel.press(QtCore.Qt.Key_Right, widget=slider)
    rest(a_panel)
    assert voxels(a_panel.panel.logic).sum() > before
    assert a_model.decoded == decoded
    a_panel.pressButton(a_panel.panel.ui.boundaryResetButton)
    rest(a_panel)
    assert voxels(a_panel.panel.logic).sum() == before


def test_with_change_only_within_nothing_far_away_changes(a_panel, a_grid):
    logic, ui = a_panel.panel.logic, a_panel.panel.ui
    click_with(a_panel, "foreground", center_of(a_grid, FIRST))
    ui.nearbyCheckBox.click()
    ui.nearbySpinBox.value = 12
    rest(a_panel)
    assert logic.options.localRadiusMm == 12
    before = voxels(logic)
    click_with(a_panel, "foreground", center_of(a_grid, SECOND))
    changed = np.argwhere(voxels(logic) != before)
    away = np.linalg.norm(a_grid.to_ras(changed[:, ::-1]) - logic.prompts.items()[-1].ras, axis=1)
    assert 3 < away.max() <= 12 + max(a_grid.spacing)
