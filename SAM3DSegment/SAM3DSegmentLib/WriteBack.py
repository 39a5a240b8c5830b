"""Bringing a mask into a segment: only what changed, and never a voxel of another segment.

Where nothing in the Segment Editor restricts editing, voxels are written straight into the labelmap of the segment;
where its masking does (editable area, intensity range), or the user lets this module overwrite others, its own logic
decides.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import slicer

from SAM3DSegmentLib.Conversion import SegmentGrid, labelView, orientedImage, ownGrid, readSegment, segmentGrid

if TYPE_CHECKING:
    from inference_core.geometry.mask import Mask, VoxelBox

LOCKED_TAG = "SAM3DSegment.Locked"
OVERWRITE_MODES = {
    "none": slicer.vtkMRMLSegmentEditorNode.OverwriteNone,
    "visible": slicer.vtkMRMLSegmentEditorNode.OverwriteVisibleSegments,
    "all": slicer.vtkMRMLSegmentEditorNode.OverwriteAllSegments,
}


def isLocked(segmentationNode: Any, segmentId: str) -> bool:
    """Whether a segment was locked against changes by this module."""
    value = segmentationNode.GetSegmentation().GetSegment(segmentId)
    return bool(value) and tagOf(value, LOCKED_TAG) == "1"


def tagOf(segment: Any, name: str) -> str:
    """A segment's tag, empty where it has none."""
    import vtk

    text = vtk.reference("")
    return str(text) if segment.GetTag(name, text) else ""


@dataclass(frozen=True, eq=False)
class Written:
    """What a segment holds after a write, and the voxels that came to it and left it."""

    mask: "Mask"
    added: "Mask"
    removed: "Mask"

    @property
    def changedVoxels(self) -> int:
        """How many voxels were changed."""
        return self.added.voxel_count + self.removed.voxel_count


def writeSegment(
    segmentationNode: Any,
    segmentId: str,
    *,
    before: "Mask",
    after: "Mask",
    where: SegmentGrid,
    volumeNode: Any = None,
    overwrite: str = "none",
    unmasked: bool = False,
) -> Written:
    """Make a segment that holds the mask `before` hold another, as far as it may be edited; returns what came of it.

    Voxels of locked segments are left to them. The volume is what an intensity range of the Segment Editor refers to.
    `unmasked` passes over the Segment Editor's masking, for bringing back what was there before.

    Raises:
        OutputError: the segment itself is locked.
    """
    from inference_core.errors import OutputError

    if isLocked(segmentationNode, segmentId):
        raise OutputError("This segment is locked; unlock it in the list of segments to go on with it.")
    locked = [other for other in otherSegments(segmentationNode, segmentId) if isLocked(segmentationNode, other)]
    written = _difference(before, withoutSegments(after, segmentationNode, locked))
    if not written.changedVoxels:
        return _difference(before, before)
    editor = None if unmasked else _restrictions(segmentationNode, volumeNode, overwrite)
    if editor is not None:
        _modify(segmentationNode, segmentId, written, where=where, editor=editor)
        return _difference(before, readSegment(segmentationNode, segmentId))
    if not _writeInPlace(segmentationNode, segmentId, written, where):
        logic = slicer.vtkSlicerSegmentationsModuleLogic
        image = orientedImage(written.mask, where) if written.mask.array.size else _oneEmptyVoxel(where)
        logic.SetBinaryLabelmapToSegment(image, segmentationNode, segmentId, logic.MODE_REPLACE)
    return written


def withoutSegments(patch: "Mask", segmentationNode: Any, segmentIds: list[str]) -> "Mask":
    """A mask less the voxels of some segments."""
    from inference_core.geometry.mask import Mask

    array = patch.array
    for segmentId in segmentIds:
        found = _heldWithin(patch, segmentationNode, segmentId)
        if found is not None:
            box, held = found
            # A copy: the mask may be remembered elsewhere.
            array = array.copy(order="F") if array is patch.array else array
            array[box.slices(patch.start)] &= ~held
    return patch if array is patch.array else Mask.of(array, patch.start)


def overlapVoxels(mask: "Mask", segmentationNode: Any, segmentId: str) -> int:
    """How many voxels of a mask another segment holds, too."""
    found = _heldWithin(mask, segmentationNode, segmentId)
    if found is None:
        return 0
    box, held = found
    return int(np.count_nonzero(mask.crop(box.start, box.stop) & held))


def otherSegments(segmentationNode: Any, segmentId: str) -> list[str]:
    """The ids of all segments but one."""
    return [other for other in segmentationNode.GetSegmentation().GetSegmentIDs() if other != segmentId]


