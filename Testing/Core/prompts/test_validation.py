"""What no prompt may hold is refused where the prompt is made, in one sentence, whatever it is."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.refusals import made_or_refused

from inference_core.errors import PromptError
from inference_core.geometry.box import Box3D
from inference_core.geometry.grid import Grid
from inference_core.geometry.numbers import FARTHEST_MM
from inference_core.prompts.prompt_set import MOST_PROMPTS, BoxPrompt, Click, PromptSet
from inference_core.prompts.strokes import Lasso, Line, Scribble

GRID = Grid((40, 50, 60), np.diag([1.0, 1.0, 1.0, 1.0]))
ANYTHING = st.one_of(
    st.none(), st.booleans(), st.text(max_size=5), st.binary(max_size=5), st.floats(), st.integers(),
    st.complex_numbers(),
    st.sampled_from([1e300, -1e300, 1e-300, float("nan"), float("inf"), 10**400, np.float32("nan"), np.array([1, 2]),
                     object(), [1, 2, 3], {}]),
)  # fmt: skip
PLACES = st.one_of(ANYTHING, st.lists(st.floats() | st.integers(-(10**9), 10**9), max_size=5).map(tuple),
                   st.tuples(ANYTHING, ANYTHING, ANYTHING))  # fmt: skip


@given(PLACES, ANYTHING, ANYTHING)
def test_a_click_is_three_numbers_or_refused(place, positive, reach):
    click = made_or_refused(lambda: Click(place, positive, reach))
    if click is None:
        return
    assert all(isinstance(value, float) and abs(value) <= FARTHEST_MM for value in click.ras)
    assert isinstance(click.positive, bool)
    assert click.reach_mm is None or 0 < click.reach_mm <= FARTHEST_MM
    assert hash(click) == hash(Click(click.ras, click.positive, click.reach_mm))


@given(PLACES, PLACES)
def test_a_box_has_a_place_and_a_size_or_is_refused(center, size):
    box = made_or_refused(lambda: Box3D(center, np.eye(3), size))
    if box is None:
        return
    assert np.isfinite(box.corners_ras).all()
    assert (box.size >= 1e-3).all()


@given(st.one_of(ANYTHING, st.lists(st.lists(st.floats(), min_size=3, max_size=3), min_size=3, max_size=3)))
def test_a_boxs_axes_are_at_right_angles_or_refused(axes):
    box = made_or_refused(lambda: Box3D(np.zeros(3), axes, np.ones(3)))
    if box is None:
        return
    assert np.abs(box.axes.T @ box.axes - np.eye(3)).max() <= 1e-4


@pytest.mark.parametrize("size", [1e-300, 5e-324, 1e-4])
def test_a_box_too_small_to_hold_anything_is_refused(size):
    with pytest.raises(PromptError, match=r"edge shorter than 0\.001 mm"):
        Box3D.aligned((0, 0, 0), (10, 10, size))


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=3, max_size=3).map(tuple))
def test_a_click_is_on_the_volume_or_refused_with_its_distance(place):
    prompts = made_or_refused(lambda: PromptSet((Click((20, 25, 30)), Click(place))).checked_on(GRID))
    if prompts is None:
        return
    assert GRID.distance_outside(prompts.clicks[1].ras) <= 1e-3


@given(st.one_of(ANYTHING, st.lists(PLACES, max_size=4)), ANYTHING, st.sampled_from([Scribble, Lasso]))
def test_a_stroke_goes_through_places_or_is_refused(points, positive, kind):
    stroke = made_or_refused(lambda: kind(points, positive))
    if stroke is None:
        return
    assert np.abs(np.array(stroke.points_ras)).max() <= FARTHEST_MM


@given(PLACES, PLACES)
def test_a_line_joins_two_places_or_is_refused(start, end):
    line = made_or_refused(lambda: Line(start, end))
    assert line is None or 0 < line.length_mm < np.inf


@given(PLACES, st.booleans())
def test_a_prompt_is_moved_to_a_place_or_refused(place, is_box):
    first = BoxPrompt(Box3D.aligned((0, 0, 0), (1, 1, 1))) if is_box else Click((0, 0, 0))
    moved = made_or_refused(lambda: PromptSet((first,)).moved(0, place))
    if moved is None:
        return
    assert np.isfinite(moved.boxes[0].center if is_box else moved.clicks[0].ras).all()


def test_a_segment_takes_as_many_prompts_as_are_said():
    prompts = PromptSet(tuple(Click((20, 25, 10 + n * 1e-3)) for n in range(MOST_PROMPTS)))
    assert prompts.checked_on(GRID) is prompts
    with pytest.raises(PromptError, match=f"takes {MOST_PROMPTS} prompts at most, but has {MOST_PROMPTS + 1}"):
        prompts.with_(Click((20, 25, 30))).checked_on(GRID)
