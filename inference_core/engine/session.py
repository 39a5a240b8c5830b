"""The one class with changing state: a volume, a model, and the history of what was asked and answered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from time import perf_counter
from typing import cast

import numpy as np

from inference_core.engine.cache import EmbeddingCache
from inference_core.engine.composing import EMPTY, CutOptions, MaskPatch, changed_extent, cut
from inference_core.engine.device import told_when_memory_runs_out
from inference_core.engine.looking import Clock, Look, Looker
from inference_core.engine.slicing import SliceLooker
from inference_core.errors import PromptError
from inference_core.geometry.grid import Grid
from inference_core.geometry.volume import Volume
from inference_core.models.interface import Float32, PromptableModel, SliceModel
from inference_core.models.spec import Layout, PromptKind
from inference_core.prompts.prompt_set import Click, Prompt, PromptSet

Extent = tuple[tuple[int, int, int], tuple[int, int, int]]
DEFAULT_CACHE_BYTES = 512 * 1024**2


@dataclass(frozen=True)
class Seconds:
    """Where the time of one answer went."""

    encode: float
    decode: float
    total: float


@dataclass(frozen=True, eq=False)
class Prediction:
    """One answer.

    mask on the volume's voxels; the prompts it answers; logits (d, h, w) and their window (of the first part, where
    prompts lie far apart or on several slices); the model's own estimate of the IoU, the mean over the parts, if it has
    one; the voxels that differ from the answer before (start, stop), None if none do.
    """

    prompts: PromptSet
    mask: MaskPatch
    low_res_logits: Float32
    window: Grid
    quality: float | None
    changed: Extent | None
    seconds: Seconds


@dataclass(frozen=True, eq=False)
class Step:
    """One entry of the history: prompts, the looks after each of them in turn, and the mask cut from the last."""

    prompts: PromptSet
    looks: tuple[Look, ...]
    mask: MaskPatch = EMPTY


_NOTHING = Step(PromptSet(), ((),))


class Session:
    """Segments one target in one volume; every change of the prompts is a step that can be undone.

    `cache` may be shared by sessions on the same volume with the same model. `keep_steps` bounds the history for callers
    that keep one of their own: older steps can no longer be undone. `quick` matters to models of stacks of slices only:
    each slice is then seen in one stack, not in all that hold it.

    A call that raises, or is cancelled by `notify` raising `Cancelled`, leaves the session as it was.
    Not thread-safe: all calls come from one thread.
    """

    def __init__(
        self,
        volume: Volume,
        model: PromptableModel,
        *,
        options: CutOptions | None = None,
        refine: bool = True,
        quick: bool = False,
        cache: EmbeddingCache | None = None,
        keep_steps: int | None = None,
        notify: Callable[[str, float], None] = lambda stage, fraction: None,
    ) -> None:
        self.volume, self.model = volume, model
        self.options = options or CutOptions()
        self.cache = cache if cache is not None else EmbeddingCache(DEFAULT_CACHE_BYTES)
        self._keep_steps = keep_steps
        self._looker: Looker | SliceLooker
        if model.spec.window.layout is Layout.SLICES:
            self._looker = SliceLooker(volume, cast("SliceModel", model), self.cache, quick=quick, notify=notify)
        else:
            self._looker = Looker(volume, model, self.cache, refine=refine, notify=notify)
        self._history: list[Step] = [_NOTHING]
        self._undone: list[Step] = []

    @property
    def prompts(self) -> PromptSet:
        """The prompts of the current answer."""
        return self._history[-1].prompts

    @property
    def can_undo(self) -> bool:
        """Whether there is an earlier answer."""
        return len(self._history) > 1

    @property
    def can_redo(self) -> bool:
        """Whether an answer was undone."""
        return bool(self._undone)

    def predict(self, prompts: PromptSet) -> Prediction:
        """Answer a set of prompts and make it the newest step.

        Raises:
            PromptError: the prompts cannot be used on this volume or with this model.
            VolumeError: the window meets voxels that are not finite.
            DeviceError: the memory ran out.
        """
        started = perf_counter()
        self._looker.clock = Clock()
        self._check_kinds(prompts.checked_on(self.volume.grid, self.volume.name))
        with told_when_memory_runs_out(self.model.device):
            looks = self._looks(prompts)
            mask = cut(looks[-1], prompts, self.volume, self.options)
        before = self._history[-1].mask
        self._history.append(Step(prompts, looks, mask))
        self._undone.clear()
        if self._keep_steps is not None:
            del self._history[1 : -self._keep_steps]
        return self._prediction(before, started)

    def undo(self) -> Prediction | None:
        """Take the newest step back; None when that leaves no answer.

        Raises:
            PromptError: there is nothing to undo.
        """
        if not self.can_undo:
            raise PromptError("There is nothing to undo.")
        before = self._history.pop()
        self._undone.append(before)
        return self._prediction(before.mask, perf_counter()) if self.can_undo else None

    def redo(self) -> Prediction:
        """Bring back the step that was undone last.

        Raises:
            PromptError: there is nothing to redo.
        """
        if not self._undone:
            raise PromptError("There is nothing to redo.")
        before = self._history[-1].mask
        self._history.append(self._undone.pop())
        return self._prediction(before, perf_counter())

    def set_threshold(self, threshold: float) -> Prediction:
        """Cut the current answer at another logit, without the model; replaces the newest step's mask.

        Raises:
            PromptError: there is no answer yet.
        """
        if not self.can_undo:
            raise PromptError("There is no mask yet; place a click on the target first.")
        started = perf_counter()
        self.options = replace(self.options, threshold=float(threshold))
        step = self._history.pop()
        self._history.append(replace(step, mask=cut(step.looks[-1], step.prompts, self.volume, self.options)))
        self._looker.clock = Clock()
        return self._prediction(step.mask, started)

    def _looks(self, prompts: PromptSet) -> tuple[Look, ...]:
        """The look after each prompt, taking over those of the longest prefix that some step already has."""
        looks = self._known_looks(prompts)
        for prompt in _in_turn(prompts)[len(looks) - 1 :]:
            looks = (*looks, self._looker.next(looks[-1], prompt))
        return looks

    def _known_looks(self, prompts: PromptSet) -> tuple[Look, ...]:
        known: tuple[Look, ...] = ()
        for step in (*self._history, *self._undone):
            if step.prompts.initial_mask is prompts.initial_mask:
                shared = _shared_prefix(step.prompts, prompts)
                known = max(known, step.looks[: shared + 1], key=len)
        if known:
            return known
        return (self._looker.start(prompts.initial_mask) if prompts.initial_mask is not None else (),)

    def _check_kinds(self, prompts: PromptSet) -> None:
        kinds = self.model.spec.accepted_kinds
        if PromptKind.NEGATIVE_CLICK not in kinds and any(not click.positive for click in prompts.clicks):
            raise PromptError(f"{self.model.spec.title} takes no background clicks; choose another model.")
        if PromptKind.POSITIVE_CLICK not in kinds and any(click.positive for click in prompts.clicks):
            raise PromptError(f"{self.model.spec.title} takes no clicks; draw a box around the target.")

    def _prediction(self, before: MaskPatch, started: float) -> Prediction:
        step = self._history[-1]
        base = step.looks[-1][0].base
        qualities = [part.base.quality for part in step.looks[-1] if part.base.quality is not None]
        clock = self._looker.clock
        return Prediction(
            prompts=step.prompts,
            mask=step.mask,
            low_res_logits=base.logits,
            window=base.window,
            quality=float(np.mean(qualities)) if qualities else None,
            changed=changed_extent(before, step.mask),
            seconds=Seconds(clock.encode, clock.decode, perf_counter() - started),
        )


def _shared_prefix(first: PromptSet, second: PromptSet) -> int:
    count = 0
    for a, b in zip(_in_turn(first), _in_turn(second), strict=False):
        if a != b:
            break
        count += 1
    return count


def _in_turn(prompts: PromptSet) -> tuple[Prompt, ...]:
    """The prompts as they are looked at: something that says where the target is comes first."""
    telling = [n for n, prompt in enumerate(prompts.prompts) if not isinstance(prompt, Click) or prompt.positive]
    if prompts.initial_mask is not None or not telling or telling[0] == 0:
        return prompts.prompts
    first = telling[0]
    return (prompts.prompts[first], *prompts.prompts[:first], *prompts.prompts[first + 1 :])
