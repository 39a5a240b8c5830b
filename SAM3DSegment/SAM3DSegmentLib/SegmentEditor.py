"""One segment being worked on: its prompts and settings, its history, and the user's own edits between answers."""

from collections.abc import Hashable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from SAM3DSegmentLib.Conversion import SegmentGrid, asVolume, labelTime, onSegmentGrid, readSegment, segmentGrid
from SAM3DSegmentLib.History import Entry, History, Maker
from SAM3DSegmentLib.ManualEdits import uncontradicted
from SAM3DSegmentLib.Persistence import Remembered, recall, remember
from SAM3DSegmentLib.PromptKinds import CLICKS
from SAM3DSegmentLib.PromptNodes import PromptNodes, promptSetOf
from SAM3DSegmentLib.SegmentState import PromptItem, SegmentState
from SAM3DSegmentLib.Settings import SegmentSettings, Settings
from SAM3DSegmentLib.WriteBack import Written, otherSegments, withoutSegments, writeSegment

if TYPE_CHECKING:
    from inference_core.geometry.grid import Grid
    from inference_core.geometry.mask import Mask
    from inference_core.geometry.volume import Volume
    from inference_core.prompts.prompt_set import PromptSet


NEVER = "never asked"


class SegmentEditor:
    """Everything about one segment that outlasts an answer.

    `mask` is what the segment held when it was looked at last; what it holds beyond that, the user has painted since.
    `asked` is what the model was asked about last; None where it is to be asked again.
    """

    def __init__(self, segmentationNode: Any, segmentId: str, settings: SegmentSettings | None = None) -> None:
        from inference_core.geometry.mask import EMPTY

        self.segmentationNode, self.segmentId = segmentationNode, segmentId
        self.nodes = PromptNodes(segmentationNode, segmentId)
        self.where: SegmentGrid = segmentGrid(segmentationNode)
        self.mask = readSegment(segmentationNode, segmentId)
        self._labelTime = labelTime(segmentationNode, segmentId)
        self._start: tuple[Mask, Volume] | None = None
        self.asked: Hashable = NEVER
        state = SegmentState((), settings or SegmentSettings(), self.mask, EMPTY, EMPTY)
        known = recall(self.segment, self.where.imageToNode)
        made = known.made if known is not None else Maker()
        self.history = History(state if known is None else self._recalled(known), self.mask, made)
        self.nodes.reachMm = self.state.settings.localRadiusMm

    @property
    def segment(self) -> Any:
        """The `vtkSegment`, or None once it was removed."""
        return self.segmentationNode.GetSegmentation().GetSegment(self.segmentId)

    @property
    def state(self) -> SegmentState:
        """Prompts, settings and edits as they are now."""
        return self.history.current.state

    @property
    def isWorthKeeping(self) -> bool:
        """Whether there is something to remember that the scene's nodes do not hold."""
        return bool(self.state.items) or self.state.settings != SegmentSettings()

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
        base = self.state.base
        if not base.array.size:
            return promptSetOf(items)
        if self._start is None or self._start[0] is not base:
            self._start = (base, asVolume(base, self.where))
        return promptSetOf(items).starting_from(self._start[1])

    # What the user does; each is a step of the history, answered later

    def takePrompts(self) -> bool:
        """Take in prompts that were placed, moved or removed; whether there were any."""
        items = self.items()
        if tuple(item.placing for item in items) == self.state.placings:
            return False
        self.absorbManualEdits()
        known = {item.id for item in self.state.items}
        clicks = [item for item in items if item.id not in known and item.isClick]
        voxels = {kind: [self.where.voxelAt(c.ras) for c in clicks if c.kind == kind] for kind in CLICKS}
        added = uncontradicted(self.state.added, voxels["background"])
        removed = uncontradicted(self.state.removed, voxels["foreground"])
        self.history.push(replace(self.state, items=items, added=added, removed=removed))
        return True

    def changeSettings(self, settings: SegmentSettings) -> None:
        """Take other settings for the current prompts; how far new ones reach is no matter of the mask there is."""
        self.nodes.reachMm = settings.localRadiusMm
        if not self.state.items or settings.ofMask == self.state.settings.ofMask:
            self.history.current.state = replace(self.state, settings=settings)
        else:
            self.absorbManualEdits()
            self.history.push(replace(self.state, settings=settings))

    def absorbManualEdits(self) -> None:
        """Take in what was painted or erased since the last answer: it becomes the prior and outlasts later answers."""
        if labelTime(self.segmentationNode, self.segmentId) == self._labelTime:
            return
        held = readSegment(self.segmentationNode, self.segmentId)
        self._labelTime = labelTime(self.segmentationNode, self.segmentId)
        painted, erased = held.minus(self.mask), self.mask.minus(held)
        if not painted.array.size and not erased.array.size:
            return
        before, self.mask = self.state, held
        if before.items:
            added = before.added.union(painted).minus(erased)
            removed = before.removed.union(erased).minus(painted)
            after = replace(before, base=held, added=added, removed=removed)
        else:
            after = replace(before, base=held)
        if self.history.current.answered:
            self.history.push(after, held)
        else:
            self.history.current.state = after

    # Answers

    def accept(
        self,
        mask: "Mask | None",
        grid: "Grid",
        state: SegmentState,
        settings: Settings,
        *,
        volumeNode: Any,
        made: Maker | None = None,
    ) -> Written | None:
        """Write the answer to a state, given on an image's grid; None where that state was undone since.

        Without a mask, and something that made it, what was there before the first prompt comes back.

        Raises:
            OutputError: the segment is locked.
        """
        entry = self.history.find(state)
        if entry is None or (entry.answered and entry is not self.history.current):
            return None
        state = entry.state
        wanted = self.wanted(mask, grid, state, settings)
        written = self._write(wanted, volumeNode=volumeNode, overwrite=settings.overwrite)
        if entry.answered and written.changedVoxels:
            self.history.push(state, self.mask)
        elif not entry.answered:
            entry.packed = self.mask.pack()
        entry.made = self.history.current.made = made or self.history.madeBefore
        self.keep()
        return written

    def wanted(self, mask: "Mask | None", grid: "Grid", state: SegmentState, settings: Settings) -> "Mask":
        """What the segment is to hold after an answer, given on an image's grid: with the user's own edits, in the
        segment's indices.
        """
        answer = state.base if mask is None else onSegmentGrid(mask, grid, self.where)
        wanted = answer.union(state.added).minus(state.removed)
        if settings.othersAreBackground:
            others = otherSegments(self.segmentationNode, self.segmentId)
            wanted = withoutSegments(wanted, self.segmentationNode, others)
        return wanted

    def hold(self, mask: "Mask", state: SegmentState, *, made: Maker, volumeNode: Any) -> None:
        """Hold another mask, in the segment's indices, with a state that answers to it: one step of the history.

        Raises:
            OutputError: the segment is locked.
        """
        self._write(mask, volumeNode=volumeNode, overwrite="none")
        self.history.push(state, self.mask).made = made
        self.keep()

    def madeWithoutPrompts(self, made: Maker) -> None:
        """Take in what was written by something that needs no prompts; where there are some, it is an edit like any."""
        self.absorbManualEdits()
        if not self.state.items:
            self.history.current.made = made
            self.keep()

    def bring(self, entry: Entry, *, volumeNode: Any) -> None:
        """Show the current entry of the history: its prompts, settings and, where it was answered, its voxels."""
        if entry.answered:
            self._write(entry.mask, volumeNode=volumeNode, overwrite="none", unmasked=True)
        self.nodes.restore(entry.state.items)
        self.nodes.reachMm = entry.state.settings.localRadiusMm
        if entry.answered:
            self.keep()

    def keep(self) -> None:
        """Write into the segment's tags what its mask depends on, and what made it."""
        s = self.state
        made = self.history.current.made
        state = Remembered(promptSetOf(s.items), made, s.settings, s.base, s.added, s.removed)
        remember(self.segment, state, self.where.imageToNode)

    def _write(self, mask: "Mask", *, volumeNode: Any, overwrite: str, unmasked: bool = False) -> Written:
        written = writeSegment(
            self.segmentationNode,
            self.segmentId,
            before=self.mask,
            after=mask,
            where=self.where,
            volumeNode=volumeNode,
            overwrite=overwrite,
            unmasked=unmasked,
        )
        self.mask = written.mask
        self._labelTime = labelTime(self.segmentationNode, self.segmentId)
        return written

    def _recalled(self, known: Remembered) -> SegmentState:
        """The state in the tags of a saved segment."""
        if not self.nodes.items() and known.prompts.prompts:
            self.nodes.place(known.prompts)
        return SegmentState(self.nodes.items(), known.settings, known.base, known.added, known.removed)
