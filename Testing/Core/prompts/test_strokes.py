"""Lines, scribbles and lassos: what they refuse, and the few points that stand for them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.scenes import turn

from inference_core.errors import PromptError
from inference_core.prompts.polygon import PlanarOutline, within
from inference_core.prompts.strokes import MOST_TELLING_POINTS, Lasso, Line, Scribble, telling_points

angles = st.floats(-180, 180)


def circle(radius: float = 10.0, *, count: int = 40, degrees=(20.0, 30.0, -40.0), center=(5.0, -7.0, 90.0)):
    """Points (count, 3) on a circle in a plane of some orientation."""
    around = np.linspace(0, 2 * np.pi, count, endpoint=False)
    flat = radius * np.stack([np.cos(around), np.sin(around), np.zeros(count)], axis=1)
    return flat @ turn(degrees).T + center


def as_points(places) -> tuple[tuple[float, float, float], ...]:
    return tuple((float(r), float(a), float(s)) for r, a, s in places)


def test_a_line_knows_its_length():
    assert Line((0, 0, 0), (3, 4, 12)).length_mm == 13


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Line((1, 2, 3), (1, 2, 3)), "no length"),
        (lambda: Line((1, 2, np.nan), (1, 2, 3)), "finite"),
        (lambda: Scribble(()), "draw it again"),
        (lambda: Scribble(((1, 2),)), "draw it again"),
        (lambda: Scribble(((1, 2, np.inf),)), "finite"),
        (lambda: Lasso(((0, 0, 0), (1, 0, 0))), "no area"),
        (lambda: Lasso(((0, 0, 0), (1, 1, 1), (2, 2, 2), (5, 5, 5))), "no area"),
        (lambda: Lasso(((0, 0, 0), (0, 0, 0), (0, 0, 0))), "no area"),
    ],
)
def test_a_stroke_that_says_nothing_is_refused_in_one_sentence(make, said):
    with pytest.raises(PromptError, match=said):
        make()


def test_numbers_of_numpy_are_taken_and_strokes_are_equal_by_value():
    points = circle()
    assert Lasso(as_points(points)) == Lasso(tuple(map(tuple, points)))
    assert hash(Scribble(as_points(points))) == hash(Scribble(as_points(points)))
    assert Scribble(as_points(points)) != Lasso(as_points(points))


def test_three_points_along_a_line_stand_for_it():
    np.testing.assert_allclose(telling_points(Line((0, 0, 0), (8, 0, -4))), [(2, 0, -1), (4, 0, -2), (6, 0, -3)])


def test_five_points_at_most_spread_by_length_stand_for_a_scribble():
    """500 points of which most crowd at one end."""
    places = np.concatenate([np.linspace(0, 1, 480), np.linspace(1, 100, 20)])
    told = telling_points(Scribble(as_points(np.stack([places, 0 * places, 2 * places], axis=1))))
    assert len(told) == MOST_TELLING_POINTS
    np.testing.assert_allclose(told[:, 0], [10, 30, 50, 70, 90], atol=1e-6)
    np.testing.assert_allclose(told[:, 2], 2 * told[:, 0], atol=1e-6)


def test_a_dot_stands_for_itself():
    np.testing.assert_allclose(telling_points(Scribble(((1, 2, 3),) * 7)), [(1, 2, 3)])


@settings(max_examples=25, deadline=None)
@given(degrees=st.tuples(angles, angles, angles), radius=st.floats(0.5, 80))
def test_the_center_of_a_circle_in_any_plane_stands_for_it(degrees, radius):
    (told,) = telling_points(Lasso(as_points(circle(radius, degrees=degrees))))
    assert np.linalg.norm(told - (5, -7, 90)) < 0.1 * radius


def test_the_point_of_a_crescent_lies_within_it():
    """A horseshoe, whose middle is not in it."""
    bend = np.linspace(0.25 * np.pi, 1.75 * np.pi, 40)
    outer = 10 * np.stack([np.cos(bend), np.sin(bend)], axis=1)
    outline = np.concatenate([outer, 0.6 * outer[::-1]])
    lasso = Lasso(as_points(np.insert(outline, 2, 3.0, axis=1)))
    (told,) = telling_points(lasso)
    assert 6 < np.linalg.norm(told[:2]) < 10
    assert told[2] == pytest.approx(3.0)


@settings(max_examples=25, deadline=None)
@given(degrees=st.tuples(angles, angles, angles))
def test_an_outline_holds_what_lies_in_it_seen_along_its_normal(degrees):
    outline = PlanarOutline.around(circle(10, degrees=degrees))
    normal = turn(degrees)[:, 2]
    for radius, expected in ((9.7, True), (10.2, False)):
        places = circle(radius, count=17, degrees=degrees)
        assert (outline.holds(places + 4 * normal) == expected).all()
        np.testing.assert_allclose(np.abs(outline.off_plane(places + 4 * normal)), 4, atol=1e-6)


def test_the_rule_of_even_and_odd_leaves_a_loop_out():
    """A pentagram's middle is crossed twice."""
    around = 2 * np.pi * np.array([0, 2, 4, 1, 3]) / 5
    star = np.stack([np.cos(around), np.sin(around)], axis=1)
    assert not within(np.array([0.0, 0.0]), star)
    assert within(np.array([0.9, 0.0]), star)


def test_an_outline_of_many_points_is_thinned_and_holds_the_same():
    many, few = (PlanarOutline.around(circle(10, count=count)) for count in (5000, 60))
    assert len(many.outline) == 64
    places = np.random.default_rng(0).uniform(-12, 12, (500, 3)) + (5, -7, 90)
    assert (many.holds(places) == few.holds(places)).mean() > 0.98
