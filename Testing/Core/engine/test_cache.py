"""The embedding cache holds to its bound and forgets the oldest first."""

from __future__ import annotations

import pytest
import torch

from inference_core.engine.cache import EmbeddingCache
from inference_core.engine.session import Session
from inference_core.geometry.grid import isotropic_grid
from inference_core.models.interface import Embedding
from inference_core.prompts.prompt_set import Click, PromptSet

BYTES = 4000


def an_embedding(number: int, size: int = BYTES) -> Embedding:
    return Embedding({"x": torch.zeros(size // 4)}, isotropic_grid((number, 0, 0), shape=(4, 4, 4), spacing=1.0))


@pytest.fixture
def a_cache() -> EmbeddingCache:
    return EmbeddingCache(3 * BYTES)


def test_the_least_recently_used_embedding_goes_first(a_cache):
    first, second, third, fourth = (an_embedding(n) for n in range(4))
    for embedding in (first, second, third):
        a_cache.put(embedding)
    assert a_cache.get(first.grid) is first
    a_cache.put(fourth)
    assert a_cache.get(second.grid) is None
    assert a_cache.get(first.grid) is first
    assert a_cache.nbytes == 3 * BYTES


def test_an_embedding_larger_than_the_bound_is_not_kept(a_cache):
    a_cache.put(an_embedding(0, 4 * BYTES))
    assert len(a_cache) == 0


def test_the_same_window_is_kept_once(a_cache):
    a_cache.put(an_embedding(0))
    a_cache.put(an_embedding(0))
    assert len(a_cache) == 1


def test_a_session_without_room_encodes_again_and_answers_the_same(a_volume, a_model, a_ball):
    prompts = PromptSet((Click(tuple(a_ball[0])), Click(tuple(a_ball[0] + 2))))
    roomy, cramped = Session(a_volume, a_model), Session(a_volume, a_model, cache=EmbeddingCache(0))
    expected = roomy.predict(prompts)
    encoded = len(a_model.encoded)
    found = cramped.predict(prompts)
    assert len(a_model.encoded) > 2 * encoded - 1
    assert (found.mask.on(a_volume.grid.shape) == expected.mask.on(a_volume.grid.shape)).all()
