"""Each row's prompts, and what a model answers to them.

A model of slices is told of a target in every slice that shows it: points are drawn in each, and its first clicks too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from inference_core.evaluation.starts import box_around
from inference_core.evaluation.tables.definitions import Prompting, Setting
from inference_core.geometry.grid import Grid
from inference_core.geometry.slices import slice_axis
from inference_core.models.spec import Layout, ModelSpec, PromptKind
from inference_core.prompts.prompt_set import BoxPrompt, Click, PromptSet

Mask = NDArray[np.bool_]
Segment = Callable[[PromptSet], Mask]
_NEEDED = {
    Prompting.AUTOMATIC: PromptKind.NONE,
    Prompting.POINTS: PromptKind.POSITIVE_CLICK,
    Prompting.CLICKS: PromptKind.NEGATIVE_CLICK,
    Prompting.BOX: PromptKind.BOX,
}


def is_for(setting: Setting, spec: ModelSpec) -> bool:
    """Whether a model can be prompted in a row's way."""
    return _NEEDED[setting.prompting] in spec.accepted_kinds


def answers(
    settings: Sequence[Setting], segment: Segment, target: Mask, grid: Grid, *, spec: ModelSpec, seed: int
) -> Iterator[tuple[Setting, Mask]]:
    """Rows with their answers (i, j, k) to one target, automatic rows aside; what is drawn depends on the seed alone.

    Raises:
        PromptError: the target is empty.
    """
    by_slice = spec.window.layout is Layout.SLICES
    clicked = [setting for setting in settings if setting.prompting is Prompting.CLICKS]
    for setting in settings:
        if setting.prompting is Prompting.POINTS:
            clicks = points(target, grid, count=setting.count, by_slice=by_slice, rng=np.random.default_rng(seed))
            yield setting, segment(PromptSet(clicks))
        elif setting.prompting is Prompting.BOX:
            yield setting, segment(PromptSet((BoxPrompt(box_around(target, grid, margin=setting.margin)),)))
    if clicked:
        yield from _clicked(clicked, segment, target, grid, by_slice=by_slice, seed=seed)


def points(target: Mask, grid: Grid, *, count: int, by_slice: bool, rng: np.random.Generator) -> tuple[Click, ...]:
    """So many voxels anywhere in a target, one perhaps twice; `by_slice`, in each slice that shows it."""
    held = np.argwhere(target)
    axis = slice_axis(grid)
    runs = [held[held[:, axis] == n] for n in np.unique(held[:, axis])] if by_slice else [held]
    return tuple(_click(run[rng.integers(len(run))], grid) for run in runs for _ in range(count))


def _clicked(
    settings: Sequence[Setting], segment: Segment, target: Mask, grid: Grid, *, by_slice: bool, seed: int
) -> Iterator[tuple[Setting, Mask]]:
    """The rows of clicks on errors, the longest of which holds the others; a perfect answer stands for later ones."""
    rng = np.random.default_rng(seed)
    prompts = PromptSet(points(target, grid, count=1, by_slice=by_slice, rng=rng))
    answer = segment(prompts)
    for number in range(1, max(setting.count for setting in settings) + 1):
        if number > 1 and (wrong := np.argwhere(answer ^ target)).size:
            cell = wrong[rng.integers(len(wrong))]
            prompts = prompts.with_(_click(cell, grid, positive=bool(target[tuple(cell)])))
            answer = segment(prompts)
        yield from ((setting, answer) for setting in settings if setting.count == number)


def _click(cell: NDArray[np.int64], grid: Grid, *, positive: bool = True) -> Click:
    r, a, s = grid.to_ras(cell)
    return Click((float(r), float(a), float(s)), positive)
