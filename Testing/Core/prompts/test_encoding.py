"""Prompts in a window's own voxel indices."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.scenes import turn

from inference_core.geometry.box import Box3D
from inference_core.geometry.grid import Grid, isotropic_grid
from inference_core.prompts.encoding import cross_section, encode_prompts
from inference_core.prompts.prompt_set import BoxPrompt, Click, PromptSet
from inference_core.prompts.strokes import Lasso, Line, Scribble
from inference_core.prompts.text import TextPrompt

angles = st.floats(-180, 180)


@pytest.fixture
def a_window() -> Grid:
    axes = turn((15, -35, 50)) @ np.diag([1.0, -1.0, 1.0])
    return isotropic_grid([31.0, -47.0, 113.0], shape=(16, 18, 20), spacing=1.7, axes=axes)


def click_at(window: Grid, ijk, *, positive: bool = True) -> Click:
    return Click(tuple(window.to_ras(ijk)), positive)


@settings(max_examples=50, deadline=None)
@given(degrees=st.tuples(angles, angles, angles), ijk=st.tuples(*[st.floats(0, 15)] * 3))
def test_a_click_arrives_at_the_window_voxel_it_was_placed_on(degrees, ijk):
    window = isotropic_grid([31.0, -47.0, 113.0], shape=(16, 16, 16), spacing=0.7, axes=turn(degrees))
    np.testing.assert_allclose(encode_prompts(PromptSet((click_at(window, ijk),)), window).points, [ijk], atol=1e-9)


def test_clicks_keep_their_order_and_signs(a_window):
    places = [(1, 2, 3), (4, 5, 6), (7, 8, 9)]
    signs = [False, True, False]
    prompts = PromptSet(tuple(click_at(a_window, p, positive=s) for p, s in zip(places, signs, strict=True)))
    encoded = encode_prompts(prompts, a_window)
    np.testing.assert_allclose(encoded.points, places, atol=1e-9)
    np.testing.assert_array_equal(encoded.labels, [0, 1, 0])
    assert encoded.labels.dtype == np.int64
    assert encoded.points.dtype == np.float64


def test_clicks_outside_the_window_are_left_out_with_their_signs(a_window):
    prompts = PromptSet(
        (
            click_at(a_window, (30, 5, 5)),
            click_at(a_window, (3, 5, 5), positive=False),
            click_at(a_window, (3, -2, 5)),
            click_at(a_window, (3, 5, 19)),
        )
    )
    encoded = encode_prompts(prompts, a_window)
    np.testing.assert_allclose(encoded.points, [(3, 5, 5), (3, 5, 19)], atol=1e-9)
    np.testing.assert_array_equal(encoded.labels, [0, 1])


@pytest.mark.parametrize(("beyond", "kept"), [(0.499, True), (0.501, False)])
@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("far", [True, False])
def test_a_click_belongs_to_the_window_up_to_its_outer_faces(a_window, beyond, kept, axis, far):
    ijk = np.array([5.0, 6.0, 7.0])
    ijk[axis] = a_window.shape[axis] - 1 + beyond if far else -beyond
    assert len(encode_prompts(PromptSet((click_at(a_window, ijk),)), a_window).points) == int(kept)


def test_the_margin_lets_clicks_lie_further_out(a_window):
    prompts = PromptSet((click_at(a_window, (-2.9, 5, 22.0)),))
    assert len(encode_prompts(prompts, a_window, margin=3.1).points) == 1
    assert len(encode_prompts(prompts, a_window, margin=2.95).points) == 0


def test_a_click_between_two_slices_is_in_one_of_them():
    grid = isotropic_grid([31.0, -47.0, 113.0], shape=(16, 16, 18), spacing=0.7, axes=turn((12, -7, 25)))
    click = Click(tuple(grid.center_ras))
    number = grid.voxel_of(click.ras)[2]
    window = grid.cropped((0, 0, number), (16, 16, number + 1))
    assert len(encode_prompts(PromptSet((click,)), window).points) == 1


def test_texts_are_told_in_every_window(a_window):
    prompts = PromptSet((TextPrompt("the  left kidney "), click_at(a_window, (90, 2, 3))))
    assert encode_prompts(prompts, a_window).texts == ("the left kidney",)


def test_a_box_arrives_with_its_corners_in_their_order(a_window):
    box = Box3D(a_window.center_ras + 3, turn((5, 60, -20)), np.array([4.0, 9.0, 16.0]))
    encoded = encode_prompts(PromptSet((BoxPrompt(box),)), a_window)
    assert encoded.boxes.shape == (1, 8, 3)
    np.testing.assert_allclose(a_window.to_ras(encoded.boxes[0]), box.corners_ras, atol=1e-9)


def test_boxes_are_kept_wherever_they_lie(a_window):
    near, far = (Box3D.aligned(a_window.center_ras + shift, [3, 4, 5]) for shift in (0, 500))
    encoded = encode_prompts(PromptSet((BoxPrompt(far), BoxPrompt(near))), a_window)
    np.testing.assert_allclose(a_window.to_ras(encoded.boxes.mean(axis=1)), [far.center, near.center], atol=1e-9)


def test_no_prompts_give_empty_arrays_of_the_right_shape(a_window):
    encoded = encode_prompts(PromptSet(), a_window)
    assert encoded.points.shape == (0, 3)
    assert encoded.labels.shape == (0,)
    assert encoded.boxes.shape == (0, 8, 3)


@pytest.mark.parametrize("index", [-4.0, -1.0, 0.3, 2.0, 7.0])
def test_the_cut_through_an_oblique_box_holds_the_boxs_points_in_the_slice_and_no_more(index):
    """Against points of the box drawn at random; a slice beyond the box is given the nearest cut."""
    edges = np.linalg.qr(np.array([[1.0, 0.4, 0.1], [-0.3, 1.0, 0.5], [0.2, -0.6, 1.0]]))[0] * [9.0, 6.0, 5.0]
    steps = np.array([[n >> axis & 1 for axis in range(3)] for n in range(8)]) - 0.5
    corners = steps @ edges.T + [20.0, 30.0, 1.0]
    level = np.clip(index, corners[:, 2].min() + 0.05, corners[:, 2].max() - 0.05)
    inside = (np.random.default_rng(0).random((400_000, 3)) - 0.5) @ edges.T + [20.0, 30.0, 1.0]
    near = inside[np.abs(inside[:, 2] - level) < 0.05, :2]
    low_i, low_j, high_i, high_j = cross_section(corners, index)
    assert np.allclose([low_i, low_j], near.min(axis=0), atol=0.25)
    assert np.allclose([high_i, high_j], near.max(axis=0), atol=0.25)


def test_the_cut_through_an_upright_box_is_its_face():
    corners = np.array([[(2.0, 11.5)[n & 1], (3.0, 8.0)[n >> 1 & 1], (-0.5, 4.5)[n >> 2]] for n in range(8)])
    for index in (-7.0, -0.5, 0.0, 4.5, 9.0):
        assert np.allclose(cross_section(corners, index), [2.0, 3.0, 11.5, 8.0])


def test_strokes_arrive_in_window_indices_with_their_kinds_and_signs(a_window):
    ends = [(1.0, 2.0, 3.0), (9.5, 8.0, 7.0)]
    in_ras = [tuple(a_window.to_ras(end)) for end in ends]
    outline = [*in_ras, tuple(a_window.to_ras((1.0, 8.0, 30.0)))]
    prompts = PromptSet((Line(*in_ras), Scribble(tuple(in_ras), positive=False), Lasso(tuple(outline))))
    line, scribble, lasso = encode_prompts(prompts, a_window).strokes
    assert [stroke.kind for stroke in (line, scribble, lasso)] == [Line, Scribble, Lasso]
    assert [stroke.positive for stroke in (line, scribble, lasso)] == [True, False, True]
    np.testing.assert_allclose(line.points, ends, atol=1e-9)
    np.testing.assert_allclose(scribble.points, ends, atol=1e-9)
    np.testing.assert_allclose(lasso.points[2], (1, 8, 30), atol=1e-9)


def test_without_strokes_there_are_none(a_window):
    assert encode_prompts(PromptSet((click_at(a_window, (1, 2, 3)),)), a_window).strokes == ()
