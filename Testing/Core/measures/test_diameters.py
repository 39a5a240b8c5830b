"""Diameters against all pairs of voxels, and against shapes of known size."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from inference_core.geometry.grid import Grid
from inference_core.geometry.mask import EMPTY, Mask
from inference_core.io.itk import sitk_from_array
from inference_core.measures.diameters import axial_diameters, longest_diameter


def voxels_of_mask(mask: Mask) -> np.ndarray:
    return np.argwhere(mask.array) + mask.start


def longest_of_all(points_ras: np.ndarray) -> float:
    return float(np.sqrt(max(((points_ras - point) ** 2).sum(axis=1).max() for point in points_ras)))


def axial_by_hand(mask: Mask, grid: Grid):
    """The longest diameter of any slice nearest to axial, by all pairs."""
    axis = grid.ras_axes[2]
    voxels = voxels_of_mask(mask)
    return axis, max(longest_of_all(grid.to_ras(voxels[voxels[:, axis] == n])) for n in np.unique(voxels[:, axis]))


def test_diameters_are_those_of_all_pairs_on_two_hundred_random_masks(random_lesions):
    for mask, grid in random_lesions(200):
        axis, longest = axial_by_hand(mask, grid)
        found = axial_diameters(mask, grid)
        assert found.slice_axis == axis
        assert found.longest.mm == pytest.approx(longest, abs=1e-6)
        whole = longest_of_all(grid.to_ras(voxels_of_mask(mask)))
        assert longest_diameter(mask, grid).mm == pytest.approx(whole, abs=1e-6)


def width_by_hand(mask: Mask, grid: Grid, *, axis: int, index: int, along: np.ndarray) -> float:
    """The longest line across a direction in a slice: along every line through a voxel, over all neighboring pairs."""
    plane = [other for other in range(3) if other != axis]
    scale = np.asarray(grid.spacing)[plane]
    inside = {tuple(voxel) for voxel in np.argwhere(mask.array.take(index - mask.start[axis], axis=axis))}
    pairs = [
        (voxel, (voxel[0] + a, voxel[1] + b))
        for voxel in inside
        for a in (-1, 0, 1)
        for b in (-1, 0, 1)
        if (voxel[0] + a, voxel[1] + b) in inside
    ]
    lines = np.array(pairs) * scale
    along = along / np.linalg.norm(along)
    x, y = lines @ along, lines @ np.array([-along[1], along[0]])
    longest = 0.0
    for at in np.unique(np.round(x, 9)):
        share = np.full(len(x), np.nan)
        flat = np.ptp(x, axis=1) < 1e-6
        share[~flat] = (at - x[~flat, 0]) / (x[~flat, 1] - x[~flat, 0])
        here = (share > -1e-6) & (share < 1 + 1e-6)
        heights = y[here, 0] + share[here] * (y[here, 1] - y[here, 0])
        heights = np.append(heights, y[flat & (np.abs(x[:, 0] - at) < 1e-6)])
        longest = max(longest, float(np.ptp(heights)))
    return longest


def test_the_short_axis_is_the_longest_line_across_in_the_same_slice(random_lesions):
    for mask, grid in random_lesions(200):
        found = axial_diameters(mask, grid)
        ends = grid.to_ijk([found.longest.start_ras, found.longest.end_ras])
        plane = [other for other in range(3) if other != found.slice_axis]
        if found.longest.mm == 0:
            assert found.perpendicular.mm == 0
            continue
        along = (ends[1] - ends[0])[plane] * np.asarray(grid.spacing)[plane]
        expected = width_by_hand(mask, grid, axis=found.slice_axis, index=found.slice_index, along=along)
        assert found.perpendicular.mm == pytest.approx(expected, abs=0.1)


def test_both_axes_lie_in_one_slice_at_a_right_angle(random_lesions):
    for mask, grid in random_lesions(40):
        found = axial_diameters(mask, grid)
        lines = np.array([(d.start_ras, d.end_ras) for d in (found.longest, found.perpendicular)])
        assert grid.to_ijk(lines)[..., found.slice_axis] == pytest.approx(found.slice_index)
        along, across = lines[:, 1] - lines[:, 0]
        assert along @ across == pytest.approx(0, abs=1e-6)
        assert found.perpendicular.mm <= found.longest.mm + 1e-6


@pytest.mark.parametrize("radius_mm", [4.0, 9.0, 20.0])
def test_a_ball_measures_its_own_diameter(a_ball, radius_mm):
    errors = []
    for seed in range(12):
        mask, volume = a_ball(radius_mm, seed=seed)
        errors.append(longest_diameter(mask, volume.grid).mm - 2 * radius_mm)
    assert np.abs(errors).max() < 0.7  # a voxel is 0.7 x 0.7 x 1 mm
    assert abs(np.mean(errors)) < 0.25


def test_a_bar_is_as_long_as_from_its_first_voxel_to_its_last(an_oblique_grid):
    voxels = np.zeros(an_oblique_grid.shape, dtype=bool)
    voxels[2, 1:5, 3] = True
    mask = Mask.of(voxels)
    found = axial_diameters(mask, an_oblique_grid)
    assert found.longest.mm == pytest.approx(3 * 0.75)
    assert found.perpendicular.mm == 0
    assert found.slice_index == 3


def test_a_crescent_is_measured_across_its_body_not_over_its_hollow():
    grid = Grid((41, 41, 3), np.diag([1.0, 1.0, 4.0, 1.0]))
    i, j = np.mgrid[:41, :41]
    ring = (np.hypot(i - 20, j - 20) < 18) & (np.hypot(i - 20, j - 20) > 12) & (j > 19)
    found = axial_diameters(Mask.of(np.repeat(ring[:, :, None], 3, axis=2)), grid)
    assert found.longest.mm == pytest.approx(35, abs=1)
    assert found.perpendicular.mm < 15  # the hull is 18 mm across


def test_the_diameters_are_those_that_itk_calls_feret(random_lesions):
    for mask, grid in random_lesions(30):
        labels = sitk.LabelShapeStatisticsImageFilter()
        labels.ComputeFeretDiameterOn()
        labels.Execute(sitk_from_array(mask.on(grid.shape), grid))
        assert longest_diameter(mask, grid).mm == pytest.approx(labels.GetFeretDiameter(1), abs=1e-3)


def test_an_empty_mask_has_no_diameters(an_oblique_grid):
    assert axial_diameters(EMPTY, an_oblique_grid) is None
    assert longest_diameter(EMPTY, an_oblique_grid) is None


def test_a_mask_of_a_part_of_the_grid_is_measured_where_it_lies(an_oblique_grid, a_mask_of):
    voxels = a_mask_of(an_oblique_grid)
    whole, part = Mask((0, 0, 0), voxels), Mask.of(voxels)
    assert whole.start != part.start
    assert axial_diameters(whole, an_oblique_grid) == axial_diameters(part, an_oblique_grid)
    assert longest_diameter(whole, an_oblique_grid) == longest_diameter(part, an_oblique_grid)
