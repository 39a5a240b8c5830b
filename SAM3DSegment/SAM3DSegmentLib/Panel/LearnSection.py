"""Learn from corrections: accept masks, adapt the model to them in the background, use what is better, go back."""

import time
from collections.abc import Callable
from typing import Any

import qt
from slicer.i18n import tr as _

from SAM3DSegmentLib.Panel.FileDialog import folderToUse

_SHOWN_EVERY_SECONDS = 0.5
_FOLDER_SETTING = "SAM3DSegment/acceptedFolder"
_WEIGHTS_SETTING = "SAM3DSegment/adaptedWeights"


class LearnSection:
    """The folder and the weights in use are a matter of the computer and kept in Slicer's settings.

    refreshSoon() asks for another refresh; guarded(call) says what is refused.
    """

    def __init__(
        self, ui: Any, logic: Any, guarded: Callable[[Callable[[], Any]], Any], *, refreshSoon: Callable[[], None]
    ) -> None:
        self._ui, self._logic, self._guarded, self._refreshSoon = ui, logic, guarded, refreshSoon
        self._said, self._offered, self._shownAt = "", "", 0.0
        learning = logic.learning
        learning.folder = str(qt.QSettings().value(_FOLDER_SETTING, "") or "")
        self._guarded(lambda: learning.use(str(qt.QSettings().value(_WEIGHTS_SETTING, "") or "")))
        ui.acceptButton.connect("clicked(bool)", lambda: guarded(self._accept))
        ui.acceptedFolderButton.connect("clicked(bool)", self._chooseFolder)
        ui.deleteAcceptedButton.connect("clicked(bool)", lambda: guarded(self._deleteLast))
        ui.adaptButton.connect("clicked(bool)", lambda: guarded(self._adapt))
        ui.useAdaptedButton.connect("clicked(bool)", lambda: self._use(self._offered))
        ui.goBackButton.connect("clicked(bool)", lambda: self._use(""))

    @property
    def isBusy(self) -> bool:
        """Whether an adaptation has to be watched."""
        return bool(self._logic.learning.isRunning)

    def poll(self) -> None:
        """Show how far an adaptation is, and take note of one that has ended."""
        if not self.isBusy:
            return
        if time.monotonic() > self._shownAt + _SHOWN_EVERY_SECONDS:
            self._shownAt = time.monotonic()
            self.refresh()
        outcome = self._logic.learning.poll()
        if outcome is not None:
            self._said, self._offered = outcome.sentence, outcome.weights
            self._refreshSoon()

    def refresh(self) -> None:
        """Show what the logic holds now."""
        if self._ui.learnSection.collapsed and not self.isBusy:
            return
        ui, learning = self._ui, self._logic.learning
        count = len(learning.cases())
        running = learning.isRunning
        ui.acceptButton.setEnabled(self._logic.segmentId is not None and not running)
        ui.deleteAcceptedButton.setEnabled(count > 0 and not running)
        ui.adaptButton.setText(_("Stop adapting") if running else _("Adapt the model"))
        ui.adaptButton.setEnabled(running or count > 0)
        ui.useAdaptedButton.setVisible(bool(self._offered) and not running)
        ui.goBackButton.setVisible(bool(self._logic.options.weights))
        ui.learnLabel.setText(self._status(count))

    def close(self) -> None:
        """The panel goes: so does what it has started."""
        self._logic.learning.stop()

    def _status(self, count: int) -> str:
        if self._logic.learning.isRunning:
            return _("Adapting, {percent} % done; go on working.").format(
                percent=int(100 * self._logic.learning.fraction())
            )
        accepted = _("{count} accepted").format(count=count) if self._logic.learning.folder else _("no folder chosen")
        used = _("adapted model in use") if self._logic.options.weights else ""
        return " · ".join(part for part in (accepted, used, self._said) if part)

    def _accept(self) -> None:
        if not self._logic.learning.folder:
            self._chooseFolder()
        if self._logic.learning.folder:
            self._logic.learning.accept()
            self._said = ""
        self._refreshSoon()

    def _deleteLast(self) -> None:
        self._logic.learning.deleteLast()
        self._refreshSoon()

    def _adapt(self) -> None:
        learning = self._logic.learning
        if learning.isRunning:
            learning.stop()
            self._said = _("Stopped; nothing was changed.")
        else:
            self._said = self._offered = ""
            learning.start()
        self._refreshSoon()

    def _use(self, weights: str) -> None:
        if self._guarded(lambda: self._logic.learning.use(weights)):
            qt.QSettings().setValue(_WEIGHTS_SETTING, weights)
            self._offered = ""
        self._refreshSoon()

    def _chooseFolder(self, *_args: Any) -> None:
        title = _("Folder for accepted masks (pixel data alone is kept)")
        chosen = folderToUse(title, self._logic.learning.folder)
        if chosen is not None:
            self._logic.learning.folder = str(chosen)
            qt.QSettings().setValue(_FOLDER_SETTING, str(chosen))
        self._refreshSoon()
