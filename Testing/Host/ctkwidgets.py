"""Stand-ins for CTK's widgets: the properties, methods and signals that a panel may use, on plain Qt widgets."""

from __future__ import annotations

import sys
import types
from typing import ClassVar

from PySide6 import QtCore, QtGui, QtWidgets

from Host.standin import qtProperty, standIn

ctk = sys.modules.setdefault("ctk", types.ModuleType("ctk", "Stand-ins for CTK's widgets"))

HEADER_PX = 24


@standIn(ctk)
class ctkCollapsibleButton(QtWidgets.QAbstractButton):
    """A header that folds away what is laid out below it; `checked` is the opposite of `collapsed`."""

    contentsCollapsed = QtCore.Signal(bool)
    SIGNALS: ClassVar = {"contentsCollapsed(bool)": "contentsCollapsed"}
    collapsedHeight = qtProperty(int, 0)

    def __init__(self, *arguments):
        super().__init__(*(argument for argument in arguments if isinstance(argument, QtWidgets.QWidget)))
        self._hidden = []
        self.setCheckable(True)
        self.setChecked(True)
        self.setContentsMargins(0, HEADER_PX, 0, 0)
        self.setSizePolicy(QtWidgets.QSizePolicy.Preferred, QtWidgets.QSizePolicy.Preferred)
        self.toggled.connect(self._fold)
        for text in arguments:
            if isinstance(text, str):
                self.text = text

    collapsed = QtCore.Property(bool, lambda self: not self.checked, lambda self, value: self.setChecked(not value))

    def _fold(self, isOpen):
        if isOpen:
            for child in self._hidden:
                child.setVisible(True)
            self.setMaximumHeight(16777215)
        else:
            self._hidden = [child for child in self._contents() if not child.isHidden()]
            for child in self._hidden:
                child.setVisible(False)
            self.setMaximumHeight(HEADER_PX + self.collapsedHeight)
        self.updateGeometry()
        self.contentsCollapsed.emit(not isOpen)

    def _contents(self):
        return self.findChildren(QtWidgets.QWidget, options=QtCore.Qt.FindDirectChildrenOnly)

    def event(self, event):
        """A file's properties are set before its contents are made: what arrives in a closed section is hidden."""
        if event.type() == QtCore.QEvent.ChildPolished and not self.checked:
            child = event.child()
            if isinstance(child, QtWidgets.QWidget) and not child.isHidden():
                self._hidden.append(child)
                child.setVisible(False)
        return super().event(event)

    def hitButton(self, position):
        return position.y() < HEADER_PX

    def sizeHint(self):
        layout = self.layout()
        hint = layout.sizeHint() if layout is not None and self.checked else QtCore.QSize(120, 0)
        return QtCore.QSize(max(hint.width(), 120), hint.height() + HEADER_PX)

    minimumSizeHint = sizeHint

    def paintEvent(self, _event):
        painter = QtWidgets.QStylePainter(self)
        option = QtWidgets.QStyleOptionButton()
        option.initFrom(self)
        option.rect = QtCore.QRect(0, 0, self.width, HEADER_PX)
        painter.drawControl(QtWidgets.QStyle.CE_PushButtonBevel, option)
        painter.setPen(option.palette.color(QtGui.QPalette.ButtonText))
        mark = "\N{BLACK DOWN-POINTING SMALL TRIANGLE}" if self.checked else "\N{BLACK RIGHT-POINTING SMALL TRIANGLE}"
        painter.drawText(option.rect.adjusted(8, 0, 0, 0), QtCore.Qt.AlignVCenter, f"{mark}  {self.text}")


@standIn(ctk)
class ctkMessageBox(QtWidgets.QMessageBox):
    """As Qt's; CTK adds "don't show this again"."""

    dontShowAgainVisible = qtProperty(bool, False)
    dontShowAgainSettingsKey = qtProperty(str, "")

    def deleteLater(self):
        """`slicer.util.messageBox` calls this before it shows the box, which is well only inside Qt's event loop.

        A test calls from outside of it, where Qt would delete the box as soon as it is shown: Python deletes it then.
        """
        if QtCore.QThread.currentThread().loopLevel() > 0:
            super().deleteLater()
