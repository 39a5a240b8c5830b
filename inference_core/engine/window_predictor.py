"""From one set of prompts to the next: which windows to look through, and what the model sees in them.

A windowed prediction is a pure function of the one before it and of the next prompt. A session therefore replays the
prompts of a set one after another, as they would have been clicked, and keeps what each prefix gave: undo is exact, and
moving an earlier prompt decodes only from there on, in windows whose embeddings are still cached.

Prompts too far apart for one window are answered in groups; the answer is the union.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from inference_core.engine.connected_change import connected_change
from inference_core.engine.local_correction import Reach, points_at_its_change, reach_of, reach_of_exchange
from inference_core.engine.model_calls import ModelCalls
from inference_core.engine.windowed_prediction import (
    FAR_OUTSIDE,
    INITIAL_LOGIT,
    MOST_PATCHES,
    KnownLogits,
    LogitLayer,
    PromptGroup,
    RefinementPatch,
    WindowedPrediction,
    held_back,
    held_beside,
)
from inference_core.engine.windows import (
    candidate_windows,
    grown,
    has_room,
    holds,
    touched_faces,
    window_at,
    windows_over,
)
from inference_core.geometry.grid import Float, Grid
from inference_core.geometry.mask import VoxelBox
from inference_core.geometry.sampling import resample_onto, rescaled, sample_window
from inference_core.geometry.volume import Volume
from inference_core.models.interface import Float32
from inference_core.models.spec import Padding, PromptKind
from inference_core.prompts.encoding import encode_prompts
from inference_core.prompts.prompt_set import BoxPrompt, Click, Placed, Prompt, PromptSet, center_of, is_background
from inference_core.prompts.strokes import Line
from inference_core.prompts.text import TextPrompt

_LEAST_AGREEMENT = 0.8
_REFINE_BEYOND = 3.0
# A correction is looked at where it has this much of the window's edge around it, or all that it reaches.
_ROOM_OF_EDGE = 0.3
_MOST_OF_EDGE = 0.45
_SAME_BELOW = 0.005
_USUAL_EDGE_MM = 96.0


class WindowPredictor:
    """Answers one question on a volume: made with the `calls` of that question."""

    def __init__(
        self,
        volume: Volume,
        calls: ModelCalls,
        *,
        refine: bool = True,
        edge_mm: float | None = None,
        local: bool = True,
    ) -> None:
        self.volume, self.calls = volume, calls
        self.refine, self.edge_mm, self.local = refine, edge_mm, local
        self._known = KnownLogits()

    def start(self, mask: Volume) -> WindowedPrediction:
        """The prediction that an initial mask stands for; nothing is encoded yet."""
        prompts = PromptSet(initial_mask=mask)
        (window,) = self._windows(prompts)
        inside = resample_onto((mask.array != 0).astype(np.float32), mask.grid, window, outside=0.0)
        return (PromptGroup(prompts, LogitLayer(window, INITIAL_LOGIT * (2 * inside - 1))),)

    def next(self, prediction: WindowedPrediction, prompt: Prompt) -> WindowedPrediction:
        """Predict again after one more prompt."""
        assert not isinstance(prompt, TextPrompt), "no model of windows reads texts, and the session has said so"
        joined = self._group_for(prediction, prompt)
        if joined is None:
            return (*prediction, self._expand_and_refine(self._first(PromptSet((prompt,)))))
        return tuple(
            self._corrected(group, prompt) if self._concerns(group, prompt, group is joined) else group
            for group in prediction
        )

    def exchanged(self, prediction: WindowedPrediction, old: Prompt, new: Prompt | None) -> WindowedPrediction:
        """Predict in one look what another prompt in an earlier one's place, or none, will lead to: near that.

        The answer there is stays, but for the surroundings of both; that takes the prompts after it as said. A group
        that nothing tells of any more goes.
        """
        groups = (self._exchanged(group, old, new) if old in group.prompts.prompts else group for group in prediction)
        return tuple(group for group in groups if group is not None)

    def _exchanged(self, group: PromptGroup, old: Prompt, new: Prompt | None) -> PromptGroup | None:
        index = group.prompts.prompts.index(old)
        prompts = group.prompts.without(index) if new is None else group.prompts.replaced(index, new)
        if prompts.initial_mask is None and all(is_background(prompt) for prompt in prompts.placed):
            return None
        window = self._window_for(group, prompts) or self._windows(prompts)[-1]
        base = self._decode(prompts, window, self._prior(group, window))
        after = replace(group, prompts=prompts, base=base, earlier=None, reach=None)
        after = replace(after, patches=self._with_nearest_anew(after, old if new is None else new))
        reach = reach_of_exchange(old, new) if self.local else None
        return after if reach is None else held_beside(after, group, reach, self._known)

    def _with_nearest_anew(self, group: PromptGroup, prompt: Prompt) -> tuple[RefinementPatch, ...]:
        """A group's patches, of which the one that has a prompt deepest inside is looked at again."""
        assert not isinstance(prompt, TextPrompt), "no model of windows reads texts, and the session has said so"
        point = center_of(prompt)
        holding = [patch for patch in group.patches if patch.layer.window.contains(point)]
        if not holding:
            return group.patches
        nearest = min(holding, key=lambda patch: float(np.linalg.norm(patch.layer.window.center_ras - point)))
        layer = self._decode(group.prompts, nearest.layer.window, self._prior(group, nearest.layer.window))
        return tuple(replace(patch, layer=layer) if patch is nearest else patch for patch in group.patches)

    def _group_for(self, prediction: WindowedPrediction, prompt: Placed) -> PromptGroup | None:
        """The group a prompt belongs to: the nearest whose window can hold it too; None starts a new one."""
        if is_background(prompt):
            return min(
                prediction, key=lambda group: group.base.window.distance_outside(center_of(prompt)), default=None
            )
        reachable = [group for group in prediction if self._window_for(group, group.prompts.with_(prompt)) is not None]
        point = center_of(prompt)
        return min(reachable, key=lambda group: group.base.window.distance_outside(point), default=None)

    @staticmethod
    def _concerns(group: PromptGroup, prompt: Placed, joined: bool) -> bool:
        if joined or not is_background(prompt):
            return joined
        return group.base.window.contains(center_of(prompt))

    def _corrected(self, group: PromptGroup, prompt: Placed) -> PromptGroup:
        """Answer anew, and have the answer before hold where the prompt's correction does not count."""
        prompts = group.prompts.with_(prompt)
        if not self._is_read(prompt):
            return replace(group, prompts=prompts)
        reach = self._reach(group, prompt) if self.local else None
        window = None if reach is None else self._window_around(group, reach)
        if reach is None or window is None:
            after = self._expand_and_refine(self._again(group, prompt))
        else:
            after = self._refined(self._predicted(group, prompts, window))
        if reach is None:
            return after
        if points_at_its_change(prompt, group.prompts):
            after = self._kept_to_its_change(after, group)
        return held_back(after, group, reach, self._known)

    def _kept_to_its_change(self, after: PromptGroup, before: PromptGroup) -> PromptGroup:
        """An answer to a click, but for what does not hang together with that click."""
        click, base = after.prompts.placed[-1], after.base
        assert isinstance(click, Click), "nothing else points at what it changes"
        old = self._known.of(before, base.window, base.logits.shape, outside=FAR_OUTSIDE)
        change = connected_change(click, base.logits, old, base.cells)
        if change is None:
            return after

        def kept(layer: LogitLayer) -> LogitLayer:
            was = self._known.of(before, layer.window, layer.logits.shape, outside=FAR_OUTSIDE)
            return replace(layer, logits=change.kept_to(layer.logits, was, layer.cells))

        patches = tuple(replace(patch, layer=kept(patch.layer)) for patch in after.patches)
        return replace(after, base=kept(base), patches=patches)

    def _reach(self, group: PromptGroup, prompt: Placed) -> Reach | None:
        """How far a correction counts; its distance from the surface is measured in the finest window around it."""
        holding = [layer for layer in group.layers if layer.window.contains(center_of(prompt))]
        layer = min(holding or [group.base], key=lambda layer: layer.window.spacing)
        before = self._known.of(group, layer.window, layer.logits.shape, outside=FAR_OUTSIDE)
        return reach_of(prompt, group.prompts, before, layer.window)

    def _window_around(self, group: PromptGroup, reach: Reach) -> Grid | None:
        """Where a correction is looked at: the group's window where it has room around it, else one as wide about it.

        None where the correction reaches too far for so wide a window.
        """
        window, spec = group.base.window, self.calls.spec.window
        edge = min(n * step for n, step in zip(window.shape, window.spacing, strict=True))
        if reach.full_mm > _MOST_OF_EDGE * edge:
            return None
        if has_room(window, self.volume.grid, reach.center_ras, room_mm=min(reach.full_mm, _ROOM_OF_EDGE * edge)):
            return window
        return window_at(reach.center_ras, spec, spacing=window.spacing[0], axes=window.directions)

    def _first(self, prompts: PromptSet) -> PromptGroup:
        windows = self._windows(prompts)
        scales = tuple(self._decode(prompts, window, None, step=(n, len(windows))) for n, window in enumerate(windows))
        return PromptGroup(prompts, self._best(scales, prompts), scales)

    def _again(self, group: PromptGroup, prompt: Placed) -> PromptGroup:
        """Answer anew in a window that holds all prompts."""
        prompts = group.prompts.with_(prompt)
        window = self._window_for(group, prompts)
        if isinstance(prompt, BoxPrompt | Line) or window is None:
            (window,) = self._windows(prompts)[-1:]
        return self._predicted(group, prompts, window)

    def _predicted(self, group: PromptGroup, prompts: PromptSet, window: Grid) -> PromptGroup:
        base = self._decode(prompts, window, self._prior(group, window))
        if len(group.prompts.prompts) == 1 and group.scales:
            base = self._best((base, *self._neighboring_scales(group, prompts)), prompts)
        return replace(group, prompts=prompts, base=base, earlier=None, reach=None)

    def _neighboring_scales(self, group: PromptGroup, prompts: PromptSet) -> tuple[LogitLayer, ...]:
        """The next finer and coarser scale of the first click, asked again now that a second one tells more."""
        windows = [layer.window for layer in group.scales]
        finer = [window for window in windows if window.spacing[0] < 0.99 * group.base.window.spacing[0]]
        coarser = [window for window in windows if window.spacing[0] > 1.01 * group.base.window.spacing[0]]
        held = [window for window in finer[-1:] + coarser[:1] if holds(window, prompts)]
        return tuple(self._decode(prompts, window, None) for window in held)

    def _window_for(self, group: PromptGroup, prompts: PromptSet) -> Grid | None:
        """The group's window if it holds the prompts, else the next of its scales that does, else a nominal one."""
        if holds(group.base.window, prompts):
            return group.base.window
        wider = [layer.window for layer in group.scales if layer.window.spacing > group.base.window.spacing]
        held = next((window for window in wider if holds(window, prompts)), None)
        if held is not None:
            return held
        window = self._windows(prompts)[0]
        return window if window.spacing[0] <= self.calls.spec.window.spacings[-1] * 1.01 else None

    def _windows(self, prompts: PromptSet) -> tuple[Grid, ...]:
        return candidate_windows(prompts, self.calls.spec.window, self.volume.grid, edge_mm=self.edge_mm)

    @staticmethod
    def _best(scales: tuple[LogitLayer, ...], prompts: PromptSet) -> LogitLayer:
        """The layer the model thinks best of, less for each click that it contradicts, and less for a wide window."""
        return max(
            scales,
            key=lambda layer: (layer.quality or 0.0) * _click_agreement(layer, prompts) * _width_weight(layer.window),
        )

    def _expand_and_refine(self, group: PromptGroup) -> PromptGroup:
        return self._refined(self._expand_window(group))

    def _refined(self, group: PromptGroup) -> PromptGroup:
        return replace(group, patches=self._refinement_patches(group)) if self.refine else group

    def _expand_window(self, group: PromptGroup) -> PromptGroup:
        """Widen the window while the mask runs into its faces and the wider answer agrees with the narrower one."""
        spec = self.calls.spec.window
        while self._runs_into_a_face(group):
            window = grown(group.base.window, spec, _center_of(group.base), group.prompts)
            if window is None:
                return replace(group, settled=group.base.window)
            wider = self._decode(group.prompts, window, self._prior(group, window))
            if _agreement(group.base, wider) < _LEAST_AGREEMENT:
                return replace(group, settled=group.base.window)
            group = replace(group, base=wider)
        return group

    def _runs_into_a_face(self, group: PromptGroup) -> bool:
        if group.prompts.boxes or group.settled == group.base.window:
            return False
        return touched_faces(group.base.logits > 0, group.base.window, self.volume.grid)

    def _refinement_patches(self, group: PromptGroup) -> tuple[RefinementPatch, ...]:
        """The boundary looked at again at the fine spacing, where the base window is much coarser than the voxels.

        Without a click in it, a patch is told what to segment by the base's answer alone: only for models that read it.
        """
        base = group.base
        if PromptKind.MASK not in self.calls.spec.prompt_kinds:
            return ()
        fine = max(self.calls.spec.window.spacings[0], self.volume.grid.voxel_volume_mm3 ** (1 / 3))
        if base.window.spacing[0] < _REFINE_BEYOND * fine or not (base.logits > 0).any():
            return ()
        under = {window: _coarse_mask(base, window) for window in self._patch_windows(group, fine)}
        crossed = {window: mask for window, mask in under.items() if mask.any() and not mask.all()}
        if len(crossed) > MOST_PATCHES:
            return ()
        earlier = {patch.layer.window: patch for patch in group.patches}
        steps = [(n, len(crossed)) for n in range(len(crossed))]
        return tuple(
            self._refinement_patch(group, window, mask, earlier.get(window), step=step)
            for (window, mask), step in zip(crossed.items(), steps, strict=True)
        )

    def _patch_windows(self, group: PromptGroup, fine: float) -> tuple[Grid, ...]:
        """Patches over the mask; those there already are kept as long as they cover it, since they are encoded."""
        inside = group.base.logits > 0
        scale = np.asarray(group.base.window.shape) / np.asarray(inside.shape)
        voxels = (np.argwhere(inside) + 0.5) * scale - 0.5
        kept = tuple(patch.layer.window for patch in group.patches)
        if kept and all(any(window.contains(point) for window in kept) for point in _outermost(group.base, voxels)):
            return kept
        spacing = max(fine, group.base.window.spacing[0] / 2)
        return windows_over(voxels.min(axis=0), voxels.max(axis=0), group.base.window, spacing=spacing)

    def _refinement_patch(
        self,
        group: PromptGroup,
        window: Grid,
        under: NDArray[np.bool_],
        earlier: RefinementPatch | None,
        *,
        step: tuple[int, int],
    ) -> RefinementPatch:
        point = center_of(group.prompts.placed[-1])
        if earlier is not None and (earlier.under != under).mean() < _SAME_BELOW and not window.contains(point):
            return earlier
        return RefinementPatch(self._decode(group.prompts, window, self._prior(group, window), step=step), under)

    def _prior(self, group: PromptGroup, window: Grid) -> Float32:
        return self._known.of(group, window, group.base.logits.shape, outside=-INITIAL_LOGIT)

    def _decode(
        self, prompts: PromptSet, window: Grid, prior: Float32 | None, *, step: tuple[int, int] = (0, 1)
    ) -> LogitLayer:
        share = step[0] / step[1]
        embedding = self.calls.embedding(window, lambda: self._sampled(window), share=share)
        decoded = self.calls.decode(embedding, encode_prompts(prompts, window), prior, share=share)
        return LogitLayer(window, decoded.low_res_logits, decoded.quality)

    def _sampled(self, window: Grid) -> Float32:
        padding, scale = self.calls.spec.window.padding, self.calls.spec.hounsfield
        beyond = scale.mean if padding is Padding.MEAN and scale is not None else 0.0
        return sample_window(self.volume, window, reflect=padding is Padding.REFLECT, beyond=beyond)

    def _is_read(self, prompt: Placed) -> bool:
        """Whether the model itself reads a prompt; what it does not read changes none of its answers."""
        return not is_background(prompt) or PromptKind.NEGATIVE_CLICK in self.calls.spec.prompt_kinds


