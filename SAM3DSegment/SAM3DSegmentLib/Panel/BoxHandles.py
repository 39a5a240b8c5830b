"""The handles of box prompts, seen only on a box that the mouse is in or that is chosen in the list.

Always shown they would hide the lesion beneath; a small box gets small ones.
"""

from typing import Any

import numpy as np
import slicer

from SAM3DSegmentLib.Panel.Views import sliceViews
from SAM3DSegmentLib.PromptKinds import KIND_ATTRIBUTE
from SAM3DSegmentLib.PromptNodes import ORDER_ATTRIBUTE

# Ahead of Slicer's own style, which keeps moves over markups to itself.
_PRIORITY = 100.0
# The mouse is at a box this near to it, too: its handles lie on its faces.
_NEAR_MM = 4.0
# Of the screen, in percent: Slicer's own, and for a box of one centimeter.
_LARGE, _SMALL, _SMALL_MM = 3.0, 1.2, 40.0


class BoxHandles:
    """Watches the mouse in the slice views between start() and stop(), and leaves it to others."""

    def __init__(self, logic: Any) -> None:
        self._logic = logic
        self._observed: list[tuple[Any, int]] = []
        self._chosen: str | None = None
        self._at: Any = None

    def start(self) -> None:
        """Watch all slice views of the layout as it is now."""
        self.stop()
        for view in sliceViews():
            interactor, sliceNode = view.interactor(), view.mrmlSliceNode()
            tag = interactor.AddObserver(
                "MouseMoveEvent", lambda caller, _event, node=sliceNode: self._onMove(caller, node), _PRIORITY
            )
            self._observed.append((interactor, tag))

    def stop(self) -> None:
        """Watch no more."""
        for interactor, tag in self._observed:
            interactor.RemoveObserver(tag)
        self._observed = []
        self._at = None
        self._show()

    def choose(self, promptId: str | None) -> None:
        """Show the handles of a box that is chosen in the list."""
        if promptId != self._chosen:
            self._chosen = promptId
            self._show()

    def _onMove(self, interactor: Any, sliceNode: Any) -> None:
        x, y = interactor.GetEventPosition()
        self._at = sliceNode.GetXYToRAS().MultiplyPoint((x, y, 0, 1))
        self._show()

    def _show(self) -> None:
        editor = self._logic.workspace.current()
        for node in editor.nodes.nodes() if editor is not None else ():
            if node.GetAttribute(KIND_ATTRIBUTE) != "box" or node.GetDisplayNode() is None:
                continue
            display = node.GetDisplayNode()
            isChosen = (
                self._chosen is not None and (node.GetAttribute(ORDER_ATTRIBUTE) or "").split(" ")[0] == self._chosen
            )
            # A handle that is being dragged stays, wherever the mouse is.
            wanted = isChosen or self._isAt(node) or (bool(display.GetHandlesInteractive()) and self._logic.isDragging)
            if bool(display.GetHandlesInteractive()) != wanted:
                small = min(node.GetSize()) < _SMALL_MM
                display.SetInteractionHandleScale(_SMALL if small else _LARGE)
                display.SetHandlesInteractive(wanted)

    def _isAt(self, node: Any) -> bool:
        if self._at is None:
            return False
        inverse = np.linalg.inv(slicer.util.arrayFromVTKMatrix(node.GetObjectToWorldMatrix()))
        return bool((np.abs((inverse @ self._at)[:3]) <= np.asarray(node.GetSize()) / 2 + _NEAR_MM).all())
