"""From one set of prompts to the next for models that see whole slices: which slices are asked, and what they answer.

A click asks for the slice that it lies in, a box for every slice that it crosses, a text for those asked for already
or else for all; a background click counts once its slice is asked for. Each slice is a group of the prediction,
answered by its own prompts in the order given, so that an edit decodes only the slices it concerns. What the network
gave for a slice before is the prior of its next answer.

A network that sees stacks of adjacent slices answers for a slice by the mean foreground probability of the stacks that
hold it (`stacks_over`), and is given no prior.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias, cast
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from inference_core.engine.automatic import stacks_over
from inference_core.engine.connected_change import connected_change
from inference_core.engine.local_correction import mixed, points_at_its_change, reach_of
from inference_core.engine.model_calls import ModelCalls
from inference_core.engine.windowed_prediction import (
    FAR_OUTSIDE,
    INITIAL_LOGIT,
    LogitLayer,
    PromptGroup,
    WindowedPrediction,
)
from inference_core.geometry.grid import Grid
from inference_core.geometry.mask import VoxelBox
from inference_core.geometry.sampling import extent_on, resample_onto
from inference_core.geometry.slices import slices_last
from inference_core.geometry.values import with_background
from inference_core.geometry.volume import Volume
from inference_core.models.interface import Float32, SliceModel
from inference_core.prompts.encoding import cross_section, encode_prompts
from inference_core.prompts.prompt_set import BoxPrompt, Click, Placed, Prompt, PromptSet, center_of, is_background
from inference_core.prompts.text import TextPrompt

_TOUCH = 1e-6
_LEAST_PROBABILITY = np.float32(1e-6)


@dataclass(frozen=True, eq=False)
class SliceGroup(PromptGroup):
    """What is known of one slice: its number along the slice axis, its prompts, and logits on its own voxels.

    `low_res` is what the network gave for it; None where it gave nothing, or a mean over stacks.
    """

    number: int = 0
    low_res: Float32 | None = None


SliceMemory: TypeAlias = WeakValueDictionary[tuple[int, PromptSet], SliceGroup]


class SlicePredictor:
    """Answers one question on the slices of a volume: made with the `calls` of that question.

    A slice's answer depends on its own prompts alone: what is `known` from earlier questions and still held somewhere
    is not sought again. `quick` has a model of stacks see each slice in one of them only.
    """

    def __init__(
        self,
        volume: Volume,
        model: SliceModel,
        calls: ModelCalls,
        *,
        known: SliceMemory,
        quick: bool = False,
        local: bool = True,
    ) -> None:
        self.volume, self.model, self.calls = slices_last(volume), model, calls
        self.quick, self.local = quick, local
        self._known = known
        self._stacks: dict[tuple[range, PromptSet], LogitLayer] = {}

    def start(self, mask: Volume) -> WindowedPrediction:
        """The prediction that an initial mask stands for, a group for each of its slices; nothing is encoded yet."""
        box = VoxelBox.over(mask.array)
        assert box is not None, "an empty mask was refused"
        first, stop = (int(end[2]) for end in extent_on(mask.grid.cropped(box.start, box.stop), self.volume.grid))
        run = range(first, max(stop, first + 1))
        inside = resample_onto((mask.array != 0).astype(np.float32), mask.grid, self._window(run), outside=0.0) >= 0.5
        prompts = PromptSet(initial_mask=mask)
        return tuple(
            SliceGroup(
                prompts,
                LogitLayer(self._window(range(number, number + 1)), _firm(inside[..., place, None])),
                number=number,
            )
            for place, number in enumerate(run)
            if inside[..., place].any()
        )

    def next(self, prediction: WindowedPrediction, prompt: Prompt) -> WindowedPrediction:
        """Predict again after one more prompt, at the slices that it concerns."""
        groups = {group.number: group for group in cast("tuple[SliceGroup, ...]", prediction)}
        numbers = self._all(groups) if isinstance(prompt, TextPrompt) else self._concerned(prompt)
        self._stacks.clear()
        for done, number in enumerate(numbers):
            earlier = groups.get(number)
            prompts = earlier.prompts.with_(prompt) if earlier is not None else PromptSet((prompt,))
            groups[number] = self._group(number, prompts, earlier, share=done / len(numbers))
        return tuple(groups[number] for number in sorted(groups))

    def _all(self, groups: Mapping[int, SliceGroup]) -> list[int]:
        return sorted(groups) or list(range(self.volume.grid.shape[2]))

    def _concerned(self, prompt: Placed) -> list[int]:
        """The slice of a click, or those in whose middle a box cuts the image; the nearest one if a box cuts none."""
        grid = self.volume.grid
        if not isinstance(prompt, BoxPrompt):
            return [grid.voxel_of(center_of(prompt))[2]]
        corners = grid.to_ijk(prompt.box.corners_ras)
        first, last = np.ceil(corners[:, 2].min() - _TOUCH), np.floor(corners[:, 2].max() + _TOUCH)
        crossed = range(max(0, int(first)), min(grid.shape[2] - 1, int(last)) + 1)
        size = np.asarray(grid.shape[:2])
        cuts = {number: cross_section(corners, number).reshape(2, 2) for number in crossed}
        met = [number for number, (low, high) in cuts.items() if (low < size - 0.5).all() and (high > -0.5).all()]
        return met or [grid.voxel_of(prompt.box.center)[2]]

    def _group(self, number: int, prompts: PromptSet, earlier: SliceGroup | None, *, share: float) -> SliceGroup:
        """What a slice answers to its prompts; far outside everywhere while there are only background clicks."""
        known = self._known.get((number, prompts))
        if known is not None:
            return known
        window = self._window(range(number, number + 1))
        if prompts.initial_mask is None and all(is_background(prompt) for prompt in prompts.prompts):
            nowhere = np.broadcast_to(np.float32(FAR_OUTSIDE), window.shape)
            return SliceGroup(prompts, LogitLayer(window, nowhere), number=number)
        if self.model.spec.window.shape[2] > 1:
            layer, low_res = self._mean(window, prompts, number=number, share=share), None
        else:
            layer, low_res = self._predict_slices(range(number, number + 1), prompts, self._prior(earlier), share=share)
        if self.local and earlier is not None:
            layer = _held_back(layer, earlier, prompts)
        group = SliceGroup(
            prompts, layer, number=number, low_res=low_res, keeps_pieces=bool(prompts.boxes or prompts.texts)
        )
        self._known[number, prompts] = group
        return group

    def _prior(self, earlier: SliceGroup | None) -> Float32 | None:
        if earlier is None:
            return None
        if earlier.low_res is None and earlier.prompts.initial_mask is not None:
            return self.model.to_low_res(earlier.base.logits)
        return earlier.low_res

    def _mean(self, window: Grid, prompts: PromptSet, *, number: int, share: float) -> LogitLayer:
        """The mean over the stacks that hold a slice; a stack is looked at once for slices with the same prompts."""
        depth, count = self.model.spec.window.shape[2], self.volume.grid.shape[2]
        quick = self.quick or not self.model.spec.window.overlapping
        found = []
        for stack in stacks_over(count, (number, number), size=depth, quick=quick):
            if (stack, prompts) not in self._stacks:
                self._stacks[stack, prompts], _ = self._predict_slices(stack, prompts, None, share=share)
            found.append((self._stacks[stack, prompts], number - stack.start))
        # Slices come in ascending order, so that what ends here is not asked for again.
        self._stacks = {key: layer for key, layer in self._stacks.items() if key[0].stop > number + 1}
        mean = np.mean([1 / (1 + np.exp(-layer.logits[..., place, None])) for layer, place in found], axis=0)
        bounded = np.clip(mean, _LEAST_PROBABILITY, 1 - _LEAST_PROBABILITY)
        qualities = [layer.quality for layer, _ in found if layer.quality is not None]
        quality = float(np.mean(qualities)) if qualities else None
        return LogitLayer(window, np.log(bounded / (1 - bounded)).astype(np.float32), quality)

    def _predict_slices(
        self, numbers: range, prompts: PromptSet, prior: Float32 | None, *, share: float
    ) -> tuple[LogitLayer, Float32]:
        """What the network says of adjacent slices: on their own voxels, and as it gave it."""
        window = self._window(numbers)
        embedding = self.calls.embedding(window, lambda: self._sampled(numbers), share=share)
        decoded = self.calls.decode(embedding, encode_prompts(prompts, window), prior, share=share)
        logits = self.model.to_voxels(decoded.low_res_logits, window.shape)
        return LogitLayer(window, logits, decoded.quality), decoded.low_res_logits

    def _sampled(self, numbers: range) -> Float32:
        held = np.clip(numbers, 0, self.volume.grid.shape[2] - 1)
        return with_background(np.asarray(self.volume.array[:, :, held], dtype=np.float32))

    def _window(self, numbers: range) -> Grid:
        """The grid of adjacent slices; it may reach beyond the volume, where the first or last slice is repeated."""
        columns, rows, _ = self.volume.grid.shape
        return self.volume.grid.cropped((0, 0, numbers.start), (columns, rows, numbers.stop))


def _held_back(layer: LogitLayer, earlier: SliceGroup, prompts: PromptSet) -> LogitLayer:
    """The answer after the last prompt near it, the one before it elsewhere in the slice."""
    before = earlier.base.logits
    reach = reach_of(prompts.prompts[-1], earlier.prompts, before, layer.window)
    if reach is None:
        return layer
    click, new, cells = prompts.prompts[-1], layer.logits, layer.cells
    if isinstance(click, Click) and points_at_its_change(click, earlier.prompts):
        change = connected_change(click, new, before, cells)
        new = new if change is None else change.kept_to(new, before, cells)
    return replace(layer, logits=mixed(new, before, reach.weights(layer.window)))


def _firm(inside: NDArray[np.bool_]) -> Float32:
    return np.where(inside, INITIAL_LOGIT, -INITIAL_LOGIT).astype(np.float32)
