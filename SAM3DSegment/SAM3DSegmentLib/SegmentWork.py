"""One segment being worked on: its prompts, its history, and the user's own edits between answers."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from SAM3DSegmentLib.Conversion import SegmentGrid, asVolume, readSegment, segmentGrid
from SAM3DSegmentLib.History import Difference, History, Situation, Step
from SAM3DSegmentLib.Persistence import Remembered, recall, remember
from SAM3DSegmentLib.PromptNodes import PromptItem, PromptNodes, promptSetOf
from SAM3DSegmentLib.Settings import Settings
from SAM3DSegmentLib.WriteBack import withoutSegments, writeSegment

if TYPE_CHECKING:
    from inference_core.geometry.mask import Mask
    from inference_core.geometry.volume import Volume
    from inference_core.prompts.prompt_set import PromptSet


class SegmentWork:
    """Everything about one segment that outlasts an answer.

    `situation` and `mask` are what was answered last; what the segment holds beyond that, the user has painted since.
    """

    def __init__(self, segmentationNode: Any, segmentId: str) -> None:
        from inference_core.geometry.mask import EMPTY

        self.segmentationNode, self.segmentId = segmentationNode, segmentId
        self.nodes = PromptNodes(segmentationNode, segmentId)
        self.where: SegmentGrid = segmentGrid(segmentationNode)
        self.history = History()
        self.mask = readSegment(segmentationNode, segmentId)
        self.situation = Situation((), 0.0, self.mask, EMPTY, EMPTY)
        self._start: tuple[Mask, Volume] | None = None
        self.rememberedModel = ""
        self.asked: Any = None
        self._recall()

    @property
    def segment(self) -> Any:
        """The `vtkSegment`, or None once it was removed."""
        return self.segmentationNode.GetSegmentation().GetSegment(self.segmentId)

    def refreshGrid(self) -> bool:
        """Follow the segmentation where it was moved; False where its voxels are others now and nothing here holds."""
        now = segmentGrid(self.segmentationNode)
        same = now.sameVoxelsAs(self.where)
        self.where = now if same else self.where
        return same

    def items(self) -> tuple[PromptItem, ...]:
        """The prompts as the nodes hold them now."""
        return self.nodes.items()

    def promptSet(self, items: tuple[PromptItem, ...]) -> "PromptSet":
        """The prompts of some items, on top of what the segment held before the first of them."""
        base = self.situation.base
        if not base.array.size:
            return promptSetOf(items)
        if self._start is None or self._start[0] is not base:
            self._start = (base, asVolume(base, self.where))
        return promptSetOf(items).starting_from(self._start[1])

    def noticeEdits(self) -> None:
        """Take in what was painted or erased since the last answer: it becomes the prior and outlasts later answers."""
        held = readSegment(self.segmentationNode, self.segmentId)
        difference = Difference.between(self.mask, held)
        if difference.extent is None:
            return
        before = self.situation
        if not before.items:
            after = replace(before, base=held)
        else:
            painted, erased = held.minus(self.mask), self.mask.minus(held)
            added = before.added.union(painted).minus(erased)
            removed = before.removed.union(erased).minus(painted)
            after = replace(before, base=held, added=added, removed=removed)
        self.history.push(Step(before, after, (difference,)))
        self.situation, self.mask = after, held

    def accept(self, answer: "Mask", items: tuple[PromptItem, ...], settings: Settings, *, volumeNode: Any) -> int:
        """Write an answer (on the segmentation's grid) and make it the newest step; returns how many voxels changed.

        Raises:
            OutputError: the segment is locked.
        """
        before, held = self.situation, self.mask
        wanted = self._edited(answer, items)
        if settings.localRadiusMm is not None:
            wanted = self._onlyNear(wanted, items, settings.localRadiusMm)
        if settings.othersAreBackground:
            others = [i for i in self.segmentationNode.GetSegmentation().GetSegmentIDs() if i != self.segmentId]
            wanted = withoutSegments(wanted, self.segmentationNode, others)
        after = self._write(wanted, volumeNode=volumeNode, overwrite=settings.overwrite)
        difference = Difference.between(held, after)
        self.situation = replace(self.situation, items=items, threshold=settings.threshold)
        self.mask = after
        self.history.push(Step(before, self.situation, (difference,)))
        return _voxels(difference)

    def undo(self, *, volumeNode: Any) -> None:
        """Take the newest step back: prompts, threshold and voxels."""
        step = self.history.undo()
        self._bring(step.before, step.undone(self.mask), volumeNode)

    def redo(self, *, volumeNode: Any) -> None:
        """Bring back the step that was taken back last."""
        step = self.history.redo()
        self._bring(step.after, step.redone(self.mask), volumeNode)

    def keep(self, settings: Settings, window: dict[str, Any]) -> None:
        """Write what was answered last into the segment's tags."""
        s = self.situation
        prompts = promptSetOf(s.items)
        state = Remembered(prompts, settings.model, settings.threshold, window, s.base, s.added, s.removed)
        remember(self.segment, state, self.where.imageToNode)

    def _bring(self, situation: Situation, mask: "Mask", volumeNode: Any) -> None:
        self.mask = self._write(mask, volumeNode=volumeNode, overwrite="none", unmasked=True)
        self.nodes.restore(situation.items)
        self.situation = situation

    def _write(self, mask: "Mask", *, volumeNode: Any, overwrite: str, unmasked: bool = False) -> "Mask":
        return writeSegment(
            self.segmentationNode,
            self.segmentId,
            after=mask,
            where=self.where,
            volumeNode=volumeNode,
            overwrite=overwrite,
            unmasked=unmasked,
        )

    def _recall(self) -> None:
        """Go on from the tags of a saved segment, if it has any that fit."""
        known = recall(self.segment, self.where.imageToNode)
        if known is None:
            return
        if not self.nodes.items() and known.prompts.prompts:
            self.nodes.place(known.prompts)
        self.rememberedModel = known.model
        self.situation = Situation(self.nodes.items(), known.threshold, known.base, known.added, known.removed)

    def _edited(self, answer: "Mask", items: tuple[PromptItem, ...]) -> "Mask":
        """An answer with the user's own edits laid over it, but for edits that a newer click contradicts."""
        known = {item.id for item in self.situation.items}
        clicks = [item for item in items if item.id not in known and item.kind != "box"]
        added = self._uncontradicted(self.situation.added, [c for c in clicks if c.kind == "background"])
        removed = self._uncontradicted(self.situation.removed, [c for c in clicks if c.kind == "foreground"])
        if added is not self.situation.added or removed is not self.situation.removed:
            self.situation = replace(self.situation, added=added, removed=removed)
        return answer.union(added).minus(removed)

    def _uncontradicted(self, edits: "Mask", clicks: list[PromptItem]) -> "Mask":
        """Edits without the connected pieces that some clicks lie in."""
        from inference_core.geometry.mask import Mask

        voxels = [self.where.voxelAt(click.ras) for click in clicks]
        inside = [np.subtract(voxel, edits.start) for voxel in voxels if edits.at(voxel)]
        if not inside:
            return edits
        import SimpleITK as sitk

        image = sitk.GetImageFromArray(np.ascontiguousarray(edits.array.T, dtype=np.uint8))
        pieces = sitk.GetArrayFromImage(sitk.ConnectedComponent(image, True)).T
        kept = edits.array & ~np.isin(pieces, [pieces[tuple(voxel)] for voxel in inside])
        return Mask.of(kept, edits.start)

    def _onlyNear(self, wanted: "Mask", items: tuple[PromptItem, ...], radius: float) -> "Mask":
        """The new mask near the newest prompt, the old one elsewhere."""
        from inference_core.geometry.mask import Mask

        newest = _newest(items, self.situation.items)
        extent = self.mask.changed_extent(wanted)
        if newest is None or extent is None:
            return wanted
        start = np.minimum(self.mask.start, wanted.start) if self.mask.array.size else np.asarray(wanted.start)
        stop = np.maximum(self.mask.stop, wanted.stop)
        region = self.where.lattice.cropped(start, stop)
        axes = np.ix_(*[np.arange(n, dtype=np.float32) for n in region.shape])
        center = region.to_ijk(newest.ras)
        squared = sum(((axes[a] - center[a]) * region.spacing[a]) ** 2 for a in range(3))
        near = squared <= radius**2
        return Mask.of(np.where(near, wanted.crop(start, stop), self.mask.crop(start, stop)), start)


def _newest(items: tuple[PromptItem, ...], before: tuple[PromptItem, ...]) -> PromptItem | None:
    """The prompt that was added or moved last, else the last of all."""
    known = {(item.id, item.prompt) for item in before}
    changed = [item for item in items if (item.id, item.prompt) not in known]
    return (changed or list(items) or [None])[-1]


def _voxels(difference: Difference) -> int:
    from inference_core.geometry.mask import unpack_bits

    if difference.extent is None:
        return 0
    shape = tuple(np.subtract(difference.extent[1], difference.extent[0]))
    return int((unpack_bits(difference.before, shape) != unpack_bits(difference.after, shape)).sum())
