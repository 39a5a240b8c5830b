"""The keys that work while the module is shown, and their list in the panel: one table for both."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _


@dataclass(frozen=True)
class Shortcut:
    """Keys that all do the same; `call` is None for what is done with the mouse."""

    keys: tuple[str, ...]
    meaning: str
    call: Callable[[], Any] | None = None


class Shortcuts:
    """Makes the shortcuts at enable() and takes them away at disable(): single letters are not ours at other times.

    A field in which text is typed keeps its keys: Qt asks it before any shortcut.
    """

    def __init__(self, shortcuts: list[Shortcut]) -> None:
        self._shortcuts = shortcuts
        self._made: list[Any] = []

    def enable(self) -> None:
        """Listen in the main window, since the keyboard is in the views after a click there."""
        self.disable()
        for shortcut in self._shortcuts:
            for key in shortcut.keys if shortcut.call is not None else ():
                made = qt.QShortcut(slicer.util.mainWindow())
                made.autoRepeat = False
                made.setKey(qt.QKeySequence(key))
                made.connect("activated()", shortcut.call)
                # Where Slicer's menu has the same key (its undo is off unless a scene asks for it), Qt calls each owner
                # in turn, by this signal: every second press is ours.
                made.connect("activatedAmbiguously()", shortcut.call)
                self._made.append(made)

    def disable(self) -> None:
        """Stop listening."""
        for made in self._made:
            made.setEnabled(False)
            made.setParent(None)
            made.deleteLater()
        self._made = []

    def asHtml(self) -> str:
        """The list for the panel."""
        rows = "".join(
            f"<tr><td><b>{escape(_(' or ').join(_named(key) for key in shortcut.keys))}</b>&nbsp;&nbsp;</td>"
            f"<td>{escape(shortcut.meaning)}</td></tr>"
            for shortcut in self._shortcuts
        )
        return f"<table>{rows}</table>"


def _named(key: str) -> str:
    """A key as this computer's keyboards name it."""
    if sys.platform == "darwin":
        key = key.replace("Ctrl", "Cmd")
    return key.replace("Esc", _("Esc")).replace("click", _("click"))
