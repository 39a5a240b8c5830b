"""A session: answers, history, edits, and what it does not do."""

from __future__ import annotations

import numpy as np
import pytest
from support.scenes import spheres

from inference_core.engine.mask_composition import MaskOptions
from inference_core.engine.session import NO_CONTRAST, Session
from inference_core.errors import Cancelled, ModelError, OptionError, PromptError
from inference_core.geometry.box import Box3D
from inference_core.geometry.volume import Volume
from inference_core.models.registry import get_spec
from inference_core.prompts.prompt_set import BoxPrompt, Click, PromptSet


@pytest.fixture
def a_click(a_ball) -> Click:
    return Click(tuple(a_ball[0]))


@pytest.fixture
def a_session(a_volume, a_model) -> Session:
    return Session(a_volume, a_model)


def truth(volume) -> np.ndarray:
    return volume.array > 0.5


def voxel_places(grid) -> np.ndarray:
    return grid.to_ras(np.stack(np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij"), axis=-1))


def whole(prediction, volume) -> np.ndarray:
    return prediction.mask.on(volume.grid.shape).astype(bool)


def dice(a, b) -> float:
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def around(a_ball, count, *, share=0.6):
    rng = np.random.default_rng(3)
    directions = rng.standard_normal((count, 3))
    return [a_ball[0] + share * a_ball[1] * d / np.linalg.norm(d) for d in directions]


def test_a_click_on_a_ball_gives_the_ball(a_session, a_volume, a_click):
    mask = whole(a_session.predict(PromptSet((a_click,))), a_volume)
    assert dice(mask, truth(a_volume)) > 0.97


def test_a_box_around_a_ball_gives_the_ball(a_session, a_volume, a_ball):
    box = BoxPrompt(Box3D.aligned(a_ball[0], [2.2 * a_ball[1]] * 3))
    assert dice(whole(a_session.predict(PromptSet((box,))), a_volume), truth(a_volume)) > 0.97


def test_earlier_prompts_are_answered_again_bit_for_bit(a_session, a_volume, a_ball):
    """Undo is asking for them again."""
    runs, masks = [], []
    for number, point in enumerate(around(a_ball, 20, share=1.05)):
        runs.append((runs[-1] if runs else PromptSet()).with_(Click(tuple(point), positive=number % 3 != 1)))
        masks.append(whole(a_session.predict(runs[-1]), a_volume))
    for prompts, expected in [*zip(runs, masks, strict=True)][::-1] + [*zip(runs, masks, strict=True)]:
        np.testing.assert_array_equal(whole(a_session.predict(prompts), a_volume), expected)
    assert len({mask.tobytes() for mask in masks}) >= 8


def test_earlier_prompts_whose_logits_are_kept_need_no_model(a_session, a_model, a_click, a_ball):
    first = PromptSet((a_click,))
    a_session.predict(first)
    a_session.predict(first.with_(Click(tuple(a_ball[0] + 3))))
    work = (len(a_model.encoded), a_model.decoded)
    a_session.predict(first)
    assert (len(a_model.encoded), a_model.decoded) == work


def test_moving_an_earlier_click_decodes_from_the_cached_embedding(a_session, a_model, a_ball):
    clicks = tuple(Click(tuple(point)) for point in around(a_ball, 3, share=0.3))
    prompts = PromptSet(clicks)
    a_session.predict(prompts)
    encoded = len(a_model.encoded)
    a_session.predict(prompts.moved(1, a_ball[0] + 2))
    assert len(a_model.encoded) == encoded


def test_the_answer_depends_on_the_prompts_and_not_on_how_they_were_reached(a_volume, a_model, a_ball):
    clicks = tuple(Click(tuple(point)) for point in around(a_ball, 3, share=0.9))
    wandering = Session(a_volume, a_model)
    wandering.predict(PromptSet(clicks[:1]))
    wandering.predict(PromptSet((clicks[0], clicks[2])))
    wandering.predict(PromptSet(clicks).moved(2, a_ball[0]))
    found = wandering.predict(PromptSet(clicks))
    np.testing.assert_array_equal(
        whole(found, a_volume), whole(Session(a_volume, a_model).predict(PromptSet(clicks)), a_volume)
    )


def test_another_threshold_needs_no_model(a_session, a_model, a_volume, a_click):
    prompts = PromptSet((a_click,))
    before = whole(a_session.predict(prompts), a_volume)
    work = (len(a_model.encoded), a_model.decoded)
    smaller = a_session.predict(prompts, options=MaskOptions(threshold=2.0))
    assert (len(a_model.encoded), a_model.decoded) == work
    assert 0 < whole(smaller, a_volume).sum() < before.sum()
    np.testing.assert_array_equal(whole(a_session.predict(prompts), a_volume), before)


def test_an_automatic_model_is_refused(a_volume, a_model):
    a_model.spec = get_spec("ma_sam")
    with pytest.raises(ModelError, match="takes no prompts: it finds its classes by itself"):
        Session(a_volume, a_model)


@pytest.mark.parametrize(("bias", "positive"), [(-30.0, True), (30.0, False)])
def test_a_clicked_voxel_obeys_its_click_whatever_the_model_says(a_volume, a_model, a_ball, bias, positive):
    a_model.bias = bias
    target = Click(tuple(a_ball[0]))
    asked = Click(tuple(a_ball[0] + np.array([0, 0, 4.0])), positive)
    mask = Session(a_volume, a_model).predict(PromptSet((target, asked))).mask
    assert mask.at(a_volume.grid.voxel_of(asked.ras)) is positive
    assert mask.at(a_volume.grid.voxel_of(target.ras))


def test_click_consistency_can_be_switched_off(a_volume, a_model, a_click):
    a_model.bias = -30.0
    found = Session(a_volume, a_model).predict(PromptSet((a_click,)), options=MaskOptions(consistent_clicks=False))
    assert whole(found, a_volume).sum() == 0


def test_the_correction_around_a_click_stays_with_tissue_that_looks_alike(a_volume, a_model, a_ball):
    a_model.bias = -30.0
    edge = Click(tuple(a_ball[0] + np.array([a_ball[1] - 2.0, 0, 0])))
    mask = whole(Session(a_volume, a_model).predict(PromptSet((edge,))), a_volume)
    assert mask.sum() > 10
    assert a_volume.array[mask].mean() > 0.8


def test_a_background_click_may_come_first(a_session, a_volume, a_ball, a_click):
    background = Click(tuple(a_ball[0] + np.array([a_ball[1] + 5, 0, 0])), positive=False)
    found = a_session.predict(PromptSet((background, a_click)))
    assert dice(whole(found, a_volume), truth(a_volume)) > 0.9
    assert not found.mask.at(a_volume.grid.voxel_of(background.ras))


def test_an_initial_mask_is_the_first_answer_and_a_click_goes_on_from_it(a_session, a_model, a_volume, a_click):
    start = PromptSet().starting_from(Volume(truth(a_volume).astype(np.uint8), a_volume.grid))
    first = a_session.predict(start)
    assert a_model.decoded == 0
    assert dice(whole(first, a_volume), truth(a_volume)) > 0.9
    assert dice(whole(a_session.predict(start.with_(a_click)), a_volume), truth(a_volume)) > 0.97


def test_pieces_without_a_click_are_left_out_unless_asked_for(a_model, an_oblique_grid):
    near, far = an_oblique_grid.center_ras - 4, an_oblique_grid.center_ras + 4
    volume = Volume(spheres(an_oblique_grid, [(near, 6.0), (far, 4.0)]), an_oblique_grid)
    prompts = PromptSet((Click(tuple(near)),))
    one = Session(volume, a_model).predict(prompts)
    both = Session(volume, a_model).predict(prompts, options=MaskOptions(keep_clicked_pieces=False))
    assert not one.mask.at(an_oblique_grid.voxel_of(far))
    assert both.mask.at(an_oblique_grid.voxel_of(far))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_voxels_that_are_not_numbers_are_background_and_no_place_for_a_click(a_volume, a_model, a_ball, a_click, value):
    outside = np.linalg.norm(voxel_places(a_volume.grid) - a_ball[0], axis=-1) > 1.5 * a_ball[1]
    spoilt = np.where(outside, np.float32(value), a_volume.array)
    session = Session(Volume(spoilt, a_volume.grid, "ball"), a_model)
    expected = Session(Volume(np.where(outside, 0, spoilt), a_volume.grid), a_model).predict(PromptSet((a_click,)))
    answer = session.predict(PromptSet((a_click,)))
    assert np.array_equal(answer.mask.on(a_volume.grid.shape), expected.mask.on(a_volume.grid.shape))
    assert answer.mask.array.any()
    off = a_volume.grid.to_ras(np.argwhere(outside)[0])
    with pytest.raises(PromptError, match=r"'ball' has no value .* where the click is"):
        session.predict(PromptSet((a_click, Click(tuple(off), positive=False))))


def test_of_an_image_of_one_value_the_answer_is_empty_with_a_sentence(a_volume, a_model, a_click):
    flat = Volume(np.full(a_volume.grid.shape, 7, dtype=np.int16), a_volume.grid)
    answer = Session(flat, a_model).predict(PromptSet((a_click,)))
    assert not answer.mask.array.any()
    assert answer.cautions == (NO_CONTRAST,)
    assert not Session(a_volume, a_model).predict(PromptSet((a_click,))).cautions


def test_a_cancelled_answer_leaves_the_session_as_it_was(a_volume, a_model, a_click, a_ball):
    def notify(stage: str, fraction: float) -> None:
        raise Cancelled("The user stopped the work.")

    session, prompts = Session(a_volume, a_model), PromptSet((a_click, Click(tuple(a_ball[0] + 2))))
    before = session.predict(PromptSet((a_click,)))
    with pytest.raises(Cancelled):
        session.predict(prompts, notify=notify)
    np.testing.assert_array_equal(session.predict(PromptSet((a_click,))).mask.array, before.mask.array)
    fresh = Session(a_volume, a_model).predict(prompts)
    np.testing.assert_array_equal(session.predict(prompts).mask.array, fresh.mask.array)


@pytest.mark.parametrize(
    ("prompts", "sentence"),
    [
        (PromptSet(), "no prompt"),
        (PromptSet((Click((31.0, -47.0, 113.0), positive=False),)), "only background clicks"),
        (PromptSet((Click((900.0, 0.0, 0.0)),)), "mm outside the volume 'ball'"),
        (PromptSet((BoxPrompt(Box3D.aligned([900, 0, 0], [5, 5, 5])),)), "outside the volume 'ball'"),
    ],
)
def test_prompts_that_cannot_be_used_are_refused_in_a_sentence(a_session, prompts, sentence):
    with pytest.raises(PromptError, match=sentence):
        a_session.predict(prompts)


def test_the_unsure_band_is_what_a_logit_lower_or_higher_would_change_and_no_model_is_asked(
    a_session, a_volume, a_model, a_click
):
    prompts = PromptSet((a_click,))
    assert not a_session.unsure_band(prompts).array.size, "nothing was answered yet"
    answer = a_session.predict(prompts)
    asked = (len(a_model.encoded), a_model.decoded)
    band = a_session.unsure_band(prompts)
    assert (len(a_model.encoded), a_model.decoded) == asked
    larger, smaller = (a_session.predict(prompts, options=MaskOptions(threshold=t)).mask for t in (-1.0, 1.0))
    expected = (larger.on(a_volume.grid.shape) > 0) & ~(smaller.on(a_volume.grid.shape) > 0)
    np.testing.assert_array_equal(band.on(a_volume.grid.shape) > 0, expected)
    assert expected.any()
    assert band.voxel_count < answer.mask.voxel_count
    moved = a_session.unsure_band(prompts, options=MaskOptions(threshold=2.0))
    assert moved.voxel_count != band.voxel_count
    with pytest.raises(OptionError, match="above zero"):
        a_session.unsure_band(prompts, margin=0)
