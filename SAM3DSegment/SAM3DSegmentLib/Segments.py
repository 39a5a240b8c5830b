"""What can be done to the list of segments: add, rename, remove, lock, measure."""

from typing import Any

import numpy as np
import slicer

from SAM3DSegmentLib.Conversion import labelView, ownGrid, readSegment, segmentGrid
from SAM3DSegmentLib.Listeners import Tell
from SAM3DSegmentLib.PromptNodes import PromptNodes
from SAM3DSegmentLib.Workspace import Workspace
from SAM3DSegmentLib.WriteBack import LOCKED_TAG, isLocked

# In the order of Slicer's own numbers.
_STATUSES = ("not started", "in progress", "completed", "flagged")


class Segments:
    """The segments of the workspace's segmentation."""

    def __init__(self, workspace: Workspace, tell: Tell) -> None:
        self._workspace, self._tell = workspace, tell

    def ids(self) -> list[str]:
        """The ids of the segments, in their order."""
        return self._workspace.segmentIds()

    def get(self, segmentId: str) -> Any:
        """The `vtkSegment` of an id."""
        return self._workspace.segmentationNode.GetSegmentation().GetSegment(segmentId)

    def next(self, name: str | None = None) -> str:
        """Add a segment with a name and a color of its own and make it the current one; returns its id.

        Raises:
            VolumeError: there is no image.
        """
        return self._workspace.nextSegment(name)

    def rename(self, segmentId: str, name: str) -> None:
        """Give a segment another name; an empty one is passed over."""
        if name.strip():
            self.get(segmentId).SetName(name.strip())

    def remove(self, segmentId: str) -> None:
        """Remove a segment and its prompts."""
        node = self._workspace.segmentationNode
        PromptNodes(node, segmentId).removeNodes()
        node.RemoveSegment(segmentId)

    def setLocked(self, segmentId: str, locked: bool) -> None:
        """Protect a segment from every change by this module, or no longer."""
        segment = self.get(segmentId)
        segment.SetTag(LOCKED_TAG, "1") if locked else segment.RemoveTag(LOCKED_TAG)
        self._tell("state")

    def isLocked(self, segmentId: str) -> bool:
        """Whether a segment is protected."""
        return isLocked(self._workspace.segmentationNode, segmentId)

    def status(self, segmentId: str) -> str:
        """How far the review of a segment is: "not started", "in progress", "completed" or "flagged"."""
        return _STATUSES[slicer.vtkSlicerSegmentationsModuleLogic.GetSegmentStatus(self.get(segmentId))]

    def setStatus(self, segmentId: str, status: str) -> None:
        """Note how far the review of a segment is, as Slicer's own segment table does."""
        slicer.vtkSlicerSegmentationsModuleLogic.SetSegmentStatus(self.get(segmentId), _STATUSES.index(status))
        self._tell("state")

    def goOnWithReview(self, segmentId: str) -> None:
        """Note the status after the one there is; after the last comes the first."""
        now = _STATUSES.index(self.status(segmentId))
        self.setStatus(segmentId, _STATUSES[(now + 1) % len(_STATUSES)])

    def volumeMl(self, segmentId: str) -> float:
        """A segment's volume in milliliters."""
        node = self._workspace.segmentationNode
        view, own = labelView(node, segmentId), ownGrid(node, segmentId)
        if view is None or own is None:
            return 0.0
        array, _, value = view
        voxel = own.lattice.voxel_volume_mm3
        return float(np.count_nonzero(array == value) * voxel / 1000)

    def center(self, segmentId: str) -> tuple[float, float, float] | None:
        """A voxel of the segment near its middle, in world RAS mm; None where it is empty."""
        node = self._workspace.segmentationNode
        mask = readSegment(node, segmentId)
        if not mask.array.size:
            return None
        voxels = np.argwhere(mask.array)
        nearest = voxels[np.argmin(((voxels - voxels.mean(axis=0)) ** 2).sum(axis=1))]
        r, a, s = segmentGrid(node).lattice.to_ras(nearest + mask.start)
        return float(r), float(a), float(s)

    def color(self, segmentId: str) -> tuple[float, float, float]:
        """A segment's color, red, green, blue in 0..1."""
        red, green, blue = self.get(segmentId).GetColor()
        return red, green, blue
