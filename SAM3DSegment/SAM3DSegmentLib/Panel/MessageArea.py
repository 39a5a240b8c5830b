"""What went wrong, in words, inside the panel: nothing pops up, and it goes when its cause does."""

from collections.abc import Callable
from typing import Any

import qt
from slicer.i18n import tr as _

Action = tuple[str, Callable[[], Any]]


class MessageArea:
    """A frame that is hidden until there is something to say; its report goes to the clipboard.

    situation() is a value that is the same as long as what was said still holds, where no other is given.
    """

    def __init__(self, ui: Any, logic: Any, *, situation: Callable[[], Any]) -> None:
        self._ui, self._logic, self._situation = ui, logic, situation
        self._report = ""
        self._outlastsAnswers = False
        self._action: Callable[[], Any] | None = None
        self._holds: Callable[[], bool] = lambda: True
        ui.copyReportButton.connect("clicked(bool)", self._copy)
        ui.dismissButton.connect("clicked(bool)", self.hide)
        ui.messageActionButton.connect("clicked(bool)", self._act)
        self.hide()

    def show(
        self,
        message: str,
        report: str = "",
        *,
        action: Action | None = None,
        holds: Callable[[], bool] | None = None,
        outlastsAnswers: bool = False,
    ) -> None:
        """Say something; without a report the logic's own is copied. An action is offered as a button.

        It is said as long as holds() is true, or else until the situation is another one; and until the next answer,
        unless it outlasts answers.
        """
        situation = self._situation()
        self._holds = holds or (lambda: self._situation() == situation)
        self._outlastsAnswers = outlastsAnswers
        self._report, self._action = report, action[1] if action else None
        self._ui.messageLabel.setText(message)
        self._ui.copyReportButton.setText(_("Copy report"))
        self._ui.messageActionButton.setVisible(action is not None)
        if action is not None:
            self._ui.messageActionButton.setText(action[0])
        self._ui.messageFrame.setVisible(True)

    def refresh(self) -> None:
        """Hide what no longer holds."""
        if not self._holds():
            self.hide()

    def answered(self) -> None:
        """The model has answered: what stood in its way does no more."""
        if not self._outlastsAnswers:
            self.hide()

    def hide(self, *_: Any) -> None:
        """Nothing to say any more."""
        self._holds = lambda: True
        self._ui.messageFrame.setVisible(False)

    def _act(self) -> None:
        action = self._action
        self.hide()
        if action is not None:
            action()

    def _copy(self) -> None:
        message = self._ui.messageLabel.text
        qt.QApplication.clipboard().setText(f"{message}\n\n{self._report or self._logic.report()}\n")
        self._ui.copyReportButton.setText(_("Copied"))
