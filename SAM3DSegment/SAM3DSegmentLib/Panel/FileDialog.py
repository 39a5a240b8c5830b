"""Asks the user for files and folders."""

from pathlib import Path
from typing import Any

import qt
import slicer


def pathToSave(title: str, name: str, kinds: str) -> Path | None:
    """Where to save, as the user chooses, beginning with a name; None where that is given up."""
    return _pathOf(qt.QFileDialog.getSaveFileName(slicer.util.mainWindow(), title, name, kinds))


def pathToOpen(title: str, kinds: str = "") -> Path | None:
    """A file that there is, as the user chooses; None where that is given up."""
    return _pathOf(qt.QFileDialog.getOpenFileName(slicer.util.mainWindow(), title, "", kinds))


def folderToUse(title: str, now: str) -> Path | None:
    """A folder, as the user chooses, beginning with the one there is; None where that is given up."""
    return _pathOf(qt.QFileDialog.getExistingDirectory(slicer.util.mainWindow(), title, now))


def _pathOf(answer: Any) -> Path | None:
    """The path out of a file dialog's answer, a string in PythonQt and a pair in other bindings."""
    path = str(answer[0] if isinstance(answer, tuple) else answer)
    return Path(path) if path else None
