"""What holds for every model that can be trained."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from inference_core.cli import train
from inference_core.models.registry import get_spec
from inference_core.training.registry import RECIPES


@pytest.mark.parametrize("model", RECIPES)
def test_every_setting_is_shown_filled_in(model, tmp_path, capsys):
    get_spec(model)
    train.run(
        argparse.Namespace(rest=["--model", model, "--output", str(tmp_path), "--device", "cpu", "--print-config"])
    )
    shown = json.loads(capsys.readouterr().out)
    assert shown["model"] == model
    assert shown["scope"]
    assert min(shown[name] for name in ("steps", "batch", "accumulate", "learning_rate", "clicks")) > 0


@pytest.mark.parametrize("model", RECIPES)
def test_every_recipe_stands_in_the_documentation(model):
    text = (Path(__file__).resolve().parents[4] / "Resources" / "Docs" / "training.md").read_text(encoding="utf-8")
    family, _, suffix = model.partition("adapter")
    assert f"`{model}`" in text or (f"`{family}adapter" in text and f"`{suffix}`" in text), model
