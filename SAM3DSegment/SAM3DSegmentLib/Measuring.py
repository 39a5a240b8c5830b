"""Measures segments, and remembers the numbers until the segment's voxels, its place, the image or the unit is another.

Lengths and the volume are those of the segmentation's own voxels; statistics are of the image's voxels, onto which a
segmentation on another grid is brought first.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np
from slicer.i18n import tr as _

from SAM3DSegmentLib.Conversion import SegmentGrid, labelTime, ownGrid, readLayer, readOwn, segmentGrid, volumeFromNode
from SAM3DSegmentLib.Workspace import Workspace, volumeOf

if TYPE_CHECKING:
    from inference_core.geometry.grid import Grid
    from inference_core.geometry.mask import Mask, PackedMask
    from inference_core.geometry.volume import Volume
    from inference_core.measures.measurements import Measurements

# UCUM's codes of voxel units, as Slicer's DICOM reader notes them, and how a radiologist writes them.
_UNITS = {"[hnsf'U]": "HU", "{SUVbw}g/ml": "SUVbw", "{SUVlbm}g/ml": "SUVlbm", "Bq/ml": "Bq/ml"}


@dataclass(frozen=True, eq=False)
class Frame:
    """What all segments of a segmentation are measured on; `key` is another one where any of it is another.

    Good for one pass over the segments only: nothing tells that a parent transform has changed since.
    """

    volume: "Volume"
    where: SegmentGrid
    unit: str
    key: Hashable


@dataclass(frozen=True, eq=False)
class OnImage:
    """An image, and segments on its voxels by their ids; `note` says what became of them where they lie on others."""

    image: Any
    volume: "Volume"
    masks: "dict[str, Mask]"
    note: str


@dataclass(frozen=True, eq=False)
class Held:
    """An image, and segments of its segmentation, by their ids, on the grids of the labelmaps that hold them."""

    image: Any
    volume: "Volume"
    masks: "dict[str, tuple[Mask, Grid]]"
    names: dict[str, str]

    def onImage(self) -> OnImage:
        """The segments on the image's voxels, as far as they lie on it; in any thread: it takes seconds for liters."""
        from inference_core.geometry.regridding import regridded

        found = regridded(self.masks, self.volume.grid, on=self.volume.name, names=self.names)
        return OnImage(self.image, self.volume, found.masks, found.note)


@dataclass(frozen=True)
class _Seen:
    """A segment's voxels as they were seen last; `revision` is another one for other voxels."""

    time: Hashable
    packed: "PackedMask"
    revision: int


