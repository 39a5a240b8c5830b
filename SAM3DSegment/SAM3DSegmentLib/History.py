"""Undo and redo of prompts and mask together: every answer is a step, kept as the voxels it changed.

Steps hold compressed differences, so that a history is as long as the user likes.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from SAM3DSegmentLib.PromptNodes import PromptItem

if TYPE_CHECKING:
    from inference_core.geometry.mask import Mask

Extent = tuple[tuple[int, int, int], tuple[int, int, int]]


@dataclass(frozen=True)
class Situation:
    """All that an answer depends on but the volume: what the panel shows of a segment.

    `base` is what the segment held before the first prompt; `added` and `removed` are the user's own edits since then
    (paint, scissors, erase), which outlast every later answer.
    """

    items: tuple[PromptItem, ...]
    threshold: float
    base: "Mask"
    added: "Mask"
    removed: "Mask"


@dataclass(frozen=True)
class Difference:
    """The voxels on which two masks differ: an extent of the segmentation's grid, and the bits on both sides."""

    extent: Extent | None
    before: bytes
    after: bytes

    @classmethod
    def between(cls, before: "Mask", after: "Mask") -> "Difference":
        """What leads from one mask to another."""
        from inference_core.geometry.mask import pack_bits

        extent = before.changed_extent(after)
        if extent is None:
            return cls(None, b"", b"")
        return cls(extent, pack_bits(before.crop(*extent)), pack_bits(after.crop(*extent)))

    def applied(self, mask: "Mask", *, forward: bool) -> "Mask":
        """The other mask, given the one (`forward`: the later, given the earlier)."""
        from inference_core.geometry.mask import Mask, unpack_bits

        if self.extent is None:
            return mask
        start, stop = self.extent
        low = np.minimum(start, mask.start) if mask.array.size else np.asarray(start)
        high = np.maximum(stop, mask.stop) if mask.array.size else np.asarray(stop)
        whole = mask.crop(low, high)
        here = tuple(slice(int(a - o), int(b - o)) for a, b, o in zip(start, stop, low, strict=True))
        whole[here] = unpack_bits(self.after if forward else self.before, tuple(np.subtract(stop, start)))
        return Mask.of(whole, low)


@dataclass(frozen=True)
class Step:
    """One answer: the situation before and after it, and what it changed, in turn."""

    before: Situation
    after: Situation
    differences: tuple[Difference, ...]

    def undone(self, mask: "Mask") -> "Mask":
        """The mask before this step, given the one after it."""
        for difference in reversed(self.differences):
            mask = difference.applied(mask, forward=False)
        return mask

    def redone(self, mask: "Mask") -> "Mask":
        """The mask after this step, given the one before it."""
        for difference in self.differences:
            mask = difference.applied(mask, forward=True)
        return mask


class History:
    """The steps of one segment; a new one forgets those that were undone."""

    def __init__(self) -> None:
        self._done: list[Step] = []
        self._undone: list[Step] = []

    @property
    def canUndo(self) -> bool:
        """Whether there is a step to take back."""
        return bool(self._done)

    @property
    def canRedo(self) -> bool:
        """Whether a step was taken back."""
        return bool(self._undone)

    def push(self, step: Step) -> None:
        """Add the newest step. A change of the threshold alone goes on from the one before, as one drag of a slider."""
        last = self._done[-1] if self._done else None
        if last is not None and not self._undone and _onlyThreshold(step) and _onlyThreshold(last):
            self._done.pop()
            step = Step(last.before, step.after, last.differences + step.differences)
        self._done.append(step)
        self._undone.clear()

    def undo(self) -> Step:
        """Take back the newest step."""
        self._undone.append(self._done.pop())
        return self._undone[-1]

    def redo(self) -> Step:
        """Bring back the step that was taken back last."""
        self._done.append(self._undone.pop())
        return self._done[-1]

    @property
    def nbytes(self) -> int:
        """Memory of the kept differences."""
        differences = [d for step in (*self._done, *self._undone) for d in step.differences]
        return sum(len(difference.before) + len(difference.after) for difference in differences)


def _onlyThreshold(step: Step) -> bool:
    return step.before.items == step.after.items and step.before.threshold != step.after.threshold
