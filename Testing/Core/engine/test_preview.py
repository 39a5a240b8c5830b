"""A preview: where an early prompt was moved or deleted, one look tells what all later ones will lead to."""

from dataclasses import dataclass

import numpy as np
import pytest
from support.scenes import BrightnessModel, oblique_grid, spheres

from inference_core.engine.mask_composition import MaskOptions
from inference_core.engine.session import Session
from inference_core.errors import Cancelled, PromptError
from inference_core.geometry.volume import Volume
from inference_core.models.interface import Decoded
from inference_core.prompts.prompt_set import Click, PromptSet

CENTER, RADIUS = np.array([4.0, -3.0, 2.0]), 9.0
OTHER = np.array([40.0, 30.0, -28.0])


@dataclass
class ClickedModel(BrightnessModel):
    """Finds what is bright within 9 mm of a foreground click, and what the prior holds; no answer is like another."""

    def decode(self, embedding, prompts, prior) -> Decoded:
        decoded = super().decode(embedding, prompts, prior)
        cells = np.indices(embedding.grid.shape).reshape(3, -1).T
        near = np.zeros(len(cells), dtype=bool)
        for point in prompts.points[prompts.labels == 1]:
            near |= np.linalg.norm((cells - point) * embedding.grid.spacing, axis=1) < 9
        logits = np.where(near.reshape(embedding.grid.shape), decoded.low_res_logits, -4.0)
        return Decoded((logits if prior is None else 0.9 * logits + 0.1 * prior).astype(np.float32), decoded.quality)


@pytest.fixture
def a_grid():
    return oblique_grid(5, 1, size_mm=110.0)


@pytest.fixture
def a_volume(a_grid):
    balls = [(a_grid.center_ras + CENTER, RADIUS), (a_grid.center_ras + OTHER, RADIUS)]
    return Volume(spheres(a_grid, balls), a_grid)


@pytest.fixture
def clicks(a_grid):
    """Nine in and around the ball."""
    directions = np.random.default_rng(0).normal(size=(9, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    radii = np.where(np.arange(9) % 3 == 2, 12.0, 4.0)[:, None]
    places = a_grid.center_ras + CENTER + radii * directions
    return PromptSet(tuple(Click(tuple(place), n % 3 != 2) for n, place in enumerate(places)))


@pytest.fixture
def a_session(a_volume, clicks):
    session = Session(a_volume, ClickedModel())
    session.predict(clicks)
    return session


def nudged(prompts, index=0, by=(2.0, 1.0, -1.0)):
    return prompts.moved(index, np.array(prompts.prompts[index].ras) + by)


def dice(a, b):
    return 2 * a.array.sum() and 2 * (a.voxel_count - a.minus(b).voxel_count) / (a.voxel_count + b.voxel_count)


def previewed_in_one_look(session, prompts):
    before = session.model.decoded
    preview = session.preview(prompts)
    assert session.model.decoded == before + 1
    assert preview.is_preview
    assert preview.prompts == prompts
    return preview


def test_a_moved_click_is_previewed_in_one_look_near_what_the_answer_will_be(a_session, clicks):
    model, moved = a_session.model, nudged(clicks)
    before = model.decoded
    preview = previewed_in_one_look(a_session, moved)
    answer = a_session.predict(moved)
    assert not answer.is_preview
    assert model.decoded > before + 9
    assert dice(preview.mask, answer.mask) > 0.9


def test_the_answer_after_a_preview_is_the_one_without_bit_for_bit(a_session, a_volume, clicks):
    moved = nudged(clicks)
    a_session.preview(moved)
    answer, fresh = a_session.predict(moved), Session(a_volume, ClickedModel()).predict(moved)
    assert np.array_equal(answer.low_res_logits, fresh.low_res_logits)
    assert answer.mask.start == fresh.mask.start
    assert np.array_equal(answer.mask.array, fresh.mask.array)
    again = a_session.predict(clicks)
    assert np.array_equal(again.low_res_logits, Session(a_volume, ClickedModel()).predict(clicks).low_res_logits)


def test_a_click_dragged_beyond_the_ball_takes_its_surroundings_along(a_session, clicks, a_grid):
    away = clicks.moved(0, a_grid.center_ras + CENTER + np.array([0.0, 0.0, 7.0]))
    preview = a_session.preview(away)
    assert preview.mask.at(a_grid.voxel_of(away.prompts[0].ras))


def test_a_click_of_one_of_two_targets_leaves_the_other_as_it_is(a_session, clicks, a_grid):
    both = clicks.with_(Click(tuple(a_grid.center_ras + OTHER)))
    before = a_session.predict(both).mask
    preview = a_session.preview(nudged(both)).mask
    voxels = [mask.on(a_grid.shape) for mask in (before, preview)]
    far = np.linalg.norm(a_grid.to_ras(np.moveaxis(np.indices(a_grid.shape), 0, -1)) - both.prompts[-1].ras, axis=-1)
    assert voxels[0][far < 12].any()
    assert np.array_equal(voxels[0][far < 12], voxels[1][far < 12])


@pytest.mark.parametrize("index", [0, 1, 3])
def test_a_deleted_click_is_previewed_in_one_look_near_what_the_answer_will_be(a_session, a_volume, clicks, index):
    fewer = clicks.without(index)
    preview = previewed_in_one_look(a_session, fewer)
    answer = a_session.predict(fewer)
    assert np.array_equal(answer.low_res_logits, Session(a_volume, ClickedModel()).predict(fewer).low_res_logits)
    assert dice(preview.mask, answer.mask) > 0.9


def test_a_deleted_first_click_may_have_background_clicks_before_the_next_one(a_volume, clicks):
    first, second, background, *rest = clicks.prompts
    prompts = PromptSet((first, background, second, *rest))
    session = Session(a_volume, ClickedModel())
    session.predict(prompts)
    assert session.preview(prompts.without(0)).is_preview


def test_the_only_click_of_a_target_takes_it_along(a_volume, clicks, a_grid):
    other = Click(tuple(a_grid.center_ras + OTHER))
    both = PromptSet((*clicks.prompts[:1], other, *clicks.prompts[1:]))
    session = Session(a_volume, ClickedModel())
    assert session.predict(both).mask.at(a_grid.voxel_of(other.ras))
    preview = session.preview(both.without(1))
    assert not preview.mask.at(a_grid.voxel_of(other.ras))
    assert dice(preview.mask, session.predict(clicks).mask) > 0.95


@pytest.mark.parametrize("case", ["a late one", "nothing before", "two moved", "one more", "other options"])
def test_there_is_no_preview_where_the_answer_is_soon_there_or_nothing_is_near_it(a_session, clicks, a_volume, case):
    prompts, options, session = nudged(clicks), None, a_session
    if case == "a late one":
        prompts = nudged(clicks, index=8)
    elif case == "nothing before":
        session = Session(a_volume, ClickedModel())
    elif case == "two moved":
        prompts = nudged(prompts, index=1)
    elif case == "one more":
        prompts = prompts.with_(Click(tuple(a_volume.grid.center_ras)))
    else:
        options = MaskOptions(local_corrections=False)
    assert session.preview(prompts, options=options) is None


def test_a_preview_that_is_stopped_or_refused_changes_nothing(a_session, clicks):
    def stop(stage, fraction):
        raise Cancelled("stopped")

    held = a_session.held_bytes
    with pytest.raises(Cancelled):
        a_session.preview(nudged(clicks), notify=stop)
    with pytest.raises(PromptError):
        a_session.preview(nudged(clicks, by=(1e4, 0, 0)))
    assert a_session.held_bytes == held
