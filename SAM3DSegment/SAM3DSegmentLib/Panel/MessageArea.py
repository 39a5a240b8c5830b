"""What went wrong, in words, inside the panel: nothing pops up and nothing is lost while it is read."""

from typing import Any

import qt
from slicer.i18n import tr as _

from SAM3DSegmentLib.Panel.Icons import icon


class MessageArea:
    """A frame that is hidden until there is something to say; its report goes to the clipboard."""

    def __init__(self, ui: Any, logic: Any) -> None:
        self._ui, self._logic = ui, logic
        self._report = ""
        ui.messageIcon.setPixmap(icon("Warning").pixmap(20, 20))
        ui.copyReportButton.connect("clicked(bool)", self._copy)
        ui.dismissButton.connect("clicked(bool)", self.hide)
        self.hide()

    def show(self, message: str, report: str = "") -> None:
        """Say something; without a report the logic's own is copied."""
        self._report = report
        self._ui.messageLabel.setText(message)
        self._ui.copyReportButton.setText(_("Copy report"))
        self._ui.messageFrame.setVisible(True)

    def hide(self, *_: Any) -> None:
        """Nothing to say any more."""
        self._ui.messageFrame.setVisible(False)

    def _copy(self) -> None:
        message = self._ui.messageLabel.text
        qt.QApplication.clipboard().setText(f"{message}\n\n{self._report or self._logic.report()}\n")
        self._ui.copyReportButton.setText(_("Copied"))
