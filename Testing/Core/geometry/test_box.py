"""Oriented boxes in patient millimeters."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.scenes import oblique_grid, turn

from inference_core.errors import PromptError
from inference_core.geometry.box import Box3D
from inference_core.geometry.grid import Grid, corners_ijk

angles = st.floats(-180, 180)
sizes = st.tuples(*[st.floats(0.5, 80)] * 3)


@pytest.fixture
def an_oblique_box() -> Box3D:
    return Box3D(np.array([10.0, -20.0, 30.0]), turn((15, -35, 50)) @ np.diag([1, -1, 1]), np.array([4.0, 9.0, 16.0]))


@settings(deadline=None)
@given(degrees=st.tuples(angles, angles, angles), size=sizes, share=st.tuples(*[st.floats(-1, 1)] * 3))
def test_a_point_is_in_the_box_when_it_is_within_half_of_every_edge(degrees, size, share):
    axes = turn(degrees)
    box = Box3D(np.array([5.0, 6.0, -7.0]), axes, np.array(size))
    point = box.center + sum(s * e * axis for s, e, axis in zip(share, size, axes.T, strict=True))
    furthest = max(abs(s) for s in share)
    if abs(furthest - 0.5) > 1e-6:
        assert bool(box.contains(point)) is (furthest < 0.5)


def test_the_faces_belong_to_the_box():
    box = Box3D.aligned([1.0, 2.0, 3.0], [2.0, 4.0, 8.0])
    assert box.contains([2.0, 4.0, 7.0])
    assert not box.contains([2.0, 4.0, 7.000001])


def test_many_points_are_tested_at_once(an_oblique_box):
    outside = an_oblique_box.center + 20 * np.eye(3)
    inside = np.tile(an_oblique_box.center, (3, 1))
    np.testing.assert_array_equal(an_oblique_box.contains(np.stack([inside, outside])), [[True] * 3, [False] * 3])


def test_a_corners_number_says_at_which_end_of_each_edge_it_lies(an_oblique_box):
    corners = an_oblique_box.corners_ras
    np.testing.assert_allclose(corners.mean(axis=0), an_oblique_box.center)
    for axis in range(3):
        for number in (n for n in range(8) if not (n >> axis) & 1):
            edge = corners[number | (1 << axis)] - corners[number]
            np.testing.assert_allclose(edge, an_oblique_box.axes[:, axis] * an_oblique_box.size[axis], atol=1e-12)


def test_an_aligned_box_lies_along_right_anterior_superior():
    corners = Box3D.aligned([10, 20, 30], [2, 4, 6]).corners_ras
    np.testing.assert_allclose(corners.min(axis=0), [9, 18, 27])
    np.testing.assert_allclose(corners.max(axis=0), [11, 22, 33])


@pytest.mark.parametrize("orientation", range(0, 48, 5))
def test_a_box_given_in_voxels_has_its_corners_between_voxels(orientation):
    grid = oblique_grid(orientation, 1)
    box = Box3D.in_voxels(grid, center_ijk=(10, 12, 6.5), size_ijk=(5, 3, 4))
    corners = grid.to_ijk(box.corners_ras)
    np.testing.assert_allclose(corners, np.array([7.5, 10.5, 4.5]) + (corners_ijk((1, 1, 1)) + 0.5) * (5, 3, 4))


def test_a_box_in_the_voxels_of_a_slightly_sheared_grid_has_right_angles():
    """A header rounded to three digits is a grid, but its axes alone would not make a box."""
    affine = np.eye(4)
    affine[:3, :3] = turn((20, 30, 40)) @ np.array([[1, 8e-4, 0], [0, 1, 0], [0, 0, 1]]) * (0.7, 0.7, 2.0)
    box = Box3D.in_voxels(Grid((20, 20, 20), affine), center_ijk=(9, 9, 9), size_ijk=(4, 5, 6))
    np.testing.assert_allclose(box.axes.T @ box.axes, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(box.size, [2.8, 3.5, 12.0], rtol=1e-3)


@pytest.mark.parametrize(
    ("center", "axes", "size", "sentence"),
    [
        ([np.nan, 0, 0], np.eye(3), [1, 1, 1], "not numbers"),
        ([0, 0, 0], np.full((3, 3), np.inf), [1, 1, 1], "not numbers"),
        ([0, 0, 0], np.eye(3), [1, np.inf, 1], "not numbers"),
        ([0, 0, 0], np.eye(3), [1, 0, 1], "empty or inverted"),
        ([0, 0, 0], np.eye(3), [1, 1, -2], "empty or inverted"),
        ([0, 0, 0], 2 * np.eye(3), [1, 1, 1], "right angles"),
        ([0, 0, 0], [[1, 0.6, 0], [0, 0.8, 0], [0, 0, 1]], [1, 1, 1], "right angles"),
    ],
)
def test_a_box_that_makes_no_sense_is_refused_in_a_sentence(center, axes, size, sentence):
    with pytest.raises(PromptError, match=sentence):
        Box3D(center, axes, size)


def test_equal_boxes_hash_alike_even_where_a_zero_is_negative():
    axes = turn((0, 0, 90)).round()
    boxes = [Box3D(np.array([zero, 1, 2]), axes + zero, np.array([3, 4, 5])) for zero in (0.0, -0.0)]
    assert boxes[0] == boxes[1]
    assert len(set(boxes)) == 1


@pytest.mark.parametrize("field", ["center", "axes", "size"])
def test_boxes_that_differ_in_anything_are_not_equal(an_oblique_box, field):
    values = {name: getattr(an_oblique_box, name) for name in ("center", "axes", "size")}
    assert Box3D(**values) == an_oblique_box
    values[field] = values[field][:, [1, 0, 2]] if field == "axes" else values[field] + 1
    assert Box3D(**values) != an_oblique_box
    assert an_oblique_box != "a box"


def test_a_box_cannot_be_changed_through_an_array():
    center = np.array([1.0, 2.0, 3.0])
    box = Box3D.aligned(center, [1, 1, 1])
    center[0] = 100
    assert box.center[0] == 1.0
    with pytest.raises(ValueError, match="read-only"):
        box.size[0] = -1
