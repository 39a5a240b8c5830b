"""The voxels that an answer added and removed, shown for a moment: a segmentation of its own that is never saved."""

from typing import TYPE_CHECKING, Any

import slicer

from SAM3DSegmentLib.Conversion import orientedImage

if TYPE_CHECKING:
    from inference_core.geometry.mask import Mask
    from SAM3DSegmentLib.SegmentEditor import SegmentEditor
    from SAM3DSegmentLib.WriteBack import Written

_NAME = "SAM3DSegment change"
_ADDED, _REMOVED = (0.2, 1.0, 0.3), (1.0, 0.15, 0.1)


class ChangeFlash:
    """Shows the newest change between show() and hide()."""

    def __init__(self) -> None:
        self._node: Any = None

    @property
    def node(self) -> Any:
        """The segmentation with what changed, or None where nothing is shown."""
        return self._node

    def show(self, editor: "SegmentEditor", written: "Written") -> None:
        """Show what came to a segment, in green, and what left it, in red."""
        self.hide()
        scene = editor.segmentationNode.GetScene()
        if scene is None:
            return
        self._node = node = scene.CreateNodeByClass("vtkMRMLSegmentationNode")
        node.UnRegister(None)
        node.SetName(_NAME)
        node.SetHideFromEditors(True)
        node.SetSaveWithScene(False)
        node.SetSelectable(False)
        scene.AddNode(node)
        node.CreateDefaultDisplayNodes()
        node.GetDisplayNode().SetOpacity2DFill(0.8)
        node.GetDisplayNode().SetSaveWithScene(False)
        node.SetAndObserveTransformNodeID(editor.segmentationNode.GetTransformNodeID())
        self._add("added", written.added, _ADDED, editor)
        self._add("removed", written.removed, _REMOVED, editor)

    def hide(self) -> None:
        """Show nothing."""
        node, self._node = self._node, None
        if node is not None and node.GetScene() is not None:
            scene, display = node.GetScene(), node.GetDisplayNode()
            scene.RemoveNode(node)
            if display is not None and display.GetScene() is not None:
                scene.RemoveNode(display)

    def _add(self, segmentName: str, mask: "Mask", color: tuple[float, float, float], editor: "SegmentEditor") -> None:
        if not mask.array.size:
            return
        segment = slicer.vtkSegment()
        segment.SetColor(*color)
        segment.SetName(segmentName)
        name = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
        segment.AddRepresentation(name, orientedImage(mask, editor.where))
        self._node.GetSegmentation().AddSegment(segment)
