"""Prompts as immutable values; every edit gives a new set, so that undo is keeping the old one.

All coordinates are RAS millimeters: prompts outlive any resampling of the image they were placed on.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from inference_core.errors import PromptError
from inference_core.geometry.box import Box3D
from inference_core.geometry.grid import Float, Grid
from inference_core.geometry.numbers import FARTHEST_MM, finite_numbers, is_number
from inference_core.geometry.volume import Volume
from inference_core.prompts.strokes import Lasso, Line, Scribble, Stroke
from inference_core.prompts.text import TextPrompt

MOST_PROMPTS = 1000
"""Of one segment: no hand places more, and the model hears all of them at every answer."""


@dataclass(frozen=True)
class Click:
    """A point the user placed: `positive` belongs to the target, otherwise it does not.

    `reach_mm` says how far from it voxels may change; by default that depends on what it corrects.

    Raises:
        PromptError: a coordinate is not a finite number or beyond any patient, the sign is not a truth value, or the
            reach is not longer than zero.
    """

    ras: tuple[float, float, float]
    positive: bool = True
    reach_mm: float | None = None

    def __post_init__(self) -> None:
        point = finite_numbers(self.ras, (3,))
        if point is None:
            raise PromptError("A click needs three finite coordinates, but got {ras!r}.", ras=self.ras)
        if np.abs(point).max() > FARTHEST_MM:
            raise PromptError("The click lies beyond any patient; place it on the image.")
        if not isinstance(self.positive, (bool, np.bool_)):
            raise PromptError("A click is positive or not, true or false, but not {value!r}.", value=self.positive)
        object.__setattr__(self, "ras", (float(point[0]), float(point[1]), float(point[2])))
        object.__setattr__(self, "positive", bool(self.positive))
        if self.reach_mm is not None and not (is_number(self.reach_mm, most=FARTHEST_MM) and self.reach_mm > 0):
            raise PromptError("A click's reach must be a length in mm, but is {reach_mm!r}.", reach_mm=self.reach_mm)


@dataclass(frozen=True)
class BoxPrompt:
    """A box the user drew around the target; it may be oblique."""

    box: Box3D


Placed: TypeAlias = Click | BoxPrompt | Stroke
"""A prompt that has a place."""
Prompt: TypeAlias = Placed | TextPrompt


def is_background(prompt: Prompt) -> bool:
    """Whether a prompt says where the target is not."""
    return not isinstance(prompt, BoxPrompt | Line | TextPrompt) and not prompt.positive


def center_of(prompt: Placed) -> Float:
    """Where a prompt lies (3,), RAS mm: a click's place, a box's center, the mean of a stroke's points."""
    if isinstance(prompt, BoxPrompt):
        return prompt.box.center
    return np.asarray(np.mean([prompt.ras] if isinstance(prompt, Click) else prompt.points_ras, axis=0))


