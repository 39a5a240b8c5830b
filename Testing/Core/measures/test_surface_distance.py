"""The distance of a mask's surface to its neighbor's."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from inference_core.geometry.grid import Grid
from inference_core.geometry.mask import EMPTY, Mask
from inference_core.measures.surface_distance import surface_distance, surface_points


def nearest_of_all(one: np.ndarray, others: np.ndarray) -> float:
    return float(np.sqrt(min(((others - point) ** 2).sum(axis=1).min() for point in one)))


def test_it_is_the_shortest_of_all_pairs(random_lesions):
    lesions = random_lesions(40)
    for (mask, grid), (other, _) in pairwise(lesions):
        apart = Mask((other.start[0] + 17, other.start[1] - 9, other.start[2]), other.array)
        expected = nearest_of_all(grid.to_ras(surface_points(mask)), grid.to_ras(surface_points(apart)))
        assert surface_distance(mask, apart, grid).mm == pytest.approx(expected, abs=1e-6)


def test_two_balls_are_as_far_apart_as_their_centers_less_their_radii():
    grid = Grid((120, 60, 60), np.diag([0.8, 0.8, 0.8, 1.0]))
    ijk = np.stack(np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij"), axis=-1) * 0.8
    one, other = (Mask.of(((ijk - at) ** 2).sum(axis=-1) < 12**2) for at in ((20, 24, 24), (62, 24, 24)))
    assert surface_distance(one, other, grid).mm == pytest.approx(42 - 24, abs=0.8)


def test_masks_that_touch_or_overlap_are_at_no_distance(an_oblique_grid):
    voxels = np.zeros((2, *an_oblique_grid.shape), dtype=bool)
    voxels[0, :2], voxels[1, 2:4] = True, True
    touching = [Mask.of(part) for part in voxels]
    assert surface_distance(*touching, an_oblique_grid).mm == 0
    overlapping = Mask.of(voxels[0] | voxels[1])
    assert surface_distance(touching[0], overlapping, an_oblique_grid).mm == 0


def test_to_an_empty_mask_there_is_no_distance(an_oblique_grid, a_mask_of):
    assert surface_distance(Mask.of(a_mask_of(an_oblique_grid)), EMPTY, an_oblique_grid) is None
