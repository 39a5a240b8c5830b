"""Long sessions: memory stays bounded, and nothing that was answered changes for it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference_core.engine.prediction_cache import PackedMask, PredictionCache
from inference_core.engine.session import Session
from inference_core.engine.window_predictor import LogitLayer, PromptGroup
from inference_core.geometry.grid import Grid
from inference_core.geometry.mask import EMPTY, Mask
from inference_core.prompts.prompt_set import Click, PromptSet

WINDOW = Grid((8, 8, 8), np.diag([1.5, -1.5, 1.5, 1.0]))
LOOK_BYTES = 8**3 * 4


def a_look(*layers: np.ndarray) -> tuple[PromptGroup, ...]:
    return tuple(PromptGroup(PromptSet(), LogitLayer(WINDOW, logits)) for logits in layers)


def logits(value: float) -> np.ndarray:
    return np.full(WINDOW.shape, value, dtype=np.float32)


def asked(number: int) -> PromptSet:
    return PromptSet((Click((float(number), 0.0, 0.0)),))


@pytest.fixture
def the_clicks(a_ball) -> PromptSet:
    """A hundred clicks in and around a ball."""
    rng = np.random.default_rng(7)
    points = a_ball[0] + rng.normal(scale=0.5 * a_ball[1], size=(100, 3))
    inside = np.linalg.norm(points - a_ball[0], axis=1) < a_ball[1]
    clicks = [Click(tuple(point), bool(within)) for point, within in zip(points, inside, strict=True)]
    return PromptSet((Click(tuple(a_ball[0])), *clicks[1:]))


@settings(max_examples=40, deadline=None)
@given(shape=st.tuples(*[st.integers(0, 9)] * 3), seed=st.integers(0, 30), order=st.sampled_from("CF"))
def test_a_packed_mask_is_unpacked_as_it_was(shape, seed, order):
    array = np.asarray(np.random.default_rng(seed).random(shape) < 0.4, order=order)
    patch = PackedMask.of(Mask((3, -1, 8), array)).patch()
    assert patch.start == (3, -1, 8)
    assert patch.array.dtype == np.bool_
    np.testing.assert_array_equal(patch.array, array)


def test_a_ball_takes_a_hundredth_of_its_box_when_packed():
    distance = np.linalg.norm(np.indices((96, 96, 96)).T - 47.5, axis=-1).T
    patch = Mask((0, 0, 0), np.asfortranarray(distance < 47))
    assert len(PackedMask.of(patch).bits) < patch.array.nbytes / 50
    assert len(PackedMask.of(EMPTY).bits) < 20


def test_looks_go_in_the_order_they_were_last_asked_for():
    kept = PredictionCache(3 * LOOK_BYTES)
    for number in range(3):
        kept.put(asked(number), a_look(logits(number)))
    assert kept.get(asked(0)) is not None
    kept.put(asked(3), a_look(logits(3)))
    assert [kept.get(asked(number)) is not None for number in range(4)] == [True, False, True, True]
    assert kept.nbytes == 3 * LOOK_BYTES


def test_what_looks_share_counts_once():
    shared = logits(1.0)
    kept = PredictionCache(4 * LOOK_BYTES)
    for number in range(3):
        kept.put(asked(number), a_look(shared, logits(number)))
    assert len(kept) == 3
    assert kept.nbytes == 4 * LOOK_BYTES


def test_the_newest_look_is_kept_whatever_its_size():
    kept = PredictionCache(1)
    kept.put(asked(0), a_look(logits(0)))
    kept.put(asked(1), a_look(logits(1), logits(2)))
    assert kept.get(asked(0)) is None
    assert kept.get(asked(1)) is not None


def test_a_hundred_clicks_take_no_more_memory_than_twenty(a_volume, a_model, the_clicks):
    session = Session(a_volume, a_model, logits_bytes=2_000_000)
    sizes = []
    for count in range(1, 101):
        session.predict(replace(the_clicks, prompts=the_clicks.prompts[:count]))
        sizes.append(session.held_bytes)
    assert max(sizes) < 2.3e6
    assert sizes[-1] < sizes[19] + 80 * 3_000


def test_a_session_that_lets_looks_go_answers_as_one_that_keeps_all(a_volume, a_model, the_clicks):
    frugal, lavish = (Session(a_volume, a_model, logits_bytes=size) for size in (1, 10**9))
    answers = [
        [session.predict(replace(the_clicks, prompts=the_clicks.prompts[:count])).mask for count in (1, 2, 5, 9)]
        for session in (frugal, lavish)
    ]
    for ours, theirs in zip(*answers, strict=True):
        assert ours.start == theirs.start
        np.testing.assert_array_equal(ours.array, theirs.array)
    # Going back behind what is kept, and on another way from there.
    detour = replace(the_clicks, prompts=(*the_clicks.prompts[:2], the_clicks.prompts[11]))
    for session in (frugal, lavish):
        for _ in range(3):
            session.undo()
    ours, theirs = frugal.predict(detour), lavish.predict(detour)
    np.testing.assert_array_equal(ours.mask.array, theirs.mask.array)
    np.testing.assert_array_equal(ours.low_res_logits, theirs.low_res_logits)


def test_undo_and_redo_of_old_steps_need_no_model(a_volume, a_model, the_clicks):
    session = Session(a_volume, a_model, logits_bytes=1)
    masks = [session.predict(replace(the_clicks, prompts=the_clicks.prompts[:count])).mask for count in range(1, 30)]
    work = (len(a_model.encoded), a_model.decoded)
    for expected in reversed(masks[:-1]):
        shown = session.undo()
        assert shown.low_res_logits is None
        np.testing.assert_array_equal(shown.mask.array, expected.array)
    for expected in masks[1:]:
        np.testing.assert_array_equal(session.redo().mask.array, expected.array)
    assert (len(a_model.encoded), a_model.decoded) == work


def test_the_threshold_of_an_old_step_can_still_be_moved(a_volume, a_model, the_clicks):
    session = Session(a_volume, a_model, logits_bytes=1)
    first = session.predict(replace(the_clicks, prompts=the_clicks.prompts[:1]))
    for count in (2, 3):
        session.predict(replace(the_clicks, prompts=the_clicks.prompts[:count]))
    session.undo()
    session.undo()
    assert session.set_threshold(2.0).mask.array.sum() < first.mask.array.sum()
    np.testing.assert_array_equal(session.set_threshold(0.0).mask.array, first.mask.array)
