"""A and B in the views: B's outline over A, either alone, the differences, and how far from the left B is shown."""

import json
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

import numpy as np

from SAM3DSegmentLib.Comparison import Compared
from SAM3DSegmentLib.Overlay import Overlay

if TYPE_CHECKING:
    from inference_core.geometry.mask import Mask
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

    @property
    def nodes(self) -> tuple[Any, Any]:
        """The segmentations with B's outline and with the differences; None where one is not shown."""
        return self._outline.node, self._map.node

    def follow(
        self, result: Compared | None, editor: "SegmentEditor | None", *,
        which: int = BOTH, differences: bool = False, share: float = 1.0,
    ) -> None:  # fmt: skip
        """Show a result, or nothing.

        which: B as an outline over A (`BOTH`), A alone, or B alone, filled. share (0..1) of the masks' width, from the
        patient's right on, is where B is shown; differences are filled where both are.
        """
        wanted = None if result is None or editor is None else (result, which, differences, share)
        if wanted == self._shown:
            return
        self._shown = wanted
        self._outline.hide()
        self._map.hide()
        self._hidden.show()
        if result is None or editor is None or which == ONLY_A:
            return
        lattice, found = editor.where.lattice, result.agreement
        if which == ONLY_B:
            self._hidden.hide(editor)
            self._outline.show(editor, {"B": (result.b, B_COLOR)}, opacity=_fillOf(editor))
            return
        extent = _extent(editor.mask.union(result.b), lattice)
        cut = [leftOf(mask, lattice, share, extent) for mask in (result.b, found.only_a, found.only_b)]
        self._outline.show(editor, {"B": (cut[0], B_COLOR)}, outlined=True)
        if differences:
            self._map.show(editor, {"only A": (cut[1], ONLY_A_COLOR), "only B": (cut[2], B_COLOR)}, opacity=0.6)


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


def _fillOf(editor: "SegmentEditor") -> float:
    """How opaque the segmentation is filled, so that A and B are seen alike."""
    display = editor.segmentationNode.GetDisplayNode()
    return float(display.GetOpacity2DFill()) if display is not None else 0.5


def _extent(mask: "Mask", lattice: Any) -> tuple[float, float]:
    """From where to where a mask reaches along R, in mm."""
    if not mask.array.size:
        return 0.0, 0.0
    ends = np.stack([np.asarray(mask.start) - 0.5, np.asarray(mask.stop) - 0.5])
    corners = np.stack(np.meshgrid(*ends.T, indexing="ij"), axis=-1).reshape(-1, 3)
    right = lattice.to_ras(corners)[:, 0]
    return float(right.min()), float(right.max())


def leftOf(mask: "Mask", lattice: Any, share: float, extent: tuple[float, float]) -> "Mask":
    """The part of a mask that lies within a share (0..1) of an extent along R (RAS mm), from the patient's right on.

    The patient's right is on the screen's left, and the larger R.
    """
    from inference_core.geometry.mask import Mask

    if not mask.array.size or share >= 1:
        return mask
    affine = lattice.affine
    steps = [affine[0, axis] * (np.arange(n) + mask.start[axis]) for axis, n in enumerate(mask.array.shape)]
    right = affine[0, 3] + steps[0][:, None, None] + steps[1][None, :, None] + steps[2][None, None, :]
    low, high = extent
    return Mask.of(mask.array & (right >= high - share * (high - low)), mask.start)
