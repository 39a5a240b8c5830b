"""Masks computed box by box, against composing every voxel at once; and what is known of a box without computing it."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from support.scenes import oblique_grid

from inference_core.engine import mask_composition
from inference_core.engine.logit_field import LogitField
from inference_core.engine.mask_composition import MaskOptions, compose_mask
from inference_core.engine.windowed_prediction import FAR_OUTSIDE, LogitLayer, PromptGroup, RefinementPatch
from inference_core.geometry.grid import Grid, isotropic_grid
from inference_core.geometry.mask import VoxelBox
from inference_core.geometry.sampling import resample_onto
from inference_core.geometry.volume import Volume
from inference_core.prompts.prompt_set import Click, PromptSet

NO_CLICKS = MaskOptions(consistent_clicks=False, keep_clicked_pieces=False)


def bumpy(window: Grid, seed: int) -> np.ndarray:
    """Smooth logits with hills and valleys a few voxels wide."""
    ijk = np.indices(window.shape)
    rng = np.random.default_rng(seed)
    waves = [
        np.sin(sum(f * n for f, n in zip(rng.uniform(-0.5, 0.5, 3), ijk, strict=True)) + rng.uniform(0, 6))
        for _ in range(4)
    ]
    return (4 * sum(waves)).astype(np.float32)


def a_group(grid: Grid, *, center, spacing: float, patches: int, seed: int) -> PromptGroup:
    axes = grid.affine[:3, :3] / grid.spacing
    base = isotropic_grid(center, shape=(24, 20, 16), spacing=spacing, axes=axes)
    fine = [
        isotropic_grid(center + shift * axes[:, 0], shape=(24, 24, 24), spacing=spacing / 2, axes=axes)
        for shift in 7.0 * spacing * np.arange(patches)
    ]
    layers = [LogitLayer(window, bumpy(window, seed + n)) for n, window in enumerate((base, *fine))]
    under = np.zeros((16,) * 3, dtype=bool)
    return PromptGroup(PromptSet(), layers[0], patches=tuple(RefinementPatch(layer, under) for layer in layers[1:]))


@pytest.fixture(params=[3, 22, 40])
def a_grid(request) -> Grid:
    return oblique_grid(request.param, 1, size_mm=80.0)


@pytest.fixture
def a_prediction(a_grid) -> tuple[PromptGroup, ...]:
    near, far = a_grid.center_ras - 9.0, a_grid.center_ras + 12.0
    return a_group(a_grid, center=near, spacing=2.5, patches=2, seed=1), a_group(
        a_grid, center=far, spacing=1.5, patches=0, seed=9
    )


def composed(prediction: tuple[PromptGroup, ...], grid: Grid) -> np.ndarray:
    """Logits on all voxels of a grid: the maximum of the parts; tiles weigh ten times a base, tapered by an eighth."""
    logits = np.full(grid.shape, FAR_OUTSIDE)
    for group in prediction:
        base = resample_onto(group.base.logits, group.base.window, grid, outside=FAR_OUTSIDE)
        total, weight = 0.1 * base, np.full(grid.shape, 0.1)
        for patch in group.patches:
            ramps = [
                np.clip(np.minimum(np.arange(n) + 0.5, n - np.arange(n) - 0.5) / (n / 8), 0, 1)
                for n in patch.layer.logits.shape
            ]
            taper = np.einsum("i,j,k->ijk", *ramps).astype(np.float32)
            share = resample_onto(taper, patch.layer.window, grid, outside=0.0)
            total += share * resample_onto(patch.layer.logits, patch.layer.window, grid, outside=0.0)
            weight += share
        logits = np.maximum(logits, total / weight)
    return logits


@pytest.mark.parametrize("threshold", [-3.0, 0.0, 2.5])
def test_a_mask_cut_box_by_box_is_that_of_all_voxels_at_once(a_grid, a_prediction, threshold):
    volume = Volume(np.zeros(a_grid.shape, dtype=np.int16), a_grid)
    options = MaskOptions(threshold=threshold, consistent_clicks=False, keep_clicked_pieces=False)
    mask = compose_mask(a_prediction, PromptSet(), volume, options).on(a_grid.shape).astype(bool)
    logits = composed(a_prediction, a_grid)
    clear = np.abs(logits - threshold) > 1e-3
    assert 0.05 < mask.mean() < 0.95
    np.testing.assert_array_equal(mask[clear], logits[clear] > threshold)


@pytest.mark.parametrize(
    ("options", "sizes"),
    [
        (MaskOptions(), (6, 13, 200)),
        (MaskOptions(threshold=1.0), (13, 200)),
        (MaskOptions(smoothing_mm=2.0), (25, 200)),
    ],
)
def test_the_size_of_the_boxes_changes_nothing(a_grid, a_prediction, options, sizes, monkeypatch):
    rng = np.random.default_rng(4)
    volume = Volume(rng.integers(0, 9, a_grid.shape).astype(np.int16), a_grid)
    near = a_grid.to_ijk(a_grid.center_ras) + rng.uniform(-9, 9, (6, 3))
    prompts = PromptSet(tuple(Click(tuple(a_grid.to_ras(ijk)), n % 2 == 0) for n, ijk in enumerate(near)))
    masks = []
    for size in sizes:
        monkeypatch.setattr(mask_composition, "SMALLEST_BOX", size)
        monkeypatch.setattr(mask_composition, "_SMALLEST_SMOOTH_BOX", size)
        masks.append(compose_mask(a_prediction, prompts, volume, options).on(a_grid.shape))
    for mask in masks[1:]:
        np.testing.assert_array_equal(mask, masks[0])


def test_what_is_said_of_a_box_holds_for_its_voxels(a_grid, a_prediction):
    rng = np.random.default_rng(0)
    said = []
    for threshold, width in ((0.0, 0.0), (-6.0, 0.0), (0.0, 1.5)):
        surface = LogitField(a_prediction, a_grid, threshold=threshold, smoothing_mm=width)
        for _ in range(100):
            start = rng.integers(0, np.asarray(a_grid.shape) - 6)
            box = VoxelBox(start, start + rng.integers(1, 6, 3))
            said.append(side := surface.side(box))
            if side is not None:
                assert ((surface.logits(box) > 0) == side).all()
    assert said.count(True) > 10
    assert said.count(False) > 10


def test_a_box_that_no_window_reaches_is_outside(a_grid, a_prediction):
    surface = LogitField(a_prediction[1:], a_grid, threshold=0.0, smoothing_mm=0.0)
    corner = VoxelBox(np.zeros(3, dtype=np.int64), np.full(3, 4))
    assert surface.side(corner) is False
    np.testing.assert_allclose(surface.logits(corner), FAR_OUTSIDE)


def test_a_very_large_mask_takes_little_more_memory_than_its_voxels():
    """Logits of 27 million voxels alone would take 108 MB, four times what the mask does."""
    grid = Grid((300, 300, 300), np.diag([-0.5, 0.5, 0.5, 1.0]))
    window = isotropic_grid(grid.center_ras, shape=(40, 40, 40), spacing=4.0, axes=np.diag([-1.0, 1.0, 1.0]))
    distance = np.linalg.norm(window.to_ras(np.moveaxis(np.indices(window.shape), 0, -1)) - grid.center_ras, axis=-1)
    prediction = (PromptGroup(PromptSet(), LogitLayer(window, (70.0 - distance).astype(np.float32))),)
    volume = Volume(np.broadcast_to(np.int16(0), grid.shape), grid)
    tracemalloc.start()
    mask = compose_mask(prediction, PromptSet(), volume, NO_CLICKS)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert mask.array.sum() * 0.5**3 == pytest.approx(4 / 3 * np.pi * 70**3, rel=0.02)
    assert peak < 2.6 * mask.array.size
