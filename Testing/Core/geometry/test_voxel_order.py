"""The same voxels in another order: every permutation and flip on an oblique grid, and what are other voxels."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
from support.scenes import oblique_grid

from inference_core.geometry.grid import Grid
from inference_core.geometry.voxel_order import in_order_of

GRID = oblique_grid(29, 1)


def reordered(grid, order, flips):
    """A grid's voxels counted along other axes and from other ends."""
    affine, start = np.eye(4), np.zeros(3)
    for n, (axis, flip) in enumerate(zip(order, flips, strict=True)):
        affine[:3, n] = grid.affine[:3, axis] * (-1 if flip else 1)
        start[axis] = grid.shape[axis] - 1 if flip else 0
    affine[:3, 3] = grid.to_ras(start)
    return Grid(tuple(grid.shape[axis] for axis in order), affine)


@pytest.mark.parametrize("order", list(permutations(range(3))))
@pytest.mark.parametrize("flips", list(product((False, True), repeat=3)))
def test_each_value_stays_at_its_place_in_the_patient(order, flips):
    target = reordered(GRID, order, flips)
    values = np.arange(np.prod(GRID.shape)).reshape(GRID.shape)
    found = in_order_of(target, values, GRID)
    assert found.shape == target.shape
    assert np.shares_memory(found, values), "a view: nothing is copied"
    places = np.random.default_rng(0).integers(0, target.shape, size=(50, 3))
    there = np.rint(GRID.to_ijk(target.to_ras(places))).astype(int)
    assert np.array_equal(found[tuple(places.T)], values[tuple(there.T)])


@pytest.mark.parametrize(
    "other",
    [
        Grid(GRID.shape, GRID.affine + np.array([[0, 0, 0, 0.1], *np.zeros((3, 4))])),
        Grid(GRID.shape, GRID.affine @ np.diag([1.01, 1, 1, 1])),
        GRID.cropped((0, 0, 0), np.array(GRID.shape) - (1, 0, 0)),
        oblique_grid(7, 1),
    ],
)
def test_other_voxels_have_no_order_in_common(other):
    assert in_order_of(other, np.zeros(GRID.shape), GRID) is None
