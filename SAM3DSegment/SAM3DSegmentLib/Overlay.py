"""Masks shown over a segment for a while: a segmentation of their own, that is never saved or offered for editing."""

from typing import TYPE_CHECKING, Any

import slicer

from SAM3DSegmentLib.Conversion import orientedImage
from SAM3DSegmentLib.HiddenNodes import addHidden, removeHidden

if TYPE_CHECKING:
    from inference_core.geometry.mask import Mask
    from SAM3DSegmentLib.SegmentEditor import SegmentEditor

Color = tuple[float, float, float]
_OUTLINE_PX = 3


class Overlay:
    """Shows masks between show() and hide()."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._node: Any = None

    @property
    def node(self) -> Any:
        """The segmentation with what is shown, or None where nothing is."""
        return self._node

    def show(
        self, editor: "SegmentEditor", masks: "dict[str, tuple[Mask, Color]]", *, opacity: float = 0.8,
        outlined: bool = False,
    ) -> None:  # fmt: skip
        """Show masks on a segment's voxels, each by a name and in a color, in place of what was shown before.

        They are filled, with this opacity, or outlined alone.
        """
        scene = editor.segmentationNode.GetScene()
        if self._node is None or self._node.GetScene() is not scene:
            self.hide()
            self._node = addHidden(scene, "vtkMRMLSegmentationNode", self._name) if scene is not None else None
        if self._node is None:
            return
        node, blocked = self._node, self._node.StartModify()
        node.GetSegmentation().RemoveAllSegments()
        node.GetDisplayNode().SetOpacity2DFill(opacity)
        node.GetDisplayNode().SetVisibility2DFill(not outlined)
        node.GetDisplayNode().SetSliceIntersectionThickness(_OUTLINE_PX if outlined else 1)
        node.SetAndObserveTransformNodeID(editor.segmentationNode.GetTransformNodeID())
        for name, (mask, color) in masks.items():
            self._add(name, mask, color, editor)
        node.EndModify(blocked)

    def hide(self) -> None:
        """Show nothing."""
        node, self._node = self._node, None
        if node is not None:
            removeHidden(node)

    def _add(self, segmentName: str, mask: "Mask", color: Color, editor: "SegmentEditor") -> None:
        if not mask.array.size:
            return
        segment = slicer.vtkSegment()
        segment.SetColor(*color)
        segment.SetName(segmentName)
        name = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
        segment.AddRepresentation(name, orientedImage(mask, editor.where))
        self._node.GetSegmentation().AddSegment(segment)
