"""The main window: the module's panel on the left, the views on the right, a status bar, and File > Save and Close."""

from __future__ import annotations

import slicer
from PySide6 import QtCore, QtGui, QtWidgets

from Host.layout import LayoutManager

PANEL_WIDTH_PX = 460


class MainWindow(QtWidgets.QMainWindow):
    """Has the object names by which `slicer.util` finds Slicer's main window and its parts."""

    def __init__(self, size):
        super().__init__()
        self.setObjectName("qSlicerMainWindow")
        self.setWindowTitle("SAM3DSegment in a host for tests (not 3D Slicer)")
        self.resize(*size)
        self._layoutManager = LayoutManager()
        self.setCentralWidget(self._layoutManager.viewport())
        self._panel = self._makePanel()
        self.statusBar()
        self._addMenu()

    def layoutManager(self):
        return self._layoutManager

    def moduleSelector(self):
        """For `slicer.util.selectModule`."""
        return slicer.app.moduleManager()

    def showPanel(self, widget):
        """Put a module's widget into the panel; the one before is let go."""
        self._panel.takeWidget()
        self._panel.setWidget(widget)

    def _makePanel(self):
        scroll = QtWidgets.QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setHorizontalScrollBarPolicy(QtCore.Qt.ScrollBarAlwaysOff)
        dock = QtWidgets.QDockWidget("Module", self)
        dock.setObjectName("PanelDockWidget")
        dock.setWidget(scroll)
        dock.setMinimumWidth(PANEL_WIDTH_PX)
        self.addDockWidget(QtCore.Qt.LeftDockWidgetArea, dock)
        return scroll

    def _addMenu(self):
        menu = self.menuBar().addMenu("File")
        for text, shortcut, act in (
            ("Add volume or scene ...", "Ctrl+O", self._open),
            ("Save scene ...", "Ctrl+S", self._save),
            ("Close scene", "Ctrl+W", lambda: slicer.mrmlScene.Clear(False)),
        ):
            action = menu.addAction(text)
            action.setShortcut(QtGui.QKeySequence(shortcut))
            action.triggered.connect(lambda _checked=False, act=act: act())

    def _open(self):
        path, _ = QtWidgets.QFileDialog.getOpenFileName(self, "Open", "", "Volumes, segmentations, scenes (*)")
        if path:
            slicer.util.loadNodeFromFile(path, None, {"clear": path.endswith((".mrb", ".mrml"))})

    def _save(self):
        path, _ = QtWidgets.QFileDialog.getSaveFileName(self, "Save scene", "scene.mrb", "Scene (*.mrb)")
        if path:
            slicer.util.saveScene(path)
