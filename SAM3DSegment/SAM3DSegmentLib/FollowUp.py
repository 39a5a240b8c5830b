"""The next visit: an earlier segmentation's prompts carried onto the current image and answered anew, and the change.

Lesions are paired by their segments' names. What a carried lesion should be doubted for flags its review; nothing is
declared vanished or copied by itself.
"""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import slicer
from slicer.i18n import tr as _

from SAM3DSegmentLib.Conversion import volumeFromNode
from SAM3DSegmentLib.GivenTransforms import givenBy
from SAM3DSegmentLib.Lesions import ORGAN_TAG, ROLE_TAG, Lesions
from SAM3DSegmentLib.Listeners import Tell
from SAM3DSegmentLib.Measuring import Measuring
from SAM3DSegmentLib.PredictionController import PredictionController
from SAM3DSegmentLib.PromptNodes import PromptNodes, promptSetOf
from SAM3DSegmentLib.Segments import Segments
from SAM3DSegmentLib.Workspace import Workspace
from SAM3DSegmentLib.WriteBack import tagOf

if TYPE_CHECKING:
    from inference_core.followup.registration import Alignment
    from inference_core.followup.visits import Earlier
    from inference_core.measures.change import Change
    from inference_core.measures.lesion_table import LesionTable

EARLIER_ROLE = "SAM3DSegment.Earlier"
_MISSED_ATTRIBUTE = "SAM3DSegment.NotMeasured"
_WAYS = ("rigid", "affine", "none")


