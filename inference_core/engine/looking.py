"""From one set of prompts to the next: which windows to look through, and what the model sees in them.

A look is a pure function of the look before it and of the prompts so far. A session therefore replays the prompts of a
set one after another, as they would have been clicked, and keeps what each prefix gave: undo is exact, and moving an
earlier prompt decodes only from there on, in windows whose embeddings are still cached.

Prompts too far apart for one window are looked at in parts; the answer is the union.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from inference_core.engine.cache import EmbeddingCache
from inference_core.engine.windows import candidate_windows, grown, holds, tiles_over, touched_faces
from inference_core.geometry.grid import Float, Grid
from inference_core.geometry.sampling import lay_onto, rescaled, sample_window
from inference_core.geometry.volume import Volume
from inference_core.models.interface import Decoded, Embedding, Float32, PromptableModel, WindowImage
from inference_core.models.spec import Padding, PromptKind
from inference_core.prompts.encoding import encode_prompts
from inference_core.prompts.prompt_set import BoxPrompt, Click, Prompt, PromptSet

Notify = Callable[[str, float], None]
FAR_OUTSIDE = -20.0
INITIAL_LOGIT = 4.0
_LEAST_AGREEMENT = 0.8
_REFINE_BEYOND = 3.0
_MOST_TILES = 27
_SAME_BELOW = 0.005
_USUAL_EDGE_MM = 96.0


@dataclass(frozen=True, eq=False)
class Layer:
    """Low-res logits over a window."""

    window: Grid
    logits: Float32
    quality: float | None = None


@dataclass(frozen=True, eq=False)
class Tile:
    """A finer layer on the boundary, and the coarse mask (16, 16, 16) under it that it was decoded from."""

    layer: Layer
    under: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Part:
    """What one group of prompts led to: the chosen layer, the other scales, and finer tiles along the boundary.

    `settled` is the window that widening was tried on and refused; it is not tried there again. `keeps_pieces`: none of
    its mask's pieces is dropped for holding no click.
    """

    prompts: PromptSet
    base: Layer
    scales: tuple[Layer, ...] = ()
    tiles: tuple[Tile, ...] = ()
    settled: Grid | None = None
    keeps_pieces: bool = False

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The base and its tiles."""
        return (self.base, *(tile.layer for tile in self.tiles))


Look = tuple[Part, ...]


@dataclass
class Clock:
    """Seconds spent encoding and decoding since it was made."""

    encode: float = 0.0
    decode: float = 0.0


