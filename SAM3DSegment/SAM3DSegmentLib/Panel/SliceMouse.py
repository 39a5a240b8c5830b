"""The mouse in the slice views, seen before Slicer sees it and left to Slicer: zoom, pan, scroll and window go on.

Slicer's own place mode would end with the first right button, and a double-click would fill the window with the view.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import qt
import slicer

from SAM3DSegmentLib.Panel.Views import sliceViews

Point = tuple[float, float, float]
Places = dict[Any, np.ndarray]
"""Each slice node's SliceToRAS (4, 4)."""

# Ahead of the view's own interactor style, which knows of no tool of ours.
_PRIORITY = 100.0
# A press that moves further before it is let go is a drag.
_STILL_PX = 4


@dataclass(frozen=True)
class Pointer:
    """Where the mouse is: a point in world RAS mm, in the view of a slice node; whether Ctrl is held."""

    ras: Point
    sliceNode: Any
    control: bool


class Gesture(Protocol):
    """What a tool makes of the mouse.

    A press on a markup is not told, since it may begin to drag it; nor is anything with Shift, which is Slicer's.
    """

    def pressed(self, pointer: Pointer) -> None:
        """The left button went down."""
        ...

    def moved(self, pointer: Pointer) -> None:
        """The mouse moved, with the button down or not."""
        ...

    def released(self, pointer: Pointer, *, still: bool) -> None:
        """The left button came up; `still`: it never left where it went down. Ctrl is as it was then."""
        ...


class SliceMouse:
    """Watches all slice views of the layout, as it is and as it will be, between start() and stop()."""

    def __init__(self) -> None:
        self._views: list[_View] = []
        self._gesture: Gesture | None = None
        self._cursor: Any = None

    def start(self, gesture: Gesture, cursor: Any = None) -> None:
        """Tell a gesture of the mouse; the views show the cursor."""
        self.stop()
        self._gesture, self._cursor = gesture, cursor
        self._watch()
        slicer.app.layoutManager().connect("layoutChanged(int)", self._watch)

    def stop(self) -> None:
        """Watch no more."""
        if self._gesture is not None:
            slicer.app.layoutManager().disconnect("layoutChanged(int)", self._watch)
            self._gesture = None
        self._unwatch()

    def _watch(self, *_: Any) -> None:
        self._unwatch()
        if self._gesture is not None:
            self._views = [_View(view, self._gesture, self._cursor) for view in sliceViews()]

    def _unwatch(self) -> None:
        for view in self._views:
            view.close()
        self._views = []


class _View:
    """One slice view's left button and moves."""

    def __init__(self, view: Any, gesture: Gesture, cursor: Any) -> None:
        self._view, self._interactor, self._sliceNode = view, view.interactor(), view.mrmlSliceNode()
        self._gesture = gesture
        self._pressedAt: tuple[int, int] | None = None
        self._still, self._slackPx = True, _STILL_PX
        self._withControl = False
        self._places: Places = {}
        calls: dict[str, Callable[..., None]] = {
            "LeftButtonPressEvent": self._onPress,
            "MouseMoveEvent": self._onMove,
            "LeftButtonReleaseEvent": self._onRelease,
            "LeftButtonDoubleClickEvent": self._onDoubleClick,
        }
        self._tags = {event: self._interactor.AddObserver(event, call, _PRIORITY) for event, call in calls.items()}
        # No observer is called after Slicer's own.
        self._after: Any = qt.QTimer()
        self._after.setSingleShot(True)
        self._after.setInterval(0)
        self._after.connect("timeout()", self._afterRelease)
        if cursor is not None:
            view.setViewCursor(cursor)

    def close(self) -> None:
        for tag in self._tags.values():
            self._interactor.RemoveObserver(tag)
        self._afterRelease()
        self._after.stop()
        self._after.disconnect("timeout()", self._afterRelease)
        self._view.unsetViewCursor()

    def _onPress(self, *_: Any) -> None:
        self._pressedAt = None
        self._withControl = bool(self._interactor.GetControlKey())
        if self._interactor.GetShiftKey() or self._interactor.GetAltKey():
            return
        self._pressedAt, self._still = self._interactor.GetEventPosition(), True
        # Slicer takes a markup along from the first pixel on: what moved a point is no click beside it.
        self._slackPx = 0 if _onMarkup() else _STILL_PX
        if self._slackPx:
            self._gesture.pressed(self._pointer())
        if self._withControl:
            self._stopHere("LeftButtonPressEvent")

    def _onMove(self, *_: Any) -> None:
        self._noteMove()
        self._gesture.moved(self._pointer())

    def _noteMove(self) -> None:
        """Once moved away, a press is a drag, also where it comes back to: an outline ends where it began."""
        if self._pressedAt is not None:
            here, there = self._interactor.GetEventPosition(), self._pressedAt
            self._still = self._still and all(abs(a - b) <= self._slackPx for a, b in zip(here, there, strict=True))

    def _onRelease(self, *_: Any) -> None:
        if self._pressedAt is not None:
            self._noteMove()
            self._pressedAt = None
            self._gesture.released(self._pointer(), still=self._still)
            if self._still:
                self._places = _placesOfSlices()
                self._after.start()
            if self._withControl:  # the press was not Slicer's, so the release must not be either
                self._stopHere("LeftButtonReleaseEvent")

    def _afterRelease(self) -> None:
        """A click on a point is also a command of Slicer's: it would bring that point to the middle of all views."""
        places, self._places = self._places, {}
        for node, place in places.items():
            if not np.array_equal(slicer.util.arrayFromVTKMatrix(node.GetSliceToRAS()), place):
                slicer.util.updateVTKMatrixFromArray(node.GetSliceToRAS(), place)
                node.UpdateMatrices()

    def _onDoubleClick(self, *_: Any) -> None:
        """Two quick clicks: Slicer would show this view alone."""
        self._stopHere("LeftButtonDoubleClickEvent")

    def _pointer(self) -> Pointer:
        x, y = self._interactor.GetEventPosition()
        r, a, s = self._sliceNode.GetXYToRAS().MultiplyPoint((x, y, 0, 1))[:3]
        return Pointer((r, a, s), self._sliceNode, self._withControl)

    def _stopHere(self, event: str) -> None:
        self._interactor.GetCommand(self._tags[event]).SetAbortFlag(1)


def _placesOfSlices() -> Places:
    nodes = slicer.util.getNodesByClass("vtkMRMLSliceNode")
    return {node: slicer.util.arrayFromVTKMatrix(node.GetSliceToRAS()) for node in nodes}


def _onMarkup() -> bool:
    """Whether the mouse is on a point or a handle: the press is to drag it."""
    nodes = slicer.util.getNodesByClass("vtkMRMLMarkupsDisplayNode")
    return any(node.HasActiveComponent() for node in nodes)
