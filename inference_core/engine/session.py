"""A volume, a model, and what they have worked out so far; the answer to a set of prompts depends on nothing else."""

from __future__ import annotations

from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any, cast
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from inference_core.engine.cache import EmbeddingCache
from inference_core.engine.device import memory_errors_as_device_error
from inference_core.engine.evidence import (
    IN_THE_AIR,
    LIKE_AIR,
    Surroundings,
    believable,
    has_clear_border,
    near_clicks,
)
from inference_core.engine.mask_composition import MaskOptions, compose_mask
from inference_core.engine.model_calls import ModelCalls, Notify, silent
from inference_core.engine.prediction_cache import PredictionCache
from inference_core.engine.slice_predictor import SliceMemory, SlicePredictor
from inference_core.engine.unsure_band import compose_band
from inference_core.engine.window_predictor import WindowPredictor
from inference_core.engine.windowed_prediction import FAR_OUTSIDE, WindowedPrediction
from inference_core.errors import OptionError, PromptError
from inference_core.geometry.grid import Grid
from inference_core.geometry.mask import EMPTY, Mask, VoxelBox
from inference_core.geometry.numbers import is_number
from inference_core.geometry.sampling import extent_on
from inference_core.geometry.values import is_constant
from inference_core.geometry.volume import Volume
from inference_core.models.interface import Float32, Model, SliceModel, promptable
from inference_core.models.spec import Layout, PromptKind
from inference_core.prompts.prompt_set import Click, Prompt, PromptSet, is_background
from inference_core.prompts.strokes import Lasso, Line, Scribble
from inference_core.prompts.text import TextPrompt
from inference_core.prompts.translation import in_known_kinds

DEFAULT_CACHE_BYTES = 512 * 1024**2
DEFAULT_LOGITS_BYTES = 256 * 1024**2
_WIDEST_MM = 3000.0
_TYPES: dict[PromptKind, type[Prompt]] = {
    PromptKind.POSITIVE_CLICK: Click,
    PromptKind.LINE: Line,
    PromptKind.SCRIBBLE: Scribble,
    PromptKind.LASSO: Lasso,
}
# With fewer prompts to go through again, the answer itself is there as soon.
_LEAST_LOOKS = 3
NO_CONTRAST = "The image has one single value around the prompts, so there is nothing to segment there."


@dataclass(frozen=True)
class Seconds:
    """Where the time of one answer went."""

    encode: float
    decode: float
    total: float


@dataclass(frozen=True, eq=False)
class Prediction:
    """One answer.

    mask on the volume's voxels; the prompts it answers; logits (d, h, w) and their window (of the first group, where
    prompts lie far apart or on several slices); the model's own estimate of the IoU, the mean over the groups, if it
    has one; sentences on what the answer should be doubted for; whether it is near the answer only (`Session.preview`).
    """

    prompts: PromptSet
    mask: Mask
    low_res_logits: Float32 | None
    window: Grid
    quality: float | None
    seconds: Seconds
    cautions: tuple[str, ...] = ()
    is_preview: bool = False


