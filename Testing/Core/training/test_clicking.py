"""Where the simulated hand clicks, draws and slips."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage as ndi

from inference_core.geometry.pieces import largest_piece
from inference_core.training.clicking import clicked_cell, slip
from inference_core.training.drawing import lasso_around, line_across, scribble_through

SHAPE = (20, 24, 28)


@pytest.fixture
def a_ball() -> np.ndarray:
    grid = np.indices(SHAPE) - np.array([10, 12, 14])[:, None, None, None]
    return np.sqrt((grid**2).sum(axis=0)) <= 7


@pytest.fixture
def a_rod() -> np.ndarray:
    """Twenty by four by four voxels along k."""
    rod = np.zeros(SHAPE, dtype=bool)
    rod[8:12, 10:14, 4:24] = True
    return rod


def rng_of(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_half_the_clicks_are_central_and_some_lie_at_the_border(a_ball):
    depth = ndi.distance_transform_edt(a_ball)
    rng = rng_of()
    depths = np.array([depth[tuple(clicked_cell(rng, a_ball))] for _ in range(400)]) / depth.max()
    assert (depths > 0).all()
    assert 0.45 < (depths >= 0.75).mean() < 0.65
    assert 0.2 < (depths <= 0.35).mean() < 0.45


def test_a_region_of_one_cell_is_clicked_there():
    region = np.zeros(SHAPE, dtype=bool)
    region[3, 4, 5] = True
    assert all((clicked_cell(rng_of(seed), region) == (3, 4, 5)).all() for seed in range(9))


def test_a_hand_slips_now_and_then_by_a_voxel_or_two():
    rng = rng_of()
    slips = np.array([slip(rng) for _ in range(2000)])
    slipped = slips.any(axis=1)
    assert 0.03 < slipped.mean() < 0.07
    assert np.abs(slips).max() <= 1.5


def test_the_largest_piece_is_kept(a_ball):
    two = a_ball.copy()
    two[0, 0, :3] = True
    assert (largest_piece(two) == a_ball).all()
    assert (largest_piece(a_ball) == a_ball).all()


@pytest.mark.parametrize("seed", range(8))
def test_a_line_lies_in_one_slice_and_is_about_as_long_as_the_target_there(a_ball, seed):
    ends = line_across(rng_of(seed), a_ball)
    flat = np.isclose(ends[0], ends[1], atol=1e-9) & np.isclose(ends[0] % 1, 0)
    assert flat.any()
    assert 9 < np.linalg.norm(ends[1] - ends[0]) < 19
    middle = np.rint(ends.mean(axis=0)).astype(int)
    assert a_ball[tuple(middle)]


def test_a_line_follows_the_longest_diameter(a_rod):
    lines = [line_across(rng_of(seed), a_rod) for seed in range(12)]
    along = [line for line in lines if abs(line[1] - line[0]).argmax() == 2]
    assert len(along) >= 3
    assert np.mean([np.linalg.norm(line[1] - line[0]) for line in along]) == pytest.approx(20, abs=2)


def test_a_target_of_one_voxel_has_a_line():
    target = np.zeros(SHAPE, dtype=bool)
    target[5, 6, 7] = True
    ends = line_across(rng_of(), target)
    assert np.isfinite(ends).all()
    assert np.abs(ends - (5, 6, 7)).max() < 3


@pytest.mark.parametrize("seed", range(8))
def test_a_scribble_stays_in_one_slice_of_the_region(a_rod, seed):
    cells = scribble_through(rng_of(seed), a_rod)
    assert a_rod[tuple(cells.T)].all()
    assert (np.ptp(cells, axis=0) == 0).any()
    assert len(cells) >= 1


def test_scribbles_are_strokes_rather_than_dots(a_ball):
    lengths = [np.ptp(scribble_through(rng_of(seed), a_ball), axis=0).max() for seed in range(20)]
    assert np.median(lengths) >= 3


@pytest.mark.parametrize("seed", range(8))
def test_a_lasso_follows_the_regions_outline_in_a_slice(a_ball, seed):
    through = np.array([9, 12, 15])
    lasso, deepest = lasso_around(rng_of(seed), a_ball, through)
    told = lasso != 0
    assert set(np.unique(lasso)) == {-1.0, 0.0, 1.0}
    axes = [axis for axis in range(3) if len(np.unique(np.argwhere(told)[:, axis])) == 1]
    assert len(axes) == 1
    assert (np.unique(np.argwhere(told)[:, axes[0]]) == through[axes[0]]).all()
    drawn = lasso == 1
    truth = a_ball & told
    assert 2 * (drawn & truth).sum() / (drawn.sum() + truth.sum()) > 0.8
    assert drawn[tuple(deepest)]
