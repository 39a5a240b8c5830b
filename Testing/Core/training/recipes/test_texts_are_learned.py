"""Medical SAM Adapter learns words: trained on images with two targets each, a text alone finds the one it names."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from support.labeled_sets import best_dice, write_balls
from support.text_encoders import write_text_encoder

from inference_core.engine.open_model import open_model
from inference_core.engine.session import Session
from inference_core.errors import CheckpointError, ModelError, OptionError, PromptError
from inference_core.evaluation.metrics import dice
from inference_core.models.interface import promptable
from inference_core.models.spec import PromptKind
from inference_core.models.weights import load_state_dict
from inference_core.prompts.prompt_set import Click, PromptSet
from inference_core.prompts.text import TextPrompt
from inference_core.training.config import TrainConfig
from inference_core.training.data.layouts import read_data_set
from inference_core.training.presets import check_settings
from inference_core.training.recipe import Draws
from inference_core.training.recipes.medical_sam_adapter import build

TEXTS = {"the left ball": ["ball 1"], "the right ball": ["ball 2"], "both balls": ["ball 1", "ball 2"]}
CLASSES = {1: "ball 1", 2: "ball 2"}


@pytest.fixture(scope="module")
def a_clip(tmp_path_factory):
    pytest.importorskip("tokenizers")
    return write_text_encoder(tmp_path_factory.mktemp("clip") / "clip")


@pytest.fixture(scope="module")
def two_targets(tmp_path_factory):
    return write_balls(
        tmp_path_factory.mktemp("two_targets") / "balls", cases=("a", "b"), classes=2, radius_mm=8.0, side_by_side=True
    )


@pytest.fixture(scope="module")
def a_text_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("texts") / "texts.json"
    path.write_text(json.dumps(TEXTS))
    return path


def a_recipe(sam: Path, clip: Path, texts: Path | None = None, rule: str = "medical_sam_adapter", **settings):
    torch.manual_seed(0)
    config = TrainConfig(Path("unused"), start_from=sam, image_size=64, text_encoder=clip, text_file=texts, **settings)
    return build(config, CLASSES, rule=rule)


def found_by(model, case, *prompts):
    answer = Session(case.read(), model).predict(PromptSet(prompts))
    return answer.mask.on(case.grid().shape).view(bool)


def test_a_text_alone_finds_the_target_it_names(trained, a_tiny_sam, two_targets, a_clip, a_text_file):
    folder = trained(
        "medical_sam_adapter", data=(two_targets,), start_from=a_tiny_sam, image_size=128, steps=300, batch=4,
        accumulate=1, learning_rate=3e-3, text_encoder=a_clip, text_file=a_text_file,
    )  # fmt: skip
    assert best_dice(folder) > 0.85

    case = read_data_set(two_targets)["a"]
    labels = case.read_labels().array
    model = promptable(open_model("medical_sam_adapter", weights=folder.path, device="cpu", text_encoder=a_clip))
    assert PromptKind.TEXT in model.spec.prompt_kinds
    left, right, both = (found_by(model, case, TextPrompt(text)) for text in TEXTS)
    scores = {
        (name, value): dice(mask, labels == value)
        for name, mask in (("left", left), ("right", right))
        for value in (1, 2)
    }
    assert scores["left", 1] > 0.85, scores
    assert scores["right", 2] > 0.85, scores
    assert max(scores["left", 2], scores["right", 1]) < 0.1, scores
    assert dice(both, labels > 0) > 0.85
    _refuses_what_was_not_learned(folder, case, a_clip.parent)


def _refuses_what_was_not_learned(folder, case, beside):
    other = write_text_encoder(beside / "other", seed=5)
    with pytest.raises(CheckpointError, match="another text encoder"):
        open_model("medical_sam_adapter", weights=folder.path, device="cpu", text_encoder=other)
    without = promptable(open_model("medical_sam_adapter", weights=folder.path, device="cpu"))
    with pytest.raises(PromptError, match="give its folder"):
        found_by(without, case, TextPrompt("the left ball"))


def a_batch(recipe, two_targets, count=2):
    prepared = recipe.prepare(read_data_set(two_targets)["a"])
    rng = np.random.default_rng(0)
    drawn = [one for one in (recipe.plain(prepared, rng) for _ in range(20)) if one is not None][:count]
    return torch.utils.data.default_collate([{**one, "number": n} for n, one in enumerate(drawn)])


def test_the_target_is_the_union_of_what_a_text_names(a_tiny_sam, a_clip, two_targets, a_text_file):
    recipe = a_recipe(a_tiny_sam, a_clip, a_text_file)
    case = read_data_set(two_targets)["a"]
    prepared, rng = recipe.prepare(case), np.random.default_rng(1)
    seen = {}
    for _ in range(60):
        drawn = recipe.draw(prepared, rng)
        if drawn is not None:
            seen.setdefault(recipe.texts.named.texts[int(drawn["text"])], []).append(float(drawn["target"].sum()))
    assert set(seen) == set(TEXTS)
    assert max(seen["both balls"]) >= max(*seen["the left ball"], *seen["the right ball"])
    assert any(0.0 in sums for sums in seen.values()), "some texts name what is not there"


@pytest.mark.parametrize("rule", ["medical_sam_adapter", "medical_sam_adapter_3d", "medical_sam_adapter_3d_normalized"])
def test_samples_are_told_their_own_texts_and_the_projection_moves(a_tiny_sam, a_clip, a_text_file, rule):
    recipe = a_recipe(a_tiny_sam, a_clip, a_text_file, rule=rule)
    rng, slices = np.random.default_rng(0), recipe.slices
    labels = np.zeros((slices, 40, 40), dtype=np.int64)
    labels[:, 5:15, 5:15], labels[:, 20:35, 20:35] = 1, 2
    image = torch.nn.functional.interpolate(torch.from_numpy(0.3 * labels).float()[:, None], (64, 64))[:, 0]
    drawn = [{**recipe._named(image, labels, rng, absent=0.0), "number": n} for n in range(2)]
    batch = torch.utils.data.default_collate(drawn)
    draws = Draws([np.random.default_rng(n) for n in range(2)], np.random.default_rng(0))
    recipe.network.eval()
    together = recipe.step(batch, draws)
    first = {name: value[:1] for name, value in batch.items()}
    assert torch.allclose(recipe.step(first, draws).masks.float(), together.masks[:1].float())
    together.loss.backward()
    assert recipe.network.text_projection.layers[0].weight.grad.abs().sum() > 0
    changed = {**batch, "text": (batch["text"] + 1) % len(recipe.texts.named.texts)}
    assert recipe.step(changed, draws).loss != together.loss


def test_training_tells_texts_and_clicks_in_turn(a_tiny_sam, a_clip, two_targets):
    recipe = a_recipe(a_tiny_sam, a_clip)
    batch, told = a_batch(recipe, two_targets), []
    recipe.network.mask_decoder.register_forward_pre_hook(
        lambda _, args, kwargs: told.append(kwargs["sparse"].shape[1]), with_kwargs=True
    )
    recipe.network.train()
    clicked = []
    recipe.network.prompt_encoder.register_forward_pre_hook(lambda _, args: clicked.append(int(args[0][1].max())))
    for seed in range(12):
        recipe.step(batch, Draws([np.random.default_rng(n) for n in range(2)], np.random.default_rng(seed)))
    assert set(zip(told, clicked, strict=True)) == {(4, -1), (4, 1), (2, 1)}


def test_the_file_keeps_the_projection_and_goes_on_from_it(a_tiny_sam, a_clip, tmp_path):
    recipe = a_recipe(a_tiny_sam, a_clip)
    recipe.save(tmp_path / "a.pth", recipe.network.state_dict())
    kept = load_state_dict(tmp_path / "a.pth")
    again = a_recipe(tmp_path / "a.pth", a_clip)
    for name, value in recipe.network.text_projection.state_dict().items():
        assert torch.equal(kept[f"text_projection.{name}"], value)
        assert torch.equal(again.network.text_projection.state_dict()[name], value)
    for others in (write_text_encoder(tmp_path / "narrow", width=8), write_text_encoder(tmp_path / "other", seed=9)):
        with pytest.raises(CheckpointError, match="another text encoder"):
            a_recipe(tmp_path / "a.pth", others)


def test_weights_that_learned_no_texts_refuse_them_in_one_sentence(a_tiny_sam, a_clip, two_targets, tmp_path):
    torch.manual_seed(0)
    plain = build(
        TrainConfig(Path("unused"), start_from=a_tiny_sam, image_size=64), CLASSES, rule="medical_sam_adapter"
    )
    plain.save(tmp_path / "plain.pth", plain.network.state_dict())
    with pytest.raises(ModelError, match="has learned no texts"):
        open_model("medical_sam_adapter", weights=tmp_path / "plain.pth", device="cpu", text_encoder=a_clip)
    with pytest.raises(ModelError, match="reads no texts"):
        open_model("sam", weights=a_tiny_sam, device="cpu", text_encoder=a_clip)
    model = promptable(open_model("medical_sam_adapter", weights=tmp_path / "plain.pth", device="cpu"))
    with pytest.raises(PromptError, match="reads no texts with these weights"):
        found_by(model, read_data_set(two_targets)["a"], TextPrompt("the left ball"))


def test_a_text_beside_a_click_is_told_where_the_click_is(a_tiny_sam, a_clip, two_targets, tmp_path):
    recipe = a_recipe(a_tiny_sam, a_clip)
    recipe.save(tmp_path / "a.pth", recipe.network.state_dict())
    model = promptable(open_model("medical_sam_adapter", weights=tmp_path / "a.pth", device="cpu", text_encoder=a_clip))
    case = read_data_set(two_targets)["a"]
    told = []
    model.network.mask_decoder.register_forward_pre_hook(
        lambda _, args, kwargs: told.append(kwargs["sparse"].shape[1]), with_kwargs=True
    )
    click, text = Click(tuple(case.grid().center_ras)), TextPrompt("the left ball")
    found_by(model, case, text, click)
    assert told == [2, 4], "the click's slice alone: first the click, then both"


@pytest.mark.parametrize("rule", ["medical_sam_adapter_3d", "medical_sam_adapter_3d_normalized"])
def test_models_through_depth_are_told_texts_in_every_chunk(a_tiny_sam, a_clip, two_targets, tmp_path, rule):
    recipe = a_recipe(a_tiny_sam, a_clip, rule=rule)
    recipe.save(tmp_path / "a.pth", recipe.network.state_dict())
    model = promptable(open_model(rule, weights=tmp_path / "a.pth", device="cpu", text_encoder=a_clip))
    case, told = read_data_set(two_targets)["a"], []
    model.network.mask_decoder.register_forward_pre_hook(
        lambda _, args, kwargs: told.append(kwargs["sparse"].shape[1]), with_kwargs=True
    )
    answers = [
        Session(case.read(), model).predict(PromptSet((TextPrompt(text),))).low_res_logits for text in ("left", "right")
    ]
    assert set(told) == {4}, "no point, the padding, and two tokens of the text"
    assert np.abs(answers[0] - answers[1]).max() > 1e-4


def test_settings_that_make_no_sense_with_texts_are_refused(tmp_path, a_clip):
    usual = TrainConfig(tmp_path, model="medical_sam_adapter", data=(tmp_path,), text_encoder=a_clip)
    check_settings(usual)
    for wrong, said in (
        (replace(usual, text_encoder=None, text_file=tmp_path), "Texts need a CLIP"),
        (replace(usual, model="sam_med3d"), "Only a Medical SAM Adapter"),
        (replace(usual, shared_clicks=True), "shares its clicks"),
    ):
        with pytest.raises(OptionError, match=said):
            check_settings(wrong)
