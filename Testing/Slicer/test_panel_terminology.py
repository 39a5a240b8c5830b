"""What a segment is and looks like: terminology, opacity and color, from its row in the list."""

import numpy as np
import pytest
from support.panel_gestures import press_entry
from support.panel_scenes import FIRST, SECOND, center_of, click_with, press_cell, rest, texts_of

slicer = pytest.importorskip("slicer", reason="slicer-core exists for Python 3.11 on 64-bit Linux")
QtWidgets = pytest.importorskip("PySide6.QtWidgets")
QtCore = pytest.importorskip("PySide6.QtCore")
QtGui = pytest.importorskip("PySide6.QtGui")
QtTest = pytest.importorskip("PySide6.QtTest")

COLOR, NAME = 1, 2
ROLE, ORGAN = 4, 7


@pytest.fixture
def two_lesions(a_panel, a_grid):
    """The two balls, a segment each; the second is the current one."""
    click_with(a_panel, "foreground", center_of(a_grid, FIRST))
    a_panel.pressButton(a_panel.panel.ui.nextButton)
    rest(a_panel)
    click_with(a_panel, "foreground", center_of(a_grid, SECOND))
    return a_panel


def segment_of(app, row):
    return app.panel.logic.segmentationNode.GetSegmentation().GetNthSegment(row)


def entry_of(app, row):
    segment, entry = segment_of(app, row), slicer.vtkSlicerTerminologyEntry()
    text = app.panel.logic.lesions.terminology(app.panel.logic.segments.ids()[row])
    assert slicer.modules.terminologies.logic().DeserializeTerminologyEntry(text, entry), segment.GetName()
    return entry


def press_action(app, *texts):
    """Press, one after another, entries of the menu that is open, each of which may open another one."""
    for text in texts:
        menu = QtWidgets.QApplication.activePopupWidget()
        press_entry(menu, text)
        assert app.waitUntil(lambda menu=menu: QtWidgets.QApplication.activePopupWidget() is not menu)
    rest(app)


def choose(dialog, *, category=None, region=None, kind=None, button="Select"):
    """What a user does in the navigator, with keys and mouse."""
    for name, text in (("tableWidget_Category", category), ("tableWidget_Region", region)):
        if text is not None:
            QtTest.QTest.keyClicks(dialog.findChild(QtWidgets.QComboBox, name), text)
    types = dialog.findChild(QtWidgets.QListWidget, "tableWidget_Type")
    if kind is not None:
        (item,) = types.findItems(kind, QtCore.Qt.MatchExactly)
        middle = types.visualItemRect(item).center()
        QtTest.QTest.mouseClick(types.viewport(), QtCore.Qt.LeftButton, QtCore.Qt.NoModifier, middle)
    chosen = next(each for each in dialog.findChildren(QtWidgets.QPushButton) if each.text.replace("&", "") == button)
    QtTest.QTest.mouseClick(chosen, QtCore.Qt.LeftButton)


def open_terminology(app, row, **how):
    app.dialogs.answer(lambda dialog: choose(dialog, **how))
    press_cell(app, app.panel.ui.segmentsTable, row, COLOR)
    press_action(app, "Terminology")


def test_a_terminology_chosen_in_slicers_navigator_is_the_segments(two_lesions):
    name, color = segment_of(two_lesions, 0).GetName(), segment_of(two_lesions, 0).GetColor()
    open_terminology(two_lesions, 0, kind="Neoplasm, Primary", region="Abdomen")
    entry = entry_of(two_lesions, 0)
    assert entry.GetTypeObject().GetCodeMeaning() == "Neoplasm, Primary"
    assert entry.GetRegionObject().GetCodeMeaning() == "Abdomen"
    assert (segment_of(two_lesions, 0).GetName(), segment_of(two_lesions, 0).GetColor()) == (name, color)
    assert entry_of(two_lesions, 1).GetTypeObject().GetCodeMeaning() == "Mass", "the other one stays what it is"
    tip = two_lesions.panel.ui.segmentsTable.item(0, NAME).toolTip()
    assert tip.startswith("Neoplasm, Primary")


def test_the_navigator_begins_with_what_the_segment_is_and_shows_no_name_or_color_of_its_own(two_lesions):
    seen = {}

    def look(dialog):
        seen["type"] = dialog.findChild(QtWidgets.QListWidget, "tableWidget_Type").currentItem().text()
        seen["names"] = dialog.findChild(QtWidgets.QLineEdit, "lineEdit_Name").visible
        seen["title"] = dialog.windowTitle
        dialog.reject()

    two_lesions.dialogs.answer(look)
    press_cell(two_lesions, two_lesions.panel.ui.segmentsTable, 0, COLOR)
    press_action(two_lesions, "Terminology (Mass)")
    assert seen == {"type": "Mass", "names": False, "title": "Terminology of Lesion 1"}
    assert entry_of(two_lesions, 0).GetTypeObject().GetCodeMeaning() == "Mass"


