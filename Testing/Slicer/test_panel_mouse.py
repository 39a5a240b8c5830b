"""While a tool is in hand the mouse is Slicer's as before: zoom, pan, scroll, drag; and a click is a click."""

import numpy as np
import pytest
from support.panel_scenes import FIRST, SECOND, beside, center_of, click_with, kinds_of, press_cell, rest

slicer = pytest.importorskip("slicer", reason="slicer-core exists for Python 3.11 on 64-bit Linux")
QtTest = pytest.importorskip("PySide6.QtTest")
QtCore = pytest.importorskip("PySide6.QtCore")

LEFT, RIGHT, MIDDLE = QtCore.Qt.LeftButton, QtCore.Qt.RightButton, QtCore.Qt.MiddleButton
SHIFT, NONE = QtCore.Qt.ShiftModifier, QtCore.Qt.NoModifier


@pytest.fixture
def in_hand(a_panel):
    a_panel.pressButton(a_panel.panel.ui.foregroundButton)
    return a_panel


def drag(app, button, by, modifier=NONE):
    start = app.red.rect.center()
    app.hover(app.red, start)
    QtTest.QTest.mousePress(app.red, button, modifier, start)
    for step in (0.3, 0.6, 1.0):
        app.hover(app.red, start + by * step, buttons=button, modifier=modifier)
    QtTest.QTest.mouseRelease(app.red, button, modifier, start + by)
    rest(app)


def test_a_right_drag_zooms_and_the_next_click_counts(in_hand, a_grid):
    before = in_hand.red.mrmlSliceNode().GetFieldOfView()
    drag(in_hand, RIGHT, QtCore.QPoint(0, 60))
    assert in_hand.red.mrmlSliceNode().GetFieldOfView() != before
    assert in_hand.panel.tools.active == "foreground"
    in_hand.click(in_hand.red, center_of(a_grid, FIRST))
    rest(in_hand)
    assert kinds_of(in_hand) == ["foreground"]


@pytest.mark.parametrize(("button", "modifier"), [(MIDDLE, NONE), (LEFT, SHIFT)])
def test_a_pan_moves_the_view_and_places_nothing(in_hand, button, modifier):
    before = in_hand.red.mrmlSliceNode().GetXYZOrigin()
    drag(in_hand, button, QtCore.QPoint(40, 25), modifier)
    assert in_hand.red.mrmlSliceNode().GetXYZOrigin() != before
    assert kinds_of(in_hand) == []
    assert in_hand.panel.tools.active == "foreground"


def test_scrolling_and_dragging_on_nothing_place_nothing(in_hand):
    in_hand.scroll(in_hand.red, 2)
    drag(in_hand, LEFT, QtCore.QPoint(30, 10))
    assert kinds_of(in_hand) == []


def test_two_quick_clicks_are_no_change_of_layout(in_hand, a_grid):
    layout = in_hand.app.layoutManager().layout
    in_hand.click(in_hand.red, center_of(a_grid, FIRST))
    QtTest.QTest.mouseDClick(in_hand.red, LEFT, NONE, in_hand.pixelOf(in_hand.red, center_of(a_grid, FIRST)))
    rest(in_hand)
    assert in_hand.app.layoutManager().layout == layout
    assert in_hand.panel.tools.active == "foreground"


def test_a_point_is_dragged_with_the_tool_in_hand(in_hand, a_grid):
    in_hand.click(in_hand.red, center_of(a_grid, FIRST))
    rest(in_hand)
    start = in_hand.panel.logic.prompts.items()[0].ras
    released = in_hand.drag(in_hand.red, start, beside(in_hand, start, 5.0, 3.0))
    rest(in_hand)
    (item,) = in_hand.panel.logic.prompts.items()
    np.testing.assert_allclose(item.ras, released, atol=1.0)


@pytest.mark.parametrize("pixels", [1, 3])
def test_a_point_dragged_by_a_few_pixels_is_no_click_beside_it(in_hand, a_grid, pixels):
    app = in_hand
    click_with(app, "foreground", center_of(a_grid, FIRST))
    (before,) = app.panel.logic.prompts.items()
    app.showPoint(app.red, before.ras)
    start = app.pixelOf(app.red, before.ras)
    app.hover(app.red, start)
    app.holdAndMove(app.red, start, start + QtCore.QPoint(pixels, 0))
    app.letGo(app.red, start + QtCore.QPoint(pixels, 0))
    rest(app)
    (after,) = app.panel.logic.prompts.items()
    assert after.ras != before.ras