class Measuring:
    """Measures the segments of the workspace's images; all calls come from the main thread."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._seen: dict[tuple[str, str], _Seen] = {}
        self._measured: dict[tuple[str, str], tuple[Hashable, Measurements | None]] = {}
        self._revisions = count(1)

    def frame(self, segmentationNode: Any = None) -> Frame | None:
        """What to hand on where several segments are asked about; None where nothing can be measured."""
        from inference_core.errors import SAM3DError

        node = segmentationNode or self._workspace.segmentationNode
        image = self.imageOf(node) if node is not None else None
        if image is None:
            return None
        try:
            volume, where = volumeFromNode(image), segmentGrid(node)
        except SAM3DError:
            return None
        unit = unitOf(image)
        voxels = (image.GetID(), image.GetImageData().GetMTime(), volume.grid, unit)
        return Frame(volume, where, unit, (where.lattice.affine.tobytes(), voxels))

    def of(
        self, segmentId: str, segmentationNode: Any = None, *, frame: Frame | None = None
    ) -> "Measurements | None":  # fmt: skip
        """The numbers of a segment, measured now if need be; None where it or its image cannot be measured."""
        node = segmentationNode or self._workspace.segmentationNode
        frame = frame or self.frame(node)
        state = self._state(node, segmentId, frame)
        known = self._measured.get(_keyOf(node, segmentId))
        if known is None or known[0] != state:
            known = (state, self._measure(node, segmentId, frame) if frame is not None else None)
            self._measured[_keyOf(node, segmentId)] = known
        return known[1]

    def isKnown(self, segmentId: str, *, frame: Frame | None = None) -> bool:
        """Whether `of` has the numbers of a segment of the current segmentation at hand."""
        node = self._workspace.segmentationNode
        known = self._measured.get(_keyOf(node, segmentId))
        return known is not None and known[0] == self._state(node, segmentId, frame or self.frame(node))

    def maskOf(self, segmentId: str, segmentationNode: Any = None) -> "Mask":
        """A segment's voxels, in the indices of the segmentation's common grid."""
        node = segmentationNode or self._workspace.segmentationNode
        return self._look(node, segmentId).packed.unpack()

    def onImage(self, segmentationNode: Any = None, segmentIds: Sequence[str] | None = None) -> OnImage:
        """As `held`, on the voxels of the image.

        Raises:
            VolumeError: as `held`.
        """
        return self.held(segmentationNode, segmentIds).onImage()

    def held(self, segmentationNode: Any = None, segmentIds: Sequence[str] | None = None) -> Held:
        """Segments of a segmentation, all by default, and its image.

        Raises:
            VolumeError: there is no image, or one of the two cannot be read or lies under a transform that bends it.
        """
        from inference_core.errors import VolumeError

        node = segmentationNode or self._workspace.segmentationNode
        image = self.imageOf(node) if node is not None else None
        if image is None:
            raise VolumeError(_("It is not known which image the segmentation belongs to; choose the image."))
        volume, where = volumeFromNode(image), segmentGrid(node)
        ids = list(node.GetSegmentation().GetSegmentIDs()) if segmentIds is None else list(segmentIds)
        names = {segmentId: node.GetSegmentation().GetSegment(segmentId).GetName() for segmentId in ids}
        masks = {segmentId: self._held(node, segmentId, where) for segmentId in ids}
        return Held(image, volume, masks, names)

    def forget(self) -> None:
        """Everything goes, as where a scene is closed."""
        self._seen.clear()
        self._measured.clear()

    def imageOf(self, segmentationNode: Any) -> Any:
        """The image that a segmentation's statistics are of: its own, else the one that is chosen."""
        own = volumeOf(segmentationNode)
        if own is not None:
            return own
        return self._workspace.volumeNode if segmentationNode is self._workspace.segmentationNode else None

    def _state(self, node: Any, segmentId: str, frame: Frame | None) -> Hashable:
        """All that the numbers depend on; None where they cannot be had."""
        return None if frame is None else (self._look(node, segmentId).revision, frame.key)

    def _look(self, node: Any, segmentId: str) -> _Seen:
        """A segment as it is now; where a labelmap was changed, all segments in it are looked at, once."""
        time, key = labelTime(node, segmentId), _keyOf(node, segmentId)
        if (seen := self._seen.get(key)) is None or seen.time != time:
            for other, mask in readLayer(node, segmentId).items():
                self._note(_keyOf(node, other), time, mask)
        return self._seen[key]

    def _note(self, key: tuple[str, str], time: Hashable, mask: "Mask") -> None:
        """Segments share labelmaps: a change of one is no change of the others."""
        packed, before = mask.pack(), self._seen.get(key)
        same = before is not None and before.packed == packed
        self._seen[key] = _Seen(time, packed, before.revision if same and before else next(self._revisions))

    def _held(self, node: Any, segmentId: str, where: SegmentGrid) -> "tuple[Mask, Grid]":
        """A segment's voxels and their grid: those of the labelmap that it was brought in, not resampled yet."""
        own = ownGrid(node, segmentId)
        if own is None or own.sameVoxelsAs(where):
            return self.maskOf(segmentId, node), where.lattice
        return readOwn(node, segmentId), own.lattice

    def _measure(self, node: Any, segmentId: str, frame: Frame) -> "Measurements":
        from inference_core.geometry.regridding import on_grid, within
        from inference_core.geometry.volume import Volume
        from inference_core.measures.measurements import measure, statistics

        volume, unit = frame.volume, frame.unit
        mask, lattice = self._held(node, segmentId, frame.where)
        onImage = within(on_grid(mask, lattice, volume.grid), volume.grid.shape)
        if onImage.array.shape == mask.array.shape:
            return measure(onImage, volume, unit=unit)
        # On voxels of its own: lengths and milliliters there, gray values on the image.
        from inference_core.geometry.mask import Mask

        own = lattice.cropped(mask.start, mask.stop)
        found = measure(Mask((0, 0, 0), mask.array), Volume(np.zeros(own.shape, np.uint8), own, volume.name), unit=unit)
        return replace(found, statistics=statistics(onImage, volume) if onImage.array.size else None)


def unitOf(volumeNode: Any) -> str:
    """The unit of an image's voxels: "HU", "SUVbw", what the node itself says, or "" where nothing does."""
    entry = volumeNode.GetVoxelValueUnits()
    if entry is None or not entry.GetCodeValue():
        return ""
    return _UNITS.get(entry.GetCodeValue(), entry.GetCodeMeaning() or entry.GetCodeValue())


def _keyOf(node: Any, segmentId: str) -> tuple[str, str]:
    return node.GetID(), segmentId