def test_nothing_can_be_selected_until_there_is_a_type(two_lesions):
    enabled = []

    def look(dialog):
        select = next(each for each in dialog.findChildren(QtWidgets.QPushButton) if "Select" in each.text)
        enabled.append(select.enabled)
        QtTest.QTest.keyClicks(dialog.findChild(QtWidgets.QLineEdit, "SearchBox_Type"), "no such thing")
        enabled.append(select.enabled)
        dialog.reject()

    two_lesions.dialogs.answer(look)
    press_cell(two_lesions, two_lesions.panel.ui.segmentsTable, 1, COLOR)
    press_action(two_lesions, "Terminology")
    assert enabled == [True, False]


def test_the_region_is_the_organ_of_the_table_and_recists_limit_holds_for_it(two_lesions):
    app, ui = two_lesions, two_lesions.panel.ui
    ui.lesionsSection.collapsed = False
    app.pressButton(ui.nextButton)
    rest(app)
    lesions, ids = app.panel.logic.lesions, app.panel.logic.segments.ids()
    for segmentId in ids:
        lesions.setRole(segmentId, "target")
    for row in range(2):
        open_terminology(app, row, region="Chest")
    assert texts_of(ui.lesionsTable, ORGAN)[:2] == ["Chest", "Chest"]
    open_terminology(app, 2, region="Chest")
    assert "2 target lesions an organ" in ui.messageLabel.text
    assert lesions.organ(ids[2]) == "", "what was refused is not so"


def test_one_segments_opacity_is_its_own(two_lesions):
    app, ids = two_lesions, two_lesions.panel.logic.segments.ids()
    display = app.panel.logic.segmentationNode.GetDisplayNode()
    press_cell(app, app.panel.ui.segmentsTable, 0, COLOR)
    press_action(app, "Opacity", "25 %")
    for of in (display.GetSegmentOpacity2DFill, display.GetSegmentOpacity2DOutline, display.GetSegmentOpacity3D):
        assert (of(ids[0]), of(ids[1])) == (0.25, 1.0)
    press_cell(app, app.panel.ui.segmentsTable, 0, COLOR)
    press_action(app, "Opacity")
    menu = QtWidgets.QApplication.activePopupWidget()
    assert [action.text for action in menu.actions() if action.checked] == ["25 %"]
    while QtWidgets.QApplication.activePopupWidget() is not None:
        app.press("Esc", widget=QtWidgets.QApplication.activePopupWidget())


def test_a_color_is_chosen_from_the_menu_of_a_right_click_on_the_row(two_lesions, monkeypatch):
    app, table = two_lesions, two_lesions.panel.ui.segmentsTable
    chosen = QtGui.QColor.fromRgbF(0.2, 0.4, 0.6)
    monkeypatch.setattr(QtWidgets.QColorDialog, "getColor", lambda *_: chosen)
    at = table.visualItemRect(table.item(1, NAME)).center()
    everywhere = table.viewport().mapToGlobal(at)
    event = QtGui.QContextMenuEvent(QtGui.QContextMenuEvent.Mouse, at, everywhere)
    QtWidgets.QApplication.sendEvent(table.viewport(), event)
    press_action(app, "Color")
    np.testing.assert_allclose(segment_of(app, 1).GetColor(), (0.2, 0.4, 0.6), atol=0.01)


def test_a_segment_that_goes_while_its_menu_is_open_is_left_alone(two_lesions):
    app, logic = two_lesions, two_lesions.panel.logic
    press_cell(app, app.panel.ui.segmentsTable, 0, COLOR)
    logic.segments.remove(logic.segments.ids()[0])
    press_action(app, "Terminology")
    assert app.dialogs.seen == []
    assert len(logic.segments.ids()) == 1


def test_what_is_chosen_is_saved_with_the_scene(two_lesions, tmp_path):
    app = two_lesions
    open_terminology(app, 0, category="Anatomical", kind="Liver")
    press_cell(app, app.panel.ui.segmentsTable, 0, COLOR)
    press_action(app, "Opacity", "50 %")
    assert slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    slicer.mrmlScene.Clear(False)
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    rest(app)
    logic = app.panel.logic
    assert entry_of(app, 0).GetTypeObject().GetCodeMeaning() == "Liver"
    assert logic.segmentationNode.GetDisplayNode().GetSegmentOpacity3D(logic.segments.ids()[0]) == 0.5
