"""What a user's hand does: real Qt events in the views (at points of the patient, RAS mm) and on widgets."""

from __future__ import annotations

import time

import shiboken6
import slicer
import vtk
from PySide6 import QtCore, QtGui, QtWidgets
from PySide6.QtTest import QTest

NO_MODIFIER = QtCore.Qt.NoModifier
DRAG_STEPS = 8
_underMouse: list[QtWidgets.QWidget] = []  # the view that the mouse is in, if any


def pixelOf(sliceView, ras):
    """Where a point lies in a slice view, in Qt's pixels (from the top left), whatever the slice's offset."""
    inverse = vtk.vtkMatrix4x4()
    vtk.vtkMatrix4x4.Invert(sliceView.mrmlSliceNode().GetXYToRAS(), inverse)
    x, y, *_ = inverse.MultiplyPoint((*ras, 1.0))
    return QtCore.QPoint(round(x), sliceView.renderWindow().GetSize()[1] - 1 - round(y))


def rasOf(sliceView, pixel):
    """The point of the patient under a pixel of a slice view."""
    y = sliceView.renderWindow().GetSize()[1] - 1 - pixel.y()
    return sliceView.mrmlSliceNode().GetXYToRAS().MultiplyPoint((pixel.x(), y, 0.0, 1.0))[:3]


def showPoint(sliceView, ras):
    """Scroll the slice view to the slice through the point."""
    sliceView.mrmlSliceNode().JumpSliceByOffsetting(*ras)
    settle()


def click(sliceView, ras, *, modifier=NO_MODIFIER, button=QtCore.Qt.LeftButton):
    """Scroll to the point and click on it. Returns the point that was hit: the pixel's, up to half a pixel away."""
    showPoint(sliceView, ras)
    pixel = pixelOf(sliceView, ras)
    _mustBeVisible(sliceView, pixel, ras)
    clickPixel(sliceView, pixel, modifier=modifier, button=button)
    return rasOf(sliceView, pixel)


def clickPixel(view, pixel, *, modifier=NO_MODIFIER, button=QtCore.Qt.LeftButton):
    """Move the mouse to a pixel of any view and click; Slicer's views need to see the move."""
    hover(view, pixel)
    QTest.mouseClick(view, button, modifier, pixel)
    settle()


def hover(view, pixel, *, buttons=QtCore.Qt.NoButton, modifier=NO_MODIFIER):
    """Move the mouse to a pixel.

    The events go to the view itself: what moves Qt's cursor is not delivered while a button is down.
    """
    position = QtCore.QPointF(pixel)
    _enter(view, position)
    _send(view, _mouseEvent(QtCore.QEvent.MouseMove, position, view.mapToGlobal(position), buttons, modifier))
    settle()


def drag(sliceView, fromRas, toRas, *, modifier=NO_MODIFIER):
    """Press on one point, move, let go at another. Returns the point where it was let go."""
    showPoint(sliceView, fromRas)
    start, end = pixelOf(sliceView, fromRas), pixelOf(sliceView, toRas)
    _mustBeVisible(sliceView, start, fromRas)
    _mustBeVisible(sliceView, end, toRas)
    dragPixels(sliceView, start, end, modifier=modifier)
    return rasOf(sliceView, end)


def dragPixels(view, start, end, *, modifier=NO_MODIFIER):
    holdAndMove(view, start, end, modifier=modifier)
    letGo(view, end, modifier=modifier)
    settle()


def holdAndMove(view, start, end, *, modifier=NO_MODIFIER):
    """Press the left button and move, without letting it go."""
    hover(view, start)
    QTest.mousePress(view, QtCore.Qt.LeftButton, modifier, start)
    for step in range(1, DRAG_STEPS + 1):
        pixel = start + (end - start) * step / DRAG_STEPS
        hover(view, pixel, buttons=QtCore.Qt.LeftButton, modifier=modifier)