class Looker:
    """Looks at one volume with one model; embeddings come from a cache."""

    def __init__(
        self,
        volume: Volume,
        model: PromptableModel,
        cache: EmbeddingCache,
        *,
        refine: bool = True,
        edge_mm: float | None = None,
        notify: Notify,
    ) -> None:
        self.volume, self.model, self.cache = volume, model, cache
        self.refine, self.edge_mm, self.notify = refine, edge_mm, notify
        self.clock = Clock()

    def start(self, mask: Volume) -> Look:
        """The look that an initial mask stands for; nothing is encoded yet."""
        prompts = PromptSet(initial_mask=mask)
        (window,) = self._windows(prompts)
        inside = lay_onto((mask.array != 0).astype(np.float32), mask.grid, window, outside=0.0)
        return (Part(prompts, Layer(window, INITIAL_LOGIT * (2 * inside - 1))),)

    def next(self, look: Look, prompt: Prompt) -> Look:
        """Look again after one more prompt."""
        joined = self._part_for(look, prompt)
        if joined is None:
            return (*look, self._finished(self._first(PromptSet((prompt,)))))
        return tuple(
            self._finished(self._again(part, prompt)) if self._concerns(part, prompt, part is joined) else part
            for part in look
        )

    def _part_for(self, look: Look, prompt: Prompt) -> Part | None:
        """The part a prompt belongs to: the nearest whose window can hold it too; None starts a new one."""
        if isinstance(prompt, Click) and not prompt.positive:
            return min(look, key=lambda part: part.base.window.distance_outside(prompt.ras), default=None)
        reachable = [part for part in look if self._window_for(part, part.prompts.with_(prompt)) is not None]
        point = _place_of(prompt)
        return min(reachable, key=lambda part: part.base.window.distance_outside(point), default=None)

    @staticmethod
    def _concerns(part: Part, prompt: Prompt, joined: bool) -> bool:
        if joined or not isinstance(prompt, Click) or prompt.positive:
            return joined
        return part.base.window.contains(prompt.ras)

    def _first(self, prompts: PromptSet) -> Part:
        windows = self._windows(prompts)
        scales = tuple(self._decode(prompts, window, None, step=(n, len(windows))) for n, window in enumerate(windows))
        return Part(prompts, self._best(scales, prompts), scales)

    def _again(self, part: Part, prompt: Prompt) -> Part:
        prompts = part.prompts.with_(prompt)
        if not self._is_read(prompt):
            return replace(part, prompts=prompts)
        window = self._window_for(part, prompts)
        if isinstance(prompt, BoxPrompt) or window is None:
            (window,) = self._windows(prompts)[-1:]
        base = self._decode(prompts, window, self._prior(part.base, window))
        if len(part.prompts.prompts) == 1 and part.scales:
            base = self._best((base, *self._neighbouring_scales(part, prompts)), prompts)
        return replace(part, prompts=prompts, base=base)

    def _neighbouring_scales(self, part: Part, prompts: PromptSet) -> tuple[Layer, ...]:
        """The next finer and coarser scale of the first click, asked again now that a second one tells more."""
        windows = [layer.window for layer in part.scales]
        finer = [window for window in windows if window.spacing[0] < 0.99 * part.base.window.spacing[0]]
        coarser = [window for window in windows if window.spacing[0] > 1.01 * part.base.window.spacing[0]]
        held = [window for window in finer[-1:] + coarser[:1] if holds(window, prompts)]
        return tuple(self._decode(prompts, window, None) for window in held)

    def _window_for(self, part: Part, prompts: PromptSet) -> Grid | None:
        """The part's window if it holds the prompts, else the next of its scales that does, else a nominal one."""
        if holds(part.base.window, prompts):
            return part.base.window
        wider = [layer.window for layer in part.scales if layer.window.spacing > part.base.window.spacing]
        held = next((window for window in wider if holds(window, prompts)), None)
        if held is not None:
            return held
        window = self._windows(prompts)[0]
        return window if window.spacing[0] <= self.model.spec.window.spacings[-1] * 1.01 else None

    def _windows(self, prompts: PromptSet) -> tuple[Grid, ...]:
        return candidate_windows(prompts, self.model.spec.window, self.volume.grid, edge_mm=self.edge_mm)

    @staticmethod
    def _best(scales: tuple[Layer, ...], prompts: PromptSet) -> Layer:
        """The layer the model thinks best of, less for each click that it contradicts, and less for a wide window."""
        return max(scales, key=lambda layer: (layer.quality or 0.0) * _obedience(layer, prompts) * _usual(layer.window))

    def _finished(self, part: Part) -> Part:
        part = self._grown(part)
        return replace(part, tiles=self._tiles(part)) if self.refine else part

    def _grown(self, part: Part) -> Part:
        """Widen the window while the mask runs into its faces and the wider answer agrees with the narrower one."""
        spec = self.model.spec.window
        while self._runs_into_a_face(part):
            window = grown(part.base.window, spec, _centre_of(part.base), part.prompts)
            if window is None:
                return replace(part, settled=part.base.window)
            wider = self._decode(part.prompts, window, self._prior(part.base, window))
            if _agreement(part.base, wider) < _LEAST_AGREEMENT:
                return replace(part, settled=part.base.window)
            part = replace(part, base=wider)
        return part

    def _runs_into_a_face(self, part: Part) -> bool:
        if part.prompts.boxes or part.settled == part.base.window:
            return False
        return touched_faces(part.base.logits > 0, part.base.window, self.volume.grid)

    def _tiles(self, part: Part) -> tuple[Tile, ...]:
        """The boundary looked at again at the fine spacing, where the base window is much coarser than the voxels.

        Without a click in it, a tile is told what to segment by the base's answer alone: only to a model that reads it.
        """
        base = part.base
        if PromptKind.MASK not in self.model.spec.prompt_kinds:
            return ()
        fine = max(self.model.spec.window.spacings[0], self.volume.grid.voxel_volume_mm3 ** (1 / 3))
        if base.window.spacing[0] < _REFINE_BEYOND * fine or not (base.logits > 0).any():
            return ()
        under = {window: _coarse_mask(base, window) for window in self._tile_windows(part, fine)}
        crossed = {window: mask for window, mask in under.items() if mask.any() and not mask.all()}
        if len(crossed) > _MOST_TILES:
            return ()
        earlier = {tile.layer.window: tile for tile in part.tiles}
        steps = [(n, len(crossed)) for n in range(len(crossed))]
        return tuple(
            self._tile(part, window, mask, earlier.get(window), step=step)
            for (window, mask), step in zip(crossed.items(), steps, strict=True)
        )

    def _tile_windows(self, part: Part, fine: float) -> tuple[Grid, ...]:
        """Tiles over the mask; those there already are kept as long as they cover it, since they are encoded."""
        inside = part.base.logits > 0
        scale = np.asarray(part.base.window.shape) / np.asarray(inside.shape)
        voxels = (np.argwhere(inside) + 0.5) * scale - 0.5
        kept = tuple(tile.layer.window for tile in part.tiles)
        if kept and all(any(window.contains(point) for window in kept) for point in _outermost(part.base, voxels)):
            return kept
        spacing = max(fine, part.base.window.spacing[0] / 2)
        return tiles_over(voxels.min(axis=0), voxels.max(axis=0), part.base.window, spacing=spacing)

    def _tile(
        self, part: Part, window: Grid, under: NDArray[np.bool_], earlier: Tile | None, *, step: tuple[int, int]
    ) -> Tile:
        point = _place_of(part.prompts.prompts[-1])
        if earlier is not None and (earlier.under != under).mean() < _SAME_BELOW and not window.contains(point):
            return earlier
        return Tile(self._decode(part.prompts, window, self._prior(part.base, window), step=step), under)

    def _prior(self, layer: Layer, window: Grid) -> Float32:
        if window == layer.window:
            return layer.logits
        target = window if layer.logits.shape == layer.window.shape else rescaled(window, layer.logits.shape)
        return lay_onto(layer.logits, layer.window, target, outside=-INITIAL_LOGIT)

    def _decode(
        self, prompts: PromptSet, window: Grid, prior: Float32 | None, *, step: tuple[int, int] = (0, 1)
    ) -> Layer:
        embedding = self._embedding(window, step=step)
        started = perf_counter()
        decoded: Decoded = self.model.decode(embedding, encode_prompts(prompts, window), prior)
        self.clock.decode += perf_counter() - started
        return Layer(window, decoded.low_res_logits, decoded.quality)

    def _embedding(self, window: Grid, *, step: tuple[int, int]) -> Embedding:
        embedding = self.cache.get(window)
        if embedding is None:
            self.notify("encoding", step[0] / step[1])
            started = perf_counter()
            embedding = self.model.encode(WindowImage(self._sampled(window), window))
            self.cache.put(embedding)
            self.clock.encode += perf_counter() - started
        self.notify("decoding", step[0] / step[1])
        return embedding

    def _sampled(self, window: Grid) -> Float32:
        padding, scale = self.model.spec.window.padding, self.model.spec.hounsfield
        beyond = scale.mean if padding is Padding.MEAN and scale is not None else 0.0
        return sample_window(self.volume, window, reflect=padding is Padding.REFLECT, beyond=beyond)

    def _is_read(self, prompt: Prompt) -> bool:
        """Whether the model itself reads a prompt; what it does not read changes none of its answers."""
        background = isinstance(prompt, Click) and not prompt.positive
        return not background or PromptKind.NEGATIVE_CLICK in self.model.spec.prompt_kinds


