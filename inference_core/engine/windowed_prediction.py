"""What prompts led to: logits over windows, and how an answer and the one before it are held together.

A windowed prediction is a tuple of groups of prompts, each answered in windows of its own; the mask is their union.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from inference_core.engine.local_correction import Counting, Reach
from inference_core.geometry.grid import Grid, corners_ijk
from inference_core.geometry.sampling import resample_onto, rescaled
from inference_core.models.interface import Float32
from inference_core.prompts.prompt_set import PromptSet

FAR_OUTSIDE = -20.0
INITIAL_LOGIT = 4.0
MOST_PATCHES = 27
_MOST_ANSWERS = 12
_MOST_CELLS = 2**20
# Each is a megabyte and more.
_MOST_KNOWN = 8


@dataclass(frozen=True, eq=False)
class LogitLayer:
    """Low-res logits over a window."""

    window: Grid
    logits: Float32
    quality: float | None = None

    @property
    def cells(self) -> Grid:
        """The grid of the logits over the window."""
        return _cells(self.window, self.logits.shape)


@dataclass(frozen=True, eq=False)
class RefinementPatch:
    """A finer layer on the boundary, and the coarse mask (16, 16, 16) under it that it was decoded from."""

    layer: LogitLayer
    under: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class PromptGroup:
    """What one group of prompts led to: the chosen layer, the other scales, and finer patches along the boundary.

    `settled` is the window that widening was tried on and refused; it is not tried there again. `keeps_pieces`: none of
    its mask's pieces is dropped for holding no click. `earlier` is the answer before, which holds where the last
    correction does not count (`reach`); where both lie in the same windows, their logits are mixed instead.
    """

    prompts: PromptSet
    base: LogitLayer
    scales: tuple[LogitLayer, ...] = ()
    patches: tuple[RefinementPatch, ...] = ()
    settled: Grid | None = None
    keeps_pieces: bool = False
    earlier: PromptGroup | None = None
    reach: Reach | None = None

    @property
    def layers(self) -> tuple[LogitLayer, ...]:
        """The base and its patches."""
        return (self.base, *(patch.layer for patch in self.patches))

    @property
    def all_layers(self) -> tuple[LogitLayer, ...]:
        """These, and those of the answers before that still hold somewhere."""
        return self.layers if self.earlier is None else (*self.layers, *self.earlier.all_layers)

    @property
    def answers_held(self) -> int:
        """How many answers it is made of."""
        return 1 if self.earlier is None else 1 + self.earlier.answers_held

    def logits_on(
        self, window: Grid, shape: tuple[int, ...], *, outside: float, known: KnownLogits | None = None
    ) -> Float32:
        """The logits on the cells of a window: of the layer that has it, else of the base; and of what holds before.

        What is `known` is not computed again.
        """
        known = KnownLogits() if known is None else known
        return known.of(self, window, shape, outside=outside)

    def own_logits_on(self, window: Grid, shape: tuple[int, ...], *, outside: float) -> Float32:
        """The same without what holds before."""
        same = (layer.logits for layer in self.layers if layer.window == window and layer.logits.shape == shape)
        own = next(same, None)
        if own is not None:
            return own
        return resample_onto(self.base.logits, self.base.window, _cells(window, shape), outside=outside)


class KnownLogits:
    """Logits of groups on windows, of which one question asks for the same ones again and again; the latest few."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[PromptGroup, Grid, tuple[int, ...], float], Float32] = OrderedDict()

    def of(self, group: PromptGroup, window: Grid, shape: tuple[int, ...], *, outside: float) -> Float32:
        """As `PromptGroup.logits_on`; not to be written to."""
        key = (group, window, shape, outside)
        if key not in self._kept:
            found = self._computed(group, window, shape, outside=outside)
            self._kept[key] = found
            while len(self._kept) > _MOST_KNOWN:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key]

    def _computed(self, group: PromptGroup, window: Grid, shape: tuple[int, ...], *, outside: float) -> Float32:
        if group.earlier is None or group.reach is None:
            return group.own_logits_on(window, shape, outside=outside)
        before = self.of(group.earlier, window, shape, outside=outside)
        counting = Counting.on(_cells(window, shape), group.reach, group.base.window)
        if counting is None:
            return before
        return counting.laid_over(before, group.own_logits_on(window, shape, outside=outside))


