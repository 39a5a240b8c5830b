"""The keyboard: shortcuts work while the module is shown, and never while text is typed."""

import pytest
from support.module_scenes import RADII, ball_of, dice
from support.panel_scenes import FIRST, SECOND, center_of, click_with, kinds_of, press_cell, rest, texts_of, voxels

slicer = pytest.importorskip("slicer", reason="slicer-core exists for Python 3.11 on 64-bit Linux")
QtCore = pytest.importorskip("PySide6.QtCore")
QtWidgets = pytest.importorskip("PySide6.QtWidgets")

CONTROL = QtCore.Qt.ControlModifier


@pytest.mark.parametrize(("key", "tool"), [("A", "foreground"), ("S", "background"), ("X", "box")])
def test_a_letter_takes_up_a_tool_and_puts_it_down(a_panel, key, tool):
    a_panel.red.setFocus()
    a_panel.press(key)
    assert a_panel.panel.tools.active == tool
    assert getattr(a_panel.panel.ui, f"{tool}Button").checked
    a_panel.press(key)
    assert a_panel.panel.tools.active is None


def test_from_the_first_letter_to_undo_no_button_is_needed(a_panel, a_grid):
    logic = a_panel.panel.logic
    a_panel.red.setFocus()
    a_panel.press("A")
    a_panel.click(a_panel.red, center_of(a_grid, FIRST))
    rest(a_panel)
    a_panel.click(a_panel.red, center_of(a_grid, SECOND))
    rest(a_panel)
    a_panel.press("Z", modifier=CONTROL)
    rest(a_panel)
    assert dice(voxels(logic), ball_of(a_grid, FIRST, RADII[0])) > 0.95
    a_panel.press("Y", modifier=CONTROL)
    rest(a_panel)
    assert len(logic.prompts.items()) == 2
    a_panel.press("N")
    rest(a_panel)
    assert texts_of(a_panel.panel.ui.segmentsTable, 2) == ["Lesion 1", "Lesion 2"]


def test_letters_typed_into_a_name_stay_letters(a_panel, a_grid):
    click_with(a_panel, "foreground", center_of(a_grid, FIRST))
    a_panel.press("Esc")
    table = a_panel.panel.ui.segmentsTable
    table.editItem(table.item(0, 2))
    editor = QtWidgets.QApplication.focusWidget()
    assert isinstance(editor, QtWidgets.QLineEdit)
    editor.selectAll()
    for key in "ASXN":
        a_panel.press(key, widget=editor)
    a_panel.press(QtCore.Qt.Key_Return, widget=editor)
    rest(a_panel)
    assert texts_of(table, 2) == ["asxn"]
    assert a_panel.panel.tools.active is None


def test_a_name_being_typed_outlasts_a_refresh(a_panel, a_grid):
    click_with(a_panel, "foreground", center_of(a_grid, FIRST))
    table = a_panel.panel.ui.segmentsTable
    table.editItem(table.item(0, 2))
    editor = QtWidgets.QApplication.focusWidget()
    editor.text = "Half a na"
    a_panel.panel.logic.prompts.addClick(center_of(a_grid, SECOND))
    rest(a_panel)
    assert QtWidgets.QApplication.focusWidget() is editor
    assert editor.text == "Half a na"


def test_in_another_module_the_letters_are_free(a_panel):
    a_panel.press("A")
    manager = a_panel.app.moduleManager()
    manager.leaveModule()
    interaction = a_panel.app.applicationLogic().GetInteractionNode()
    assert interaction.GetCurrentInteractionMode() == interaction.ViewTransform
    a_panel.red.setFocus()
    a_panel.press("A")
    assert interaction.GetCurrentInteractionMode() == interaction.ViewTransform
    assert "QShortcut" not in [child.className() for child in a_panel.window.children()]
    manager.selectModule("SAM3DSegment")
    a_panel.red.setFocus()
    a_panel.press("A")
    assert a_panel.panel.tools.active == "foreground"


def test_escape_puts_the_tool_down(a_panel):
    a_panel.red.setFocus()
    a_panel.press("A")
    a_panel.press("Esc")
    assert a_panel.panel.tools.active is None
    assert not a_panel.panel.ui.foregroundButton.checked


def test_escape_stops_what_runs_and_keeps_the_tool(a_panel, a_grid, a_slow_model):
    a_panel.pressButton(a_panel.panel.ui.foregroundButton)
    a_panel.click(a_panel.red, center_of(a_grid, FIRST))
    ui = a_panel.panel.ui
    assert a_panel.waitUntil(lambda: ui.stopButton.visible, seconds=20)
    assert ui.progressBar.visible
    assert a_slow_model.entered.wait(20)
    a_panel.press("Esc")
    a_slow_model.release.set()
    rest(a_panel)
    assert not voxels(a_panel.panel.logic).any()
    assert a_panel.panel.tools.active == "foreground"
    assert kinds_of(a_panel) == ["foreground"]
    assert not ui.stopButton.visible


def test_delete_in_the_list_of_prompts_removes_its_current_row(a_panel, a_grid):
    for at in (FIRST, SECOND):
        click_with(a_panel, "foreground", center_of(a_grid, at))
    table = a_panel.panel.ui.promptsTable
    press_cell(a_panel, table, 1, 1)
    table.setFocus()
    a_panel.press("Del", widget=table)
    rest(a_panel)
    assert len(texts_of(table, 1)) == 1
    assert dice(voxels(a_panel.panel.logic), ball_of(a_grid, FIRST, RADII[0])) > 0.95


def test_every_cell_can_be_worked_from_the_keyboard(a_panel, a_grid):
    click_with(a_panel, "foreground", center_of(a_grid, FIRST))
    table = a_panel.panel.ui.promptsTable
    table.setFocus()
    table.setCurrentCell(0, 4)
    a_panel.press(QtCore.Qt.Key_Space, widget=table)
    rest(a_panel)
    assert kinds_of(a_panel) == ["background"]


def test_the_list_of_shortcuts_names_each_of_them(a_panel):
    text = a_panel.panel.ui.shortcutsLabel.text
    for key in ("A", "S", "X", "N", "H", "Ctrl+click", "Ctrl+Z", "Ctrl+Y", "Esc", "Delete"):
        assert key in text


def sheet_of(app):
    """The list over the main window, as a user would see it; None where there is none."""
    labels = app.window.findChildren(QtWidgets.QLabel, options=QtCore.Qt.FindDirectChildrenOnly)
    return next((label for label in labels if label.visible), None)


def test_a_question_mark_shows_the_shortcuts_over_the_views_and_takes_them_away(a_panel):
    a_panel.red.setFocus()
    assert sheet_of(a_panel) is None
    a_panel.press(QtCore.Qt.Key_Question)
    sheet = sheet_of(a_panel)
    assert "Foreground click" in sheet.text
    assert a_panel.window.rect.contains(sheet.geometry)
    a_panel.press(QtCore.Qt.Key_Question)
    assert sheet_of(a_panel) is None


def test_escape_takes_the_list_away_before_it_puts_the_tool_down(a_panel):
    a_panel.red.setFocus()
    a_panel.press("A")
    a_panel.press(QtCore.Qt.Key_Question)
    a_panel.press("Esc")
    assert sheet_of(a_panel) is None
    assert a_panel.panel.tools.active == "foreground"
    a_panel.press("Esc")
    assert a_panel.panel.tools.active is None


def test_another_module_takes_the_list_away(a_panel):
    a_panel.red.setFocus()
    a_panel.press(QtCore.Qt.Key_Question)
    a_panel.app.moduleManager().leaveModule()
    a_panel.settle()
    assert sheet_of(a_panel) is None
