"""Interpolation axis by axis, against SimpleITK's on the same matrix."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from support.scenes import ORIENTATIONS, turn

from inference_core.geometry.axes import interpolate_along, matching_axes

SHAPE = (9, 14, 6)


def a_step(orientation: int, scale, offset) -> np.ndarray:
    step = np.eye(4)
    step[:3, :3] = np.diag(scale) @ ORIENTATIONS[orientation]
    step[:3, 3] = offset
    return step


def by_itk(values: np.ndarray, step: np.ndarray, shape, *, outside: float) -> np.ndarray:
    image = sitk.GetImageFromArray(np.ascontiguousarray(values.T))
    transform = sitk.AffineTransform(step[:3, :3].ravel().tolist(), step[:3, 3].tolist())
    size, unit = [int(n) for n in shape], [1.0, 0, 0, 0, 1, 0, 0, 0, 1]
    laid = sitk.Resample(image, size, transform, sitk.sitkLinear, [0.0] * 3, [1.0] * 3, unit, outside, sitk.sitkFloat32)
    return sitk.GetArrayFromImage(laid).T


@pytest.mark.parametrize("orientation", range(48))
def test_it_equals_itks_interpolation_for_every_order_and_sign_of_the_axes(orientation):
    values = np.random.default_rng(orientation).standard_normal((7, 5, 8)).astype(np.float32)
    middle = (np.array(values.shape) - 1) / 2
    step = a_step(orientation, (0.83, 0.41, 1.37), (0, 0, 0))
    step[:3, 3] = middle - step[:3, :3] @ ((np.array(SHAPE) - 1) / 2) + (0.31, -0.17, 0.23)
    found = interpolate_along(values, step, SHAPE, axes=matching_axes(step, SHAPE), outside=-20.0)
    assert found.shape == SHAPE
    assert found.dtype == np.float32
    expected = by_itk(values, step, SHAPE, outside=-20.0)
    assert 0 < (expected == -20.0).sum() < expected.size
    np.testing.assert_allclose(found, expected, atol=2e-5)


def test_a_target_that_the_source_does_not_reach_is_all_outside():
    step = a_step(5, (1, 1, 1), (40, 0, 0))
    values = np.ones((4, 4, 4), dtype=np.float32)
    assert (interpolate_along(values, step, SHAPE, axes=matching_axes(step, SHAPE), outside=-3.0) == -3.0).all()


def test_a_source_of_one_voxel_holds_all_over_it():
    values = np.full((1, 1, 1), 7.0, dtype=np.float32)
    step = a_step(0, (0.2, 0.2, 0.2), (-0.4, -0.4, -0.4))
    found = interpolate_along(values, step, (5, 5, 5), axes=(0, 1, 2), outside=0.0)
    np.testing.assert_allclose(found, 7.0)


@pytest.mark.parametrize("orientation", [0, 13, 29, 46])
def test_turned_axes_match_none_and_a_hair_of_a_turn_is_overlooked(orientation):
    straight = a_step(orientation, (0.5, 0.7, 0.9), (1, 2, 3))
    assert sorted(matching_axes(straight, SHAPE)) == [0, 1, 2]
    for degrees, matches in ((1.0, False), (1e-6, True)):
        turned = straight.copy()
        turned[:3, :3] = straight[:3, :3] @ turn((degrees, -degrees, degrees))
        assert (matching_axes(turned, SHAPE) is not None) is matches
