"""What a session remembers: the windowed predictions that its latest lists of prompts led to.

They hold logits, a megabyte and more each; an old one is let go, and found again by predicting again, since a windowed
prediction is a pure function of the prompts.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference_core.engine.windowed_prediction import WindowedPrediction
from inference_core.prompts.prompt_set import Prompt, PromptSet


@dataclass(frozen=True, eq=False)
class Neighbor:
    """What other prompts led to, that have `old` where there is `new` now; None is nothing."""

    prediction: WindowedPrediction
    old: Prompt
    new: Prompt | None


class PredictionCache:
    """Windowed predictions by the prompts, in their order, that led to them; the least recently used go first.

    The newest is always kept, whatever its size. `nbytes` is the memory of the logits; what predictions share counts
    once.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.nbytes = 0
        self._kept: OrderedDict[PromptSet, WindowedPrediction] = OrderedDict()
        # How many of the kept predictions have an array, by its id; they keep it alive.
        self._uses: Counter[int] = Counter()

    def get(self, prompts: PromptSet) -> WindowedPrediction | None:
        """What these prompts led to in this order, or None; asking makes it the most recent."""
        found = self._kept.get(prompts)
        if found is not None:
            self._kept.move_to_end(prompts)
        return found

    def but_for_one(self, prompts: PromptSet) -> Neighbor | None:
        """The newest prompts that differ from these in one of the same kind, such as one moved, or that have one more.

        Asking does not make it more recent.
        """
        for known, prediction in reversed(self._kept.items()):
            if known.initial_mask is not prompts.initial_mask:
                continue
            difference = _exchanged(known.prompts, prompts.prompts) or _removed(known.prompts, prompts.prompts)
            if difference is not None:
                return Neighbor(prediction, *difference)
        return None

    def put(self, prompts: PromptSet, prediction: WindowedPrediction) -> None:
        """Keep a prediction, letting the oldest go until the bound holds."""
        earlier = self._kept.pop(prompts, None)
        self._kept[prompts] = prediction
        self._count(prediction, 1)
        if earlier is not None:
            self._count(earlier, -1)
        while len(self._kept) > 1 and self.nbytes > self.limit_bytes:
            _, oldest = self._kept.popitem(last=False)
            self._count(oldest, -1)

    def _count(self, prediction: WindowedPrediction, change: int) -> None:
        for key, array in {id(array): array for array in _arrays(prediction)}.items():
            before = self._uses[key]
            self._uses[key] += change
            if not self._uses[key]:
                del self._uses[key]
            self.nbytes += array.nbytes * ((before + change > 0) - (before > 0))

    def __len__(self) -> int:
        return len(self._kept)


def _exchanged(known: tuple[Prompt, ...], prompts: tuple[Prompt, ...]) -> tuple[Prompt, Prompt] | None:
    """The one prompt in which two lists as long differ, in each, if both are of one kind."""
    if len(known) != len(prompts):
        return None
    pairs = [(old, new) for old, new in zip(known, prompts, strict=True) if old != new]
    return pairs[0] if len(pairs) == 1 and type(pairs[0][0]) is type(pairs[0][1]) else None


def _removed(known: tuple[Prompt, ...], prompts: tuple[Prompt, ...]) -> tuple[Prompt, None] | None:
    """The one prompt that a list has beyond those of another; their order may be another, too."""
    if len(known) != len(prompts) + 1:
        return None
    beyond = list((Counter(known) - Counter(prompts)).elements())
    return (beyond[0], None) if len(beyond) == 1 else None


def _arrays(prediction: WindowedPrediction) -> Iterator[NDArray[np.float32]]:
    for group in prediction:
        for layer in (*group.all_layers, *group.scales):
            yield layer.logits
