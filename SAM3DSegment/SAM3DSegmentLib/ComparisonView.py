"""B over A in the views: its outline, what either has alone, and how far from the screen's left B is shown."""

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

import numpy as np

from SAM3DSegmentLib.Comparison import Compared
from SAM3DSegmentLib.Overlay import Overlay

if TYPE_CHECKING:
    from inference_core.geometry.mask import Mask
    from SAM3DSegmentLib.SegmentEditor import SegmentEditor

B_COLOR, ONLY_A_COLOR = (0.2, 0.9, 1.0), (1.0, 0.3, 0.25)


class ComparisonView:
    """Follows a comparison while it is wanted; the same once more costs nothing."""

    def __init__(self) -> None:
        self._outline = Overlay("SAM3DSegment B")
        self._map = Overlay("SAM3DSegment differences")
        self._shown: tuple[Hashable, ...] | None = None

    @property
    def nodes(self) -> tuple[Any, Any]:
        """The segmentations with B's outline and with the differences; None where one is not shown."""
        return self._outline.node, self._map.node

    def follow(
        self, result: Compared | None, editor: "SegmentEditor | None", *, differences: bool, share: float
    ) -> None:  # fmt: skip
        """Show a result up to a share (0..1) of the masks' width, from the patient's right on; or nothing."""
        wanted = None if result is None or editor is None else (result, differences, share)
        if wanted == self._shown:
            return
        self._shown = wanted
        self._outline.hide()
        self._map.hide()
        if result is None or editor is None:
            return
        lattice, found = editor.where.lattice, result.agreement
        extent = _extent(editor.mask.union(result.b), lattice)
        cut = [leftOf(mask, lattice, share, extent) for mask in (result.b, found.only_a, found.only_b)]
        self._outline.show(editor, {"B": (cut[0], B_COLOR)}, outlined=True)
        if differences:
            self._map.show(editor, {"only A": (cut[1], ONLY_A_COLOR), "only B": (cut[2], B_COLOR)}, opacity=0.6)


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
