"""What the user should know about a click or a mask, and might not see: air, and other lesions in the way."""

from typing import Any

from slicer.i18n import tr as _

from SAM3DSegmentLib.Conversion import volumeFromNode
from SAM3DSegmentLib.SegmentEditor import SegmentEditor
from SAM3DSegmentLib.WriteBack import otherSegments, overlapVoxels

# Hounsfield units: a volume that reaches below the first is taken for a CT, and what is below the second for air.
_CT_REACHES, _AIR = -500.0, -900.0


def aboutClick(volumeNode: Any, ras: Any) -> str:
    """That a foreground click is on air; empty where it is not. For CT alone, the only image whose values tell."""
    volume = volumeFromNode(volumeNode)
    voxel = volume.grid.voxels_at(ras)
    if not volume.grid.holds(voxel):
        return ""
    value = float(volume.array[tuple(voxel)])
    if volumeNode.GetImageData().GetScalarRange()[0] > _CT_REACHES or value > _AIR:
        return ""
    return _("This click is on air ({value} HU); delete or drag it if that was not meant.").format(value=f"{value:.0f}")


def aboutMask(editor: SegmentEditor) -> str:
    """Which other segments a mask overlaps, and by how much; empty where it overlaps none."""
    segmentation = editor.segmentationNode.GetSegmentation()
    voxelMl = editor.where.lattice.voxel_volume_mm3 / 1000
    parts = []
    for other in otherSegments(editor.segmentationNode, editor.segmentId):
        shared = overlapVoxels(editor.mask, editor.segmentationNode, other)
        if shared:
            name = segmentation.GetSegment(other).GetName()
            parts.append(_("'{name}' ({volume} ml)").format(name=name, volume=f"{shared * voxelMl:.2g}"))
    if not parts:
        return ""
    text = _("This mask overlaps {segments}. Advanced, 'Overlapped segments' says what becomes of that.")
    return text.format(segments=", ".join(parts))
