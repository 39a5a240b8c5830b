"""The tour of the panel: shown once, goes on with what the user does, stands in nobody's way, can be taken again."""

import re

import pytest
from support.panel_scenes import FIRST, SECOND, center_of, kinds_of, rest

slicer = pytest.importorskip("slicer", reason="slicer-core exists for Python 3.11 on 64-bit Linux")
QtWidgets = pytest.importorskip("PySide6.QtWidgets")
QtCore = pytest.importorskip("PySide6.QtCore")
QtGui = pytest.importorskip("PySide6.QtGui")
QtTest = pytest.importorskip("PySide6.QtTest")


@pytest.fixture
def a_newcomer(a_host, an_opener):
    """Someone who opens the module for the first time, without an image; a stand-in answers for the model."""
    from SAM3DSegmentLib.Engine import Engine

    a_host.openModule(firstTime=True)
    a_host.panel.logic.controller.engine = Engine(openModel=an_opener)
    return a_host


@pytest.fixture
def a_newcomer_with_an_image(a_newcomer, a_volume):
    a_newcomer.show(a_volume)
    a_newcomer.panel.ui.volumeSelector.setCurrentNode(a_volume)
    rest(a_newcomer)
    assert a_newcomer.waitUntil(lambda: step_of(a_newcomer) == 2, seconds=3)
    return a_newcomer


def step_of(app):
    """The number of the step that is shown; None where none is."""
    ui = app.panel.ui
    return int(re.match(r"<b>Step (\d) of 5", ui.tourLabel.text)[1]) if ui.tourFrame.visible else None


def rings(app):
    """All frames there are in the main window."""
    return [ring for ring in app.window.findChildren(QtWidgets.QFrame, "tourRing") if ring.parent() is not None]


def framed(app):
    """The widget that is framed, wholly, and only that."""
    (ring,) = rings(app)
    target = ring.parent()
    assert ring.visible
    assert ring.geometry == target.rect
    return target


def reaches(app, number):
    return app.waitUntil(lambda: step_of(app) == number, seconds=10)


def click_through_the_window(app, widget):
    """A click that Qt delivers to whatever lies on top at the middle of a widget."""
    at = widget.mapTo(app.window, widget.rect.center())
    QtTest.QTest.mouseClick(app.window.windowHandle(), QtCore.Qt.LeftButton, QtCore.Qt.NoModifier, at)
    app.settle()


def test_it_is_shown_at_the_first_opening_and_not_again(a_newcomer):
    assert step_of(a_newcomer) == 1
    a_newcomer.closeModule()
    a_newcomer.panel = a_newcomer.app.moduleManager().selectModule("SAM3DSegment")
    a_newcomer.settle()
    assert step_of(a_newcomer) is None
    assert rings(a_newcomer) == []


def test_it_goes_on_with_what_the_user_does(a_newcomer_with_an_image, a_grid):
    app, ui = a_newcomer_with_an_image, a_newcomer_with_an_image.panel.ui
    assert framed(app) is ui.foregroundButton
    app.red.setFocus()
    app.press("A")
    assert reaches(app, 3)
    assert framed(app) is app.red
    app.click(app.red, center_of(a_grid, FIRST))
    assert reaches(app, 4)
    assert framed(app) is ui.backgroundButton
    rest(app)
    app.click(app.red, center_of(a_grid, SECOND), modifier=QtCore.Qt.ControlModifier)
    assert reaches(app, 5)
    assert kinds_of(app) == ["foreground", "background"]
    assert framed(app) is ui.nextButton
    app.press("N")
    assert app.waitUntil(lambda: step_of(app) is None, seconds=3)
    assert rings(app) == []
    assert not app.panel.tour.isRunning


def test_the_sample_is_a_first_step_too(a_newcomer):
    ui = a_newcomer.panel.ui
    assert framed(a_newcomer) is ui.sampleButton
    a_newcomer.pressButton(ui.sampleButton)
    assert reaches(a_newcomer, 2)


def test_opening_the_table_of_lesions_ends_it_too(a_newcomer_with_an_image, a_grid):
    app, ui = a_newcomer_with_an_image, a_newcomer_with_an_image.panel.ui
    app.pressButton(ui.foregroundButton)
    assert reaches(app, 3)
    app.click(app.red, center_of(a_grid, FIRST))
    assert reaches(app, 4)
    app.pressButton(ui.tourNextButton)
    assert step_of(app) == 5
    click_header = QtCore.QPoint(20, 10)
    QtTest.QTest.mouseClick(ui.lesionsSection, QtCore.Qt.LeftButton, QtCore.Qt.NoModifier, click_header)
    assert app.waitUntil(lambda: step_of(app) is None, seconds=3)