def _width_weight(window: Grid) -> float:
    """How usual it is to mean a target that needs so wide a window: a click in a head seldom means the head.

    The exponent was chosen on real images that training never saw: without it the head was taken for two brain lesions,
    with a smaller one for one of them.
    """
    return float(max(1.0, max(window.shape) * window.spacing[0] / _USUAL_EDGE_MM) ** -0.4)


def _click_agreement(layer: LogitLayer, prompts: PromptSet) -> float:
    """Share of the clicks in the window that the thresholded logits agree with; 1 when there are none."""
    cells = layer.cells
    inside = [click for click in prompts.clicks if cells.contains(click.ras)]
    agreed = [(layer.logits[cells.voxel_of(click.ras)] > 0) == click.positive for click in inside]
    return float(np.mean(agreed)) if agreed else 1.0


def _agreement(inner: LogitLayer, wider: LogitLayer) -> float:
    """Dice of two answers inside the narrower one's window."""
    ours = inner.logits > 0
    theirs = resample_onto(wider.logits, wider.window, rescaled(inner.window, ours.shape), outside=FAR_OUTSIDE) > 0
    return float(2 * (ours & theirs).sum() / max(1, ours.sum() + theirs.sum()))


def _center_of(layer: LogitLayer) -> Float:
    box = VoxelBox.over(layer.logits > 0)
    assert box is not None, "a mask that runs into a face holds something"
    return layer.cells.to_ras((box.start + box.stop - 1) / 2)


def _coarse_mask(base: LogitLayer, patch: Grid) -> NDArray[np.bool_]:
    small = rescaled(patch, (16, 16, 16))
    return np.asarray(resample_onto(base.logits, base.window, small, outside=FAR_OUTSIDE) > 0)


def _outermost(base: LogitLayer, voxels: Float) -> Float:
    """The first and last of some window voxels along each axis, in RAS mm."""
    ends = [voxels[pick(voxels[:, axis])] for axis in range(3) for pick in (np.argmin, np.argmax)]
    return base.window.to_ras(np.array(ends))
