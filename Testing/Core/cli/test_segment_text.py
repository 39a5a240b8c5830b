"""`segment --text`: what is said of words that cannot be used, and a mask where they can."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from support.text_encoders import write_text_encoder

from inference_core.cli.main import main
from inference_core.training.config import TrainConfig
from inference_core.training.recipes.medical_sam_adapter import build

SAM = Path(__file__).parents[2] / "Data" / "sam" / "small.safetensors"


@pytest.fixture(scope="module")
def a_clip(tmp_path_factory):
    pytest.importorskip("tokenizers")
    return write_text_encoder(tmp_path_factory.mktemp("clip") / "clip")


@pytest.fixture(scope="module")
def some_weights(tmp_path_factory, a_clip):
    """Weights with a freshly drawn projection of texts."""
    torch.manual_seed(0)
    config = TrainConfig(Path("unused"), start_from=SAM, image_size=64, text_encoder=a_clip)
    recipe = build(config, {1: "kidney"}, rule="medical_sam_adapter")
    path = tmp_path_factory.mktemp("weights") / "texts_64.pth"
    recipe.save(path, recipe.network.state_dict())
    return path


@pytest.fixture
def segment(a_ct, tmp_path, capsys):
    """Runs `segment` in this process; the status and what was said last."""

    def run(*arguments, model="medical_sam_adapter"):
        output = tmp_path / "mask.nii.gz"
        parts = ("segment", a_ct, "--output", output, "--model", model, "--device", "cpu", *arguments)
        status = main([str(part) for part in parts])
        return status, capsys.readouterr().err

    return run


def test_words_segment_and_are_saved_among_the_prompts(segment, some_weights, a_clip, a_target_click, tmp_path) -> None:
    saved = tmp_path / "prompts.json"
    words = ("--text", "the kidney", "--text-encoder", a_clip, "--click", *a_target_click)
    status, said = segment("--weights", some_weights, *words, "--save-prompts", saved)
    assert status == 0, said
    assert json.loads(saved.read_text())["prompts"][0] == {"type": "text", "text": "the kidney"}


@pytest.mark.parametrize(("words", "said"), [
    (("--text", "the kidney"), "(--text-encoder)"),
    (("--text", "the kidney", "--text-encoder", "GONE"), "lacks 'open_clip_config.json'"),
    (("--text", "  . "), "(--text-encoder)"),
    (("--text", "x" * 301), "301 characters"),
])  # fmt: skip
def test_words_that_cannot_be_used_are_refused_in_one_sentence(segment, some_weights, tmp_path, words, said) -> None:
    given = [str(tmp_path / "gone") if word == "GONE" else word for word in words]
    status, told = segment("--weights", some_weights, *given)
    assert status == 2
    assert said in told.splitlines()[-1]


def test_another_model_reads_no_words(segment, a_clip) -> None:
    weights = Path(__file__).parents[2] / "Data" / "sam_med3d" / "small.safetensors"
    status, told = segment("--weights", weights, "--text", "the kidney", model="sam_med3d")
    assert status == 2
    assert "reads no texts" in told
    status, told = segment("--weights", weights, "--text", "the kidney", "--text-encoder", a_clip, model="sam_med3d")
    assert status == 2
    assert "leave out the text encoder" in told
