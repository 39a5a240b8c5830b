"""SAM-Med3D's training: its loss, its eleven prompts, that it learns, and the file it leaves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from support.labeled_sets import best_dice

from inference_core.engine.open_model import open_model
from inference_core.engine.session import Session
from inference_core.models.interface import promptable
from inference_core.models.sam_med3d.network import SamMed3DConfig, SamMed3DNetwork
from inference_core.models.weights import load_content, load_state_dict
from inference_core.prompts.prompt_set import Click, PromptSet
from inference_core.training.config import TrainConfig
from inference_core.training.data.layouts import read_data_set
from inference_core.training.losses import dice_and_cross_entropy
from inference_core.training.optimization import trained_count
from inference_core.training.recipe import Draws
from inference_core.training.recipes.sam_med3d import PLAN, SamMed3DRecipe

TINY = SamMed3DConfig(
    image_size=32, patch_size=8, width=96, depth=2, heads=2, window=2, global_blocks=(1,), prompt_width=96,
    mask_channels=16, decoder_hidden=64, quality_hidden=16,
)  # fmt: skip


@pytest.fixture(scope="module")
def a_tiny_file(tmp_path_factory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("med3d") / "tiny.pth"
    torch.save({"model_state_dict": SamMed3DNetwork(TINY).state_dict()}, path)
    return path


def a_recipe(**settings) -> SamMed3DRecipe:
    torch.manual_seed(0)
    return SamMed3DRecipe(replace(TrainConfig(Path("unused")), **settings), SamMed3DNetwork(TINY))


def a_batch(count: int = 2) -> dict[str, torch.Tensor]:
    rng = np.random.default_rng(0)
    target = torch.zeros(count, 1, 32, 32, 32)
    target[:, :, 8:20, 10:22, 6:26] = 1
    image = 100 + 50 * target + torch.from_numpy(rng.standard_normal(target.shape).astype(np.float32))
    return {"image": image, "target": target, "number": torch.arange(count)}


def draws(count: int = 2, seed: int = 0) -> Draws:
    return Draws([np.random.default_rng([seed, n]) for n in range(count)], np.random.default_rng(seed))


def test_the_loss_is_monais():
    from monai.losses import DiceCELoss

    logits, target = torch.randn(2, 1, 5, 6, 7), (torch.rand(2, 1, 5, 6, 7) > 0.7).float()
    theirs = DiceCELoss(sigmoid=True, squared_pred=True, reduction="mean")(logits, target)
    assert float(dice_and_cross_entropy(logits, target)) == pytest.approx(float(theirs), abs=1e-6)


def test_a_sample_is_prompted_eleven_times_and_its_losses_are_added():
    recipe = a_recipe()
    step = recipe.step(a_batch(), draws())
    assert len(step.dice) == 11
    one = replace(recipe.config, clicks=1)
    assert step.loss > 5 * SamMed3DRecipe(one, recipe.network).step(a_batch(), draws()).loss


def test_gradients_reach_the_encoder_and_never_the_quality_head_or_the_absent_mask():
    """Specification 5: those two get none; earlier logits are not detached."""
    recipe = a_recipe()
    recipe.step(a_batch(), draws()).loss.backward()
    still = {name for name, weight in recipe.network.named_parameters() if weight.grad is None}
    assert all("iou_prediction_head" in name or "no_mask_embed" in name for name in still)
    assert recipe.network.image_encoder.patch_embed.proj.weight.grad.abs().sum() > 0
    assert recipe.network.prompt_encoder.mask_downscaling[0].weight.grad.abs().sum() > 0


def test_prompt_encoder_and_decoder_move_at_a_tenth_of_the_rate():
    encoder, others = PLAN.groups
    assert (encoder.rate, others.rate) == (1.0, 0.1)
    assert (PLAN.learning_rate, PLAN.weight_decay) == (8e-4, 0.1)
    assert [PLAN.schedule(epoch, 200) for epoch in (0, 119, 120, 180)] == pytest.approx([1, 1, 0.1, 0.01])


def test_low_rank_adapters_are_few_and_change_nothing_at_first():
    adapted, whole = a_recipe(scope="adapters"), a_recipe(scope="all")
    assert trained_count(adapted.network) < 0.05 * trained_count(whole.network)
    batch = a_batch()
    with torch.no_grad():
        assert float(adapted.step(batch, draws()).loss) == pytest.approx(float(whole.step(batch, draws()).loss))


@pytest.mark.parametrize("scope", ["all", "adapters"])
def test_the_file_has_the_official_layout_whatever_was_trained(tmp_path, scope):
    recipe = a_recipe(scope=scope)
    recipe.save(tmp_path / "weights.pth", recipe.network.state_dict())
    content = load_content(tmp_path / "weights.pth")
    assert content["model_state_dict"].keys() == SamMed3DNetwork(TINY).state_dict().keys()
    assert {"epoch", "optimizer_state_dict", "lr_scheduler_state_dict", "best_dice", "used_datas"} <= content.keys()


def test_two_cases_are_learned_and_segment_at_once(trained, a_tiny_file, two_cases):
    folder = trained(
        "sam_med3d", start_from=a_tiny_file, steps=150, batch=2, accumulate=1, clicks=3, learning_rate=4e-3
    )
    assert best_dice(folder) > 0.9
    case = read_data_set(two_cases).cases[0]
    volume, truth = case.read(), case.read_labels().array > 0
    model = promptable(open_model("sam_med3d", weights=folder.path, device="cpu"))
    middle = volume.grid.to_ras(np.argwhere(truth).mean(axis=0))
    mask = (
        Session(volume, model)
        .predict(PromptSet((Click(tuple(middle), positive=True),)))
        .mask.on(volume.grid.shape)
        .view(bool)
    )
    assert 2 * (mask & truth).sum() / (mask.sum() + truth.sum()) > 0.8
    assert load_state_dict(folder.best).keys() == SamMed3DNetwork(TINY).state_dict().keys()
