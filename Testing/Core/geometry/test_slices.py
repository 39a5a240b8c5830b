"""Piles of slices: the axis across them, and voxels that stay where they are in the patient."""

import numpy as np
import pytest
from support.scenes import ORIENTATIONS, oblique_grid

from inference_core.geometry.grid import Grid
from inference_core.geometry.slices import as_in, slice_axis, sliced_grid, slices_last
from inference_core.geometry.volume import Volume

THICK = 1  # the spacing (0.8, 0.8, 2.5) of `oblique_grid`


@pytest.fixture(params=range(0, len(ORIENTATIONS), 7))
def an_oblique_grid(request):
    return oblique_grid(request.param, THICK)


@pytest.fixture(params=range(3))
def a_volume_with_its_slices_along_any_axis(request):
    spacing = np.roll([3.0, 0.7, 0.9], request.param)
    shape = tuple(np.roll([4, 6, 5], request.param))
    affine = np.eye(4)
    affine[:3, :3] = oblique_grid(5, 0).affine[:3, :3] * spacing
    affine[:3, 3] = (4, -9, 31)
    return request.param, Volume(np.random.default_rng(0).normal(size=shape), Grid(shape, affine))


def test_the_slice_axis_is_the_one_of_the_largest_spacing(an_oblique_grid):
    assert an_oblique_grid.spacing[slice_axis(an_oblique_grid)] == pytest.approx(2.5)


def test_without_a_largest_spacing_the_last_axis_is_across_the_slices():
    assert slice_axis(Grid((3, 4, 5), np.diag([2.0, 1.0, 2.0, 1.0]))) == 2
    assert slice_axis(Grid((3, 4, 5), np.diag([2.0, 2.0, 1.0, 1.0]))) == 1


def test_every_voxel_stays_where_it_is_in_the_patient(a_volume_with_its_slices_along_any_axis):
    axis, volume = a_volume_with_its_slices_along_any_axis
    sliced = slices_last(volume)
    assert sliced.array.shape[2] == volume.array.shape[axis] == 4
    assert np.shares_memory(sliced.array, volume.array)
    for voxel in np.ndindex(2, 3, 4):
        there = volume.grid.voxel_of(sliced.grid.to_ras(voxel))
        assert volume.array[there] == sliced.array[voxel]
        assert np.allclose(volume.grid.to_ras(there), sliced.grid.to_ras(voxel))


def test_slices_turn_back_into_the_volume(a_volume_with_its_slices_along_any_axis):
    _, volume = a_volume_with_its_slices_along_any_axis
    assert np.array_equal(as_in(volume.grid, slices_last(volume).array), volume.array)
    assert sliced_grid(volume.grid) == slices_last(volume).grid
