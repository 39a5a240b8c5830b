"""Adapting to accepted masks: the gate, and what is left for the user."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.labeled_sets import write_balls

from inference_core.errors import ModelError, VolumeError
from inference_core.evaluation.protocol import first_click
from inference_core.models.registry import DEFAULT_MODEL, get_spec
from inference_core.models.store import require_installed, weights_of
from inference_core.prompts.prompt_set import PromptSet
from inference_core.training.accepted import accept, accepted_cases
from inference_core.training.adapt import Verdict, adapt
from inference_core.training.data.layouts import read_data_set


@pytest.fixture(scope="module")
def accepted(tmp_path_factory) -> Path:
    """Four balls that were accepted."""
    folder = tmp_path_factory.mktemp("accepted")
    for case in read_data_set(write_balls(folder / "balls", cases=("a", "b", "c", "d"))).cases:
        volume, target = case.read(), case.read_labels().array > 0
        accept(folder / "mine", volume, target, PromptSet((first_click(target, volume.grid),)))
    return folder / "mine"


def test_new_weights_are_offered_only_when_both_sets_say_so():
    better = Verdict(kept_before=0.70, kept_after=0.75, shipped_before=0.90, shipped_after=0.895)
    assert better.better
    assert better.sentence().startswith("The adapted model is better: Dice 0.70 to 0.75")
    for worse in (Verdict(0.70, 0.69, 0.90, 0.95), Verdict(0.70, 0.90, 0.90, 0.88), Verdict(0.7, 0.7, 0.9, 0.9)):
        assert not worse.better
        assert "is not offered" in worse.sentence()


def test_an_adaptation_leaves_weights_and_its_verdict(tmp_path, accepted):
    start = require_installed(get_spec(DEFAULT_MODEL))
    verdict = adapt(accepted, tmp_path / "run", start_from=start, steps=2)
    said = json.loads((tmp_path / "run" / "verdict.json").read_text())
    assert said["kept_after"] == verdict.kept_after
    assert said["better"] is verdict.better
    assert verdict.shipped_after == pytest.approx(verdict.shipped_before, abs=0.05), "two steps change little"
    if verdict.better:
        assert weights_of(tmp_path / "run").is_file()
    else:
        with pytest.raises(ModelError, match="no weights"):
            weights_of(tmp_path / "run")


def test_too_few_cases_are_refused_before_anything_is_made(tmp_path, accepted):
    few = accepted_cases(accepted)[:2]
    for case in few:
        for path in case.files:
            target = tmp_path / "few" / path.parent.name / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    with pytest.raises(VolumeError, match="There are 2 accepted cases; accept at least 3"):
        adapt(tmp_path / "few", tmp_path / "run", start_from=require_installed(get_spec(DEFAULT_MODEL)), steps=2)
    assert not (tmp_path / "run").exists()
