"""How good a mask is after each click of a simulated user (see `prompts.simulation`), for any way to segment."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from inference_core.engine.session import Session
from inference_core.errors import PromptError
from inference_core.evaluation.metrics import dice, hausdorff95, surface_dice
from inference_core.evaluation.starts import Start
from inference_core.geometry.grid import Grid
from inference_core.geometry.mask import Mask as Mask3D
from inference_core.geometry.mask import PackedMask
from inference_core.geometry.volume import Volume
from inference_core.models.interface import PromptableModel
from inference_core.prompts.prompt_set import Click, PromptSet
from inference_core.prompts.simulation import Spacing, Voxel, deepest_voxel, next_click

Mask: TypeAlias = NDArray[np.bool_]
Segment: TypeAlias = Callable[[PromptSet], Mask]
"""Answers all prompts so far with a mask (i, j, k); called once after each prompt is added."""
FirstClick: TypeAlias = Callable[[Mask, Spacing], Voxel]
"""Chooses a voxel of a target to click first."""
PeerMethod: TypeAlias = Callable[[NDArray[Any], Spacing, Sequence[tuple[Voxel, bool]]], Mask]


@dataclass(frozen=True)
class Score:
    """Dice and surface Dice (NSD) of one answer, and the seconds it took; none where the last one was perfect."""

    dice: float
    nsd: float
    seconds: float


@dataclass(frozen=True)
class CaseResult:
    """The scores after 1, 2, ... clicks; that of what came before them, if anything did; and all prompts given.

    answer and hausdorff95_mm are of the last answer. orders: Dice between it and the answers to the same prompts in
    other orders, as many as were asked for.
    """

    scores: tuple[Score, ...]
    start: Score | None
    prompts: PromptSet
    answer: PackedMask
    hausdorff95_mm: float
    orders: tuple[float, ...] = ()


def run_case(
    segment: Segment,
    target: Mask,
    grid: Grid,
    *,
    clicks: int,
    start: Start | None = None,
    tolerance_mm: float = 2.0,
    first: FirstClick = deepest_voxel,
    orders: int = 0,
) -> CaseResult:
    """Let the simulated user segment a target (i, j, k) with a number of clicks.

    `start` gives what comes before them, which the first click then corrects; without it `first` chooses the first
    click's voxel. An answer that equals the target ends the clicking; its scores stand for the clicks that were not
    needed.

    Raises:
        PromptError: the target is empty, or no clicks are asked for.
    """
    if clicks < 1:
        raise PromptError("A case needs at least one click; ask for one or more.")
    judge = Scorer(segment, target, grid.spacing, tolerance_mm)
    prompts, answer, begun = PromptSet(), np.zeros(grid.shape, dtype=np.bool_), None
    if start is not None:
        prompts = start(target, grid)
        answer, begun = judge.answer(prompts)
    scores = [] if begun is None else [begun]
    for _ in range(clicks):
        click = correction(target, answer, grid) if scores else first_click(target, grid, first)
        if click is None:
            scores.append(replace(scores[-1], seconds=0.0))
            continue
        prompts = prompts.with_(click)
        answer, score = judge.answer(prompts)
        scores.append(score)
    distance = hausdorff95(answer, target, spacing=grid.spacing)
    others = tuple(dice(segment(shuffled), answer) for shuffled in _shuffled(prompts, orders))
    return CaseResult(tuple(scores[-clicks:]), begun, prompts, Mask3D.of(answer).pack(), distance, others)


def _shuffled(prompts: PromptSet, count: int) -> Iterator[PromptSet]:
    """The same prompts in other orders, chosen at random, the same ones every time."""
    rng = np.random.default_rng(0)
    for _ in range(count):
        yield replace(prompts, prompts=tuple(prompts.prompts[n] for n in rng.permutation(len(prompts.prompts))))


def session_segment(volume: Volume, model: PromptableModel) -> Segment:
    """Segmenting with a model, in one session."""
    session = Session(volume, model)
    return lambda prompts: session.predict(prompts).mask.on(volume.grid.shape).view(np.bool_)


def peer_segment(volume: Volume, method: PeerMethod) -> Segment:
    """Segmenting with a method of `evaluation.peers`, which sees the clicks alone."""
    grid = volume.grid

    def segment(prompts: PromptSet) -> Mask:
        clicks = [(grid.voxel_of(click.ras), click.positive) for click in prompts.clicks]
        return method(volume.array, grid.spacing, clicks)

    return segment


def first_click(target: Mask, grid: Grid, choose: FirstClick = deepest_voxel) -> Click:
    """The click that the simulated user begins with."""
    return _click_at(choose(target, grid.spacing), grid, positive=True)


def correction(target: Mask, answer: Mask, grid: Grid) -> Click | None:
    """The click on the middle of the largest error of an answer (i, j, k); None where there is none."""
    found = next_click(target, answer, grid.spacing)
    return None if found is None else _click_at(found[0], grid, positive=found[1])


def _click_at(voxel: Voxel, grid: Grid, *, positive: bool) -> Click:
    r, a, s = grid.to_ras(voxel)
    return Click((float(r), float(a), float(s)), positive)


@dataclass(frozen=True, eq=False)
class Scorer:
    """Segments, and scores what comes of it against the target."""

    segment: Segment
    target: Mask
    spacing: Spacing
    tolerance_mm: float

    def answer(self, prompts: PromptSet) -> tuple[Mask, Score]:
        started = perf_counter()
        mask = self.segment(prompts)
        seconds = perf_counter() - started
        nsd = surface_dice(mask, self.target, spacing=self.spacing, tolerance_mm=self.tolerance_mm)
        return mask, Score(dice(mask, self.target), nsd, seconds)