def _heldWithin(mask: "Mask", segmentationNode: Any, segmentId: str) -> "tuple[VoxelBox, np.ndarray] | None":
    """Where a segment's labelmap reaches into a mask's box, and which voxels there are the segment's; None: nowhere."""
    from inference_core.geometry.mask import VoxelBox

    view = labelView(segmentationNode, segmentId)
    if view is None or not mask.array.size:
        return None
    own = ownGrid(segmentationNode, segmentId)
    if own is None or not own.sameVoxelsAs(segmentGrid(segmentationNode)):
        held = readSegment(segmentationNode, segmentId)
        return mask.box, held.crop(mask.start, mask.stop)
    array, first, value = view
    shared = mask.box.within(VoxelBox(np.asarray(first), np.add(first, array.shape)))
    return None if shared is None else (shared, array[shared.slices(first)] == value)


def _difference(before: "Mask", after: "Mask") -> Written:
    return Written(after, after.minus(before), before.minus(after))


def _writeInPlace(segmentationNode: Any, segmentId: str, written: Written, where: SegmentGrid) -> bool:
    """Write the changed voxels alone into the segment's labelmap, which other segments may share.

    False, and nothing is written, where the labelmap does not reach that far or lies on a grid of its own, or another
    segment has a voxel that is to be added. A surface shown in 3D would not follow; that, too, is left to Slicer's own
    logic.
    """
    segmentation = segmentationNode.GetSegmentation()
    view = labelView(segmentationNode, segmentId)
    surface = slicer.vtkSegmentationConverter.GetSegmentationClosedSurfaceRepresentationName()
    if view is None or segmentation.ContainsRepresentation(surface):
        return False
    own = ownGrid(segmentationNode, segmentId)
    if own is None or not own.sameVoxelsAs(where):
        return False
    array, first, value = view
    boxes = [mask.box for mask in (written.added, written.removed) if mask.array.size]
    changed = boxes[0].joined(boxes[-1])
    if (changed.start < first).any() or (changed.stop > np.add(first, array.shape)).any():
        return False
    added = written.added.box.slices(first)
    if (array[added][written.added.array] != 0).any():
        return False
    array[added][written.added.array] = value
    array[written.removed.box.slices(first)][written.removed.array] = 0
    image = segmentationNode.GetBinaryLabelmapInternalRepresentation(segmentId)
    image.GetPointData().GetScalars().Modified()
    image.Modified()
    return True


def _restrictions(segmentationNode: Any, volumeNode: Any, overwrite: str) -> Any:
    """A copy of the Segment Editor's settings with our overwrite mode, or None where they restrict nothing.

    The Segment Editor's own overwrite mode is not taken over: it starts as "overwrite all", and a click here must not
    cut a finished neighbor because of a default in another module.
    """
    scene = segmentationNode.GetScene()
    theirs = scene.GetSingletonNode("SegmentEditor", "vtkMRMLSegmentEditorNode")
    everywhere = theirs is None or theirs.GetMaskMode() == slicer.vtkMRMLSegmentationNode.EditAllowedEverywhere
    anyIntensity = theirs is None or not theirs.GetSourceVolumeIntensityMask()
    if everywhere and anyIntensity and overwrite == "none":
        return None
    node = slicer.vtkMRMLSegmentEditorNode()
    # It stays out of the scene, so that none is ever saved with it.
    node.SetScene(scene)
    node.SetOverwriteMode(OVERWRITE_MODES[overwrite])
    node.SetAndObserveSegmentationNode(segmentationNode)
    if volumeNode is not None:
        node.SetAndObserveSourceVolumeNode(volumeNode)
    if theirs is not None:
        node.SetMaskMode(theirs.GetMaskMode())
        if theirs.GetMaskSegmentID():
            node.SetMaskSegmentID(theirs.GetMaskSegmentID())
        node.SetSourceVolumeIntensityMask(theirs.GetSourceVolumeIntensityMask())
        node.SetSourceVolumeIntensityMaskRange(*theirs.GetSourceVolumeIntensityMaskRange())
    return node


def _modify(segmentationNode: Any, segmentId: str, written: Written, *, where: SegmentGrid, editor: Any) -> None:
    """Add and remove voxels through the Segment Editor's own logic, which applies its masking and overwriting."""
    logic = slicer.vtkSlicerSegmentEditorLogic()
    logic.SetMRMLScene(segmentationNode.GetScene())
    logic.SetMRMLApplicationLogic(slicer.app.applicationLogic())
    editor.SetSelectedSegmentID(segmentId)
    logic.SetSegmentEditorNode(editor)
    logic.UpdateReferenceGeometryImage()
    for mask, mode in ((written.removed, logic.ModificationModeRemove), (written.added, logic.ModificationModeAdd)):
        if mask.array.size:
            image = orientedImage(mask, where)
            logic.ModifySegmentByLabelmap(segmentationNode, segmentId, image, mode, image.GetExtent(), False, False)
    logic.SetSegmentEditorNode(None)


def _oneEmptyVoxel(where: SegmentGrid) -> Any:
    from inference_core.geometry.mask import Mask

    return orientedImage(Mask((0, 0, 0), np.zeros((1, 1, 1), dtype=bool)), where)