class FollowUp:
    """Carries an earlier visit's lesions to the workspace's image, and compares; all on the main thread.

    touched() is called where the current segment's prompts have been placed.
    """

    def __init__(
        self, controller: PredictionController, workspace: Workspace, segments: Segments, *,
        measuring: Measuring, lesions: Lesions, tell: Tell, touched: Callable[[], None],
    ) -> None:  # fmt: skip
        self._controller, self._workspace, self._segments = controller, workspace, segments
        self._measuring, self._lesions, self._tell, self._touched = measuring, lesions, tell, touched
        self._queue: list[tuple[Earlier, str]] = []
        self._notes: list[str] = []
        self._beforeNode: Any = None

    @property
    def earlier(self) -> Any:
        """The segmentation of the earlier visit that the current one is compared with, or None."""
        node = self._workspace.segmentationNode
        return node.GetNodeReference(EARLIER_ROLE) if node is not None else None

    def setEarlier(self, node: Any) -> None:
        """Compare the current segmentation with an earlier one, or with none.

        Raises:
            SAM3DError: it is the current one itself, or another patient's.
        """
        if node is not None:
            self._check(node)
        current = self._workspace.segmentationNode if node is None else self._workspace.ensureSegmentation()
        if current is not None:
            current.SetNodeReferenceID(EARLIER_ROLE, node.GetID() if node is not None else None)
            self._tell("state")

    @property
    def isRunning(self) -> bool:
        """Whether lesions wait for their answers."""
        return bool(self._queue)

    def start(self, how: str = "rigid") -> None:
        """Align the images and find the earlier visit's lesions again.

        how: "rigid", "affine", "none" (as they lie), or the ID of a transform node: what it would move the
        earlier image by to bring it onto this one. Lesions whose names have a mask already are left alone.

        Raises:
            SAM3DError: there is no earlier visit, it cannot be followed, or the transform cannot be used.
            DependencyError: a package is missing.
        """
        from inference_core.errors import SAM3DError
        from inference_core.followup.registration import align, given

        earlier = self.earlier
        if earlier is None:
            raise SAM3DError(_("Choose the segmentation of the earlier visit first."))
        self._check(earlier)
        wanted = self._wanted(earlier)
        if not wanted:
            raise SAM3DError(_("There is no lesion of the earlier visit that is not here already."))
        self._controller.ensureDependencies()
        image = self._measuring.imageOf(earlier)
        before, after = volumeFromNode(image), volumeFromNode(self._workspace.requireVolume())
        own = None if how in _WAYS else givenBy(how, image, before.grid, after.grid)

        def run(notify: Any) -> "Alignment":
            notify("aligning", 0.0)
            if own is not None:
                return given(own, before, after)
            return align(before, after, how=how)

        self._controller.startJob(
            run, onDone=lambda found: self._carry(earlier, wanted, found), onError=self._controller.tellFailure
        )
        self._tell("state")

    def stop(self) -> None:
        """Carry no further lesion."""
        self._queue.clear()

    def onEvent(self, event: str, info: dict[str, Any]) -> None:
        """What the logic tells: after each answer the next lesion is asked about."""
        if not self._queue:
            return
        if event == "answered" and getattr(info.get("editor"), "segmentId", None) == self._queue[0][1]:
            earlier, segmentId = self._queue.pop(0)
            self._doubt(earlier, segmentId)
            self._next()
        elif event == "failed":
            self._notes.append(info["message"])
            self._queue.pop(0)
            self._next()

    def change(self) -> "Change | None":
        """What became of the earlier visit's lesions; None where no earlier visit is chosen.

        Raises:
            SAM3DError: lesions cannot be paired, as where two of a visit have one name.
        """
        from inference_core.measures.change import compare

        earlier, node = self.earlier, self._workspace.segmentationNode
        if earlier is None:
            return None
        missed = json.loads(node.GetAttribute(_MISSED_ATTRIBUTE) or "[]")
        return compare(self._lesions.lesions(earlier), self._lesions.lesions(node), not_measured=missed)

    def table(self) -> "LesionTable":
        """The lesions of the current segmentation, as those of a later visit where an earlier one is chosen.

        Raises:
            SAM3DError: there is nothing to put into a table.
        """
        return self._lesions.table(isBaseline=self.earlier is None)

    def _check(self, earlier: Any) -> None:
        from inference_core.errors import SAM3DError

        image, current = self._measuring.imageOf(earlier), self._workspace.requireVolume()
        if earlier is self._workspace.segmentationNode or image is current:
            raise SAM3DError(_("That is the current image's own segmentation; choose the later image as the volume."))
        if image is None:
            raise SAM3DError(_("It is not known which image that segmentation belongs to; choose another one."))
        one, other = patientOf(image), patientOf(current)
        if one and other and one != other:
            raise SAM3DError(_("The images are of two patients; choose two visits of one patient."))

    def _wanted(self, earlier: Any) -> "list[tuple[Earlier, Any]]":
        """The lesions to find again, each with its `vtkSegment`: named, with a mask, and not here already."""
        here = {lesion.name for lesion in self._lesions.lesions() if lesion.present}
        segmentation = earlier.GetSegmentation()
        found = earlierOf(self._measuring, earlier)
        return [(lesion, segmentation.GetSegment(key)) for key, lesion in found.items() if lesion.name not in here]

    def _carry(self, earlier: Any, wanted: "list[tuple[Earlier, Any]]", alignment: "Alignment") -> None:
        """The images are aligned: make the segments, place the prompts, and ask about the first."""
        from inference_core.errors import PromptError, VolumeError
        from inference_core.followup.carrying import carried

        node, volumeNode = self._workspace.segmentationNode, self._workspace.volumeNode
        if volumeNode is None or earlier.GetScene() is None or self.earlier is not earlier:
            return
        grid, missed, folded = volumeFromNode(volumeNode).grid, [], {}
        self._beforeNode = self._measuring.imageOf(earlier)
        self._notes = [alignment.caution] if alignment.caution else []
        for lesion, source in wanted:
            try:
                prompts = carried(lesion.prompts, alignment.way)
                prompts.checked_on(grid, lesion.name)
            except VolumeError as error:
                folded[lesion.name] = str(error)
                continue
            except PromptError:
                missed.append(lesion.name)
                continue
            self._queue.append((lesion, self._segmentFor(source)))
            with self._workspace.restoring():
                PromptNodes(node, self._queue[-1][1]).place(prompts)
        if missed:
            text = _("Outside this image, and so not measured: {names}.")
            self._notes.append(text.format(names=", ".join(missed)))
        self._notes += [_("'{name}' is not measured: {why}").format(name=name, why=why) for name, why in folded.items()]
        node.SetAttribute(_MISSED_ATTRIBUTE, json.dumps([*missed, *folded]))
        self._next()

    def _segmentFor(self, source: Any) -> str:
        """The empty segment of the earlier one's name, or a new one, of its color, terminology, role and organ."""
        segmentation = self._workspace.ensureSegmentation().GetSegmentation()
        segmentId = segmentation.GetSegmentIdBySegmentName(source.GetName())
        segmentId = segmentId or self._workspace.nextSegment(source.GetName())
        segment = segmentation.GetSegment(segmentId)
        segment.SetColor(source.GetColor())
        for tag in (segment.GetTerminologyEntryTagName(), ROLE_TAG, ORGAN_TAG):
            if tagOf(source, tag):
                segment.SetTag(tag, tagOf(source, tag))
        return str(segmentId)

    def _next(self) -> None:
        if self._queue:
            self._workspace.setSegment(self._queue[0][1])
            self._workspace.require()
            self._touched()
            return
        if self._notes:
            self._tell("cautioned", message=" ".join(self._notes))
            self._notes = []
        self._tell("state")

    def _doubt(self, earlier: "Earlier", segmentId: str) -> None:
        """Flag the review of a lesion that should be looked at first."""
        from inference_core.followup.visits import doubt_about

        there = self._measuring.onImage(segmentIds=[segmentId])
        mask = there.masks.get(segmentId)
        if self._beforeNode is None or self._beforeNode.GetScene() is None or mask is None:
            return
        doubt = doubt_about(earlier, volumeFromNode(self._beforeNode), mask, there.volume)
        if doubt:
            self._notes.append(doubt)
            self._segments.setStatus(segmentId, "flagged")


