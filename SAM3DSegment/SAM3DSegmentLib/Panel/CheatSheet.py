"""The list of shortcuts over the main window, while it is wanted."""

from typing import Any

import qt
import slicer


class CheatSheet:
    """Shows a text in the middle of the main window between two calls of toggle()."""

    def __init__(self, html: str) -> None:
        self._html = html
        self._label: Any = None

    @property
    def isShown(self) -> bool:
        """Whether it is there."""
        return self._label is not None

    def toggle(self) -> None:
        """Show it, or take it away."""
        if self.isShown:
            self.hide()
            return
        window = slicer.util.mainWindow()
        self._label = label = qt.QLabel(self._html, window)
        label.setAutoFillBackground(True)
        label.setFrameShape(qt.QFrame.Box)
        label.setMargin(14)
        label.adjustSize()
        label.move((window.width - label.width) // 2, (window.height - label.height) // 2)
        label.show()

    def hide(self) -> None:
        """Take it away, if it is there."""
        label, self._label = self._label, None
        if label is not None:
            label.hide()
            label.setParent(None)
            label.deleteLater()
