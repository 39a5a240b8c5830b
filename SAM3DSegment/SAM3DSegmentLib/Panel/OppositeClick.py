"""Ctrl+click in a slice view while a click tool is in hand: a click of the other sign, without changing tools.

Slicer places markups at clicks without a modifier only, so this one is caught before Slicer sees it.
"""

from collections.abc import Callable
from typing import Any

import slicer

# Ahead of the view's own interactor style, which would take Ctrl+drag for something else.
_PRIORITY = 100.0

Point = tuple[float, float, float]


class OppositeClick:
    """Watches the slice views between start() and stop(); calls onClick(ras) with a point in world RAS mm."""

    def __init__(self, onClick: Callable[[Point], None]) -> None:
        self._onClick = onClick
        self._views: list[_View] = []
        self._watching = False

    def start(self) -> None:
        """Watch all slice views of the layout as it is now and as it will be."""
        if self._watching:
            return
        self._watching = True
        self._watch()
        slicer.app.layoutManager().connect("layoutChanged(int)", self._watch)

    def stop(self) -> None:
        """Stop watching."""
        if self._watching:
            self._watching = False
            slicer.app.layoutManager().disconnect("layoutChanged(int)", self._watch)
            self._unwatch()

    def _watch(self, *_: Any) -> None:
        self._unwatch()
        layout = slicer.app.layoutManager()
        for name in layout.sliceViewNames():
            view = layout.sliceWidget(name).sliceView()
            self._views.append(_View(view.interactor(), view.mrmlSliceNode(), self._onClick))

    def _unwatch(self) -> None:
        for view in self._views:
            view.close()
        self._views = []


class _View:
    """One slice view's presses and releases of the left button."""

    def __init__(self, interactor: Any, sliceNode: Any, onClick: Callable[[Point], None]) -> None:
        self._interactor, self._sliceNode, self._onClick = interactor, sliceNode, onClick
        self._pressed = False
        self._tags = {
            event: interactor.AddObserver(event, call, _PRIORITY)
            for event, call in (("LeftButtonPressEvent", self._onPress), ("LeftButtonReleaseEvent", self._onRelease))
        }

    def close(self) -> None:
        for tag in self._tags.values():
            self._interactor.RemoveObserver(tag)

    def _onPress(self, *_: Any) -> None:
        self._pressed = bool(self._interactor.GetControlKey())
        if self._pressed:
            self._stopHere("LeftButtonPressEvent")
            x, y = self._interactor.GetEventPosition()
            ras = self._sliceNode.GetXYToRAS().MultiplyPoint((x, y, 0, 1))[:3]
            self._onClick(ras)

    def _onRelease(self, *_: Any) -> None:
        """The press was not Slicer's, so the release must not be either: Slicer places points at the release."""
        if self._pressed:
            self._pressed = False
            self._stopHere("LeftButtonReleaseEvent")

    def _stopHere(self, event: str) -> None:
        self._interactor.GetCommand(self._tags[event]).SetAbortFlag(1)
