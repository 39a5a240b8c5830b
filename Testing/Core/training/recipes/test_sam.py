"""SAM's adaptation: its prompts, what moves, that it learns, and that its file has SAM's own layout."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from support.labeled_sets import best_dice

from inference_core.engine.open_model import open_model
from inference_core.engine.session import Session
from inference_core.errors import CheckpointError, OptionError
from inference_core.geometry.slices import slice_axis
from inference_core.models.blocks.sam_network import SamNetwork
from inference_core.models.blocks.sam_sizes import SamSizes
from inference_core.models.interface import promptable
from inference_core.models.weights import load_content, load_state_dict
from inference_core.prompts.prompt_set import Click, PromptSet
from inference_core.training.checkpointing import checkpoint_blocks
from inference_core.training.config import TrainConfig
from inference_core.training.data.layouts import read_data_set
from inference_core.training.losses import dice_and_cross_entropy
from inference_core.training.optimization import trained_count
from inference_core.training.recipe import Draws
from inference_core.training.recipes.sam import SamRecipe, build
from inference_core.training.slice_samples import nearest_pixels

DECODER, LORA = 4_058_340, 2 * 2 * 4 * 768 * 12
"""Numbers of SAM's decoder (specification 1.1), and of adapters of rank 4 on queries and values of ViT-B."""


def a_recipe(sam: Path, **settings) -> SamRecipe:
    torch.manual_seed(0)
    return build(TrainConfig(Path("unused"), start_from=sam, **settings), {1: "ball"}, rule="sam")


def a_batch(count: int = 2, size: int = 128) -> dict[str, torch.Tensor]:
    rng = np.random.default_rng(0)
    target = torch.zeros(count, 1, size, size)
    target[:, :, 20:70, 30:80] = 1
    image = 100 + 80 * target + 5 * torch.from_numpy(rng.standard_normal(target.shape).astype(np.float32))
    held = torch.tensor([[size, size - 20]]).expand(count, -1)
    return {"image": image, "target": target, "held": held, "number": torch.arange(count)}


def draws(count: int = 2, shared: int = 0) -> Draws:
    return Draws([np.random.default_rng(n) for n in range(count)], np.random.default_rng(shared))


def prompts_of(recipe: SamRecipe, shared: int):
    told = []
    handle = recipe.network.prompt_encoder.register_forward_pre_hook(lambda _, given: told.append(given))
    recipe.step(a_batch(), draws(shared=shared))
    handle.remove()
    return told


def test_a_box_or_a_click_begins_and_clicks_with_the_answer_go_on(a_tiny_sam):
    recipe = a_recipe(a_tiny_sam, clicks=3)
    begun = {}
    for shared in range(6):
        told = prompts_of(recipe, shared)
        begun["box" if told[0][1] is not None else "click"] = told
    by_box, by_click = begun["box"], begun["click"]
    assert [None if points is None else points[0].shape[1] for points, _, _ in by_box] == [None, 1, 2]
    assert [points[0].shape[1] for points, _, _ in by_click] == [1, 2, 3]
    assert all(boxes is not None for _, boxes, _ in by_box)
    assert [low is None for _, _, low in by_click] == [True, False, False]
    x0, y0, x1, y1 = by_box[0][1][0].tolist()
    assert abs(x0 - 30) < 21
    assert abs(y0 - 20) < 21
    assert abs(x1 - 79) < 21
    assert abs(y1 - 69) < 21
    x, y = by_click[0][0][0][0, 0].tolist()
    assert 30 <= x < 80
    assert 20 <= y < 70


def test_the_best_of_three_masks_learns_and_all_estimates_do(a_tiny_sam):
    recipe = a_recipe(a_tiny_sam)
    target = a_batch(1)["target"]
    answers = torch.stack(
        [torch.full((1, 32, 32), -4.0), torch.nn.functional.avg_pool2d(8 * target - 4, 4)[:, 0]], dim=1
    )
    qualities = torch.tensor([[0.5, 0.5]])
    error, best = recipe._error(answers, qualities, target)
    logits = recipe._enlarged(answers[:, 1:])
    iou = float(((logits > 0) & (target > 0)).sum() / ((logits > 0) | (target > 0)).sum())
    wanted = float(dice_and_cross_entropy(logits, target)) + 0.5 * (0.25 + (iou - 0.5) ** 2)
    assert best.tolist() == [1]
    assert float(error) == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize(("scope", "count"), [("decoder", DECODER), ("lora", DECODER + LORA)])
def test_as_many_numbers_are_trained_as_the_full_size_has(scope, count):
    with torch.device("meta"):
        recipe = SamRecipe(TrainConfig(Path("unused"), scope=scope), SamNetwork(SamSizes()))
    assert trained_count(recipe.network) == count


