"""A user at the host: the panel, the views, the gestures and what went wrong, for tests and for the tour."""

from __future__ import annotations

import sys
from pathlib import Path

import slicer

from Host import gestures
from Host.application import startApplication
from Host.scene import clearScene

MODULE = Path(__file__).resolve().parents[2] / "SAM3DSegment" / "SAM3DSegment.py"


class User:
    """`panel` is the module's widget object (`SAM3DSegmentWidget`), None while the module is not open.

    `errors` lists the exceptions of slots, timers and observers, which Slicer would only print.
    """

    def __init__(self, *, testing=True):
        self.app = startApplication(testing=testing)
        self.window = slicer.util.mainWindow()
        self.dialogs = self.app.dialogs()
        self.panel = None
        self.errors = []
        layout = self.app.layoutManager()
        self.red, self.green, self.yellow = (
            layout.sliceWidget(name).sliceView() for name in ("Red", "Green", "Yellow")
        )
        self.threeD = layout.threeDWidget(0).threeDView()

    click = staticmethod(gestures.click)
    clickPixel = staticmethod(gestures.clickPixel)
    drag = staticmethod(gestures.drag)
    holdAndMove = staticmethod(gestures.holdAndMove)
    hover = staticmethod(gestures.hover)
    letGo = staticmethod(gestures.letGo)
    pixelOf = staticmethod(gestures.pixelOf)
    press = staticmethod(gestures.press)
    pressButton = staticmethod(gestures.pressButton)
    rasOf = staticmethod(gestures.rasOf)
    screenshot = staticmethod(gestures.screenshot)
    scroll = staticmethod(gestures.scroll)
    settle = staticmethod(gestures.settle)
    showPoint = staticmethod(gestures.showPoint)
    waitUntil = staticmethod(gestures.waitUntil)

    def sitDown(self):
        """An empty scene, an idle mouse, no module open; errors are gathered from here on."""
        self.window.activateWindow()  # a dialog of an earlier test may have had it
        clearScene()
        self.errors.clear()
        self.dialogs.clear()
        self.dialogs.start()
        self._printed, sys.excepthook = sys.excepthook, self._onError
        interaction = self.app.applicationLogic().GetInteractionNode()
        interaction.SetCurrentInteractionMode(interaction.ViewTransform)
        self.settle()

    def leave(self):
        """Close the module and the scene."""
        try:
            self.closeModule()
            clearScene()
            self.settle()
        finally:
            self.dialogs.stop()
            sys.excepthook = self._printed

    def openModule(self, path=MODULE, *, firstTime=False):
        """Load the module's file where that was not done, and go to the module. Returns its widget object.

        firstTime: as on a computer where the module has never been opened, whatever was opened before.
        """
        self.app.settings().setValue("SAM3DSegment/showTour", "true" if firstTime else "false")
        manager = self.app.moduleManager()
        if manager.module(path.stem) is None:
            manager.loadModule(path)
            self.app.startupCompleted.emit()
        self.panel = manager.selectModule(path.stem)
        self.settle()
        return self.panel

    def closeModule(self, path=MODULE):
        """Unload the panel, as quitting and reloading do."""
        if self.panel is not None:
            self.panel = None
            self.app.moduleManager().unloadModule(path.stem)

    def show(self, volume):
        """Show a volume in all slice views, fitted, the slices in the volume's own planes."""
        slicer.util.setSliceViewerLayers(background=volume, fit=True, rotateToVolumePlane=True)
        self.app.layoutManager().resetThreeDViews()
        self.settle()

    def _onError(self, kind, error, traceback):
        self.errors.append(error)
        self._printed(kind, error, traceback)
