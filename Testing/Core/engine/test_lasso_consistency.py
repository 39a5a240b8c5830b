"""An outlined slice is as its outline says, whatever the model believes, until something later is placed in it."""

from __future__ import annotations

from time import process_time

import numpy as np
import pytest
from support.scenes import BrightnessModel, oblique_grid, turn

from inference_core.engine.lasso_consistency import obey_lassos, standing_lassos
from inference_core.engine.mask_composition import MaskOptions
from inference_core.engine.session import Session
from inference_core.geometry.grid import Grid
from inference_core.prompts.prompt_set import Click, PromptSet
from inference_core.prompts.strokes import Lasso, Line, Scribble


def square_in_slice(grid: Grid, axis: int, number: int, low: float, high: float) -> Lasso:
    """A square over voxels low..high of a slice of the grid, its edge half way between voxels."""
    flat = np.array([(low, low), (high, low), (high, high), (low, high)], dtype=float)
    flat += np.sign(flat - flat.mean(axis=0)) * 0.5
    return Lasso(tuple(map(tuple, grid.to_ras(np.insert(flat, axis, number, axis=1)))))


def slice_of(mask: np.ndarray, axis: int, number: int) -> np.ndarray:
    return mask.take(number, axis=axis)


@pytest.fixture
def a_grid() -> Grid:
    return oblique_grid(orientation=29, spacing=1, size_mm=40.0)


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("believed", [True, False])
def test_a_slice_is_exactly_what_was_outlined_and_its_neighbors_are_left(a_grid, axis, believed):
    mask = np.full(a_grid.shape, believed)
    obey_lassos(mask, (square_in_slice(a_grid, axis, 7, 4, 9),), a_grid)
    expected = np.zeros(slice_of(mask, axis, 7).shape, dtype=bool)
    expected[4:10, 4:10] = True
    assert (slice_of(mask, axis, 7) == expected).all()
    assert (np.delete(mask, 7, axis=axis) == believed).all()


def test_a_background_outline_takes_out_what_it_holds_and_no_more(a_grid):
    mask = np.ones(a_grid.shape, dtype=bool)
    outline = square_in_slice(a_grid, 2, 7, 4, 9)
    obey_lassos(mask, (Lasso(outline.points_ras, positive=False),), a_grid)
    assert (~mask).sum() == 36
    assert not mask[4:10, 4:10, 7].any()


def test_two_outlines_in_a_slice_are_two_parts_and_a_later_background_one_cuts_into_both(a_grid):
    mask = np.ones(a_grid.shape, dtype=bool)
    parts = square_in_slice(a_grid, 2, 7, 2, 5), square_in_slice(a_grid, 2, 7, 8, 11)
    hole = Lasso(square_in_slice(a_grid, 2, 7, 4, 9).points_ras, positive=False)
    obey_lassos(mask, (*parts, hole), a_grid)
    assert mask[..., 7].sum() == 2 * 16 - 2 * 4
    assert mask[..., 6].all()


@pytest.mark.parametrize(
    ("place", "stands"), [((7, 5, 5), False), ((6, 5, 5), True), ((7.45, 5, 5), False), ((7.55, 5, 5), True)]
)
def test_an_outline_stands_until_something_later_is_placed_in_its_slice(a_grid, place, stands):
    lasso = square_in_slice(a_grid, 0, 7, 4, 9)
    point = tuple(a_grid.to_ras(place))
    for later in (
        Click(point),
        Click(point, positive=False),
        Scribble((point,)),
        Line(point, tuple(a_grid.to_ras((30, 5, 5)))),
    ):
        assert standing_lassos(PromptSet((lasso, later)), a_grid) == ((lasso,) if stands else ())
        assert standing_lassos(PromptSet((later, lasso)), a_grid) == (lasso,)


def test_an_oblique_outline_is_followed_within_half_a_voxel(a_grid):
    axes = turn((35, 20, -50))
    around = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    points = a_grid.center_ras + 9 * np.stack([np.cos(around), np.sin(around), 0 * around], axis=1) @ axes.T
    mask = np.zeros(a_grid.shape, dtype=bool)
    obey_lassos(mask, (Lasso(tuple(map(tuple, points))),), a_grid)
    local = (a_grid.to_ras(np.argwhere(mask)) - a_grid.center_ras) @ axes
    assert len(local) > 100
    assert np.abs(local[:, 2]).max() < max(a_grid.spacing)
    assert np.linalg.norm(local[:, :2], axis=1).max() < 9.01


def test_a_session_answers_an_outlined_slice_by_the_outline(a_volume, a_ball):
    """A click on the ball, and in one slice of it an outline that is off by far."""
    grid = a_volume.grid
    number = grid.voxel_of(a_ball[0])[2]
    lasso = square_in_slice(grid, 2, number, 10, 16)
    session = Session(a_volume, BrightnessModel())
    plain = session.predict(PromptSet((Click(tuple(a_ball[0] + (0, 0, 6))),))).mask.on(grid.shape)
    prompts = PromptSet((Click(tuple(a_ball[0] + (0, 0, 6))), lasso))
    drawn = session.predict(prompts, options=MaskOptions(keep_clicked_pieces=False)).mask.on(grid.shape)
    expected = np.zeros(grid.shape[:2], dtype=bool)
    expected[10:17, 10:17] = True
    assert (drawn[..., number].astype(bool) == expected).all()
    assert drawn[..., number + 1].any()
    assert plain[..., number].any()
    assert not plain[10:17, 10:17, number].all()


def test_an_outline_of_500_points_in_a_large_volume_is_obeyed_in_a_moment():
    grid = Grid((256, 256, 120), np.diag([0.8, 0.8, 2.5, 1]))
    mask = np.zeros(grid.shape, dtype=bool)
    mask[60:200, 60:200, 30:90] = True
    around = np.linspace(0, 2 * np.pi, 500, endpoint=False)
    indices = np.stack([128 + 60 * np.cos(around), 128 + 60 * np.sin(around), np.full(500, 60)], axis=1)
    began = process_time()
    obey_lassos(mask, (Lasso(tuple(map(tuple, grid.to_ras(indices)))),), grid)
    # Were all voxels of the mask held against the outline, not those of its slice, it would be sixty times as much.
    assert process_time() - began < 5.0
    assert mask[..., 60].sum() == pytest.approx(np.pi * 60**2, rel=0.01)
