"""What the tools make of the mouse: a click where the button is let go, a box between two corners, a stroke."""

from collections.abc import Callable
from typing import Any

import numpy as np
import slicer

from SAM3DSegmentLib.BoxNodes import placeBox
from SAM3DSegmentLib.Panel.CursorRest import CursorRest
from SAM3DSegmentLib.Panel.SliceMouse import Pointer
from SAM3DSegmentLib.StrokeNodes import extend, isPlaced, placeStroke

# What is flatter was not meant to be a box.
_FLAT_MM = 0.5
# Points of a freehand stroke lie at least so far apart: closer ones say no more, and each is a point to be dragged.
_STEP_MM = 1.5


class ClickGesture:
    """Calls onClick(pointer) for a press and release at one place; `rest` is told of the mouse before that."""

    def __init__(self, onClick: Callable[[Pointer], None], rest: CursorRest) -> None:
        self._onClick, self._rest = onClick, rest
        self._isDown = False

    def pressed(self, pointer: Pointer) -> None:
        """Nothing yet: it may be the beginning of a drag."""
        self._isDown = True
        self._rest.hold()

    def moved(self, pointer: Pointer) -> None:
        """The cursor may come to rest; what is dragged is Slicer's."""
        if not self._isDown:
            self._rest.moved(pointer)

    def released(self, pointer: Pointer, *, still: bool) -> None:
        """A click, if the mouse stayed."""
        self._isDown = False
        if still:
            self._onClick(pointer)


class _Drawing:
    """What is being drawn: its node, and where it was begun."""

    def __init__(self) -> None:
        self._node: Any = None
        self._first: Pointer | None = None

    def giveUp(self) -> None:
        """Take what was begun out of the scene."""
        node, self._node, self._first = self._node, None, None
        if node is not None and node.GetScene() is not None:
            slicer.mrmlScene.RemoveNode(node)

    def _begin(self, node: Any, pointer: Pointer) -> None:
        """What is being drawn is not asked about, like a prompt that is being dragged."""
        self._node, self._first = node, pointer
        node.InvokeEvent(slicer.vtkMRMLMarkupsNode.PointStartInteractionEvent)

    def _finish(self) -> None:
        """It is there, and may be asked about."""
        node, self._node, self._first = self._node, None, None
        node.InvokeEvent(slicer.vtkMRMLMarkupsNode.PointEndInteractionEvent)


class BoxGesture(_Drawing):
    """A box by two clicks at opposite corners, or by one drag; it is seen while it is drawn.

    mayBegin(pointer) says whether a box can be drawn in this view; makeNode() makes its node, or gives None where that
    is refused; onDrawn() is called when it is there. The box lies along the axes of the view and is as deep as it is
    wide on average.
    """

    def __init__(
        self,
        *,
        mayBegin: Callable[[Pointer], bool],
        makeNode: Callable[[], Any],
        onDrawn: Callable[[], None],
    ) -> None:
        super().__init__()
        self._mayBegin, self._makeNode, self._onDrawn = mayBegin, makeNode, onDrawn

    def pressed(self, pointer: Pointer) -> None:
        """The first corner, unless there is one."""
        if self._first is not None or not self._mayBegin(pointer):
            return
        node = self._makeNode()
        if node is not None:
            self._begin(node, pointer)

    def moved(self, pointer: Pointer) -> None:
        """The box reaches to the mouse."""
        if self._first is not None and self._node is not None and pointer.sliceNode is self._first.sliceNode:
            _span(self._node, self._first, pointer)

    def released(self, pointer: Pointer, *, still: bool) -> None:
        """The end of a drag, or of the second click."""
        if self._first is None or self._node is None or pointer.sliceNode is not self._first.sliceNode:
            return
        if np.linalg.norm(np.subtract(pointer.ras, self._first.ras)) < _FLAT_MM:
            return
        _span(self._node, self._first, pointer)
        self._finish()
        self._onDrawn()


class StrokeGesture(_Drawing):
    """A stroke by one drag, seen while it is drawn: straight from end to end, or freehand.

    mayBegin(pointer) says whether it can be drawn in this view; makeNode(pointer) makes its node, or gives None where
    that is refused; onDrawn(pointer) is called when it is there.
    """

    def __init__(
        self,
        *,
        isStraight: Callable[[], bool],
        mayBegin: Callable[[Pointer], bool],
        makeNode: Callable[[Pointer], Any],
        onDrawn: Callable[[Pointer], None],
    ) -> None:
        super().__init__()
        self._isStraight, self._mayBegin, self._makeNode, self._onDrawn = isStraight, mayBegin, makeNode, onDrawn
        self._last: Any = None

    def pressed(self, pointer: Pointer) -> None:
        """The stroke begins."""
        self.giveUp()
        if not self._mayBegin(pointer):
            return
        node = self._makeNode(pointer)
        if node is not None:
            self._last = None
            self._begin(node, pointer)
            self._reach(pointer)

    def moved(self, pointer: Pointer) -> None:
        """The stroke goes on to the mouse."""
        if self._node is not None and self._first is not None and pointer.sliceNode is self._first.sliceNode:
            self._reach(pointer)

    def released(self, pointer: Pointer, *, still: bool) -> None:
        """The stroke ends; one that says nothing is taken back."""
        if self._node is None:
            return
        self.moved(pointer)
        if still or not isPlaced(self._node):
            self.giveUp()
            return
        self._finish()
        self._onDrawn(pointer)

    def _reach(self, pointer: Pointer) -> None:
        assert self._first is not None, "a stroke was begun"
        if self._isStraight():
            placeStroke(self._node, [self._first.ras, pointer.ras])
        elif self._last is None or np.linalg.norm(np.subtract(pointer.ras, self._last)) >= _STEP_MM:
            extend(self._node, pointer.ras)
            self._last = pointer.ras


def _span(node: Any, first: Pointer, second: Pointer) -> None:
    """Make a box reach from one corner to another, around the slice they lie in."""
    axes = slicer.util.arrayFromVTKMatrix(first.sliceNode.GetSliceToRAS())[:3, :3]
    edges = np.abs(axes.T @ np.subtract(second.ras, first.ras))
    edges[2] = edges[:2].mean()
    if edges.min() <= 0:
        return
    world = np.eye(4)
    world[:3, :3], world[:3, 3] = axes, np.add(first.ras, second.ras) / 2
    placeBox(node, world, edges)
