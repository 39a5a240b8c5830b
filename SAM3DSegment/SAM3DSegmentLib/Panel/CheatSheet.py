"""The list of shortcuts over the main window, while it is wanted."""

from collections.abc import Callable
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _


class CheatSheet:
    """Shows a text in the middle of the main window between two calls of toggle(); its link calls onTour()."""

    def __init__(self, html: str, *, onTour: Callable[[], None]) -> None:
        self._html = f'{html}<p><a href="tour">{_("Take the tour")}</a></p>'
        self._onTour = onTour
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
        label.connect("linkActivated(QString)", self._follow)
        label.adjustSize()
        label.move((window.width - label.width) // 2, (window.height - label.height) // 2)
        label.show()

    def _follow(self, _link: str) -> None:
        self.hide()
        self._onTour()

    def hide(self) -> None:
        """Take it away, if it is there."""
        label, self._label = self._label, None
        if label is not None:
            label.hide()
            label.setParent(None)
            label.deleteLater()
