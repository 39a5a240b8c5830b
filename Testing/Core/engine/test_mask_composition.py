"""Masks from logits: thresholds, clicks that are obeyed, pieces that are kept, and patches that say where they lie."""

from __future__ import annotations

import numpy as np
import pytest
from support.scenes import oblique_grid

from inference_core.engine.mask_composition import MaskOptions, compose_mask
from inference_core.engine.windowed_prediction import FAR_OUTSIDE, LogitLayer, PromptGroup, RefinementPatch
from inference_core.geometry.box import Box3D
from inference_core.geometry.grid import Grid, isotropic_grid
from inference_core.geometry.mask import Mask
from inference_core.geometry.volume import Volume
from inference_core.prompts.prompt_set import BoxPrompt, Click, PromptSet

AS_THE_MODEL_SAYS = MaskOptions(consistent_clicks=False, keep_clicked_pieces=False)
CONSISTENT = MaskOptions(keep_clicked_pieces=False)
SPACING = 2.0


@pytest.fixture
def a_flat_volume(an_oblique_grid) -> Volume:
    """All voxels look alike, so that only distance limits a correction."""
    return Volume(np.zeros(an_oblique_grid.shape, dtype=np.int16), an_oblique_grid)


def distance_from(point, grid: Grid) -> np.ndarray:
    ijk = np.stack(np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij"), axis=-1)
    return np.linalg.norm(grid.to_ras(ijk) - point, axis=-1)


def ball_layer(volume: Volume, center, radius: float, *, spacing: float = SPACING, offset: float = 0.0) -> LogitLayer:
    """Logits that fall by one a millimeter outwards, 0 on the surface of a ball."""
    axes = volume.grid.affine[:3, :3] / volume.grid.spacing
    window = isotropic_grid(volume.grid.center_ras, shape=(32, 32, 32), spacing=spacing, axes=axes)
    return LogitLayer(window, (radius - distance_from(center, window) + offset).astype(np.float32), 0.9)


def uniform_group(volume: Volume, logit: float, *, spacing: float = SPACING) -> PromptGroup:
    layer = ball_layer(volume, volume.grid.center_ras, 5.0, spacing=spacing)
    return PromptGroup(PromptSet(), LogitLayer(layer.window, np.full_like(layer.logits, logit)))


def group_of(*layers: LogitLayer) -> PromptGroup:
    base, *patches = layers
    return PromptGroup(
        PromptSet(), base, patches=tuple(RefinementPatch(patch, np.zeros((16,) * 3, dtype=bool)) for patch in patches)
    )


def whole(mask: Mask, volume: Volume) -> np.ndarray:
    return mask.on(volume.grid.shape).astype(bool)


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * (a & b).sum() / (a.sum() + b.sum())


@pytest.mark.parametrize("orientation", range(0, 48, 9))
def test_a_ball_in_a_window_is_a_ball_on_the_voxels(orientation):
    grid = oblique_grid(orientation, 1)
    volume = Volume(np.zeros(grid.shape, dtype=np.uint8), grid)
    center = grid.center_ras + np.array([3.0, -5.0, 2.0])
    mask = whole(
        compose_mask((group_of(ball_layer(volume, center, 12.0)),), PromptSet(), volume, AS_THE_MODEL_SAYS), volume
    )
    assert dice(mask, distance_from(center, grid) < 12.0) > 0.98


@pytest.mark.parametrize("threshold", [-8.0, 0.0, 4.0])
def test_the_threshold_is_a_logit(a_flat_volume, threshold):
    center = a_flat_volume.grid.center_ras
    options = MaskOptions(threshold=threshold, consistent_clicks=False, keep_clicked_pieces=False)
    mask = whole(
        compose_mask((group_of(ball_layer(a_flat_volume, center, 12.0)),), PromptSet(), a_flat_volume, options),
        a_flat_volume,
    )
    assert dice(mask, distance_from(center, a_flat_volume.grid) < 12.0 - threshold) > 0.97


def test_a_mask_ends_with_the_volume(an_oblique_grid):
    """The window reaches beyond it on every side."""
    grid = an_oblique_grid.cropped((40, 30, 10), (52, 41, 17))
    volume = Volume(np.zeros(grid.shape, dtype=np.uint8), grid)
    mask = compose_mask((uniform_group(volume, 3.0),), PromptSet(), volume, AS_THE_MODEL_SAYS)
    assert (mask.start, mask.stop) == ((0, 0, 0), grid.shape)
    assert mask.array.all()


def test_nothing_above_the_threshold_is_an_empty_mask(a_flat_volume):
    mask = compose_mask((uniform_group(a_flat_volume, -1.0),), PromptSet(), a_flat_volume, AS_THE_MODEL_SAYS)
    assert mask.array.size == 0
    assert not mask.on(a_flat_volume.grid.shape).any()


def test_parts_far_apart_are_joined(a_flat_volume):
    centers = [a_flat_volume.grid.center_ras + shift for shift in (-12.0, 12.0)]
    prediction = tuple(group_of(ball_layer(a_flat_volume, center, 8.0)) for center in centers)
    mask = whole(compose_mask(prediction, PromptSet(), a_flat_volume, AS_THE_MODEL_SAYS), a_flat_volume)
    expected = np.min([distance_from(center, a_flat_volume.grid) for center in centers], axis=0) < 8.0
    assert dice(mask, expected) > 0.97


def test_a_finer_tile_decides_where_it_lies_and_the_base_elsewhere(a_flat_volume):
    """The base sees a ball that is too large; the tile, over one half of the volume, the right one."""
    grid = a_flat_volume.grid
    base = ball_layer(a_flat_volume, grid.center_ras, 15.0)
    directions = base.window.affine[:3, :3] / SPACING
    window = isotropic_grid(grid.center_ras + 16 * directions[:, 0], shape=(32, 32, 32), spacing=1.0, axes=directions)
    patch = LogitLayer(window, (10.0 - distance_from(grid.center_ras, window)).astype(np.float32))
    mask = whole(compose_mask((group_of(base, patch),), PromptSet(), a_flat_volume, AS_THE_MODEL_SAYS), a_flat_volume)
    distance = distance_from(grid.center_ras, grid)
    ijk = np.stack(np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij"), axis=-1)
    local = window.to_ijk(grid.to_ras(ijk))
    in_tile = np.all((local > 4) & (local < 27), axis=-1)
    outside = np.any((local < -0.5) | (local > 31.5), axis=-1)
    # The base keeps a small say under a tile: the surface lies between theirs, close to the tile's.
    assert mask[in_tile & (distance < 10.0)].all()
    assert not mask[in_tile & (distance > 11.0)].any()
    assert dice(mask[outside], (distance < 15.0)[outside]) > 0.97


@pytest.mark.parametrize("ijk", [(40, 30, 12), (0, 0, 0), (87, 77, 27), (0, 77, 14)])
@pytest.mark.parametrize("positive", [True, False])
def test_a_clicked_voxel_obeys_against_any_logits_up_to_the_volumes_corners(a_flat_volume, ijk, positive):
    assert a_flat_volume.grid.shape == (88, 88, 28)
    click = Click(tuple(a_flat_volume.grid.to_ras(ijk)), positive)
    prediction = (uniform_group(a_flat_volume, -15.0 if positive else 15.0),)
    assert compose_mask(prediction, PromptSet((click,)), a_flat_volume, CONSISTENT).at(ijk) is positive


@pytest.mark.parametrize("positive", [True, False])
def test_a_correction_stays_within_a_few_window_voxels(a_flat_volume, positive):
    point = a_flat_volume.grid.center_ras
    prediction = (uniform_group(a_flat_volume, -3.0 if positive else 3.0),)
    prompts = PromptSet((Click(tuple(point), positive),))
    masks = [
        whole(compose_mask(prediction, prompts, a_flat_volume, options), a_flat_volume)
        for options in (AS_THE_MODEL_SAYS, CONSISTENT)
    ]
    changed = distance_from(point, a_flat_volume.grid)[masks[0] != masks[1]]
    assert len(changed) > 50
    assert changed.max() < 4 * SPACING


def test_a_correction_stays_within_tissue_that_looks_alike(an_oblique_grid):
    """Two tissues meet in a plane through the volume; the click lies one voxel beside it."""
    voxels = np.zeros(an_oblique_grid.shape, dtype=np.int16)
    voxels[44:] = 1000
    volume = Volume(voxels, an_oblique_grid)
    prompts = PromptSet((Click(tuple(an_oblique_grid.to_ras((45, 40, 14)))),))
    mask = whole(compose_mask((uniform_group(volume, -3.0),), prompts, volume, CONSISTENT), volume)
    assert mask[44:].sum() > 50
    assert not mask[:44].any()


def test_a_click_the_model_agrees_with_changes_nothing(a_flat_volume):
    center = a_flat_volume.grid.center_ras
    prediction = (group_of(ball_layer(a_flat_volume, center, 12.0)),)
    beside = a_flat_volume.grid.to_ras(a_flat_volume.grid.to_ijk(center) + (30, 0, 0))
    prompts = PromptSet((Click(tuple(center)), Click(tuple(beside), positive=False)))
    plain, obeying = (
        compose_mask(prediction, prompts, a_flat_volume, options) for options in (AS_THE_MODEL_SAYS, CONSISTENT)
    )
    np.testing.assert_array_equal(whole(plain, a_flat_volume), whole(obeying, a_flat_volume))


@pytest.mark.parametrize("last", [True, False])
def test_of_two_clicks_in_one_voxel_the_later_one_is_obeyed(a_flat_volume, last):
    point = tuple(a_flat_volume.grid.to_ras((40, 30, 12)))
    prompts = PromptSet((Click(point, not last), Click(point, last)))
    for logit in (-3.0, 3.0):
        mask = compose_mask((uniform_group(a_flat_volume, logit),), prompts, a_flat_volume, CONSISTENT)
        assert mask.at((40, 30, 12)) is last


def test_neighboring_clicks_of_both_signs_are_all_obeyed(a_flat_volume):
    voxels = {(40, 30, 12): True, (41, 30, 12): False, (42, 30, 12): True, (40, 31, 12): False, (41, 31, 13): True}
    prompts = PromptSet(tuple(Click(tuple(a_flat_volume.grid.to_ras(v)), sign) for v, sign in voxels.items()))
    for logit in (-15.0, 0.0, 15.0):
        mask = compose_mask((uniform_group(a_flat_volume, logit),), prompts, a_flat_volume, CONSISTENT)
        assert {voxel: mask.at(voxel) for voxel in voxels} == voxels


def test_a_click_is_obeyed_at_any_threshold(a_flat_volume):
    prompts = PromptSet((Click(tuple(a_flat_volume.grid.to_ras((40, 30, 12)))),))
    options = MaskOptions(threshold=6.0, keep_clicked_pieces=False)
    assert compose_mask((uniform_group(a_flat_volume, 5.0),), prompts, a_flat_volume, options).at((40, 30, 12))


def test_voxels_and_logits_are_left_as_they_were(a_flat_volume):
    group = uniform_group(a_flat_volume, 3.0)
    before = group.base.logits.copy()
    a_flat_volume.array.setflags(write=False)
    prompts = PromptSet((Click(tuple(a_flat_volume.grid.center_ras), positive=False),))
    compose_mask((group,), prompts, a_flat_volume, MaskOptions())
    np.testing.assert_array_equal(group.base.logits, before)


def two_balls(volume: Volume) -> tuple[PromptGroup, np.ndarray, np.ndarray]:
    """A part whose mask is two balls apart, and their centers."""
    first, second = volume.grid.center_ras - 9, volume.grid.center_ras + 9
    layers = [ball_layer(volume, center, 7.0) for center in (first, second)]
    logits = np.maximum(layers[0].logits, layers[1].logits)
    return group_of(LogitLayer(layers[0].window, logits)), first, second


@pytest.mark.parametrize("by", ["click", "box"])
def test_only_pieces_with_a_click_or_a_boxs_center_are_kept(a_flat_volume, by):
    group, first, second = two_balls(a_flat_volume)
    prompt = Click(tuple(first)) if by == "click" else BoxPrompt(Box3D.aligned(first, [8, 8, 8]))
    mask = compose_mask((group,), PromptSet((prompt,)), a_flat_volume, MaskOptions())
    assert mask.at(a_flat_volume.grid.voxel_of(first))
    assert not mask.at(a_flat_volume.grid.voxel_of(second))


def test_pieces_are_all_kept_where_each_has_a_click(a_flat_volume):
    group, first, second = two_balls(a_flat_volume)
    mask = compose_mask((group,), PromptSet((Click(tuple(first)), Click(tuple(second)))), a_flat_volume, MaskOptions())
    assert mask.at(a_flat_volume.grid.voxel_of(second))


def test_every_piece_is_kept_where_that_is_asked_for(a_flat_volume):
    group, first, second = two_balls(a_flat_volume)
    mask = compose_mask((group,), PromptSet((Click(tuple(first)),)), a_flat_volume, CONSISTENT)
    assert mask.at(a_flat_volume.grid.voxel_of(second))


def test_a_background_click_keeps_no_piece(a_flat_volume):
    group, first, second = two_balls(a_flat_volume)
    options = MaskOptions(consistent_clicks=False)
    mask = compose_mask((group,), PromptSet((Click(tuple(first)), Click(tuple(second), False))), a_flat_volume, options)
    assert not mask.at(a_flat_volume.grid.voxel_of(second))


def test_no_piece_is_dropped_where_none_would_be_left(a_flat_volume):
    group, first, second = two_balls(a_flat_volume)
    between = PromptSet((Click(tuple((first + second) / 2)),))
    mask = compose_mask((group,), between, a_flat_volume, MaskOptions(consistent_clicks=False))
    assert mask.at(a_flat_volume.grid.voxel_of(first))
    assert mask.at(a_flat_volume.grid.voxel_of(second))


def test_the_pieces_of_an_initial_mask_are_kept(a_flat_volume):
    group, first, second = two_balls(a_flat_volume)
    start = Volume(np.ones(a_flat_volume.grid.shape, dtype=np.uint8), a_flat_volume.grid)
    mask = compose_mask((group,), PromptSet((Click(tuple(first)),), start), a_flat_volume, MaskOptions())
    assert mask.at(a_flat_volume.grid.voxel_of(second))


def test_outside_all_windows_is_far_below_any_threshold(a_flat_volume):
    """A volume larger than the window: what was not looked at is not in the mask."""
    group = uniform_group(a_flat_volume, 3.0, spacing=0.5)
    mask = whole(compose_mask((group,), PromptSet(), a_flat_volume, MaskOptions(-10.0, False, False)), a_flat_volume)
    ijk = np.argwhere(mask)
    assert np.all(np.abs(group.base.window.to_ijk(a_flat_volume.grid.to_ras(ijk)) - 15.5) <= 16.001)
    assert abs(mask.sum() * a_flat_volume.grid.voxel_volume_mm3 / 16.0**3 - 1) < 0.25
    assert FAR_OUTSIDE < -10


def test_smoothing_takes_a_spike_off_a_ball_and_leaves_the_ball(a_flat_volume):
    grid = a_flat_volume.grid
    ball = ball_layer(a_flat_volume, grid.center_ras, 12.0)
    spiked = ball.logits.copy()
    middle = np.asarray(spiked.shape) // 2
    spiked[middle[0] :, middle[1], middle[2]] = 4.0
    prediction = (group_of(LogitLayer(ball.window, spiked)),)
    rough = whole(compose_mask(prediction, PromptSet(), a_flat_volume, MaskOptions()), a_flat_volume)
    smooth = whole(compose_mask(prediction, PromptSet(), a_flat_volume, MaskOptions(smoothing_mm=2.0)), a_flat_volume)
    truth = distance_from(grid.center_ras, grid) < 12.0
    assert (rough & ~truth).sum() > 4 * max(1, (smooth & ~truth).sum())
    assert dice(smooth, truth) > 0.9
