"""A and B in the views: B's outline over A, either alone, the differences, and how far on B is shown."""

import json
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

from SAM3DSegmentLib.Comparison import Compared
from SAM3DSegmentLib.Overlay import Overlay
from SAM3DSegmentLib.Swipe import FROM_RIGHT, Swipe

if TYPE_CHECKING:
    from SAM3DSegmentLib.SegmentEditor import SegmentEditor

_ATTRIBUTE, _PARTS = "SAM3DSegment.NotDrawn", ("SegmentVisibility2DFill", "SegmentVisibility2DOutline")
BOTH, ONLY_A, ONLY_B = range(3)
B_COLOR, ONLY_A_COLOR = (0.2, 0.9, 1.0), (1.0, 0.3, 0.25)


class ComparisonView:
    """Follows a comparison while it is wanted; the same once more costs nothing."""

    def __init__(self) -> None:
        self._outline = Overlay("SAM3DSegment B")
        self._map = Overlay("SAM3DSegment differences")
        self._hidden = UndrawnSegment()
        self._shown: tuple[Hashable, ...] | None = None
        self._swipe: tuple[Compared, Swipe] | None = None

    @property
    def nodes(self) -> tuple[Any, Any]:
        """The segmentations with B's outline and with the differences; None where one is not shown."""
        return self._outline.node, self._map.node

    def follow(
        self, result: Compared | None, editor: "SegmentEditor | None", *,
        which: int = BOTH, differences: bool = False, percent: int = 100, axis: int = FROM_RIGHT,
    ) -> None:  # fmt: skip
        """Show a result, or nothing.

        which: B as an outline over A (`BOTH`), A alone, or B alone, filled. percent of the masks' extent along an axis
        of RAS, from the right, front or top on, is where B is shown; differences are filled where both are.
        """
        wanted = None if result is None or editor is None else (result, which, differences, percent, axis)
        if wanted == self._shown:
            return
        if result is None:
            self._swipe = None
        self._shown = wanted
        self._hidden.show()
        if result is None or editor is None or which != BOTH or not differences:
            self._map.hide()
        if result is None or editor is None or which == ONLY_A:
            self._outline.hide()
        elif which == ONLY_B:
            self._hidden.hide(editor)
            self._outline.show(editor, {"B": (result.b, B_COLOR)}, opacity=fillOf(editor))
        else:
            self._showBoth(result, editor, differences=differences, percent=percent, axis=axis)

    def _showBoth(
        self, result: Compared, editor: "SegmentEditor", *, differences: bool, percent: int, axis: int
    ) -> None:
        if self._swipe is None or self._swipe[0] is not result:
            self._swipe = result, Swipe(editor.where.lattice, (editor.mask, result.b))
        cut, found = self._swipe[1].cut, result.agreement
        self._outline.show(editor, {"B": (cut(result.b, axis, percent), B_COLOR)}, outlined=True)
        if differences:
            onlyA, onlyB = (cut(mask, axis, percent) for mask in (found.only_a, found.only_b))
            self._map.show(editor, {"only A": (onlyA, ONLY_A_COLOR), "only B": (onlyB, B_COLOR)}, opacity=0.6)


class UndrawnSegment:
    """Takes one segment out of the slice views, and brings it back as it was.

    What is drawn is saved with a scene. So an attribute says what is not drawn for now, and `drawAgain` heeds it.
    """

    def __init__(self) -> None:
        self._display: Any = None

    def hide(self, editor: "SegmentEditor") -> None:
        """Draw a segment no more; its row in the lists goes on to say what the user chose."""
        self._display, segmentId = editor.segmentationNode.GetDisplayNode(), editor.segmentId
        if self._display is None:
            return
        drawn = [bool(getattr(self._display, f"Get{part}")(segmentId)) for part in _PARTS]
        self._display.SetAttribute(_ATTRIBUTE, json.dumps([segmentId, *drawn]))
        for part in _PARTS:
            getattr(self._display, f"Set{part}")(segmentId, False)

    def show(self) -> None:
        """Draw it again, if it was taken out."""
        display, self._display = self._display, None
        if display is not None and display.GetScene() is not None:
            drawAgain(display)


def drawAgain(display: Any) -> None:
    """Draw what a segmentation's display node says was taken out of the views for a while."""
    if not display.GetAttribute(_ATTRIBUTE):
        return
    segmentId, *drawn = json.loads(display.GetAttribute(_ATTRIBUTE))
    display.RemoveAttribute(_ATTRIBUTE)
    for part, wasDrawn in zip(_PARTS, drawn, strict=True):
        getattr(display, f"Set{part}")(segmentId, wasDrawn)


def fillOf(editor: "SegmentEditor") -> float:
    """How opaque the segmentation is filled, so that A and B are seen alike."""
    display = editor.segmentationNode.GetDisplayNode()
    return float(display.GetOpacity2DFill()) if display is not None else 0.5
