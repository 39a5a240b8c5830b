"""Grids: where voxels lie in the patient, on grids that hide nothing."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.scenes import oblique_grid, turn

from inference_core.errors import VolumeError
from inference_core.geometry.grid import LPS_FROM_RAS, Grid, apply_affine, corners_ijk, isotropic_grid

angles = st.floats(-180, 180)
grids = st.builds(
    oblique_grid,
    orientation=st.integers(0, 47),
    spacing=st.integers(0, 2),
    degrees=st.tuples(angles, angles, angles),
    size_mm=st.floats(4, 60),
)
points = st.tuples(*[st.floats(-300, 300)] * 3)


def affine_of(directions, spacing, origin=(3.0, -20.0, 55.0)) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = np.asarray(directions) * spacing
    affine[:3, 3] = origin
    return affine


@settings(deadline=None)
@given(grid=grids, point=points)
def test_patient_to_voxel_and_back_is_the_same_point(grid, point):
    np.testing.assert_allclose(grid.to_ras(grid.to_ijk(point)), point, atol=1e-9)


@settings(deadline=None)
@given(grid=grids, ijk=points)
def test_a_voxel_lies_where_the_affine_says_in_homogeneous_coordinates(grid, ijk):
    np.testing.assert_allclose(grid.to_ras(ijk), (grid.affine @ [*ijk, 1])[:3], atol=1e-9)


def test_many_points_are_mapped_as_one_by_one(an_oblique_grid):
    many = np.random.default_rng(0).uniform(-50, 50, (2, 5, 3))
    mapped = an_oblique_grid.to_ijk(many)
    assert mapped.shape == (2, 5, 3)
    np.testing.assert_allclose(mapped[1, 3], an_oblique_grid.to_ijk(many[1, 3]))
    assert an_oblique_grid.to_ras(np.zeros((0, 3))).shape == (0, 3)


@settings(deadline=None)
@given(grid=grids)
def test_spacing_is_the_distance_between_neighboring_centers(grid):
    steps = [np.linalg.norm(grid.to_ras(unit) - grid.to_ras([0, 0, 0])) for unit in np.eye(3)]
    np.testing.assert_allclose(grid.spacing, steps)
    assert grid.voxel_volume_mm3 == pytest.approx(np.prod(steps))


def test_the_voxels_of_a_left_handed_grid_have_a_positive_volume(a_left_handed_grid):
    assert np.linalg.det(a_left_handed_grid.affine[:3, :3]) < 0
    assert a_left_handed_grid.voxel_volume_mm3 == pytest.approx(0.9 * 0.6 * 2.2)


def test_axis_codes_name_the_direction_of_each_index(an_axis_aligned_grid):
    names = {(0, 1): "R", (0, -1): "L", (1, 1): "A", (1, -1): "P", (2, 1): "S", (2, -1): "I"}
    columns = np.sign(an_axis_aligned_grid.affine[:3, :3]).astype(int).T
    expected = "".join(names[int(np.flatnonzero(c)[0]), int(c.sum())] for c in columns)
    assert an_axis_aligned_grid.axis_codes == expected


def test_axis_codes_of_a_tilted_scan_are_those_of_the_upright_one():
    tilted = Grid((4, 5, 6), affine_of(turn((18, -7, 25)) @ np.diag([-1.0, -1.0, 1.0]), (0.5, 0.75, 3.0)))
    assert tilted.axis_codes == "LPS"


@settings(deadline=None)
@given(grid=grids)
def test_axis_codes_name_each_of_the_patients_axes_once(grid):
    pairs = ["RL", "AP", "SI"]
    assert sorted(next(n for n, pair in enumerate(pairs) if code in pair) for code in grid.axis_codes) == [0, 1, 2]


def test_lps_turns_the_first_two_axes_round():
    np.testing.assert_array_equal(apply_affine(LPS_FROM_RAS, [1.0, 2.0, 3.0]), [-1.0, -2.0, 3.0])


@settings(deadline=None)
@given(grid=grids)
def test_the_center_is_in_the_middle_of_the_corners(grid):
    np.testing.assert_allclose(grid.center_ras, grid.to_ras(corners_ijk(grid.shape)).mean(axis=0), atol=1e-9)


def test_a_corners_number_says_at_which_ends_it_lies():
    corners = corners_ijk((4, 6, 9))
    assert corners.shape == (8, 3)
    for number, corner in enumerate(corners):
        assert tuple(corner) == tuple(end if (number >> axis) & 1 else -0.5 for axis, end in enumerate((3.5, 5.5, 8.5)))


@settings(max_examples=50, deadline=None)
@given(grid=grids, share=st.tuples(*[st.floats(-0.3, 1.3)] * 3))
def test_a_point_in_the_grid_belongs_to_the_voxel_whose_center_is_nearest(grid, share):
    ijk = np.array(share) * grid.shape - 0.5
    point = grid.to_ras(ijk)
    inside = all(0 <= s <= 1 for s in share)
    if np.abs(np.array(share) * (np.array(share) - 1)).min() > 1e-6:
        assert grid.contains(point) is inside
    voxel = grid.voxel_of(point)
    every = np.stack(np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij"), axis=-1).reshape(-1, 3)
    distances = np.linalg.norm(grid.to_ras(every) - point, axis=1)
    assert np.linalg.norm(grid.to_ras(voxel) - point) <= distances.min() + 1e-9


@settings(deadline=None)
@given(grid=grids, low=st.tuples(*[st.booleans()] * 3), beyond_mm=st.tuples(*[st.floats(0, 90)] * 3))
def test_the_distance_outside_is_measured_in_millimeters_from_the_outer_face(grid, low, beyond_mm):
    corner = np.where(low, -0.5, np.array(grid.shape) - 0.5)
    outwards = np.where(low, -1, 1) * np.array(beyond_mm) / grid.spacing
    point = grid.to_ras(corner + outwards)
    assert grid.distance_outside(point) == pytest.approx(np.linalg.norm(beyond_mm), abs=1e-9)


def test_a_point_inside_is_no_distance_outside(an_oblique_grid):
    assert an_oblique_grid.distance_outside(an_oblique_grid.to_ras([0.4, 5.4, -0.4])) == 0.0


def test_points_on_the_outer_faces_belong_to_the_outer_voxels():
    grid = Grid((4, 5, 6), np.diag([2.0, -0.5, 4.0, 1.0]))
    assert grid.contains(grid.to_ras([3.5, 4.5, 5.5]))
    assert grid.voxel_of(grid.to_ras([3.5, 4.5, 5.5])) == (3, 4, 5)
    assert grid.voxel_of(grid.to_ras([-0.5, -0.5, -0.5])) == (0, 0, 0)
    assert grid.voxel_of(grid.to_ras([1.5, 0.5, 2.5])) == (2, 1, 3)


def test_a_cropped_grid_keeps_every_voxel_where_it_was(a_left_handed_grid):
    cropped = a_left_handed_grid.cropped((1, -2, 3), (4, 9, 5))
    assert cropped.shape == (3, 11, 2)
    for voxel in itertools.product((0, 2), (0, 10), (0, 1)):
        np.testing.assert_allclose(cropped.to_ras(voxel), a_left_handed_grid.to_ras(np.add(voxel, (1, -2, 3))))
    assert cropped.spacing == pytest.approx(a_left_handed_grid.spacing)


def test_an_empty_crop_is_refused(an_oblique_grid):
    with pytest.raises(VolumeError, match="at least one voxel"):
        an_oblique_grid.cropped((2, 2, 2), (4, 2, 5))


def test_grids_match_within_a_tolerance_at_all_corners(an_oblique_grid):
    def moved(millimeters):
        affine = an_oblique_grid.affine.copy()
        affine[1, 3] += millimeters
        return Grid(an_oblique_grid.shape, affine)

    assert an_oblique_grid.matches(moved(5e-5))
    assert not an_oblique_grid.matches(moved(2e-4))
    assert an_oblique_grid.matches(moved(0.01), tolerance_mm=0.02)


def test_a_small_turn_of_a_large_grid_does_not_match():
    """Half a milliradian moves the origin by nothing and the far corner by a quarter of a millimeter."""
    large = Grid((512, 512, 2), np.eye(4))
    turned = np.eye(4)
    turned[:3, :3] = turn((0, 0, 0.03))
    assert not large.matches(Grid(large.shape, turned), tolerance_mm=0.2)
    assert large.matches(Grid(large.shape, turned), tolerance_mm=0.5)


def test_grids_of_other_shapes_do_not_match(an_oblique_grid):
    assert not an_oblique_grid.matches(an_oblique_grid.cropped((0, 0, 0), (5, 6, 6)))


def test_equal_grids_hash_alike_even_where_a_zero_is_negative():
    given_ = affine_of(np.eye(3), (1, 2, 3), origin=(0.0, 0.0, 0.0))
    negative = np.where(given_ == 0, -0.0, given_)
    assert Grid((2, 3, 4), given_) == Grid((2, 3, 4), negative)
    assert len({Grid((2, 3, 4), given_), Grid((2, 3, 4), negative)}) == 1


def test_grids_that_differ_in_shape_or_place_are_not_equal(an_oblique_grid):
    i, j, k = an_oblique_grid.shape
    moved = an_oblique_grid.affine.copy()
    moved[0, 3] += 1e-9
    assert an_oblique_grid != Grid((i, j, k + 1), an_oblique_grid.affine)
    assert an_oblique_grid != Grid((i, j, k), moved)
    assert an_oblique_grid != "a grid"


def test_a_grid_cannot_be_changed_through_an_array():
    given_ = affine_of(np.eye(3), (1, 2, 3))
    grid = Grid((2, 3, 4), given_)
    given_[0, 3] = 1000
    assert grid.to_ras([0, 0, 0])[0] == 3.0
    with pytest.raises(ValueError, match="read-only"):
        grid.affine[0, 3] = 1000


def test_a_shape_of_numpy_integers_becomes_plain_integers():
    grid = Grid(tuple(np.array([2, 3, 4])), np.eye(4))
    assert grid.shape == (2, 3, 4)
    assert all(type(n) is int for n in grid.shape)


SHEARED = np.array([[1.0, 0.01, 0], [0, 1, 0], [0, 0, 1]])
NEARLY_UPRIGHT = np.array([[1.0, 5e-4, 0], [0, 1, 0], [0, 0, 1]])


@pytest.mark.parametrize(
    ("shape", "affine", "sentence"),
    [
        ((4, 5), np.eye(4), "three dimensions"),
        ((4, 5, 0), np.eye(4), "at least one voxel"),
        ((4, 5, 6), np.full((4, 4), np.nan), "non-finite"),
        ((4, 5, 6), np.diag([1, 1, np.inf, 1]), "non-finite"),
        ((4, 5, 6), np.diag([1.0, 0.0, 1.0, 1.0]), "spacing of zero"),
        ((4, 5, 6), affine_of([[1, 1, 0], [0, 0, 0], [0, 0, 1]], 1), "not independent"),
        ((4, 5, 6), affine_of(turn((20, 30, 40)) @ SHEARED, (0.5, 0.5, 4.0)), "sheared"),
    ],
)
def test_a_geometry_that_cannot_be_trusted_is_refused_in_a_sentence(shape, affine, sentence):
    with pytest.raises(VolumeError, match=sentence):
        Grid(shape, affine)


def test_rounding_in_a_header_is_no_shear():
    assert Grid((4, 5, 6), affine_of(turn((20, 30, 40)) @ NEARLY_UPRIGHT, (0.5, 0.5, 4.0))).shape == (4, 5, 6)


def test_shear_is_judged_by_angles_and_not_by_millimeters():
    """A 0.01 mm error on a 0.001 mm micro-CT voxel is a shear of many degrees."""
    with pytest.raises(VolumeError, match="sheared"):
        Grid((4, 5, 6), affine_of(SHEARED, 1e-3))


@pytest.mark.parametrize("shape", [(7, 8, 9), (4, 4, 4)])
def test_an_isotropic_grid_is_centered_on_its_point(shape):
    axes = turn((10, 20, 30)) @ np.diag([1.0, -1.0, 1.0])
    grid = isotropic_grid([11.0, -3.0, 70.0], shape=shape, spacing=1.7, axes=axes)
    np.testing.assert_allclose(grid.center_ras, [11.0, -3.0, 70.0])
    assert grid.spacing == pytest.approx((1.7, 1.7, 1.7))
    np.testing.assert_allclose(grid.affine[:3, :3] / 1.7, axes)


def test_an_isotropic_grid_lies_along_the_patient_unless_told_otherwise():
    assert isotropic_grid([0, 0, 0], shape=(3, 3, 3), spacing=2.0).axis_codes == "RAS"
