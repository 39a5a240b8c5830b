"""What can be done to the list of segments: add, rename, remove, lock, measure."""

from itertools import count
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from SAM3DSegmentLib.Conversion import labelView, segmentGrid
from SAM3DSegmentLib.PromptNodes import PromptNodes
from SAM3DSegmentLib.WriteBack import LOCKED_TAG, isLocked

# Far apart in hue, so that neighboring lesions are told apart; after these Slicer's own generator goes on.
_COLORS = (
    (0.95, 0.60, 0.10), (0.20, 0.65, 0.95), (0.85, 0.35, 0.75), (0.45, 0.80, 0.25), (0.95, 0.85, 0.20),
    (0.30, 0.85, 0.75), (0.90, 0.30, 0.30), (0.60, 0.50, 0.95),
)  # fmt: skip


class SegmentCommands:
    """The part of the logic that changes segments; `segmentationNode`, `setSegment` and `emit` are the logic's."""

    segmentationNode: Any

    def ensureSegmentation(self) -> Any:
        """The current segmentation; made for the volume where there is none.

        Raises:
            VolumeError: there is no volume to make it for.
        """
        from inference_core.errors import VolumeError

        if self.segmentationNode is not None:
            return self.segmentationNode
        if self.volumeNode is None:
            raise VolumeError("There is no volume; load or choose one first.")
        name = _("{volume} segmentation").format(volume=self.volumeNode.GetName())
        scene = self.volumeNode.GetScene()
        node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", scene.GenerateUniqueName(name))
        node.CreateDefaultDisplayNodes()
        node.SetReferenceImageGeometryParameterFromVolumeNode(self.volumeNode)
        # Voxels are in the volume's own frame: moved together they stay together.
        node.SetAndObserveTransformNodeID(self.volumeNode.GetTransformNodeID())
        self.setSegmentation(node)
        return node

    def nextSegment(self, name: str | None = None) -> str:
        """Add a segment with a name and a color of its own and make it the current one; returns its id."""
        segmentation = self.ensureSegmentation().GetSegmentation()
        segments = [segmentation.GetNthSegment(n) for n in range(segmentation.GetNumberOfSegments())]
        names = {segment.GetName() for segment in segments}
        # The first number after the segments there are: a lesion that was renamed has had its number, too.
        numbered = (_("Lesion {number}").format(number=number) for number in count(len(segments) + 1))
        chosen = name or next(candidate for candidate in numbered if candidate not in names)
        used = {tuple(round(part, 2) for part in segment.GetColor()) for segment in segments}
        free = [color for color in _COLORS if color not in used]
        segmentId = segmentation.AddEmptySegment("", chosen, *free[:1])
        self.setSegment(segmentId)
        return segmentId

    def segmentIds(self) -> list[str]:
        """The ids of the current segmentation's segments, in their order."""
        node = self.segmentationNode
        return list(node.GetSegmentation().GetSegmentIDs()) if node is not None else []

    def renameSegment(self, segmentId: str, name: str) -> None:
        """Give a segment another name; an empty one is passed over."""
        if name.strip():
            self.segmentationNode.GetSegmentation().GetSegment(segmentId).SetName(name.strip())

    def removeSegment(self, segmentId: str) -> None:
        """Remove a segment and its prompts."""
        PromptNodes(self.segmentationNode, segmentId).removeNodes()
        self.segmentationNode.RemoveSegment(segmentId)

    def setSegmentLocked(self, segmentId: str, locked: bool) -> None:
        """Protect a segment from every change by this module, or no longer."""
        segment = self.segmentationNode.GetSegmentation().GetSegment(segmentId)
        segment.SetTag(LOCKED_TAG, "1") if locked else segment.RemoveTag(LOCKED_TAG)
        self.emit("state")

    def isSegmentLocked(self, segmentId: str) -> bool:
        """Whether a segment is protected."""
        return isLocked(self.segmentationNode, segmentId)

    def segmentVolumeMl(self, segmentId: str) -> float:
        """A segment's volume in milliliters."""
        view = labelView(self.segmentationNode, segmentId)
        if view is None:
            return 0.0
        array, _, value = view
        voxel = segmentGrid(self.segmentationNode).lattice.voxel_volume_mm3
        return float(np.count_nonzero(array == value) * voxel / 1000)

    def colorOfSegment(self, segmentId: str) -> tuple[float, float, float]:
        """A segment's color, red, green, blue in 0..1."""
        red, green, blue = self.segmentationNode.GetSegmentation().GetSegment(segmentId).GetColor()
        return red, green, blue


def isSegmentation(node: Any) -> bool:
    """Whether a node is a segmentation that is in a scene."""
    return isinstance(node, slicer.vtkMRMLSegmentationNode) and node.GetScene() is not None
