"""The current segmentation's segments as lesions: their roles, organs and findings, and the table of their numbers.

Role and organ are kept in the segments' tags, so that they are saved with the segmentation. A table is of one
segmentation, which is of one image: patients are never mixed in it.
"""

from typing import TYPE_CHECKING, Any

from slicer.i18n import tr as _

from SAM3DSegmentLib.Listeners import Tell
from SAM3DSegmentLib.Measuring import Frame, Measuring
from SAM3DSegmentLib.Segments import Segments
from SAM3DSegmentLib.Terminology import REGION, TYPE, entryOf, meaningOf
from SAM3DSegmentLib.Workspace import Workspace
from SAM3DSegmentLib.WriteBack import tagOf

if TYPE_CHECKING:
    from inference_core.measures.change import Lesion
    from inference_core.measures.lesion_table import Entry, LesionTable

ROLE_TAG = "SAM3DSegment.Role"
ORGAN_TAG = "SAM3DSegment.Organ"
ROLES = ("non-target", "target", "target node")


class Lesions:
    """Reads and changes what the table says; all calls come from the main thread."""

    def __init__(self, workspace: Workspace, segments: Segments, measuring: Measuring, tell: Tell) -> None:
        self._workspace, self._segments, self._measuring, self._tell = workspace, segments, measuring, tell

    def role(self, segmentId: str, segmentationNode: Any = None) -> str:
        """One of `ROLES`."""
        role = tagOf(self._segment(segmentId, segmentationNode), ROLE_TAG)
        return role if role in ROLES else ROLES[0]

    def organ(self, segmentId: str, segmentationNode: Any = None) -> str:
        """The organ as the user typed it, else the region in the segment's terminology, else empty."""
        segment = self._segment(segmentId, segmentationNode)
        return tagOf(segment, ORGAN_TAG) or meaningOf(segment, REGION)

    def finding(self, segmentId: str) -> str:
        """What the segment's terminology calls it."""
        return meaningOf(self._segment(segmentId), TYPE)

    def terminology(self, segmentId: str) -> str:
        """The segment's terminology entry, as Slicer writes it into the segment's tag; empty where it has none."""
        return entryOf(self._segment(segmentId))

    def setTerminology(self, segmentId: str, entry: str) -> None:
        """Say what a segment is, as Slicer writes terminology entries; its region is the organ, unless one is typed.

        Raises:
            SAM3DError: there would be more targets in its region than RECIST 1.1 takes.
        """
        self._change(segmentId, self._segment(segmentId).GetTerminologyEntryTagName(), entry)

    def setRole(self, segmentId: str, role: str) -> None:
        """Make a lesion a target, a target node or a non-target.

        Raises:
            SAM3DError: RECIST 1.1 takes no further target, or none in this organ.
        """
        self._change(segmentId, ROLE_TAG, role)

    def nextRole(self, segmentId: str) -> None:
        """Give a lesion the role after the one it has; after the last comes the first.

        Raises:
            SAM3DError: RECIST 1.1 takes no further target, or none in this organ.
        """
        self.setRole(segmentId, ROLES[(ROLES.index(self.role(segmentId)) + 1) % len(ROLES)])

    def setOrgan(self, segmentId: str, organ: str) -> None:
        """Say in which organ a lesion is.

        Raises:
            SAM3DError: there would be more targets in this organ than RECIST 1.1 takes.
        """
        self._change(segmentId, ORGAN_TAG, organ.strip())

    def lesion(
        self, segmentId: str, segmentationNode: Any = None, *, frame: Frame | None = None
    ) -> "Lesion | None":  # fmt: skip
        """A segment as the core's lesion, measured now if need be; None where it cannot be measured."""
        found = self._measuring.of(segmentId, segmentationNode, frame=frame)
        return None if found is None else self._lesionOf(segmentId, found, segmentationNode)

    def lesions(self, segmentationNode: Any = None) -> "list[Lesion]":
        """All that can be measured of a segmentation, the current one by default."""
        node = segmentationNode or self._workspace.segmentationNode
        ids = list(node.GetSegmentation().GetSegmentIDs()) if node is not None else []
        frame = self._measuring.frame(node)
        found = [self.lesion(segmentId, node, frame=frame) for segmentId in ids]
        return [lesion for lesion in found if lesion is not None]

    def table(self, *, isBaseline: bool = True) -> "LesionTable":
        """The lesions of the current segmentation, of the first visit or a later one; empty segments are left out.

        Raises:
            SAM3DError: there is nothing to put into a table.
        """
        from inference_core.errors import SAM3DError
        from inference_core.measures.lesion_table import LesionTable

        frame, ids = self._measuring.frame(), self._segments.ids()
        entries = [entry for segmentId in ids if (entry := self._entry(segmentId, frame)) is not None]
        if not entries:
            raise SAM3DError(_("There is no lesion to put into a table; segment one first."))
        return LesionTable(tuple(entries), isBaseline)

    def _entry(self, segmentId: str, frame: Frame | None) -> "Entry | None":
        from inference_core.measures.lesion_table import Entry

        lesion = self.lesion(segmentId, frame=frame)
        if lesion is None or not lesion.present:
            return None
        return Entry(lesion, self.finding(segmentId), self._segments.status(segmentId))

    def _lesionOf(self, segmentId: str, measurements: Any, segmentationNode: Any = None) -> "Lesion":
        from inference_core.measures.change import Lesion

        role, name = self.role(segmentId, segmentationNode), self._segment(segmentId, segmentationNode).GetName()
        organ = self.organ(segmentId, segmentationNode)
        return Lesion(name, measurements, target=role != ROLES[0], node=role == ROLES[2], organ=organ)

    def _change(self, segmentId: str, tag: str, value: str) -> None:
        """Set a tag, and set it back where RECIST's limits refuse it."""
        from inference_core.errors import SAM3DError
        from inference_core.measures.lesion_table import check_targets
        from inference_core.measures.measurements import Measurements

        segment = self._segment(segmentId)
        before = tagOf(segment, tag)
        segment.SetTag(tag, value) if value else segment.RemoveTag(tag)
        try:
            unmeasured = Measurements(0, 0.0, None, None, None)
            check_targets([self._lesionOf(other, unmeasured) for other in self._segments.ids()])
        except SAM3DError:
            segment.SetTag(tag, before) if before else segment.RemoveTag(tag)
            raise
        self._tell("state")

    def _segment(self, segmentId: str, segmentationNode: Any = None) -> Any:
        node = segmentationNode or self._workspace.segmentationNode
        return node.GetSegmentation().GetSegment(segmentId)
