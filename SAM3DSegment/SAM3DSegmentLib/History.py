"""Undo and redo of prompts, settings and mask together: one entry for each change that the user made.

An entry is made when the change is made; its mask comes with the answer. So clicks that are made faster than the model
answers are steps of their own, although they are computed together: a mask that was passed over is asked for when undo
comes to it, which costs little, as the answers on the way are kept.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from SAM3DSegmentLib.SegmentState import SegmentState

if TYPE_CHECKING:
    from inference_core.geometry.mask import Mask, PackedMask


@dataclass(frozen=True)
class Maker:
    """What made a mask: the model, "" for a person.

    weights: the sha256 of adapted weights, "" for the published ones. window: what the model looked at.
    """

    model: str = ""
    weights: str = ""
    window: dict[str, Any] = field(default_factory=dict)


@dataclass
class Entry:
    """A state of the segment and the mask it led to; None while it was not answered.

    made: what made the mask that the segment holds. models: from which model to which one the step that led here went,
    where it did.
    """

    state: SegmentState
    packed: "PackedMask | None" = None
    made: Maker = Maker()
    models: tuple[str, str] | None = None

    @property
    def answered(self) -> bool:
        """Whether its mask is known."""
        return self.packed is not None

    @property
    def mask(self) -> "Mask":
        """Its mask, if it was answered."""
        assert self.packed is not None
        return self.packed.unpack()


class History:
    """The entries of one segment, never without one; a new one forgets those that were undone."""

    def __init__(self, state: SegmentState, mask: "Mask", made: Maker) -> None:
        self._entries = [Entry(state, mask.pack(), made)]
        self._now = 0

    @property
    def current(self) -> Entry:
        """The entry that the segment is at."""
        return self._entries[self._now]

    @property
    def canUndo(self) -> bool:
        """Whether there is an earlier entry."""
        return self._now > 0

    @property
    def canRedo(self) -> bool:
        """Whether an entry was undone."""
        return self._now + 1 < len(self._entries)

    def push(self, state: SegmentState, mask: "Mask | None" = None) -> Entry:
        """Go on to a new state; one that goes on with the same drag takes the place of the one before.

        Until it is answered, the segment holds what made it before.
        """
        entry = Entry(state, mask.pack() if mask is not None else None, self.current.made)
        replaced = mask is None and self._now > 0 and not self.canRedo and self._goesOn(state)
        del self._entries[self._now + (not replaced) :]
        self._entries.append(entry)
        self._now = len(self._entries) - 1
        return entry

    def undo(self) -> Entry:
        """Go back to the entry before."""
        self._now -= 1
        return self.current

    def redo(self) -> Entry:
        """Go on to the entry that was undone last."""
        self._now += 1
        return self.current

    def find(self, state: SegmentState) -> Entry | None:
        """The newest entry that an answer to a state is for, unless it was undone since."""
        return next((entry for entry in self._entries[self._now :: -1] if entry.state.sameQuestionAs(state)), None)

    @property
    def madeBefore(self) -> Maker:
        """What made the mask that the segment held before its first prompt."""
        return next((entry.made for entry in self._entries[self._now :: -1] if not entry.state.items), Maker())

    def revert(self) -> Entry:
        """Go back to the newest entry that was answered, and forget those after it."""
        while not self.current.answered:
            self._now -= 1
        del self._entries[self._now + 1 :]
        return self.current

    def _goesOn(self, state: SegmentState) -> bool:
        """Whether the current entry is the one before it with settings or places changed, and so is this one."""
        before, now = self._entries[self._now - 1].state, self.current.state
        if not (before.sameEditsAs(now) and now.sameEditsAs(state)):
            return False
        if now.samePromptsAs(before) and state.samePromptsAs(now):
            return _changedSettings(before, now) == _changedSettings(now, state) != set()
        return not self.current.answered and _moved(before, now) and _moved(now, state)


def _changedSettings(before: SegmentState, after: SegmentState) -> set[str]:
    old, new = vars(before.settings), vars(after.settings)
    return {name for name, value in new.items() if value != old[name]}


def _moved(before: SegmentState, after: SegmentState) -> bool:
    """Whether one prompt lies elsewhere in the later state, and all else is the same."""
    pairs = zip(before.items, after.items, strict=False)
    sameKinds = [(item.id, item.kind) for item in before.items] == [(item.id, item.kind) for item in after.items]
    return sameKinds and before.settings == after.settings and sum(a.local != b.local for a, b in pairs) == 1
