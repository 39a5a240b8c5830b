"""The same voxels, stored along other axes and in other directions, are the same image."""

from itertools import permutations, product

import numpy as np
import pytest
from support.scenes import BrightnessModel, oblique_grid, spheres

from inference_core.engine.session import Session
from inference_core.engine.windows import canonical_axes, window_at
from inference_core.geometry.grid import Grid
from inference_core.geometry.sampling import sample_window
from inference_core.geometry.volume import Volume
from inference_core.models.spec import Padding, WindowSpec
from inference_core.prompts.prompt_set import Click, PromptSet

ORDERS = [(axes, signs) for axes in permutations(range(3)) for signs in product((1, -1), repeat=3)]


def stored(volume, axes, signs):
    """The same image with its axes in another order and direction."""
    array, affine = volume.array.transpose(axes), volume.grid.affine.copy()
    affine[:3, :3] = volume.grid.affine[:3, list(axes)]
    for axis in (axis for axis in range(3) if signs[axis] < 0):
        array = np.flip(array, axis)
        affine[:3, 3] += affine[:3, axis] * (array.shape[axis] - 1)
        affine[:3, axis] *= -1
    return Volume(np.ascontiguousarray(array), Grid(array.shape, affine))


def as_before(mask, axes, signs):
    for axis in (axis for axis in range(3) if signs[axis] < 0):
        mask = np.flip(mask, axis)
    return mask.transpose(np.argsort(axes))


@pytest.fixture(scope="module")
def a_noisy_volume():
    """Every voxel another value: bins that are shifted by one voxel give other means."""
    grid = oblique_grid(11, 1, size_mm=60.0)
    return Volume(np.random.default_rng(0).normal(size=grid.shape).astype(np.float32), grid)


@pytest.mark.parametrize("reflect", [True, False])
@pytest.mark.parametrize("spacing", [0.9, 3.1, 4.7])
def test_a_window_sees_the_same_whatever_the_order_of_the_voxels(a_noisy_volume, spacing, reflect):
    spec = WindowSpec((16, 14, 12), (spacing,), Padding.REFLECT)
    grid = a_noisy_volume.grid
    for place in (grid.center_ras, grid.to_ras((7, 11, 5)), grid.to_ras((10.5, 20.5, 8.5))):
        window = window_at(place, spec, spacing=spacing, axes=canonical_axes(grid))
        seen = sample_window(a_noisy_volume, window, reflect=reflect)
        for axes, signs in ORDERS:
            again = sample_window(stored(a_noisy_volume, axes, signs), window, reflect=reflect)
            assert np.abs(again - seen).max() < 1e-4, (axes, signs)


def test_a_mask_is_the_same_whatever_the_order_of_the_voxels(a_noisy_volume):
    """A ball in noise, in a window much coarser than the voxels, between two of them, with a correction."""
    grid = a_noisy_volume.grid
    array = spheres(grid, [(grid.center_ras, 14.0)]) + 0.4 * a_noisy_volume.array
    volume = Volume(array.astype(np.float32), grid)
    center = grid.to_ras(np.floor(grid.to_ijk(grid.center_ras)) + 0.5)
    prompts = PromptSet((Click(tuple(center)), Click(tuple(center + [16.0, 4.0, -3.0]), False)))
    masks = []
    orders = ORDERS[::5]
    for axes, signs in orders:
        other = stored(volume, axes, signs)
        mask = Session(other, BrightnessModel(), window_mm=120.0).predict(prompts).mask.on(other.grid.shape)
        masks.append(as_before(mask.view(bool), axes, signs))
    assert masks[0].any()
    for mask, order in zip(masks, orders, strict=True):
        assert 2 * (mask & masks[0]).sum() / (mask.sum() + masks[0].sum()) > 0.9999, order
