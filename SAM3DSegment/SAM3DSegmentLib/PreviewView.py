"""What an answer will be near to, in the slice views in the segment's place, while the answer is worked out.

The segment itself holds the last answer all the while: what is saved, undone, measured or exported is never a preview.
"""

from typing import TYPE_CHECKING, Any

from SAM3DSegmentLib.ComparisonView import UndrawnSegment, fillOf
from SAM3DSegmentLib.Overlay import Overlay

if TYPE_CHECKING:
    from SAM3DSegmentLib.Previews import Preview


class PreviewView:
    """Follows `Previews.current`; the same once more costs nothing."""

    def __init__(self) -> None:
        self._overlay = Overlay("SAM3DSegment preview")
        self._undrawn = UndrawnSegment()
        self._shown: Preview | None = None

    @property
    def node(self) -> Any:
        """The segmentation with the preview, or None where none is shown."""
        return self._overlay.node

    def follow(self, preview: "Preview | None") -> None:
        """Show a preview in its segment's place and color, or the segment again."""
        if preview is self._shown:
            return
        self._shown = preview
        self._overlay.hide()
        self._undrawn.show()
        segment = None if preview is None else preview.editor.segment
        if preview is None or segment is None or preview.editor.segmentationNode.GetDisplayNode() is None:
            return
        self._undrawn.hide(preview.editor)
        masks = {segment.GetName(): (preview.mask, segment.GetColor())}
        outlined = not preview.editor.segmentationNode.GetDisplayNode().GetVisibility2DFill()
        self._overlay.show(preview.editor, masks, opacity=fillOf(preview.editor), outlined=outlined)