class Session:
    """Segments one target in one volume. It keeps caches only: undo is asking again for earlier prompts.

    Args:
        volume: the image.
        model: what `open_model` gave, if it takes prompts.
        refine: look again, finely, at the boundary of a target in a wide window.
        quick: of models of stacks of slices, see each slice in one stack, not in all that hold it.
        window_mm: how far to look around clicks (the edge of the first window); by default several widths are tried.
            It does not matter to models of slices.
        cache: of embeddings; may be shared by sessions on the same volume with the same model.
        logits_bytes: bounds the memory of logits; older ones are worked out again where they are needed.

    Not thread-safe: all calls come from one thread.

    Raises:
        ModelError: the model takes no prompts.
        OptionError: the window is no number of mm from 1 to 3,000.
    """

    def __init__(
        self,
        volume: Volume,
        model: Model,
        *,
        refine: bool = True,
        quick: bool = False,
        window_mm: float | None = None,
        cache: EmbeddingCache | None = None,
        logits_bytes: int = DEFAULT_LOGITS_BYTES,
    ) -> None:
        if window_mm is not None and not (is_number(window_mm) and 1 <= window_mm <= _WIDEST_MM):
            raise OptionError(
                "The window is {value!r}; give a number of mm from 1 to {most:.0f}, or none.",
                value=window_mm,
                most=_WIDEST_MM,
            )
        self.volume, self.model = volume, promptable(model)
        self.cache = cache if cache is not None else EmbeddingCache(DEFAULT_CACHE_BYTES)
        self._refine, self._quick, self._window_mm = refine, quick, window_mm
        self._surroundings = Surroundings(volume)
        # By whether corrections count near themselves only.
        self._predictions = {local: PredictionCache(logits_bytes) for local in (True, False)}
        self._slices: dict[bool, SliceMemory] = {local: WeakValueDictionary() for local in (True, False)}

    @property
    def held_bytes(self) -> int:
        """Memory of the logits that the session remembers, embeddings aside."""
        return sum(cache.nbytes for cache in self._predictions.values())

    def predict(self, prompts: PromptSet, *, options: MaskOptions | None = None, notify: Notify = silent) -> Prediction:
        """Answer a set of prompts, in their order.

        A call that raises, or that `notify` stops by raising `Cancelled`, leaves the session as it was.

        Args:
            prompts: in RAS mm.
            options: how logits become a mask.
            notify: told of each step, and of the share of the work that is done.

        Raises:
            PromptError: the prompts cannot be used on this volume or with this model.
            VolumeError: the window meets voxels that are not finite.
            DeviceError: the memory ran out.
        """
        started, options = perf_counter(), options or MaskOptions()
        told = self._told(prompts)
        calls = ModelCalls(self.model, self.cache, notify)
        with memory_errors_as_device_error(self.model.device):
            found = self._replay(told, calls, local=options.local_corrections)
            return self._answer(found, prompts, options, calls=calls, started=started)

    def preview(
        self, prompts: PromptSet, *, options: MaskOptions | None = None, notify: Notify = silent
    ) -> Prediction | None:
        """An answer near to that of `predict`, from the one before, where an early prompt was moved, flipped, deleted.

        `predict` goes through all prompts after it again. Here the model looks once, around that prompt, and nothing of
        it is remembered. None where there is no such answer before, or `predict` takes hardly longer.

        Args and errors are those of `predict`.
        """
        started, options = perf_counter(), options or MaskOptions()
        told = self._told(prompts)
        turn, predictions = PromptSet(_in_turn(told), told.initial_mask), self._predictions[options.local_corrections]
        calls = ModelCalls(self.model, self.cache, notify)
        predictor = self._predictor(calls, local=options.local_corrections)
        before = predictions.but_for_one(turn)
        if before is None or not isinstance(predictor, WindowPredictor):
            return None
        if len(turn.prompts) - _known_run(turn, predictions)[0] < _LEAST_LOOKS:
            return None
        with memory_errors_as_device_error(self.model.device):
            found = predictor.exchanged(before.prediction, before.old, before.new)
            if not found:
                return None
            answer = self._answer(found, prompts, options, calls=calls, started=started)
        return replace(answer, is_preview=True)

    def unsure_band(self, prompts: PromptSet, *, options: MaskOptions | None = None, margin: float = 1.0) -> Mask:
        """The voxels that a threshold lower or higher by `margin` (in logits) would add to the mask or take from it.

        Cut from the logits of prompts that `predict` has answered: the model is not asked. Empty for prompts whose
        logits are not kept any more.

        Raises:
            OptionError: the margin is no number above zero.
        """
        if not (is_number(margin) and margin > 0):
            raise OptionError("The margin is {value!r}; give a number of logits above zero.", value=margin)
        options = options or MaskOptions()
        told = in_known_kinds(prompts, self._known_kinds())
        turn = PromptSet(_in_turn(told), told.initial_mask)
        found = self._predictions[options.local_corrections].get(turn)
        if not found:
            return EMPTY
        return compose_band(found, prompts, self.volume, options, margin=margin)

    def _replay(self, prompts: PromptSet, calls: ModelCalls, *, local: bool) -> WindowedPrediction:
        """What all prompts in turn lead to, going on from the longest run of them whose prediction is still kept."""
        predictor, predictions = self._predictor(calls, local=local), self._predictions[local]
        turn, mask = _in_turn(prompts), prompts.initial_mask
        count, found = _known_run(PromptSet(turn, mask), predictions)
        if not found and mask is not None:
            found = predictor.start(mask)
            predictions.put(PromptSet((), mask), found)
        for end in range(count, len(turn)):
            found = predictor.next(found, turn[end])
            predictions.put(PromptSet(turn[: end + 1], mask), found)
        return found

    def _told(self, prompts: PromptSet) -> PromptSet:
        """Prompts as the model reads them, checked."""
        told = in_known_kinds(prompts.checked_on(self.volume.grid, self.volume.name), self._known_kinds())
        self._check_kinds(told)
        self._check_clicked_values(prompts)
        return told

    def _answer(
        self, found: WindowedPrediction, prompts: PromptSet, options: MaskOptions, *, calls: ModelCalls, started: float
    ) -> Prediction:
        """The answer that a windowed prediction stands for."""
        seen, marked, cautions = self._seen(found, prompts, options)
        mask = compose_mask(seen, prompts, self.volume, options) if seen else EMPTY
        mask, doubt = believable(mask, prompts, self.volume)
        window = found[0].base.window
        qualities = [group.base.quality for group in found if group.base.quality is not None]
        return Prediction(
            prompts=prompts,
            mask=mask.union(marked),
            low_res_logits=found[0].logits_on(window, found[0].base.logits.shape, outside=FAR_OUTSIDE),
            window=window,
            quality=float(np.mean(qualities)) if qualities else None,
            seconds=Seconds(calls.encode_seconds, calls.decode_seconds, perf_counter() - started),
            cautions=cautions if doubt is None else (*cautions, doubt),
        )

    def _predictor(self, calls: ModelCalls, *, local: bool) -> WindowPredictor | SlicePredictor:
        if self.model.spec.window.layout is Layout.SLICES:
            model = cast("SliceModel", self.model)
            known = self._slices[local]
            return SlicePredictor(self.volume, model, calls, known=known, quick=self._quick, local=local)
        return WindowPredictor(self.volume, calls, refine=self._refine, edge_mm=self._window_mm, local=local)

    def _known_kinds(self) -> frozenset[type[Prompt]]:
        """The kinds of stroke that the model reads itself, and clicks where it is told of those."""
        kinds = self.model.spec.accepted_kinds
        return frozenset(type_ for kind, type_ in _TYPES.items() if kind in kinds)

    def _seen(
        self, found: WindowedPrediction, prompts: PromptSet, options: MaskOptions
    ) -> tuple[WindowedPrediction, Mask, tuple[str, ...]]:
        """The groups of a prediction where the image has something to see; marks, and words, for the others."""
        if prompts.initial_mask is not None:
            return found, EMPTY, ()
        seen, marks, cautions = [], EMPTY, []
        for group in found:
            if is_constant(self._values_in(group.base.window)):
                cautions.append(NO_CONTRAST)
            elif not self._surroundings.hold(group):
                seen.append(group)
            elif has_clear_border(own := compose_mask((group,), group.prompts, self.volume, options), self.volume):
                seen.append(group)
                cautions.append(LIKE_AIR)
            else:
                marks = marks.union(near_clicks(own, group.prompts, self.volume.grid))
                cautions.append(IN_THE_AIR)
        return tuple(seen), marks, tuple(dict.fromkeys(cautions))

    def _values_in(self, window: Grid) -> NDArray[Any]:
        start, stop = extent_on(window, self.volume.grid)
        return self.volume.array[VoxelBox(start, stop).slices()]

    def _check_clicked_values(self, prompts: PromptSet) -> None:
        places = np.array([click.ras for click in prompts.clicks]).reshape(-1, 3)
        values = self.volume.array[tuple(self.volume.grid.nearest_voxels(places).T)]
        if not np.isfinite(values).all():
            raise PromptError(
                "'{name}' has no value (NaN or infinite) where the click is; place it on the image.",
                name=self.volume.name,
            )

    def _check_kinds(self, prompts: PromptSet) -> None:
        kinds = self.model.spec.accepted_kinds
        if prompts.texts and PromptKind.TEXT not in kinds:
            raise PromptError(
                "{title} reads no texts with these weights; place a click, or choose weights that learned texts.",
                title=self.model.spec.title,
            )
        if PromptKind.NEGATIVE_CLICK not in kinds and any(not click.positive for click in prompts.clicks):
            raise PromptError("{title} takes no background clicks; choose another model.", title=self.model.spec.title)
        if PromptKind.POSITIVE_CLICK not in kinds and any(click.positive for click in prompts.clicks):
            raise PromptError("{title} takes no clicks; draw a box around the target.", title=self.model.spec.title)


def _known_run(turn: PromptSet, predictions: PredictionCache) -> tuple[int, WindowedPrediction]:
    """Of prompts in turn, how many first ones are known together, and what they led to."""
    # From the longest on, so that one more click costs one or two looks, however many there are.
    runs = (PromptSet(turn.prompts[:count], turn.initial_mask) for count in range(len(turn.prompts), -1, -1))
    known = ((len(run.prompts), kept) for run in runs if (kept := predictions.get(run)))
    return next(known, (0, ()))


def _in_turn(prompts: PromptSet) -> tuple[Prompt, ...]:
    """The prompts as they are answered: what says where the target is comes first, texts, which have no place, last."""
    placed = prompts.placed
    texts = tuple(prompt for prompt in prompts.prompts if isinstance(prompt, TextPrompt))
    telling = [n for n, prompt in enumerate(placed) if not is_background(prompt)]
    if prompts.initial_mask is None and not telling:
        return (*texts, *placed)
    first = telling[0] if telling and prompts.initial_mask is None else 0
    return (*placed[first : first + 1], *placed[:first], *placed[first + 1 :], *texts)
