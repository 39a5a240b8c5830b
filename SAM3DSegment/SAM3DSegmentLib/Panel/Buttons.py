"""The panel's buttons that belong to no part of it: their pictures, what they do, and whether they can be pressed."""

from typing import Any

from SAM3DSegmentLib.Panel.Icons import icon

_ICONS = {
    "foregroundButton": "Foreground", "backgroundButton": "Background", "boxButton": "Box", "nextButton": "Next",
    "lineButton": "Line", "scribbleButton": "Scribble", "lassoButton": "Lasso",
    "boxFromMaskButton": "BoxFromMask", "undoButton": "Undo", "redoButton": "Redo", "clearButton": "Clear",
}  # fmt: skip


class Buttons:
    """Connects the buttons of a panel whose parts are there."""

    def __init__(self, panel: Any) -> None:
        self._ui, self._logic = panel.ui, panel.logic
        self._showPictures()
        self._connect(panel)

    def refresh(self) -> None:
        """Gray what cannot be done now, and hide what this model does not do."""
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

    def _showPictures(self) -> None:
        for name, picture in _ICONS.items():
            getattr(self._ui, name).setIcon(icon(picture))

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