def _place_of(prompt: Prompt) -> Float:
    return np.asarray(prompt.ras) if isinstance(prompt, Click) else prompt.box.centre


def _usual(window: Grid) -> float:
    """How usual it is to mean a target that needs so wide a window: a click in a head seldom means the head.

    The exponent was chosen on real images that training never saw: without it the head was taken for two brain lesions.
    """
    return float(max(1.0, max(window.shape) * window.spacing[0] / _USUAL_EDGE_MM) ** -0.3)


def _obedience(layer: Layer, prompts: PromptSet) -> float:
    """Share of the clicks in the window that the thresholded logits agree with; 1 when there are none."""
    cells = rescaled(layer.window, layer.logits.shape)
    inside = [click for click in prompts.clicks if cells.contains(click.ras)]
    agreed = [(layer.logits[cells.voxel_of(click.ras)] > 0) == click.positive for click in inside]
    return float(np.mean(agreed)) if agreed else 1.0


def _agreement(inner: Layer, wider: Layer) -> float:
    """Dice of two answers inside the narrower one's window."""
    ours = inner.logits > 0
    theirs = lay_onto(wider.logits, wider.window, rescaled(inner.window, ours.shape), outside=FAR_OUTSIDE) > 0
    return float(2 * (ours & theirs).sum() / max(1, ours.sum() + theirs.sum()))


def _centre_of(layer: Layer) -> Float:
    voxels = np.argwhere(layer.logits > 0)
    return rescaled(layer.window, layer.logits.shape).to_ras((voxels.min(axis=0) + voxels.max(axis=0)) / 2)


def _coarse_mask(base: Layer, tile: Grid) -> NDArray[np.bool_]:
    small = rescaled(tile, (16, 16, 16))
    return np.asarray(lay_onto(base.logits, base.window, small, outside=FAR_OUTSIDE) > 0)


def _outermost(base: Layer, voxels: Float) -> Float:
    """The first and last of some window voxels along each axis, in RAS mm."""
    ends = [voxels[pick(voxels[:, axis])] for axis in range(3) for pick in (np.argmin, np.argmax)]
    return base.window.to_ras(np.array(ends))