def test_the_frame_is_in_the_styles_highlight_color(a_newcomer_with_an_image):
    picture = framed(a_newcomer_with_an_image).grab().toImage()
    highlight = QtWidgets.QApplication.palette().color(QtGui.QPalette.Highlight)
    for at in (QtCore.QPoint(1, picture.height() // 2), QtCore.QPoint(picture.width() // 2, 1)):
        assert picture.pixelColor(at).getRgb() == highlight.getRgb()


def test_clicks_go_through_the_frame(a_newcomer_with_an_image):
    app, ui = a_newcomer_with_an_image, a_newcomer_with_an_image.panel.ui
    assert framed(app) is ui.foregroundButton
    click_through_the_window(app, ui.foregroundButton)
    assert app.panel.tools.active == "foreground"


def test_it_takes_neither_the_keyboard_nor_a_key(a_newcomer_with_an_image):
    app = a_newcomer_with_an_image
    app.red.setFocus()
    app.panel.tour.start()
    app.settle()
    assert QtWidgets.QApplication.focusWidget() is app.red
    for key, tool in (("S", "background"), ("X", "box"), ("Esc", None)):
        app.press(key)
        assert app.panel.tools.active == tool
    assert app.panel.tour.isRunning


def test_it_can_be_skipped_and_passed_step_by_step(a_newcomer):
    ui = a_newcomer.panel.ui
    for number in range(1, 5):
        assert step_of(a_newcomer) == number
        a_newcomer.pressButton(ui.tourNextButton)
    assert not ui.tourSkipButton.visible, "the last step is only done"
    a_newcomer.pressButton(ui.tourNextButton)
    assert step_of(a_newcomer) is None
    a_newcomer.panel.tour.start()
    a_newcomer.pressButton(ui.tourSkipButton)
    assert step_of(a_newcomer) is None
    assert rings(a_newcomer) == []


def test_it_can_be_taken_again_under_shortcuts(an_app):
    ui = an_app.panel.ui
    assert step_of(an_app) is None
    ui.shortcutsSection.collapsed = False
    an_app.settle()
    an_app.pressButton(ui.tourButton)
    assert step_of(an_app) == 1


def test_it_can_be_taken_again_from_the_list_of_keys(an_app):
    an_app.red.setFocus()
    an_app.press(QtCore.Qt.Key_Question)
    labels = an_app.window.findChildren(QtWidgets.QLabel, options=QtCore.Qt.FindDirectChildrenOnly)
    sheet = next(label for label in labels if label.visible)
    last_line = QtCore.QPoint(sheet.margin + 20, sheet.height - sheet.margin - 8)
    QtTest.QTest.mouseMove(sheet, last_line)
    QtTest.QTest.mouseClick(sheet, QtCore.Qt.LeftButton, QtCore.Qt.NoModifier, last_line)
    an_app.settle()
    assert step_of(an_app) == 1
    assert not an_app.panel.cheatSheet.isShown


def test_another_module_is_not_framed_and_the_tour_waits(a_newcomer):
    manager = a_newcomer.app.moduleManager()
    a_newcomer.pressButton(a_newcomer.panel.ui.tourNextButton)
    a_newcomer.pressButton(a_newcomer.panel.ui.tourNextButton)
    assert framed(a_newcomer) is a_newcomer.red
    manager.leaveModule()
    a_newcomer.settle()
    assert rings(a_newcomer) == []
    manager.selectModule("SAM3DSegment")
    a_newcomer.settle()
    assert step_of(a_newcomer) == 3
    assert framed(a_newcomer) is a_newcomer.red


def test_the_frame_follows_a_widget_that_grows(a_newcomer):
    a_newcomer.pressButton(a_newcomer.panel.ui.tourNextButton)
    a_newcomer.pressButton(a_newcomer.panel.ui.tourNextButton)
    size = a_newcomer.window.size
    try:
        a_newcomer.window.resize(1024, 768)
        assert a_newcomer.waitUntil(lambda: rings(a_newcomer)[0].geometry == a_newcomer.red.rect, seconds=3)
    finally:
        a_newcomer.window.resize(size)
