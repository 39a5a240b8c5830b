"""The panel's buttons: the pictures of all, and what those do that belong to no part, and when they can be pressed."""

from typing import Any

import qt

from SAM3DSegmentLib.Panel.Icons import icon, isDark, styleChanged

_ICONS = {
    "foregroundButton": "Foreground", "backgroundButton": "Background", "boxButton": "Box", "nextButton": "Next",
    "lineButton": "Line", "scribbleButton": "Scribble", "lassoButton": "Lasso",
    "boxFromMaskButton": "BoxFromMask", "undoButton": "Undo", "redoButton": "Redo", "clearButton": "Clear",
    "axesButton": "Axes", "pinButton": "Pin", "show3DButton": "Surface", "outlineButton": "Outline",
    "flashButton": "Changes", "unsureButton": "Unsure",
}  # fmt: skip


class Buttons:
    """Connects the buttons of a panel whose parts are there."""

    def __init__(self, panel: Any) -> None:
        self._ui, self._logic = panel.ui, panel.logic
        self._refreshSoon = panel.pollTimer.refreshSoon
        self._isDark: bool | None = None
        self._connect(panel)
        # Slicer's style can be switched while it runs, and could be while there was no panel.
        self._onStyle()
        qt.QApplication.instance().connect("paletteChanged(QPalette)", self._onStyle)

    def close(self) -> None:
        """Follow Slicer's style no more."""
        qt.QApplication.instance().disconnect("paletteChanged(QPalette)", self._onStyle)

    def refresh(self) -> None:
        """Gray what cannot be done now, and hide what this model does not do."""
        if self._isDark is not isDark():
            self._isDark = isDark()
            self._showPictures()
        ui, logic = self._ui, self._logic
        unlocked = not logic.isLocked
        ui.clearButton.setEnabled(bool(logic.prompts.items()) and unlocked)
        ui.undoButton.setEnabled(logic.canUndo and unlocked)
        ui.redoButton.setEnabled(logic.canRedo and unlocked)
        hasSegment = logic.segmentId is not None
        ui.boxFromMaskButton.setEnabled(hasSegment and unlocked and logic.options.accepts("box")[0])
        for widget in (ui.nearbyCheckBox, ui.nearbySpinBox, ui.smoothingSpinBox, ui.keepClickedCheckBox):
            widget.setEnabled(unlocked)
        ui.automaticButton.setVisible(self.isAutomatic)

    @property
    def isAutomatic(self) -> bool:
        """Whether the chosen model needs no prompts, and can run."""
        options = self._logic.options
        return bool(options.accepts("automatic")[0] and options.isInstalled)

    def _onStyle(self, *_args: Any) -> None:
        styleChanged()
        self._refreshSoon()

    def _showPictures(self) -> None:
        for name, picture in _ICONS.items():
            getattr(self._ui, name).setIcon(icon(picture))
        self._ui.messageIcon.setPixmap(icon("Warning").pixmap(20, 20))

    def _connect(self, panel: Any) -> None:
        logic, guarded = self._logic, panel.guarded
        calls = {
            "sampleButton": lambda: guarded(panel.trySample),
            "nextButton": panel.nextSegment,
            "automaticButton": lambda: guarded(panel.runAutomatic),
            "boxFromMaskButton": lambda: guarded(logic.prompts.addBoxFromMask),
            "undoButton": lambda: guarded(logic.undo),
            "redoButton": lambda: guarded(logic.redo),
            "clearButton": lambda: guarded(logic.prompts.clear),
            "tourButton": panel.tour.start,
            "downloadModelButton": lambda: panel.installer.askAndStart(panel.models.spec),
            "installModelButton": lambda: panel.installer.askForFile(panel.models.spec),
        }
        for name, call in calls.items():
            getattr(self._ui, name).connect("clicked(bool)", call)
