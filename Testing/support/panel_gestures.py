"""What a user does with the panel's lists, selectors and menus, by mouse and keys."""

import pytest
from support.panel_scenes import rest

NAME = 2


def choose(app, selector, text):
    """Open a selector with the mouse, type the beginning of an entry, and take it."""
    from PySide6 import QtCore, QtWidgets
    from PySide6.QtTest import QTest

    box = selector if isinstance(selector, QtWidgets.QComboBox) else selector.findChild(QtWidgets.QComboBox)
    QTest.mouseClick(box, QtCore.Qt.LeftButton)
    QTest.keyClicks(box.view(), text)
    QTest.keyClick(box.view(), QtCore.Qt.Key_Return)
    app.settle()
    app.window.activateWindow()  # a window manager gives it back when a list closes
    assert box.currentText.startswith(text)


def write_in(app, table, row, column, text):
    """Double-click on a cell of a list, and write something else in it."""
    from PySide6 import QtCore, QtWidgets
    from PySide6.QtTest import QTest

    at = table.visualItemRect(table.item(row, column)).center()
    QTest.mouseClick(table.viewport(), QtCore.Qt.LeftButton, QtCore.Qt.NoModifier, at)
    QTest.mouseDClick(table.viewport(), QtCore.Qt.LeftButton, QtCore.Qt.NoModifier, at)
    editor = table.findChild(QtWidgets.QLineEdit)
    editor.selectAll()
    QTest.keyClicks(editor, text)
    QTest.keyClick(editor, QtCore.Qt.Key_Return)
    app.settle()


def open_section(app, section):
    """Click on a section's title."""
    from PySide6 import QtCore
    from PySide6.QtTest import QTest

    QTest.mouseClick(section, QtCore.Qt.LeftButton, pos=QtCore.QPoint(20, 10))
    rest(app)
    assert not section.collapsed


def press_entry(menu, words):
    """Press the entry of an open menu that begins with these words, with the mouse; the whole of its words."""
    from PySide6 import QtCore
    from PySide6.QtTest import QTest

    assert menu is not None, f"no menu is open that could have {words}"
    action = next(action for action in menu.actions() if action.text.startswith(words))
    assert action.enabled
    text = action.text
    QTest.mouseClick(menu, QtCore.Qt.LeftButton, QtCore.Qt.NoModifier, menu.actionGeometry(action).center())
    return text


def export(app, words):
    """Press *Export* with the mouse, and in its menu the entry that begins with these words."""
    from PySide6 import QtCore, QtWidgets

    pressed = []
    QtCore.QTimer.singleShot(50, lambda: pressed.append(press_entry(QtWidgets.QApplication.activePopupWidget(), words)))
    app.pressButton(app.panel.ui.exportMasksButton)
    assert app.waitUntil(lambda: bool(pressed), seconds=5)
    rest(app)


@pytest.fixture
def saved_as(monkeypatch):
    """saved_as(path): what the file dialog is answered with."""
    from PySide6 import QtWidgets

    def answer(path):
        monkeypatch.setattr(QtWidgets.QFileDialog, "getSaveFileName", lambda *_: (str(path), ""))

    return answer
