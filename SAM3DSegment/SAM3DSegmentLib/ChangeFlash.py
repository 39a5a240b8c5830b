"""The voxels that an answer added and removed, shown for a moment."""

from typing import TYPE_CHECKING, Any

from SAM3DSegmentLib.Overlay import Overlay

if TYPE_CHECKING:
    from SAM3DSegmentLib.SegmentEditor import SegmentEditor
    from SAM3DSegmentLib.WriteBack import Written

_ADDED, _REMOVED = (0.2, 1.0, 0.3), (1.0, 0.15, 0.1)


class ChangeFlash:
    """Shows the newest change between show() and hide()."""

    def __init__(self) -> None:
        self._overlay = Overlay("SAM3DSegment change")

    @property
    def node(self) -> Any:
        """The segmentation with what changed, or None where nothing is shown."""
        return self._overlay.node

    def show(self, editor: "SegmentEditor", written: "Written") -> None:
        """Show what came to a segment, in green, and what left it, in red."""
        self._overlay.show(editor, {"added": (written.added, _ADDED), "removed": (written.removed, _REMOVED)})

    def hide(self) -> None:
        """Show nothing."""
        self._overlay.hide()