def test_the_other_planes_follow_a_click_unless_told_not_to(in_hand, a_grid):
    place = center_of(a_grid, FIRST)
    for view in (in_hand.green, in_hand.yellow):
        in_hand.scroll(view, 6)
    in_hand.click(in_hand.red, place)
    rest(in_hand)
    assert all(distance(view, place) < 1 for view in (in_hand.green, in_hand.yellow))
    in_hand.panel.ui.advancedSection.collapsed = False
    in_hand.panel.ui.followCheckBox.click()
    in_hand.scroll(in_hand.green, 6)
    away = distance(in_hand.green, place)
    in_hand.click(in_hand.red, beside(in_hand, place, 2.0))
    rest(in_hand)
    assert distance(in_hand.green, place) == pytest.approx(away, abs=1e-3)


def test_a_click_near_an_earlier_one_does_not_pull_the_views_to_that_one(in_hand, a_grid):
    """To Slicer it is a click on the point, which it would bring to the middle of all views."""
    place = center_of(a_grid, FIRST)
    in_hand.panel.ui.followCheckBox.setChecked(True)
    in_hand.click(in_hand.red, place)
    rest(in_hand)
    second = beside(in_hand, place, 1.0)
    middles = [middle_of(view) for view in (in_hand.green, in_hand.yellow)]
    in_hand.click(in_hand.red, second)
    rest(in_hand)
    assert kinds_of(in_hand) == ["foreground", "foreground"]
    for view, before in zip((in_hand.green, in_hand.yellow), middles, strict=True):
        assert distance(view, second) < 1
        axes = slicer.util.arrayFromVTKMatrix(view.mrmlSliceNode().GetSliceToRAS())[:3, :3]
        moved = axes.T @ np.subtract(middle_of(view), before)
        assert np.allclose(moved[:2], 0, atol=1e-6), "nothing is moved within its plane"


def middle_of(view):
    return slicer.util.arrayFromVTKMatrix(view.mrmlSliceNode().GetSliceToRAS())[:3, 3].copy()


def distance(view, ras):
    """How far a point is from the plane of a view."""
    return abs((np.linalg.inv(slicer.util.arrayFromVTKMatrix(view.mrmlSliceNode().GetSliceToRAS())) @ (*ras, 1))[2])


def test_a_click_on_another_tool_of_slicer_puts_ours_down(in_hand):
    interaction = in_hand.app.applicationLogic().GetInteractionNode()
    interaction.SetCurrentInteractionMode(interaction.Place)
    rest(in_hand)
    assert in_hand.panel.tools.active is None
    interaction.SetCurrentInteractionMode(interaction.ViewTransform)


@pytest.mark.parametrize("drawn", ["drag", "clicks"])
def test_a_box_lies_along_the_axes_of_the_view(a_panel, a_grid, drawn):
    center = center_of(a_grid, FIRST)
    corners = beside(a_panel, center, -11.0, -9.0), beside(a_panel, center, 11.0, 9.0)
    a_panel.pressButton(a_panel.panel.ui.boxButton)
    if drawn == "drag":
        a_panel.drag(a_panel.red, *corners)
    else:
        for corner in corners:
            a_panel.click(a_panel.red, corner)
    rest(a_panel)
    (box,) = a_panel.panel.logic.prompts.items()
    np.testing.assert_allclose(sorted(box.size), (18, 20, 22), atol=1.5)
    axes = slicer.util.arrayFromVTKMatrix(a_panel.red.mrmlSliceNode().GetSliceToRAS())[:3, :3]
    np.testing.assert_allclose(np.abs(box.prompt.box.axes.T @ axes), np.eye(3), atol=1e-6)


def test_handles_of_a_box_are_there_under_the_mouse_or_when_it_is_chosen_only(a_panel, a_grid):
    a_panel.panel.logic.prompts.addBox(center_of(a_grid, FIRST), (20.0, 20.0, 20.0))
    rest(a_panel)
    display = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLMarkupsROINode").GetDisplayNode()
    a_panel.showPoint(a_panel.red, center_of(a_grid, FIRST))
    assert not display.GetHandlesInteractive()
    a_panel.hover(a_panel.red, a_panel.pixelOf(a_panel.red, center_of(a_grid, FIRST)))
    assert display.GetHandlesInteractive()
    a_panel.hover(a_panel.red, QtCore.QPoint(2, 2))
    assert not display.GetHandlesInteractive()
    press_cell(a_panel, a_panel.panel.ui.promptsTable, 0, 1)
    assert display.GetHandlesInteractive()


def test_background_clicks_are_red_at_rest_and_under_the_mouse(a_panel, a_grid):
    click_with(a_panel, "foreground", center_of(a_grid, FIRST))
    click_with(a_panel, "background", center_of(a_grid, SECOND))
    displays = [node.GetDisplayNode() for node in slicer.util.getNodesByClass("vtkMRMLMarkupsFiducialNode")]
    for display in displays:
        colors = {display.GetColor(), display.GetSelectedColor(), display.GetActiveColor()}
        assert len(colors) == 1
    reds = [red > green for (red, green, _blue) in (display.GetActiveColor() for display in displays)]
    assert sorted(reds) == [False, True]
