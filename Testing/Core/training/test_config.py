"""The defaults of a training run add up."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from inference_core.training.config import TrainingConfig


@pytest.fixture
def a_config() -> TrainingConfig:
    return TrainingConfig(minutes=10, output=Path("lite.safetensors"))


def test_the_stages_fill_the_budget(a_config):
    assert sum(share for share, _, _ in a_config.stages) == pytest.approx(1.0)


def test_windows_can_be_halved_three_times(a_config):
    assert all(size % 8 == 0 for _, size, _ in a_config.stages)


def test_some_windows_are_synthetic_whatever_else_there_is(a_config):
    assert 0 < a_config.labeled + a_config.inserted < 1


def test_a_config_cannot_be_changed(a_config):
    with pytest.raises(FrozenInstanceError):
        a_config.minutes = 20
