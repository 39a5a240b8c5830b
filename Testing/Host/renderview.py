"""A Qt widget that shows a VTK window drawn offscreen and hands Qt's mouse, wheel and keys to VTK."""

from __future__ import annotations

import os

import numpy as np
import slicer
import vtk
from PySide6 import QtCore, QtGui, QtWidgets
from vtk.util.numpy_support import vtk_to_numpy

BUTTONS = {
    QtCore.Qt.LeftButton: "Left",
    QtCore.Qt.RightButton: "Right",
    QtCore.Qt.MiddleButton: "Middle",
}
KEYS = {
    QtCore.Qt.Key_Escape: "Escape",
    QtCore.Qt.Key_Delete: "Delete",
    QtCore.Qt.Key_Backspace: "BackSpace",
    QtCore.Qt.Key_Return: "Return",
}

if not os.environ.get("DISPLAY"):
    os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")  # else VTK complains of X first


class RenderView(QtWidgets.QWidget):
    """The base of the slice and the 3D views. What asks for a new picture gets one when the event loop turns."""

    def __init__(self):
        super().__init__()
        self.setMouseTracking(True)
        self.setFocusPolicy(QtCore.Qt.StrongFocus)
        self.setMinimumSize(120, 120)
        self._window = _offscreenWindow()
        self._renderer = vtk.vtkRenderer()
        self._window.AddRenderer(self._renderer)
        self._interactor = vtk.vtkGenericRenderWindowInteractor()
        self._interactor.SetRenderWindow(self._window)
        self._interactor.Initialize()
        self._picture = None
        self._timer = QtCore.QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self.forceRender)
        self._managers = slicer.vtkMRMLDisplayableManagerGroup()
        self._managers.SetRenderer(self._renderer)
        self._managers.AddObserver(vtk.vtkCommand.UpdateEvent, self.scheduleRender)

    def addDisplayableManagers(self, factory, names, node):
        """What Slicer's own C++ classes draw for this view node and how they react to the mouse."""
        for name in names:
            if not factory.IsDisplayableManagerRegistered(name):
                factory.RegisterDisplayableManager(name)
        self._managers.Initialize(factory, self._renderer)
        self._managers.SetMRMLDisplayableNode(node)

    def scheduleRender(self, *_):
        if not self._timer.isActive():
            self._timer.start(0)

    def forceRender(self):
        self._window.Render()
        self._picture = _pictureOf(self._window)
        self.update()

    def renderWindow(self):
        return self._window

    def interactor(self):
        return self._interactor

    def setViewCursor(self, cursor):
        self.setCursor(cursor)

    def unsetViewCursor(self):
        self.unsetCursor()

    def displayableManagers(self):
        return self._managers

    def picture(self):
        """What the view shows, as an array (rows from the top, columns, RGB)."""
        self.forceRender()
        image = self._picture
        pixels = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), image.bytesPerLine() // 4, 4)
        return pixels[:, : image.width(), :3].copy()

    def paintEvent(self, _event):
        if self._picture is None:
            self.forceRender()
        QtGui.QPainter(self).drawImage(0, 0, self._picture)

    def resizeEvent(self, event):
        size = event.size().width(), event.size().height()
        self._window.SetSize(*size)
        self._interactor.SetSize(*size)
        self._interactor.ConfigureEvent()
        self.onResized(*size)
        self._picture = None
        self.scheduleRender()

    def onResized(self, width, height):
        """For the derived views."""

    def mousePressEvent(self, event):
        self._onButton(event, "PressEvent")

    def mouseReleaseEvent(self, event):
        self._onButton(event, "ReleaseEvent")

    def mouseDoubleClickEvent(self, event):
        """VTK's Qt adapter sends this instead of a second press."""
        name = BUTTONS.get(event.button())
        if name is not None:
            self._tellWhere(event, repeat=1)
            self._interactor.InvokeEvent(f"{name}ButtonDoubleClickEvent")

    def mouseMoveEvent(self, event):
        self._tellWhere(event)
        self._interactor.MouseMoveEvent()

    def wheelEvent(self, event):
        self._tellWhere(event)
        if event.angleDelta().y() > 0:
            self._interactor.MouseWheelForwardEvent()
        else:
            self._interactor.MouseWheelBackwardEvent()

    def enterEvent(self, _event):
        self._interactor.EnterEvent()

    def leaveEvent(self, _event):
        self._interactor.LeaveEvent()

    def keyPressEvent(self, event):
        text = event.text()
        modifiers = event.modifiers()
        control = int(bool(modifiers & QtCore.Qt.ControlModifier))
        shift = int(bool(modifiers & QtCore.Qt.ShiftModifier))
        self._interactor.SetKeyEventInformation(control, shift, text[:1] or "\0", 0, KEYS.get(event.key(), text))
        self._interactor.KeyPressEvent()
        self._interactor.CharEvent()
        super().keyPressEvent(event)

    def keyReleaseEvent(self, event):
        self._interactor.SetKeyEventInformation(0, 0, "\0", 0, KEYS.get(event.key(), event.text()))
        self._interactor.KeyReleaseEvent()
        super().keyReleaseEvent(event)

    def _onButton(self, event, what):
        name = BUTTONS.get(event.button())
        if name is not None:
            self._tellWhere(event)
            getattr(self._interactor, f"{name}Button{what}")()

    def _tellWhere(self, event, *, repeat=0):
        modifiers = event.modifiers()
        self._interactor.SetEventInformationFlipY(
            int(event.position().x()),
            int(event.position().y()),
            int(bool(modifiers & QtCore.Qt.ControlModifier)),
            int(bool(modifiers & QtCore.Qt.ShiftModifier)),
            "\0",
            repeat,
            "",
        )
        self._interactor.SetAltKey(int(bool(modifiers & QtCore.Qt.AltModifier)))


def _offscreenWindow():
    window = vtk.vtkRenderWindow()
    window.SetOffScreenRendering(1)
    window.SetMultiSamples(0)  # software rendering takes three times as long with 8
    window.ShowWindowOff()
    return window


def _pictureOf(window):
    width, height = window.GetSize()
    pixels = vtk.vtkUnsignedCharArray()
    window.GetRGBACharPixelData(0, 0, width - 1, height - 1, 0, pixels)
    rows = np.ascontiguousarray(vtk_to_numpy(pixels).reshape(height, width, 4)[::-1])
    rows[..., 3] = 255
    return QtGui.QImage(rows.data, width, height, 4 * width, QtGui.QImage.Format_RGBA8888).copy()