WindowedPrediction = tuple[PromptGroup, ...]


def held_back(after: PromptGroup, before: PromptGroup, reach: Reach, known: KnownLogits | None = None) -> PromptGroup:
    """The answer after a correction near it, the one before it elsewhere, of no more answers than there is time for."""
    known = KnownLogits() if known is None else known
    return _shortened(held_beside(after, before, reach, known), known)


def held_beside(after: PromptGroup, before: PromptGroup, reach: Reach, known: KnownLogits) -> PromptGroup:
    """The same of as many answers as there are.

    Where both lie in the same windows, logits are mixed; else the answer before is kept beside.
    """
    same_windows = {layer.window for layer in after.layers} == {layer.window for layer in before.layers}
    if not same_windows or before.earlier is not None:
        return replace(after, earlier=before, reach=reach)
    return _mixed_into(after, after, before, reach=reach, known=known)


def _shortened(group: PromptGroup, known: KnownLogits) -> PromptGroup:
    """The same, of too many answers the two oldest mixed into one."""
    return _oldest_mixed(group, known) if group.answers_held > _MOST_ANSWERS else group


def _oldest_mixed(group: PromptGroup, known: KnownLogits) -> PromptGroup:
    newer, oldest = group, group.earlier
    assert oldest is not None, "there are several answers"
    if oldest.earlier is not None:
        return replace(newer, earlier=_oldest_mixed(oldest, known))
    assert newer.reach is not None, "an answer before holds beyond the reach"
    wide = _united(oldest.base.window, newer.base.window)
    base = LogitLayer(wide, np.zeros(wide.shape, dtype=np.float32), newer.base.quality)
    patches = (*oldest.patches, *newer.patches)[-MOST_PATCHES:]
    target = replace(newer, base=base, patches=patches)
    mixture = _mixed_into(target, newer, oldest, reach=newer.reach, known=known)
    return replace(mixture, earlier=None, reach=None)


def _united(first: Grid, second: Grid) -> Grid:
    """A window over two, as fine as the finer of them, or as fine as `_MOST_CELLS` allow."""
    fine, other = (first, second) if first.spacing < second.spacing else (second, first)
    ends = fine.to_ijk(other.to_ras(corners_ijk(other.shape)))
    low = np.floor(np.minimum(ends.min(axis=0), 0)).astype(int)
    high = np.ceil(np.maximum(ends.max(axis=0) + 1, fine.shape)).astype(int)
    wide = fine.cropped(low, high)
    factor = max(1.0, (np.prod(wide.shape) / _MOST_CELLS) ** (1 / 3))
    return rescaled(wide, tuple(int(np.ceil(n / factor)) for n in wide.shape))


def _mixed_into(
    target: PromptGroup, after: PromptGroup, before: PromptGroup, *, reach: Reach, known: KnownLogits
) -> PromptGroup:
    """Two answers mixed on the windows of a group."""

    def mix(layer: LogitLayer) -> LogitLayer:
        window, shape = layer.window, layer.logits.shape
        old = known.of(before, window, shape, outside=FAR_OUTSIDE)
        counting = Counting.on(_cells(window, shape), reach, after.base.window)
        if counting is None:
            return replace(layer, logits=old)
        new = known.of(after, window, shape, outside=FAR_OUTSIDE)
        return replace(layer, logits=counting.laid_over(old, new))

    patches = tuple(replace(patch, layer=mix(patch.layer)) for patch in target.patches)
    return replace(target, base=mix(target.base), patches=patches)


def _cells(window: Grid, shape: tuple[int, ...]) -> Grid:
    return window if shape == window.shape else rescaled(window, shape)
