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
from inference_core.engine.history import KeptLooks, PackedMask, Step
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
DEFAULT_LOOK_BYTES = 256 * 1024**2


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
    low_res_logits: Float32 | None
    window: Grid
    quality: float | None
    changed: Extent | None
    seconds: Seconds


class Session:
    """Segments one target in one volume; every change of the prompts is a step that can be undone.

    `cache` may be shared by sessions on the same volume with the same model. `keep_steps` bounds the history for
    callers that keep one of their own: older steps can no longer be undone. `look_bytes` bounds the memory of logits:
    older ones are found again by looking again where they are needed. `quick` matters to models of stacks of slices
    only: each slice is then seen in one stack, not in all that hold it. `window_mm` says how far to look around clicks
    (the edge of the first window); by itself the session tries several widths. It does not matter to models of slices.

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
        window_mm: float | None = None,
        cache: EmbeddingCache | None = None,
        keep_steps: int | None = None,
        look_bytes: int = DEFAULT_LOOK_BYTES,
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
            self._looker = Looker(volume, model, self.cache, refine=refine, edge_mm=window_mm, notify=notify)
        self._kept = KeptLooks(look_bytes)
        self._history: list[Step] = [Step(PromptSet(), PackedMask.of(EMPTY))]
        self._undone: list[Step] = []
        self._shown = EMPTY

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

    @property
    def held_bytes(self) -> int:
        """Memory of the logits and the masks that the session remembers, embeddings aside."""
        masks = (step.mask for step in (*self._history, *self._undone))
        return self._kept.nbytes + sum(len(mask.bits) for mask in masks)

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
            look = self._look(prompts)
            mask = cut(look, prompts, self.volume, self.options)
        self._history.append(_step(prompts, look, mask))
        self._undone.clear()
        if self._keep_steps is not None:
            del self._history[1 : -self._keep_steps]
        return self._prediction(mask, started)

    def undo(self) -> Prediction | None:
        """Take the newest step back; None when that leaves no answer.

        Raises:
            PromptError: there is nothing to undo.
        """
        if not self.can_undo:
            raise PromptError("There is nothing to undo.")
        started = perf_counter()
        self._undone.append(self._history.pop())
        self._looker.clock = Clock()
        if len(self._history) == 1:
            self._shown = EMPTY
            return None
        return self._prediction(self._history[-1].mask.patch(), started)

    def redo(self) -> Prediction:
        """Bring back the step that was undone last.

        Raises:
            PromptError: there is nothing to redo.
        """
        if not self._undone:
            raise PromptError("There is nothing to redo.")
        started = perf_counter()
        self._history.append(self._undone.pop())
        self._looker.clock = Clock()
        return self._prediction(self._history[-1].mask.patch(), started)

    def set_threshold(self, threshold: float) -> Prediction:
        """Cut the current answer at another logit, without the model; replaces the newest step's mask.

        Raises:
            PromptError: there is no answer yet.
        """
        if not self.can_undo:
            raise PromptError("There is no mask yet; place a click on the target first.")
        started = perf_counter()
        self._looker.clock = Clock()
        prompts = self._history[-1].prompts
        with told_when_memory_runs_out(self.model.device):
            look = self._look(prompts)
            options = replace(self.options, threshold=float(threshold))
            mask = cut(look, prompts, self.volume, options)
        self.options = options
        self._history[-1] = _step(prompts, look, mask)
        return self._prediction(mask, started)

    def _look(self, prompts: PromptSet) -> Look:
        """The look after all prompts in turn, going on from the longest run of them whose look is still kept."""
        turn = _in_turn(prompts)
        runs = [PromptSet(turn[:count], prompts.initial_mask) for count in range(len(turn) + 1)]
        known = ((count, kept) for count, run in reversed([*enumerate(runs)]) if (kept := self._kept.get(run)))
        count, look = next(known, (0, ()))
        if not look and prompts.initial_mask is not None:
            look = self._looker.start(prompts.initial_mask)
            self._kept.put(runs[0], look)
        for prompt, run in zip(turn[count:], runs[count + 1 :], strict=True):
            look = self._looker.next(look, prompt)
            self._kept.put(run, look)
        return look

    def _check_kinds(self, prompts: PromptSet) -> None:
        kinds = self.model.spec.accepted_kinds
        if PromptKind.NEGATIVE_CLICK not in kinds and any(not click.positive for click in prompts.clicks):
            raise PromptError(f"{self.model.spec.title} takes no background clicks; choose another model.")
        if PromptKind.POSITIVE_CLICK not in kinds and any(click.positive for click in prompts.clicks):
            raise PromptError(f"{self.model.spec.title} takes no clicks; draw a box around the target.")

    def _prediction(self, mask: MaskPatch, started: float) -> Prediction:
        """The newest step as an answer, of which `mask` is the unpacked mask."""
        step, before, self._shown = self._history[-1], self._shown, mask
        assert step.window is not None, "every step but the first has one"
        look = self._kept.get(PromptSet(_in_turn(step.prompts), step.prompts.initial_mask))
        return Prediction(
            prompts=step.prompts,
            mask=mask,
            low_res_logits=look[0].base.logits if look else None,
            window=step.window,
            quality=step.quality,
            changed=changed_extent(before, mask),
            seconds=Seconds(self._looker.clock.encode, self._looker.clock.decode, perf_counter() - started),
        )


def _step(prompts: PromptSet, look: Look, mask: MaskPatch) -> Step:
    qualities = [part.base.quality for part in look if part.base.quality is not None]
    quality = float(np.mean(qualities)) if qualities else None
    return Step(prompts, PackedMask.of(mask), look[0].base.window, quality)


def _in_turn(prompts: PromptSet) -> tuple[Prompt, ...]:
    """The prompts as they are looked at: something that says where the target is comes first."""
    telling = [n for n, prompt in enumerate(prompts.prompts) if not isinstance(prompt, Click) or prompt.positive]
    if prompts.initial_mask is not None or not telling or telling[0] == 0:
        return prompts.prompts
    first = telling[0]
    return (prompts.prompts[first], *prompts.prompts[:first], *prompts.prompts[first + 1 :])
