"""`slicer.app.layoutManager()`: three slice views and a 3D view, in Slicer's conventional four-up arrangement."""

from __future__ import annotations

import slicer
from PySide6 import QtCore, QtWidgets

from Host.sliceview import SliceView
from Host.threedview import ThreeDView

SLICES = {
    "Red": ("Axial", (0.95, 0.29, 0.20)),
    "Green": ("Coronal", (0.43, 0.69, 0.29)),
    "Yellow": ("Sagittal", (0.93, 0.84, 0.30)),
}
PLACES = {"Red": (0, 0), "Green": (1, 0), "Yellow": (1, 1)}
FOUR_UP = 3
AFTER_THE_VIEWS = -1.0  # priority of an observer: the views' own come first


class SliceWidget:
    """A slice view and its controller (the bar above a view in Slicer, not shown here)."""

    def __init__(self, view):
        self._view = view

    def sliceView(self):
        return self._view

    def sliceLogic(self):
        return self._view.sliceLogic()

    def mrmlSliceNode(self):
        return self._view.mrmlSliceNode()

    def sliceController(self):
        return self

    def fitSliceToBackground(self):
        self._view.fitToBackground()


class ThreeDWidget:
    """A 3D view and its controller."""

    def __init__(self, view):
        self._view = view

    def threeDView(self):
        return self._view

    def threeDController(self):
        return self

    def mrmlViewNode(self):
        return self._view.mrmlViewNode()

    def resetFocalPoint(self):
        self._view.resetFocalPoint()


class LayoutManager(QtCore.QObject):
    """Makes the views, in `viewport()`."""

    layoutChanged = QtCore.Signal(int)
    threeDViewCount, tableViewCount, plotViewCount = 1, 0, 0

    def __init__(self):
        super().__init__()
        self._layout = FOUR_UP
        self._slices = {
            name: SliceWidget(SliceView(name, orientation=orientation, color=color))
            for name, (orientation, color) in SLICES.items()
        }
        self._threeD = ThreeDWidget(ThreeDView())
        self._viewport = self._arranged()
        slicer.mrmlScene.AddObserver(slicer.vtkMRMLScene.EndBatchProcessEvent, self._mapViews, AFTER_THE_VIEWS)

    layout = property(lambda self: self._layout)

    def setLayout(self, layout):
        """The number is kept; the arrangement stays."""
        self._layout = layout
        self.layoutChanged.emit(layout)

    def viewport(self):
        return self._viewport

    def sliceViewNames(self):
        return tuple(self._slices)

    def sliceWidget(self, name):
        return self._slices.get(name)

    def threeDWidget(self, _index):
        return self._threeD

    def mrmlSliceLogics(self):
        return slicer.app.applicationLogic().GetSliceLogics()

    def resetSliceViews(self):
        for widget in self._slices.values():
            widget.fitSliceToBackground()

    def resetThreeDViews(self):
        self._threeD.resetFocalPoint()

    def _mapViews(self, *_):
        """A scene brings view nodes of its own; the layout logic maps them anew, which makes every view look again."""
        for node in self._viewNodes():
            node.SetMappedInLayout(1)
            node.Modified()

    def _viewNodes(self):
        return [*(widget.mrmlSliceNode() for widget in self._slices.values()), self._threeD.mrmlViewNode()]

    def _arranged(self):
        viewport = QtWidgets.QWidget()
        viewport.setObjectName("CentralWidgetLayoutFrame")
        grid = QtWidgets.QGridLayout(viewport)
        grid.setContentsMargins(1, 1, 1, 1)
        grid.setSpacing(2)
        for name, widget in self._slices.items():
            grid.addWidget(widget.sliceView(), *PLACES[name])
        grid.addWidget(self._threeD.threeDView(), 0, 1)
        return viewport
