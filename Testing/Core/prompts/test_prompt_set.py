"""Prompt sets: every edit is a new value, and what cannot be used is refused in a sentence."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.scenes import oblique_grid

from inference_core.errors import PromptError
from inference_core.geometry.box import Box3D
from inference_core.geometry.grid import Grid
from inference_core.geometry.volume import Volume
from inference_core.prompts.prompt_set import BoxPrompt, Click, PromptSet, center_of, is_background
from inference_core.prompts.strokes import Lasso, Line, Scribble
from inference_core.prompts.text import TextPrompt

ON = Click((1.0, 2.0, 3.0))
OFF = Click((4.0, 5.0, 6.0), positive=False)


@pytest.fixture
def an_oblique_grid() -> Grid:
    return oblique_grid(orientation=29, spacing=1)


@pytest.fixture
def a_box(an_oblique_grid) -> BoxPrompt:
    return BoxPrompt(Box3D.in_voxels(an_oblique_grid, center_ijk=(20, 30, 10), size_ijk=(8, 9, 4)))


@pytest.fixture
def a_mask(an_oblique_grid) -> Volume:
    voxels = np.zeros(an_oblique_grid.shape, dtype=np.uint8)
    voxels[-1, -1, -1] = 1
    return Volume(voxels, an_oblique_grid)


def click_at(grid: Grid, ijk, *, positive: bool = True) -> Click:
    return Click(tuple(grid.to_ras(ijk)), positive)


def test_a_click_is_positive_unless_told_otherwise():
    assert ON.positive
    assert not OFF.positive


@pytest.mark.parametrize("ras", [[1, 2, 3], np.array([1, 2, 3], dtype=np.float32), (1, 2.0, np.int16(3))])
def test_a_click_of_any_numbers_is_a_tuple_of_floats(ras):
    click = Click(ras)
    assert click.ras == (1.0, 2.0, 3.0)
    assert {type(value) for value in click.ras} == {float}
    assert click == ON
    assert hash(click) == hash(ON)


@pytest.mark.parametrize("ras", [(np.nan, 0, 0), (0, np.inf, 0), (0, 0), (0, 0, 0, 0), ((0, 0, 0),)])
def test_a_click_without_three_finite_coordinates_is_refused(ras):
    with pytest.raises(PromptError, match="three finite coordinates"):
        Click(ras)


def test_edits_give_new_sets_and_leave_the_old_one(a_box, a_mask):
    before = PromptSet((ON, OFF, a_box), a_mask)
    before.with_(ON)
    before.without(0)
    before.replaced(0, OFF)
    before.moved(0, (7, 8, 9))
    before.moved(2, (7, 8, 9))
    before.flipped(1)
    before.starting_from(None)
    assert before == PromptSet((ON, OFF, a_box), a_mask)


def test_prompts_are_added_at_the_end_and_removed_by_their_place(a_box):
    prompts = PromptSet((ON,)).with_(a_box, OFF)
    assert prompts.prompts == (ON, a_box, OFF)
    assert prompts.without(0).prompts == (a_box, OFF)
    assert prompts.without(1).prompts == (ON, OFF)
    assert prompts.without(2).prompts == (ON, a_box)


def test_a_replaced_prompt_keeps_its_place(a_box):
    assert PromptSet((ON, a_box, OFF)).replaced(1, ON).prompts == (ON, ON, OFF)


def test_a_moved_click_keeps_its_sign_and_place():
    moved = PromptSet((ON, OFF, ON)).moved(1, np.array([7.0, 8.0, 9.0]))
    assert moved.prompts == (ON, Click((7.0, 8.0, 9.0), positive=False), ON)


def test_a_moved_box_keeps_its_size_and_turn(a_box):
    moved = PromptSet((a_box,)).moved(0, (7, 8, 9)).boxes[0]
    assert moved == Box3D(np.array([7.0, 8.0, 9.0]), a_box.box.axes, a_box.box.size)


def test_a_flipped_click_changes_sign_and_flips_back():
    prompts = PromptSet((ON, OFF))
    assert prompts.flipped(1).prompts == (ON, Click(OFF.ras))
    assert prompts.flipped(1).flipped(1) == prompts


def test_a_box_has_no_sign_to_flip(a_box):
    with pytest.raises(PromptError, match="Prompt 2 is a box and has no sign"):
        PromptSet((ON, a_box)).flipped(1)


@pytest.mark.parametrize("edit", ["without", "flipped"])
@pytest.mark.parametrize("index", [-1, 2, 7])
def test_a_prompt_that_is_not_there_cannot_be_edited(edit, index):
    with pytest.raises(PromptError, match=f"no prompt {index + 1}; this segment has 2"):
        getattr(PromptSet((ON, OFF)), edit)(index)


@pytest.mark.parametrize("index", [-1, 2])
def test_a_prompt_that_is_not_there_cannot_be_moved_or_replaced(index):
    with pytest.raises(PromptError, match="no prompt"):
        PromptSet((ON, OFF)).moved(index, (0, 0, 0))
    with pytest.raises(PromptError, match="no prompt"):
        PromptSet((ON, OFF)).replaced(index, ON)


def test_clicks_and_boxes_are_listed_in_the_order_given(a_box):
    other = BoxPrompt(Box3D.aligned([0, 0, 0], [1, 1, 1]))
    prompts = PromptSet((OFF, a_box, ON, other))
    assert prompts.clicks == (OFF, ON)
    assert prompts.boxes == (a_box.box, other.box)


def test_edits_keep_the_initial_mask(a_mask):
    prompts = PromptSet((ON,)).starting_from(a_mask)
    for edited in (prompts.with_(OFF), prompts.without(0), prompts.moved(0, (0, 0, 0)), prompts.flipped(0)):
        assert edited.initial_mask is a_mask
    assert prompts.starting_from(None).initial_mask is None


def test_equal_sets_are_one_key(a_box):
    assert len({PromptSet((ON, a_box)), PromptSet(()).with_(ON, a_box)}) == 1
    assert PromptSet((ON, OFF)) != PromptSet((OFF, ON))


def test_a_set_that_can_be_used_is_returned_as_it_is(an_oblique_grid, a_box, a_mask):
    on, off = click_at(an_oblique_grid, (5, 6, 7)), click_at(an_oblique_grid, (8, 6, 7), positive=False)
    for prompts in (PromptSet((on,)), PromptSet((off, on)), PromptSet((off, a_box)), PromptSet((a_box,))):
        assert prompts.checked_on(an_oblique_grid) is prompts
    PromptSet((off,), a_mask).checked_on(an_oblique_grid)
    PromptSet((), a_mask).checked_on(an_oblique_grid)


def test_nothing_to_go_by_is_refused(an_oblique_grid):
    with pytest.raises(PromptError, match="There is no prompt"):
        PromptSet().checked_on(an_oblique_grid)
    with pytest.raises(PromptError, match="only background clicks"):
        PromptSet((click_at(an_oblique_grid, (5, 6, 7), positive=False),)).checked_on(an_oblique_grid)


@pytest.mark.parametrize("clicks", [(), ((5, 6, 7),)])
def test_an_initial_mask_without_a_voxel_is_refused(an_oblique_grid, clicks):
    empty = Volume(np.zeros(an_oblique_grid.shape, dtype=np.uint8), an_oblique_grid)
    prompts = PromptSet(tuple(click_at(an_oblique_grid, ijk) for ijk in clicks), empty)
    with pytest.raises(PromptError, match="initial mask is empty"):
        prompts.checked_on(an_oblique_grid)


@pytest.mark.parametrize("positive", [True, False])
def test_a_click_outside_the_volume_is_refused_with_its_distance(an_oblique_grid, positive):
    """12 mm beyond the face of a voxel that is 0.8 mm wide."""
    outside = click_at(an_oblique_grid, (-0.5 - 12 / 0.8, 5, 5), positive=positive)
    prompts = PromptSet((click_at(an_oblique_grid, (5, 5, 5)), outside))
    with pytest.raises(PromptError, match=r"is 12 mm outside the volume 'CTChest'\. Place it on the image"):
        prompts.checked_on(an_oblique_grid, "CTChest")


@settings(max_examples=50, deadline=None)
@given(orientation=st.integers(0, 47), spacing=st.integers(0, 2), corner=st.tuples(*[st.booleans()] * 3))
def test_a_click_on_the_outermost_corner_is_on_the_image(orientation, spacing, corner):
    """Rounding on the way to millimeters and back must not refuse it."""
    grid = oblique_grid(orientation, spacing)
    ijk = np.where(corner, np.array(grid.shape) - 0.5, -0.5)
    PromptSet((click_at(grid, ijk),)).checked_on(grid)


@pytest.mark.parametrize(
    ("center", "accepted"),
    [((-3, 30, 10), True), ((-4.6, 30, 10), False), ((20, 500, 10), False), ((91.6, 9, 9), False)],
)
def test_a_box_must_overlap_the_volume(an_oblique_grid, center, accepted):
    assert an_oblique_grid.shape[0] == 88
    box = BoxPrompt(Box3D.in_voxels(an_oblique_grid, center_ijk=center, size_ijk=(8, 9, 4)))
    if accepted:
        PromptSet((box,)).checked_on(an_oblique_grid)
        return
    with pytest.raises(PromptError, match="The box lies outside the volume 'CTChest'"):
        PromptSet((box,)).checked_on(an_oblique_grid, "CTChest")


LINE = Line((0.0, 0.0, 0.0), (4.0, 0.0, 8.0))
SCRIBBLE = Scribble(((0.0, 0.0, 0.0), (2.0, 0.0, 0.0), (4.0, 3.0, 0.0)), positive=False)
LASSO = Lasso(((0.0, 0.0, 1.0), (4.0, 0.0, 1.0), (4.0, 4.0, 1.0)))


@pytest.mark.parametrize("stroke", [LINE, SCRIBBLE, LASSO])
def test_a_stroke_is_moved_as_a_whole(stroke):
    moved = PromptSet((stroke,)).moved(0, (10, 20, 30)).strokes[0]
    assert type(moved) is type(stroke)
    np.testing.assert_allclose(center_of(moved), (10, 20, 30))
    shifts = np.subtract(moved.points_ras, stroke.points_ras)
    np.testing.assert_allclose(shifts, np.broadcast_to(shifts[0], shifts.shape))
    assert is_background(moved) == is_background(stroke)


def test_scribbles_and_lassos_have_a_sign_to_flip_and_lines_have_none():
    prompts = PromptSet((SCRIBBLE, LASSO, LINE))
    assert prompts.flipped(0).strokes[0] == Scribble(SCRIBBLE.points_ras, positive=True)
    assert prompts.flipped(1).strokes[1] == Lasso(LASSO.points_ras, positive=False)
    with pytest.raises(PromptError, match="Prompt 3 is a line and has no sign"):
        prompts.flipped(2)


def test_strokes_are_told_in_their_order_beside_the_clicks():
    prompts = PromptSet((LASSO, Click((1, 2, 3)), LINE))
    assert prompts.strokes == (LASSO, LINE)
    assert prompts.clicks == (Click((1, 2, 3)),)


def test_background_strokes_alone_are_refused_and_a_line_is_enough(an_oblique_grid):
    points = tuple(tuple(an_oblique_grid.to_ras((n, 5, 5))) for n in (3, 6))
    with pytest.raises(PromptError, match="only background prompts"):
        PromptSet((Scribble(points, positive=False),)).checked_on(an_oblique_grid)
    PromptSet((Line(*points),)).checked_on(an_oblique_grid)


def test_a_stroke_beside_the_volume_is_refused_and_one_that_leaves_it_is_not(an_oblique_grid):
    inside, outside, far = (tuple(an_oblique_grid.to_ras((n, 5, 5))) for n in (3, -30, -40))
    PromptSet((Line(inside, outside),)).checked_on(an_oblique_grid)
    with pytest.raises(PromptError, match=r"The line lies outside the volume 'CT'\. Draw it on the image"):
        PromptSet((Line(outside, far),)).checked_on(an_oblique_grid, "CT")


def test_a_text_says_what_and_not_where(an_oblique_grid) -> None:
    prompts = PromptSet((OFF, TextPrompt("  the  left kidney ")))
    assert prompts.texts == ("the left kidney",)
    assert prompts.placed == (OFF,)
    assert not is_background(prompts.prompts[1])
    assert PromptSet((prompts.prompts[1],)).checked_on(an_oblique_grid).clicks == ()
    with pytest.raises(PromptError, match="has no place"):
        prompts.moved(1, (0, 0, 0))
    with pytest.raises(PromptError, match="is a text and has no sign"):
        prompts.flipped(1)
