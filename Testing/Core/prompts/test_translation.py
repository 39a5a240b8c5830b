"""What models are told of strokes that they do not know."""

from __future__ import annotations

import numpy as np
import pytest

from inference_core.geometry.box import Box3D
from inference_core.prompts.prompt_set import BoxPrompt, Click, PromptSet
from inference_core.prompts.strokes import Lasso, Line, Scribble
from inference_core.prompts.text import TextPrompt
from inference_core.prompts.translation import box_over, in_known_kinds

LINE = Line((0, 0, 0), (12, 0, 16))
SCRIBBLE = Scribble(tuple((float(n), 0.0, 5.0) for n in range(11)), positive=False)
LASSO = Lasso(((0, 0, 2), (10, 0, 2), (10, 6, 2), (0, 6, 2)))
CLICK, BOX = Click((1, 2, 3)), BoxPrompt(Box3D.aligned((0, 0, 0), (2, 3, 4)))
ALL = PromptSet((CLICK, LINE, BOX, SCRIBBLE, LASSO))


def test_a_model_that_knows_all_is_told_the_same():
    assert in_known_kinds(ALL, {Click, Line, Scribble, Lasso}) is ALL


def test_clicks_and_boxes_are_told_as_they_are_and_in_their_order():
    told = in_known_kinds(ALL, {Click}).prompts
    assert told[0] is CLICK
    assert told[4] is BOX
    assert [click.ras for click in told[1:4]] == [(3, 0, 4), (6, 0, 8), (9, 0, 12)]


def test_clicks_have_the_sign_of_the_stroke():
    told = in_known_kinds(PromptSet((SCRIBBLE, LASSO)), {Click}).clicks
    assert [click.positive for click in told] == [False] * 5 + [True]
    assert [click.ras[0] for click in told[:5]] == pytest.approx([1, 3, 5, 7, 9])
    assert told[5].ras == pytest.approx((5, 3, 2), abs=0.6)


def test_texts_are_told_as_they_are():
    text = TextPrompt("the left kidney")
    assert in_known_kinds(PromptSet((text, LINE)), {Click}).prompts[0] is text


def test_only_what_is_not_known_is_told_otherwise():
    told = in_known_kinds(ALL, {Click, Line})
    assert told.strokes == (LINE,)


def test_a_model_of_boxes_alone_is_told_a_cube_about_a_line_and_a_box_about_an_outline():
    told = in_known_kinds(PromptSet((LINE, LASSO)), ())
    cube, flat = told.boxes
    np.testing.assert_allclose(cube.center, (6, 0, 8))
    np.testing.assert_allclose(cube.size, (20, 20, 20))
    np.testing.assert_allclose(flat.center, (5, 3, 2))
    np.testing.assert_allclose(flat.size, (10, 6, 2))
    assert not told.clicks


def test_a_background_stroke_stays_in_the_background_for_a_model_of_boxes():
    (first, *_) = in_known_kinds(PromptSet((LINE, SCRIBBLE)), ()).clicks
    assert not first.positive


def test_the_mask_they_start_from_stays(a_mask_volume):
    assert in_known_kinds(PromptSet((LINE,), a_mask_volume), {Click}).initial_mask is a_mask_volume


@pytest.fixture
def a_mask_volume():
    from inference_core.geometry.grid import Grid
    from inference_core.geometry.volume import Volume

    return Volume(np.ones((2, 2, 2), dtype=np.uint8), Grid((2, 2, 2), np.eye(4)), "mask")


def test_a_dot_has_a_box_with_a_volume():
    assert (box_over(Scribble(((1, 2, 3),))).size >= 1).all()
