"""What a session remembers: the windowed predictions that its latest lists of prompts led to.

They hold logits, a megabyte and more each; an old one is let go, and found again by predicting again, since a windowed
prediction is a pure function of the prompts.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from inference_core.engine.windowed_prediction import WindowedPrediction
from inference_core.prompts.prompt_set import PromptSet


class PredictionCache:
    """Windowed predictions by the prompts, in their order, that led to them; the least recently used go first.

    The newest is always kept, whatever its size.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self._kept: OrderedDict[PromptSet, WindowedPrediction] = OrderedDict()

    def get(self, prompts: PromptSet) -> WindowedPrediction | None:
        """What these prompts led to in this order, or None; asking makes it the most recent."""
        if prompts in self._kept:
            self._kept.move_to_end(prompts)
        return self._kept.get(prompts)

    def put(self, prompts: PromptSet, prediction: WindowedPrediction) -> None:
        """Keep a prediction, letting the oldest go until the bound holds."""
        self._kept[prompts] = prediction
        self._kept.move_to_end(prompts)
        while len(self._kept) > 1 and self.nbytes > self.limit_bytes:
            self._kept.popitem(last=False)

    @property
    def nbytes(self) -> int:
        """Memory of the logits; what predictions share counts once."""
        arrays = (array for prediction in self._kept.values() for array in _arrays(prediction))
        return sum({id(array): array.nbytes for array in arrays}.values())

    def __len__(self) -> int:
        return len(self._kept)


def _arrays(prediction: WindowedPrediction) -> Iterator[NDArray[np.float32]]:
    for group in prediction:
        for layer in (*group.all_layers, *group.scales):
            yield layer.logits