def letGo(view, pixel, *, modifier=NO_MODIFIER):
    """Let the left button go; what comes of it is not waited for."""
    QTest.mouseRelease(view, QtCore.Qt.LeftButton, modifier, pixel)


def scroll(view, notches, *, modifier=NO_MODIFIER):
    """Turn the wheel in the middle of a view; positive is away from the user."""
    middle = QtCore.QPointF(view.rect.center())
    for _ in range(abs(notches)):
        turn = QtCore.QPoint(0, 120 if notches > 0 else -120)
        event = _wheelEvent(middle, view.mapToGlobal(middle), turn, modifier)
        _send(view, event)
    settle()


def press(key, *, modifier=NO_MODIFIER, widget=None):
    """Press and release a key (`"F"`, `"Esc"`, or a Qt key) where the focus is, or in a widget."""
    if QtWidgets.QApplication.activeWindow() is None:  # a window manager gives it back when a dialog closes
        slicer.util.mainWindow().activateWindow()
        settle()
    target = widget or QtWidgets.QApplication.focusWidget() or slicer.util.mainWindow()
    QTest.keyClick(target, _keyOf(key), modifier)
    settle()


def pressButton(button):
    """Click on a button with the mouse. AssertionError where a user could not."""
    assert button.visible, f"{button.name} cannot be seen"
    assert button.enabled, f"{button.name} is gray: {button.toolTip}"
    QTest.mouseClick(button, QtCore.Qt.LeftButton, NO_MODIFIER, button.rect.center())
    settle()


def settle():
    """Let Qt deliver what is waiting, and draw."""
    for _ in range(3):
        QtWidgets.QApplication.processEvents()


def waitUntil(isDone, *, seconds=10.0):
    """Turn the event loop until isDone() is true; False when the time is over."""
    timer = QtCore.QElapsedTimer()
    timer.start()
    while not isDone():
        if timer.elapsed() > 1000 * seconds:
            return False
        QtWidgets.QApplication.processEvents(QtCore.QEventLoop.AllEvents, 10)
        time.sleep(0.002)  # else this loop takes a core from the worker
    settle()
    return True


def screenshot(path):
    """The main window as it is, as a PNG file."""
    settle()
    layout = slicer.app.layoutManager()
    for view in (*(layout.sliceWidget(name).sliceView() for name in layout.sliceViewNames()), _threeDView(layout)):
        view.forceRender()
    if not slicer.util.mainWindow().grab().save(str(path)):
        raise OSError(f"the picture cannot be written to {path}")


def _threeDView(layout):
    return layout.threeDWidget(0).threeDView()


def _mustBeVisible(view, pixel, ras):
    if not view.rect.contains(pixel):
        raise ValueError(f"{tuple(round(value, 1) for value in ras)} lies outside of the {view.name}")


def _enter(view, position):
    """Tell the view that the mouse is in it now, and the one before that it has left."""
    before = _underMouse[0] if _underMouse and shiboken6.isValid(_underMouse[0]) else None
    if before is view:
        return
    if before is not None:
        _send(before, QtCore.QEvent(QtCore.QEvent.Leave))
    _underMouse[:] = [view]
    _send(view, QtGui.QEnterEvent(position, position, view.mapToGlobal(position)))


def _send(view, event):
    QtWidgets.QApplication.sendEvent(view, event)


def _mouseEvent(kind, position, globalPosition, buttons, modifier):
    return QtGui.QMouseEvent(kind, position, globalPosition, QtCore.Qt.NoButton, buttons, modifier)


def _wheelEvent(position, globalPosition, turn, modifier):
    none = QtCore.Qt.NoButton
    phase = QtCore.Qt.NoScrollPhase
    return QtGui.QWheelEvent(position, globalPosition, QtCore.QPoint(0, 0), turn, none, modifier, phase, False)


def _keyOf(key):
    if not isinstance(key, str):
        return key
    names = {"Esc": "Key_Escape", "Del": "Key_Delete"}
    return getattr(QtCore.Qt, names.get(key, f"Key_{key}"))
