"""Masks shown over a segment for a while: a segmentation of their own, that is never saved or offered for editing."""

from typing import TYPE_CHECKING, Any

import slicer

from SAM3DSegmentLib.Conversion import orientedImage

if TYPE_CHECKING:
    from inference_core.geometry.mask import Mask
    from SAM3DSegmentLib.SegmentEditor import SegmentEditor

Color = tuple[float, float, float]


class Overlay:
    """Shows masks between show() and hide()."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._node: Any = None

    @property
    def node(self) -> Any:
        """The segmentation with what is shown, or None where nothing is."""
        return self._node

    def show(self, editor: "SegmentEditor", masks: "dict[str, tuple[Mask, Color]]", *, opacity: float = 0.8) -> None:
        """Show masks on a segment's voxels, each by a name and in a color, in place of what was shown before."""
        self.hide()
        scene = editor.segmentationNode.GetScene()
        if scene is None:
            return
        self._node = node = scene.CreateNodeByClass("vtkMRMLSegmentationNode")
        node.UnRegister(None)
        node.SetName(self._name)
        node.SetHideFromEditors(True)
        node.SetSaveWithScene(False)
        node.SetSelectable(False)
        scene.AddNode(node)
        node.CreateDefaultDisplayNodes()
        node.GetDisplayNode().SetOpacity2DFill(opacity)
        node.GetDisplayNode().SetSaveWithScene(False)
        node.SetAndObserveTransformNodeID(editor.segmentationNode.GetTransformNodeID())
        for name, (mask, color) in masks.items():
            self._add(name, mask, color, editor)

    def hide(self) -> None:
        """Show nothing."""
        node, self._node = self._node, None
        if node is not None and node.GetScene() is not None:
            scene, display = node.GetScene(), node.GetDisplayNode()
            scene.RemoveNode(node)
            if display is not None and display.GetScene() is not None:
                scene.RemoveNode(display)

    def _add(self, segmentName: str, mask: "Mask", color: Color, editor: "SegmentEditor") -> None:
        if not mask.array.size:
            return
        segment = slicer.vtkSegment()
        segment.SetColor(*color)
        segment.SetName(segmentName)
        name = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
        segment.AddRepresentation(name, orientedImage(mask, editor.where))
        self._node.GetSegmentation().AddSegment(segment)