def test_what_is_beyond_the_slice_is_zero_to_the_encoder(a_tiny_sam):
    recipe = a_recipe(a_tiny_sam)
    seen = []
    recipe.network.image_encoder.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    recipe.step(a_batch(), draws())
    assert seen[0].shape == (2, 3, 128, 128)
    assert not seen[0][..., 108:].any()
    assert seen[0][..., :108].all()


@pytest.mark.parametrize("scope", ["decoder", "lora"])
def test_gradients_reach_what_is_trained_and_are_the_same_with_checkpointing(a_tiny_sam, scope):
    found = []
    for checkpointed in (False, True):
        recipe = a_recipe(a_tiny_sam, scope=scope)
        if checkpointed:
            assert checkpoint_blocks(recipe.network) == 2
        recipe.step(a_batch(), draws()).loss.backward()
        found.append({name: value.grad for name, value in recipe.network.named_parameters() if value.grad is not None})
    plain, again = found
    assert plain.keys() == again.keys()
    assert all(torch.allclose(value, again[name], atol=1e-6) for name, value in plain.items())
    assert any("iou_prediction_head" in name for name in plain)
    assert any(name.startswith("image_encoder") for name in plain) == (scope == "lora")
    assert not any(name.startswith("prompt_encoder") for name in plain)


@pytest.mark.parametrize("scope", ["decoder", "lora"])
def test_the_file_is_sams_own_whatever_was_trained(a_tiny_sam, tmp_path, scope):
    recipe = a_recipe(a_tiny_sam, scope=scope)
    recipe.save(tmp_path / "a.pth", recipe.network.state_dict())
    found, wanted = load_content(tmp_path / "a.pth"), load_state_dict(a_tiny_sam)
    assert found.keys() == wanted.keys()
    assert all(torch.equal(value, wanted[name]) for name, value in found.items())


@pytest.mark.parametrize(("scope", "steps"), [("decoder", 90), ("lora", 60)])
def test_two_cases_are_learned_and_segment_at_once(trained, a_tiny_sam, two_cases, scope, steps):
    folder = trained(
        "sam", scope=scope, start_from=a_tiny_sam, steps=steps, batch=2, accumulate=1, clicks=3, learning_rate=3e-3
    )
    assert best_dice(folder) > 0.9
    case = read_data_set(two_cases).cases[0]
    volume, truth = case.read(), case.read_labels().array > 0
    model = promptable(open_model("sam", weights=folder.path, device="cpu"))
    place = np.round(np.argwhere(truth).mean(axis=0))
    click = Click(tuple(volume.grid.to_ras(place)), positive=True)
    mask = Session(volume, model).predict(PromptSet((click,))).mask.on(volume.grid.shape).view(bool)
    axis = slice_axis(volume.grid)
    found, wanted = (array.take(int(place[axis]), axis=axis) for array in (mask, truth))
    assert 2 * (found & wanted).sum() / (found.sum() + wanted.sum()) > 0.75


def test_nearest_pixels_keep_a_mask_where_it_lies():
    mask = np.zeros((4, 6), dtype=bool)
    mask[1, 2] = True
    larger = nearest_pixels(mask, (8, 12))
    assert np.argwhere(larger).tolist() == [[2, 4], [2, 5], [3, 4], [3, 5]]
    assert np.array_equal(nearest_pixels(larger, (4, 6)), mask)


def test_training_without_sam_or_at_another_size_is_refused(tmp_path, a_tiny_sam):
    config = TrainConfig(tmp_path, start_from=a_tiny_sam)
    with pytest.raises(CheckpointError, match="give SAM's checkpoint"):
        build(replace(config, start_from=None), {1: "a"}, rule="sam")
    with pytest.raises(OptionError, match="128 pixels a side"):
        build(replace(config, image_size=64), {1: "a"}, rule="sam")
    torch.save({"a": torch.zeros(1)}, tmp_path / "odd.pth")
    with pytest.raises(CheckpointError, match="no SAM checkpoint"):
        build(replace(config, start_from=tmp_path / "odd.pth"), {1: "a"}, rule="sam")


def test_a_step_in_bfloat16_has_nearly_the_same_loss(a_tiny_sam):
    found = []
    for lower in (False, True):
        recipe = a_recipe(a_tiny_sam, scope="lora")
        checkpoint_blocks(recipe.network)
        with torch.autocast("cpu", torch.bfloat16, enabled=lower):
            loss = recipe.step(a_batch(), draws()).loss
        loss.backward()
        found.append(loss.item())
    assert found[1] == pytest.approx(found[0], rel=1e-2)
