"""Where the model is unsure: the voxels that a boundary one logit lower or higher would add or take, as an overlay.

Cut from the logits of the last answer: the model is not asked again.
"""

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

from SAM3DSegmentLib.Conversion import onSegmentGrid
from SAM3DSegmentLib.Overlay import Overlay

if TYPE_CHECKING:
    from inference_core.geometry.grid import Grid
    from inference_core.geometry.mask import Mask

_COLOR = (1.0, 0.35, 0.9)


class UnsureBand:
    """Follows the current segment while it is wanted; all calls come from the main thread."""

    def __init__(self, logic: Any) -> None:
        self._logic = logic
        self._overlay = Overlay("SAM3DSegment unsure")
        self._about: Hashable = None

    @property
    def node(self) -> Any:
        """The segmentation with the band, or None where none is shown."""
        return self._overlay.node

    def follow(self, wanted: bool) -> None:
        """Show the band of the current segment as it is now, or none; the same once more costs nothing."""
        about = self._state() if wanted else None
        if about is None or (about != self._about and self._overlay.node is not None):
            self._overlay.hide()
        if about is None:
            self._about = None
        elif about != self._about and not self._logic.busy:
            # Never in the way of a question: that would be dropped for it.
            self._about = about
            self._logic.controller.askWhereUnsure(lambda band, grid: self._show(about, band, grid))

    def _show(self, about: Hashable, band: "Mask", grid: "Grid") -> None:
        editor = self._logic.workspace.current()
        if about == self._about and about == self._state() and editor is not None:
            self._overlay.show(editor, {"unsure": (onSegmentGrid(band, grid, editor.where), _COLOR)}, opacity=0.5)

    def _state(self) -> Hashable:
        """What the band is of; None where there is nothing that the model answered."""
        editor = self._logic.workspace.current()
        if editor is None or not editor.state.items or self._logic.volumeNode is None:
            return None
        key: Hashable = self._logic.controller.questions.answerKey(editor)
        return key