@dataclass(frozen=True)
class PromptSet:
    """The prompts of one target, in the order given, and optionally the mask they start from."""

    prompts: tuple[Prompt, ...] = ()
    initial_mask: Volume | None = None

    def with_(self, *prompts: Prompt) -> PromptSet:
        """The set with prompts added at the end."""
        return replace(self, prompts=(*self.prompts, *prompts))

    def without(self, index: int) -> PromptSet:
        """The set without the prompt at `index`."""
        self._require(index)
        return replace(self, prompts=self.prompts[:index] + self.prompts[index + 1 :])

    def replaced(self, index: int, prompt: Prompt) -> PromptSet:
        """The set with the prompt at `index` exchanged for another."""
        self._require(index)
        return replace(self, prompts=(*self.prompts[:index], prompt, *self.prompts[index + 1 :]))

    def moved(self, index: int, ras: ArrayLike) -> PromptSet:
        """The set with the click, or the center of the box or stroke, at `index` moved to a point in RAS mm.

        Raises:
            PromptError: the prompt is a text, which has no place.
        """
        prompt = self._require(index)
        if isinstance(prompt, TextPrompt):
            raise PromptError("Prompt {number} is a text and has no place to move.", number=index + 1)
        place: Any = ras  # a box and a click look at it themselves
        if isinstance(prompt, BoxPrompt):
            return self.replaced(index, BoxPrompt(replace(prompt.box, center=place)))
        point = np.asarray(Click(place).ras)
        if isinstance(prompt, Click):
            return self.replaced(index, replace(prompt, ras=tuple(point)))
        places = [tuple(place) for place in np.array(prompt.points_ras) + (point - center_of(prompt))]
        if isinstance(prompt, Line):
            return self.replaced(index, Line(places[0], places[1]))
        return self.replaced(index, replace(prompt, points_ras=tuple(places)))

    def flipped(self, index: int) -> PromptSet:
        """The set with the sign of the click, scribble or lasso at `index` turned round.

        Raises:
            PromptError: the prompt is a box, a line or a text, which has no sign.
        """
        prompt = self._require(index)
        if isinstance(prompt, BoxPrompt | Line | TextPrompt):
            kind = {BoxPrompt: "box", Line: "line", TextPrompt: "text"}[type(prompt)]
            raise PromptError(
                "Prompt {number} is a {kind} and has no sign to flip; delete it instead.", number=index + 1, kind=kind
            )
        return self.replaced(index, replace(prompt, positive=not prompt.positive))

    def starting_from(self, mask: Volume | None) -> PromptSet:
        """The set with an initial mask (non-zero voxels), or without one."""
        return replace(self, initial_mask=mask)

    @cached_property
    def clicks(self) -> tuple[Click, ...]:
        """The clicks in the order given."""
        return tuple(prompt for prompt in self.prompts if isinstance(prompt, Click))

    @cached_property
    def boxes(self) -> tuple[Box3D, ...]:
        """The boxes in the order given."""
        return tuple(prompt.box for prompt in self.prompts if isinstance(prompt, BoxPrompt))

    @cached_property
    def strokes(self) -> tuple[Stroke, ...]:
        """The lines, scribbles and lassos in the order given."""
        return tuple(prompt for prompt in self.prompts if isinstance(prompt, Line | Scribble | Lasso))

    @cached_property
    def placed(self) -> tuple[Placed, ...]:
        """The prompts that have a place, in the order given."""
        return tuple(prompt for prompt in self.prompts if not isinstance(prompt, TextPrompt))

    @cached_property
    def texts(self) -> tuple[str, ...]:
        """The names of the target in the order given."""
        return tuple(prompt.text for prompt in self.prompts if isinstance(prompt, TextPrompt))

    def checked_on(self, grid: Grid, name: str = "volume") -> PromptSet:
        """The same set, after making sure that it can be used on this grid.

        Raises:
            PromptError: nothing says what to segment, the initial mask is empty, or a prompt lies outside the volume.
        """
        if self.initial_mask is not None and not self.initial_mask.array.any():
            raise PromptError("The initial mask is empty; start from a mask with voxels in it, or without one.")
        if self.initial_mask is None and all(is_background(prompt) for prompt in self.prompts):
            given = "prompts" if self.strokes else "clicks"
            raise PromptError(
                f"There are only background {given}; place at least one foreground click or a box on the target."
                if self.prompts
                else "There is no prompt; place a foreground click or draw a box on the target."
            )
        if len(self.prompts) > MOST_PROMPTS:
            raise PromptError(
                "A segment takes {most} prompts at most, but has {count}; start a new one from its mask.",
                most=MOST_PROMPTS,
                count=len(self.prompts),
            )
        _check_inside(self.clicks, grid, name)
        for box in self.boxes:
            _check_overlap(box, grid, name)
        for stroke in self.strokes:
            _check_meets(stroke, grid, name)
        return self

    def _require(self, index: int) -> Prompt:
        if not 0 <= index < len(self.prompts):
            raise PromptError(
                "There is no prompt {number}; this segment has {count}.", number=index + 1, count=len(self.prompts)
            )
        return self.prompts[index]


def _check_inside(clicks: tuple[Click, ...], grid: Grid, name: str) -> None:
    ijk = grid.to_ijk(np.array([click.ras for click in clicks]).reshape(-1, 3))
    beyond = (ijk - np.clip(ijk, -0.5, np.asarray(grid.shape) - 0.5)) * np.asarray(grid.spacing)
    distances = np.linalg.norm(beyond, axis=1)
    for n in np.flatnonzero(distances > 1e-3)[:1]:
        at = ", ".join(f"{value:.1f}" for value in clicks[n].ras)
        raise PromptError(
            "The click at ({at}) is {distance:.3g} mm outside the volume '{name}'. Place it on the image.",
            at=at,
            distance=distances[n],
            name=name,
        )


def _check_meets(stroke: Stroke, grid: Grid, name: str) -> None:
    if not any(grid.distance_outside(point) <= 1e-3 for point in stroke.points_ras):
        kind = type(stroke).__name__.lower()
        raise PromptError(f"The {kind} lies outside the volume '{name}'. Draw it on the image.")


def _check_overlap(box: Box3D, grid: Grid, name: str) -> None:
    corners = grid.to_ijk(box.corners_ras)
    high = np.asarray(grid.shape) - 0.5
    if (corners.max(axis=0) <= -0.5).any() or (corners.min(axis=0) >= high).any():
        raise PromptError("The box lies outside the volume '{name}'. Draw it on the image.", name=name)
