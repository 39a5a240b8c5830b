"""Prompts drawn with one stroke: a line across the target, a scribble, and a lasso. In RAS mm, of any orientation.

All are immutable, and are told apart from one another by their type alone. `telling_points` says what a model that
knows clicks alone is told of a stroke.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from inference_core.errors import PromptError
from inference_core.geometry.grid import Float
from inference_core.geometry.numbers import FARTHEST_MM, finite_numbers
from inference_core.prompts.polygon import PlanarOutline

Point: TypeAlias = tuple[float, float, float]
MOST_TELLING_POINTS = 5
MOST_POINTS = 10_000
_ALONG_LINE = (0.25, 0.5, 0.75)
_LEAST_MM = 1e-3


@dataclass(frozen=True)
class Line:
    """A line across the target's longest diameter, end to end, as in RECIST: its place, size and extent at once.

    Raises:
        PromptError: an end is not three finite numbers, or the ends are the same.
    """

    start_ras: Point
    end_ras: Point

    def __post_init__(self) -> None:
        start, end = _checked((self.start_ras, self.end_ras), "line")
        if np.linalg.norm(np.subtract(start, end)) < _LEAST_MM:
            raise PromptError("The line has no length; draw it from one side of the target to the other.")
        object.__setattr__(self, "start_ras", start)
        object.__setattr__(self, "end_ras", end)

    @property
    def points_ras(self) -> tuple[Point, Point]:
        """Both ends."""
        return self.start_ras, self.end_ras

    @property
    def length_mm(self) -> float:
        """From end to end."""
        return float(np.linalg.norm(np.subtract(self.end_ras, self.start_ras)))


@dataclass(frozen=True)
class Scribble:
    """A freehand stroke through voxels that are target, or that are not where it is not `positive`.

    Raises:
        PromptError: there is no point, or a coordinate is not a finite number.
    """

    points_ras: tuple[Point, ...]
    positive: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "points_ras", _checked(self.points_ras, "scribble"))
        object.__setattr__(self, "positive", _sign(self.positive, "scribble"))


@dataclass(frozen=True)
class Lasso:
    """A closed outline in one slice: what it holds is the target there, or none of it where it is not `positive`.

    A positive one also says that nothing else of the slice is target. The last point joins the first.

    Raises:
        PromptError: fewer than three points, all on a line, or a coordinate that is not a finite number.
    """

    points_ras: tuple[Point, ...]
    positive: bool = True

    def __post_init__(self) -> None:
        points = _checked(self.points_ras, "lasso")
        if len(points) < 3 or not PlanarOutline.around(np.array(points)).has_area:
            raise PromptError("The lasso holds no area; draw it around the target in one slice.")
        object.__setattr__(self, "points_ras", points)
        object.__setattr__(self, "positive", _sign(self.positive, "lasso"))


Stroke: TypeAlias = Line | Scribble | Lasso


def telling_points(stroke: Stroke) -> Float:
    """At most `MOST_TELLING_POINTS` points (n, 3) in RAS mm that stand for a stroke where only clicks are known.

    Three quarters of the way along a line; along a scribble, evenly; the deepest point within a lasso.
    """
    return stroke_points(type(stroke), np.array(stroke.points_ras))


def stroke_points(kind: type[Stroke], points: Float) -> Float:
    """`telling_points` of a stroke of some kind through points (m, 3) in any frame of equal units."""
    if kind is Line:
        return np.array([points[0] + share * (points[1] - points[0]) for share in _ALONG_LINE])
    if kind is Lasso:
        return PlanarOutline.around(points).deepest()[None]
    return spread_along(points, MOST_TELLING_POINTS)


def spread_along(points: Float, most: int) -> Float:
    """At most `most` points (n, 3) spread evenly over the length of a path through points (m, 3)."""
    steps = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    if len(points) <= most or steps[-1] == 0:
        return points[:most] if steps[-1] else points[:1]
    places = (np.arange(most) + 0.5) / most * steps[-1]
    return np.stack([np.interp(places, steps, points[:, axis]) for axis in range(3)], axis=1)


def _sign(positive: object, name: str) -> bool:
    if not isinstance(positive, (bool, np.bool_)):
        raise PromptError("A {name} is positive or not, true or false, but not {value!r}.", name=name, value=positive)
    return bool(positive)


def _checked(points: Iterable[Point], name: str) -> tuple[Point, ...]:
    given = tuple(points) if isinstance(points, Iterable) else ()
    places = finite_numbers(given, (len(given), 3))
    if places is None or not len(places):
        raise PromptError("A {name} needs points of three finite coordinates each; draw it again.", name=name)
    if len(places) > MOST_POINTS:
        raise PromptError(
            "A {name} takes {most} points at most, but has {count}; draw a shorter one.",
            name=name,
            most=MOST_POINTS,
            count=len(places),
        )
    if np.abs(places).max() > FARTHEST_MM:
        raise PromptError("The {name} lies beyond any patient; draw it on the image.", name=name)
    return tuple((float(r), float(a), float(s)) for r, a, s in places)
