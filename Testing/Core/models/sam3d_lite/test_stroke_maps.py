"""Strokes as maps: where they lie in the window, and what drawing many points costs."""

from __future__ import annotations

from time import process_time

import numpy as np
import pytest
import torch

from inference_core.models.sam3d_lite.stroke_maps import (
    BALL,
    LASSO,
    LASSO_BACKGROUND,
    LINE,
    SCRIBBLE,
    SCRIBBLE_BACKGROUND,
    STROKE_CHANNELS,
    draw_strokes,
    stroke_seeds,
)
from inference_core.prompts.encoding import WindowStroke
from inference_core.prompts.strokes import Lasso, Line, Scribble

HALF = (16, 20, 24)


def cells_of(maps: torch.Tensor, channel: int, *, above: float = 0.99) -> np.ndarray:
    """Window coordinates of the cells above a value."""
    return 2 * np.argwhere(maps[channel].numpy() > above) + 0.5


def square(center, half_edge: float, *, across: int) -> np.ndarray:
    flat = half_edge * np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])
    return np.insert(flat, across, 0, axis=1) + np.asarray(center)


def test_no_stroke_draws_nothing():
    maps = draw_strokes((), HALF)
    assert maps.shape == (STROKE_CHANNELS, *HALF)
    assert not maps.any()


def test_a_line_is_stamped_along_its_whole_length_and_spans_a_ball():
    start, end = np.array([4.0, 10, 12]), np.array([24.0, 30, 40])
    maps = draw_strokes((WindowStroke(Line, np.stack([start, end])),), HALF)
    cells = cells_of(maps, LINE)
    direction = (end - start) / np.linalg.norm(end - start)
    off = np.linalg.norm((cells - start) - ((cells - start) @ direction)[:, None] * direction, axis=1)
    assert off.max() < 2
    assert ((cells - start) @ direction).min() < 2
    assert ((cells - start) @ direction).max() > np.linalg.norm(end - start) - 2
    distance = np.linalg.norm(2 * np.argwhere(np.ones(HALF)) + 0.5 - (start + end) / 2, axis=1)
    ball = maps[BALL].numpy().ravel()
    assert (ball[distance < 19] > 0).all()
    assert (ball[distance > 20.5] < 0).all()
    assert not maps[SCRIBBLE:].any()


@pytest.mark.parametrize(("positive", "channel"), [(True, SCRIBBLE), (False, SCRIBBLE_BACKGROUND)])
def test_a_scribble_is_stamped_by_its_sign_along_every_turn(positive, channel):
    path = np.array([[2.5, 2.5, 2.5], [20.5, 2.5, 2.5], [20.5, 30.5, 2.5]])
    maps = draw_strokes((WindowStroke(Scribble, path, positive),), HALF)
    cells = {tuple(cell) for cell in cells_of(maps, channel)}
    assert {(n, 2.5, 2.5) for n in np.arange(2.5, 21, 2)} <= cells
    assert {(20.5, n, 2.5) for n in np.arange(2.5, 31, 2)} <= cells
    assert maps[channel, 5, 1, 3] == pytest.approx(np.exp(-2.0), abs=1e-4)
    assert not np.delete(maps.numpy(), channel, axis=0).any()


@pytest.mark.parametrize("across", range(3))
def test_a_lasso_is_told_in_its_slice_alone(across):
    center = np.array([14.5, 16.5, 20.5])
    maps = draw_strokes((WindowStroke(Lasso, square(center, 5, across=across)),), HALF)
    lasso = maps[LASSO].numpy()
    told = np.argwhere(lasso != 0)
    assert len(np.unique(told[:, across])) == 1
    assert len(told) == lasso.size // HALF[across]
    inside = 2 * np.argwhere(lasso == 1) + 0.5
    assert np.abs(inside - center).max() <= 5
    assert len(inside) == 25


def test_an_oblique_lasso_lies_in_its_plane():
    normal = np.array([1.0, 1, 2]) / np.sqrt(6)
    first = np.array([1.0, -1, 0]) / np.sqrt(2)
    second = np.cross(normal, first)
    around = np.linspace(0, 2 * np.pi, 50, endpoint=False)
    points = 9 * (np.cos(around)[:, None] * first + np.sin(around)[:, None] * second) + (15, 19, 23)
    maps = draw_strokes((WindowStroke(Lasso, points, positive=False),), HALF)
    cells = cells_of(maps, LASSO_BACKGROUND) - (15, 19, 23)
    assert len(cells) > 30
    assert np.abs(cells @ normal).max() <= 1
    assert np.linalg.norm(cells, axis=1).max() < 9.5


def test_two_outlines_in_a_slice_are_two_parts_of_its_answer():
    center = np.array([14.5, 10.5, 10.5])
    strokes = [WindowStroke(Lasso, square(center + (0, n, n), 3, across=0)) for n in (0, 20)]
    both = draw_strokes(strokes, HALF)[LASSO]
    one, other = (draw_strokes([stroke], HALF)[LASSO] for stroke in strokes)
    assert torch.equal(both, torch.maximum(one, other))
    assert (both == 1).sum() == (one == 1).sum() + (other == 1).sum() > 0


def test_seeds_are_what_strokes_say_for_certain():
    center = np.array([14.5, 16.5, 20.5])
    strokes = [
        WindowStroke(Lasso, square(center, 5, across=0)),
        WindowStroke(Scribble, center[None] + (8, 0, 0)),
        WindowStroke(Scribble, center[None] - (8, 0, 0), positive=False),
    ]
    maps = draw_strokes(strokes, HALF)
    target, none = stroke_seeds(maps[None])[0].numpy()
    assert target[11, 8, 10]
    assert target[7, 8, 10]
    assert none[3, 8, 10]
    assert none[7, 0, 0]
    assert not (target & none).any()
    assert target.sum() == 26


def test_what_lies_outside_the_window_is_not_drawn():
    far = np.array([[-50.0, 10, 10], [-40.0, 10, 10]])
    for kind in (Scribble, Line):
        maps = draw_strokes((WindowStroke(kind, far),), HALF)
        assert not maps[SCRIBBLE].any()
        assert not maps[LINE].any()


def test_a_stroke_of_500_points_costs_little_more_than_one_of_two():
    path = np.cumsum(np.random.default_rng(0).normal(0, 0.3, (500, 3)), axis=0) + 16
    costs = []
    for points in (path[::499], path):
        stroke = (WindowStroke(Scribble, points),)
        best = np.inf
        for _ in range(8):
            began = process_time()
            draw_strokes(stroke, (32, 32, 32))
            best = min(best, process_time() - began)
        costs.append(best)
    assert costs[1] < 3 * costs[0] + 2e-3
