"""One line that says what runs, where, and how long the last click took."""

from collections.abc import Callable
from typing import Any

from slicer.i18n import tr as _

from SAM3DSegmentLib.Panel import Formatting


class StatusLine:
    """The status label, its progress bar and the stop button, which are seen only while something runs."""

    def __init__(self, ui: Any, logic: Any, *, isBusy: Callable[[], bool], onStop: Callable[[], None]) -> None:
        self._ui, self._logic, self._isBusy = ui, logic, isBusy
        self._stage = ""
        self._seconds: float | None = None
        self._note = ""
        ui.stopButton.connect("clicked(bool)", onStop)
        self._showRunning(False)

    def showProgress(self, stage: str, fraction: float) -> None:
        """A stage has come this far (0..1)."""
        words = {
            "loading": _("Loading the model..."),
            "encoding": _("Looking at the image..."),
            "decoding": _("Drawing the mask..."),
            "refining": _("This is a preview, refining it..."),
            "writing": _("Writing the mask..."),
            "exporting": _("Writing the files..."),
        }
        self.showFetching(words.get(stage, stage), fraction)

    def showFetching(self, text: str, fraction: float) -> None:
        """Something in words has come this far (0..1)."""
        self._stage = text
        self._ui.statusLabel.setText(text)
        self._ui.progressBar.setValue(round(100 * fraction))
        self._showRunning(True)

    def showWork(self, text: str) -> None:
        """Something runs that cannot say how far it has come."""
        self._ui.statusLabel.setText(text)

    def showAnswer(self, seconds: float) -> None:
        """An answer has come after so long."""
        self._stage, self._note, self._seconds = "", "", seconds

    def note(self, text: str) -> None:
        """Something was done that is worth a word until the next answer."""
        self._stage, self._note = "", text

    def refresh(self, tool: str | None, *, hasPrompts: bool, obstacle: str) -> None:
        """Say what can be done next with the tool in hand, or what hinders it, unless something runs."""
        if self._isBusy() and self._stage:
            return
        self._stage = ""
        self._showRunning(False)
        parts = [self._note, obstacle or self._hint(tool, hasPrompts=hasPrompts)]
        if not obstacle:
            parts.append(self._logic.controller.engine.description)
        if not obstacle and self._seconds is not None:
            parts.append(_("last click {seconds}").format(seconds=Formatting.seconds(self._seconds)))
        self._ui.statusLabel.setText(" · ".join(part for part in parts if part))

    def _hint(self, tool: str | None, *, hasPrompts: bool) -> str:
        hints = {
            "foreground": _("Click on the target"),
            "background": _("Click where the mask is too large"),
            "line": _("Drag across the target, from one side to the other"),
            "scribble": _("Draw through the target; with Ctrl, through what is none of it"),
            "lasso": _("Draw around the target in one slice; with Ctrl, around what is none of it"),
            "box": _("Click two opposite corners of the box, or drag from one to the other"),
        }
        return hints.get(tool or "") or (_("Ready") if hasPrompts else _("Ready: press Foreground (A)"))

    def _showRunning(self, running: bool) -> None:
        self._ui.progressBar.setVisible(running)
        self._ui.stopButton.setVisible(running)
