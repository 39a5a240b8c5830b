"""All that an answer about a segment depends on but the image; one of these stands for each step of undo."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from SAM3DSegmentLib.PromptKinds import BACKGROUND, CLICKS
from SAM3DSegmentLib.Settings import SegmentSettings

if TYPE_CHECKING:
    from inference_core.geometry.mask import Mask
    from inference_core.prompts.prompt_set import Prompt


@dataclass(frozen=True)
class PromptItem:
    """One prompt as the panel lists it.

    ras is the click, or the center of the box or stroke, in world mm, None of a text; size the box's edges in mm.
    `local` is what the node itself holds (a point, the points of a stroke one after another, an object-to-node matrix
    and a size, or a text), so that bringing a prompt back is exact to the last bit.
    reachMm: a click changes voxels only this near to it (None: as the core sees fit).
    """

    id: str
    kind: str
    ras: tuple[float, float, float] | None
    size: tuple[float, float, float] | None
    visible: bool
    local: tuple[Any, ...]
    prompt: "Prompt"
    reachMm: float | None = None

    @property
    def order(self) -> int:
        """When it was placed, among the segment's prompts."""
        return int(self.id)

    @property
    def isClick(self) -> bool:
        """Whether it is a click, of whichever sign."""
        return self.kind in CLICKS

    @property
    def placing(self) -> tuple[str, str, tuple[Any, ...]]:
        """What makes it another prompt: its sign or its place, but not whether it is shown."""
        return self.id, self.kind, self.local


@dataclass(frozen=True, eq=False)
class SegmentState:
    """What the panel shows of a segment.

    `base` is what the segment held before the first prompt; `added` and `removed` are the user's own edits since then
    (paint, scissors, erase), which outlast every later answer.
    """

    items: tuple[PromptItem, ...]
    settings: SegmentSettings
    base: "Mask"
    added: "Mask"
    removed: "Mask"

    @property
    def placings(self) -> tuple[tuple[str, str, tuple[Any, ...]], ...]:
        """The prompts, for comparing."""
        return tuple(item.placing for item in self.items)

    @property
    def tellsWhere(self) -> bool:
        """Whether anything says where the target is: a foreground click or stroke, a box, or what was there before."""
        return any(item.kind not in BACKGROUND for item in self.items) or bool(self.items and self.base.array.size)

    def samePromptsAs(self, other: "SegmentState") -> bool:
        """Whether two states differ in settings and edits at most."""
        return self.placings == other.placings

    def sameQuestionAs(self, other: "SegmentState") -> bool:
        """Whether two states differ in the user's edits at most, so that one answer is for both."""
        return self.samePromptsAs(other) and self.settings.ofMask == other.settings.ofMask

    def sameEditsAs(self, other: "SegmentState") -> bool:
        """Whether nothing was painted or erased between two states."""
        return self.base is other.base and self.added is other.added and self.removed is other.removed