def earlierOf(measuring: Measuring, segmentationNode: Any) -> "dict[str, Earlier]":
    """The segments that hold something by their ids: with their prompts, or their longest axis where they have none."""
    from inference_core.followup.carrying import prompts_for
    from inference_core.followup.visits import Earlier

    there, found = measuring.onImage(segmentationNode), {}
    for segmentId, mask in there.masks.items():
        if mask.array.size:
            placed = promptSetOf(PromptNodes(segmentationNode, segmentId).items())
            prompts = placed if placed.prompts else prompts_for(mask, there.volume.grid)
            name = segmentationNode.GetSegmentation().GetSegment(segmentId).GetName()
            found[segmentId] = Earlier(name, prompts, mask)
    return found


def patientOf(volumeNode: Any) -> str:
    """The ID of the patient under whom the subject hierarchy has an image; empty where it has it under none."""
    hierarchy, patient = _patientItemOf(volumeNode)
    return str(hierarchy.GetItemUID(patient, "DICOM") or hierarchy.GetItemName(patient)) if patient else ""


def patientIdOf(volumeNode: Any) -> str:
    """The DICOM ID alone of that patient; empty where there is none."""
    hierarchy, patient = _patientItemOf(volumeNode)
    return str(hierarchy.GetItemUID(patient, "DICOM") or "") if patient else ""


def _patientItemOf(volumeNode: Any) -> tuple[Any, int]:
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(volumeNode.GetScene())
    item = hierarchy.GetItemByDataNode(volumeNode) if hierarchy is not None else 0
    level = slicer.vtkMRMLSubjectHierarchyConstants.GetDICOMLevelPatient()
    return hierarchy, hierarchy.GetItemAncestorAtLevel(item, level) if item else 0
