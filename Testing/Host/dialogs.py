"""Sees every modal dialog: a test reads what it said and answers it; unanswered it is rejected and nothing hangs."""

from __future__ import annotations

from typing import NamedTuple

from PySide6 import QtCore, QtWidgets


class SeenDialog(NamedTuple):
    className: str
    title: str
    text: str
    buttons: tuple[str, ...]


class DialogWatcher(QtCore.QObject):
    """`seen` lists the dialogs; `answers` is used up from its head: the text of a button to press, or a callable."""

    def __init__(self):
        super().__init__()
        self._seen = []
        self._answers = []
        self._timer = QtCore.QTimer(self)
        self._timer.interval = 30
        self._timer.timeout.connect(self._look)

    seen = property(lambda self: list(self._seen))

    def start(self):
        self._timer.start()

    def stop(self):
        self._timer.stop()

    def clear(self):
        self._seen.clear()
        self._answers.clear()

    def answer(self, *answers):
        """What to do with the next dialogs: `"Yes"` presses that button, a callable gets the dialog."""
        self._answers.extend(answers)

    def _look(self):
        dialog = QtWidgets.QApplication.activeModalWidget()
        if dialog is None or isinstance(dialog, QtWidgets.QProgressDialog):
            return
        buttons = dialog.findChildren(QtWidgets.QAbstractButton)
        texts = tuple(button.text.replace("&", "") for button in buttons)
        self._seen.append(SeenDialog(dialog.className(), dialog.windowTitle, _textOf(dialog), texts))
        answer = self._answers.pop(0) if self._answers else None
        if callable(answer):
            answer(dialog)
        elif answer in texts:
            buttons[texts.index(answer)].click()
        else:
            dialog.reject() if isinstance(dialog, QtWidgets.QDialog) else dialog.close()


def _textOf(dialog):
    if isinstance(dialog, QtWidgets.QMessageBox):
        return dialog.text
    return "\n".join(label.text for label in dialog.findChildren(QtWidgets.QLabel))
