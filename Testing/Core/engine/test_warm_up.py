"""Warming up asks a light model once and keeps quiet; a large model on a CPU is left alone."""

from dataclasses import replace

import pytest
from support.scenes import BrightnessModel

from inference_core.engine.warm_up import warm_up
from inference_core.errors import ModelError
from inference_core.models.spec import PromptKind


def a_model(size_bytes, device="cpu", kinds=BrightnessModel.spec.prompt_kinds):
    spec = BrightnessModel.spec
    checkpoint = replace(spec.checkpoint, size_bytes=size_bytes)
    return BrightnessModel(spec=replace(spec, checkpoint=checkpoint, prompt_kinds=kinds), device=device)


@pytest.mark.parametrize(("size_bytes", "device"), [(5_000_000, "cpu"), (375_000_000, "cuda")])
def test_a_model_that_answers_quickly_is_asked_once(size_bytes, device):
    model = a_model(size_bytes, device)
    warm_up(model)
    assert model.encoded
    assert model.decoded


@pytest.mark.parametrize("size_bytes", [375_000_000, None])
def test_a_large_model_on_a_cpu_or_one_of_unknown_size_is_left_alone(size_bytes):
    model = a_model(size_bytes)
    warm_up(model)
    assert not model.encoded


def test_a_model_that_takes_no_clicks_is_left_alone():
    model = a_model(5_000_000, kinds=frozenset({PromptKind.NONE}))
    warm_up(model)
    assert not model.encoded


def test_what_goes_wrong_is_left_for_the_first_click_to_tell(monkeypatch):
    model = a_model(5_000_000)

    def fail(window):
        raise ModelError("It cannot be used.")

    monkeypatch.setattr(model, "encode", fail)
    warm_up(model)
