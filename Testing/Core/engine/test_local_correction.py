"""A correction counts near itself: where, how much, and that what lies beyond stays bit for bit."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from support.scenes import SPEC, BrightnessModel, oblique_grid, spheres

from inference_core.engine.cache import EmbeddingCache
from inference_core.engine.local_correction import LEAST_REACH_MM, Counting, Reach, fading, mixed, reach_of
from inference_core.engine.mask_composition import MaskOptions
from inference_core.engine.model_calls import ModelCalls
from inference_core.engine.session import Session
from inference_core.engine.window_predictor import WindowPredictor
from inference_core.geometry.box import Box3D
from inference_core.geometry.grid import isotropic_grid
from inference_core.geometry.mask import VoxelBox
from inference_core.geometry.volume import Volume
from inference_core.models.interface import Decoded
from inference_core.models.spec import ModelSpec
from inference_core.prompts.prompt_set import BoxPrompt, Click, PromptSet

GLOBAL = MaskOptions(local_corrections=False)
WINDOW = isotropic_grid((5.0, -3.0, 8.0), shape=(32, 32, 32), spacing=2.0, axes=np.eye(3))


WIDE = replace(SPEC, window=replace(SPEC.window, shape=(48, 48, 48)))


@dataclass
class SwellingModel(BrightnessModel):
    """Finds what is bright, and more of its surroundings with every click: what a correction must not do far away."""

    spec: ModelSpec = WIDE

    def decode(self, embedding, prompts, prior) -> Decoded:
        decoded = super().decode(embedding, prompts, prior)
        return Decoded(decoded.low_res_logits + np.float32(2.5 * (len(prompts.points) - 1)), decoded.quality)


@pytest.fixture(scope="module")
def a_long_target():
    """A bar of 90 mm in an oblique volume, and its ends."""
    grid = oblique_grid(orientation=11, spacing=1, size_mm=130.0)
    balls = [(grid.center_ras + step * grid.directions[:, 0], 14.0) for step in np.linspace(-45, 45, 10)]
    return Volume(spheres(grid, balls, soft_mm=6.0), grid, "bar"), balls[0][0], balls[-1][0]


def answers(volume, model, *prompts, options=None) -> list[np.ndarray]:
    session = Session(volume, model)
    runs = [PromptSet(prompts[:n]) for n in range(1, len(prompts) + 1)]
    return [session.predict(run, options=options).mask.on(volume.grid.shape) for run in runs]


def changed_places(volume, before, after) -> np.ndarray:
    return volume.grid.to_ras(np.argwhere(before != after))


def corrected(left) -> tuple[Click, Click]:
    """A click at one end of the bar, and one beside that end."""
    return Click(tuple(left)), Click(tuple(left + np.array([0.0, 0.0, 16.0])))


def test_a_correction_changes_nothing_beyond_its_reach(a_long_target):
    volume, left, right = a_long_target
    clicks = corrected(left)
    before, after = answers(volume, SwellingModel(), *clicks)
    changed = changed_places(volume, before, after)
    assert len(changed) > 50
    reached = np.linalg.norm(changed - clicks[1].ras, axis=1).max()
    assert reached <= 2 * LEAST_REACH_MM
    _, everywhere = answers(volume, SwellingModel(), *clicks, options=GLOBAL)
    swollen = changed_places(volume, before, everywhere)
    assert np.linalg.norm(swollen - right, axis=1).min() < 25


def test_near_the_correction_the_new_answer_holds(a_long_target):
    volume, left, _ = a_long_target
    clicks = corrected(left)
    local, everywhere = (answers(volume, SwellingModel(), *clicks, options=options)[1] for options in (None, GLOBAL))
    ijk = np.moveaxis(np.indices(volume.grid.shape), 0, -1)
    near = np.linalg.norm(volume.grid.to_ras(ijk) - clicks[1].ras, axis=-1) < LEAST_REACH_MM - 4
    # Both see it, in windows of other places.
    assert (local != everywhere)[near].mean() < 0.05


@pytest.mark.parametrize("reach_mm", [8.0, 12.5])
@pytest.mark.parametrize("threshold", [0.0, 1.0])
def test_beyond_a_reach_of_the_users_own_no_voxel_ever_changes(a_long_target, reach_mm, threshold):
    """Nor at the next click, which keeps to its own, at whatever threshold."""
    volume, left, _ = a_long_target
    own = [Click(tuple(left + step), reach_mm=reach_mm) for step in ([0, 0, 15.0], [0, 14.0, 0])]
    options = MaskOptions(threshold=threshold)
    before, *after = answers(volume, SwellingModel(), Click(tuple(left)), *own, options=options)
    places = np.array([click.ras for click in own])
    for mask in after:
        changed = changed_places(volume, before, mask)
        assert len(changed)
        assert np.linalg.norm(changed[:, None] - places, axis=-1).min(axis=1).max() <= reach_mm


def test_many_corrections_are_kept_in_few_answers(a_long_target):
    volume, left, _ = a_long_target
    rng = np.random.default_rng(0)
    predictor = WindowPredictor(volume, ModelCalls(BrightnessModel(), EmbeddingCache(10**9)))
    prediction = predictor.next((), Click(tuple(left)))
    for number in range(30):
        prediction = predictor.next(prediction, Click(tuple(left + rng.uniform(-30, 30, 3)), bool(number % 2)))
    assert [group.answers_held for group in prediction] == [12]


def a_ball(radius_mm: float) -> np.ndarray:
    ijk = np.moveaxis(np.indices(WINDOW.shape), 0, -1)
    return (radius_mm - np.linalg.norm(WINDOW.to_ras(ijk) - WINDOW.center_ras, axis=-1)).astype(np.float32)


def reach(offset: float, *before: Click, positive: bool = True) -> Reach:
    place = tuple(WINDOW.center_ras + np.array([offset, 0, 0]))
    return reach_of(Click(place, positive), PromptSet(before), a_ball(12.0), WINDOW)


def test_a_click_far_from_the_surface_reaches_far():
    assert reach(13.0).full_mm == LEAST_REACH_MM
    assert 3 * 15 < reach(12.0 + 17.0).full_mm < 3 * 19
    assert reach(29.0).end_mm == 2 * reach(29.0).full_mm


def test_a_click_on_what_came_of_a_given_mask_reaches_half_as_far():
    mask = Volume(np.ones(WINDOW.shape, dtype=np.uint8), WINDOW, "given")
    place = tuple(WINDOW.center_ras + np.array([29.0, 0, 0]))
    found = reach_of(Click(place), PromptSet(initial_mask=mask), a_ball(12.0), WINDOW)
    assert found is not None
    assert found.full_mm == pytest.approx(reach(29.0).full_mm / 2)


def test_a_second_click_of_the_same_sign_nearby_reaches_twice_as_far():
    at = WINDOW.center_ras
    nearby = Click(tuple(at + np.array([14.0, 6.0, 0])))
    assert reach(15.0, nearby).full_mm == 2 * LEAST_REACH_MM
    assert reach(15.0, Click(nearby.ras, positive=False)).full_mm == LEAST_REACH_MM
    assert reach(15.0, Click(tuple(at - np.array([3.0, 0, 0])))).full_mm == LEAST_REACH_MM


def test_a_box_is_not_held_back_and_neither_is_a_click_where_nothing_was_found():
    box = BoxPrompt(Box3D.aligned(WINDOW.center_ras, (20, 20, 20)))
    assert reach_of(box, PromptSet(), a_ball(12.0), WINDOW) is None
    assert reach_of(Click(tuple(WINDOW.center_ras)), PromptSet(), a_ball(-1.0), WINDOW) is None


def test_a_reach_of_the_users_own_leaves_out_cells_that_lead_beyond_it():
    own = Reach(tuple(WINDOW.center_ras), 15.0, 15.0)
    ijk = np.moveaxis(np.indices(WINDOW.shape), 0, -1)
    distance = np.linalg.norm(WINDOW.to_ras(ijk) - WINDOW.center_ras, axis=-1)
    counted = own.weights(WINDOW) > 0
    assert distance[counted].max() <= 15.0 - np.sqrt(3) * 2.0
    assert counted.any()


@pytest.mark.parametrize("offset", [(0, 0, 0), (9, -4, 2), (25, 0, 0), (60, 0, 0)])
def test_what_is_said_of_a_box_of_voxels_holds_for_each(offset):
    own = Reach(tuple(WINDOW.center_ras + np.array(offset, dtype=float)), 10.0, 24.0)
    box = VoxelBox(np.array([12, 13, 14]), np.array([19, 18, 20]))
    weights, said = own.weights_in(WINDOW, box), own.covers(WINDOW, box)
    assert said is None or (weights == (1 if said else 0)).all()


def test_an_answer_fades_towards_its_windows_faces_and_counts_nowhere_beyond():
    grid = oblique_grid(orientation=37, spacing=2, size_mm=110.0)
    window = isotropic_grid(grid.center_ras, shape=(32, 32, 32), spacing=2.0, axes=grid.directions)
    weights = fading(window, grid)
    ijk = window.to_ijk(grid.to_ras(np.moveaxis(np.indices(grid.shape), 0, -1)))
    inside = np.all((ijk > -0.5) & (ijk < 31.5), axis=-1)
    deep = np.all((ijk > 2.5) & (ijk < 28.5), axis=-1)
    assert (weights[~inside] == 0).all()
    assert (weights[deep] == 1).all()
    assert 0 < weights[inside & ~deep].mean() < 1


def test_logits_are_mixed_only_where_both_count():
    new, old = np.array([9.0, 9.0, 9.0], np.float32), np.array([-30.0, -30.0, -30.0], np.float32)
    assert np.allclose(mixed(new, old, np.array([1.0, 0.5, 0.0], np.float32)), [9.0, 0.0, -30.0])


@pytest.mark.parametrize("offset", [(0, 0, 0), (20, -14, 9), (38, 0, 0), (90, 0, 0)])
@pytest.mark.parametrize(("full", "end"), [(10.0, 24.0), (16.0, 16.0)])
def test_logits_laid_over_a_part_are_those_mixed_over_the_whole_bit_for_bit(offset, full, end):
    cells = oblique_grid(orientation=37, spacing=2, size_mm=110.0)
    window = isotropic_grid(cells.center_ras + 13.0, shape=(32, 32, 32), spacing=2.0, axes=cells.directions)
    reach = Reach(tuple(cells.center_ras + np.array(offset, dtype=float)), full, end)
    new, old = np.random.default_rng(0).normal(scale=6, size=(2, *cells.shape)).astype(np.float32)
    wanted = mixed(new, old, reach.weights(cells) * fading(window, cells))
    counting = Counting.on(cells, reach, window)
    found = old if counting is None else counting.laid_over(old, new)
    assert np.array_equal(found, wanted)
