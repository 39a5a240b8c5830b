"""Long sessions: memory stays bounded, and nothing that was answered changes for it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from inference_core.engine.prediction_cache import PredictionCache
from inference_core.engine.session import Session
from inference_core.engine.windowed_prediction import LogitLayer, PromptGroup
from inference_core.geometry.grid import Grid
from inference_core.prompts.prompt_set import Click, PromptSet

WINDOW = Grid((8, 8, 8), np.diag([1.5, -1.5, 1.5, 1.0]))
LOGITS_BYTES = 8**3 * 4


def a_prediction(*layers: np.ndarray) -> tuple[PromptGroup, ...]:
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


def test_predictions_go_in_the_order_they_were_last_asked_for():
    kept = PredictionCache(3 * LOGITS_BYTES)
    for number in range(3):
        kept.put(asked(number), a_prediction(logits(number)))
    assert kept.get(asked(0)) is not None
    kept.put(asked(3), a_prediction(logits(3)))
    assert [kept.get(asked(number)) is not None for number in range(4)] == [True, False, True, True]
    assert kept.nbytes == 3 * LOGITS_BYTES


def test_what_predictions_share_counts_once():
    shared = logits(1.0)
    kept = PredictionCache(4 * LOGITS_BYTES)
    for number in range(3):
        kept.put(asked(number), a_prediction(shared, logits(number)))
    assert len(kept) == 3
    assert kept.nbytes == 4 * LOGITS_BYTES


def test_the_newest_prediction_is_kept_whatever_its_size():
    kept = PredictionCache(1)
    kept.put(asked(0), a_prediction(logits(0)))
    kept.put(asked(1), a_prediction(logits(1), logits(2)))
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


def test_a_session_that_lets_logits_go_answers_as_one_that_keeps_all(a_volume, a_model, the_clicks):
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
    ours, theirs = frugal.predict(detour), lavish.predict(detour)
    np.testing.assert_array_equal(ours.mask.array, theirs.mask.array)
    np.testing.assert_array_equal(ours.low_res_logits, theirs.low_res_logits)
