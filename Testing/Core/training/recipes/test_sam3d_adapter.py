"""3DSAM-adapter's training: one step of the authors' script, what moves, that it learns, and the file it leaves."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from support.labeled_sets import best_dice
from support.shared import SHARED

from inference_core.engine.open_model import open_model
from inference_core.engine.session import Session
from inference_core.errors import CheckpointError, OptionError
from inference_core.models.blocks.sam_network import SamNetwork
from inference_core.models.blocks.sam_sizes import SamSizes
from inference_core.models.interface import promptable
from inference_core.models.registry import get_spec
from inference_core.models.sam3d_adapter.checkpoint import (
    begin_with_sam,
    config_for_sam,
    network_from,
    official_content,
)
from inference_core.models.sam3d_adapter.network import Sam3DAdapterConfig, Sam3DAdapterNetwork
from inference_core.models.weights import load_content, load_state_dict
from inference_core.prompts.prompt_set import Click, PromptSet
from inference_core.training.checkpointing import checkpoint_blocks
from inference_core.training.config import TrainConfig
from inference_core.training.crop_augmentation import CropAugmentation
from inference_core.training.data.layouts import read_data_set
from inference_core.training.optimization import Optimization, trained_count
from inference_core.training.recipe import Draws
from inference_core.training.recipes.sam3d_adapter import PLAN, Sam3DAdapterRecipe, build

GOLDENS = SHARED / "goldens" / "sam3d_adapter"
REFERENCES = Path(__file__).resolve().parents[3] / "Data" / "sam3d_adapter"
SMALL_SAM = SamSizes(
    image_size=256, width=32, depth=12, heads=4, window=7, global_blocks=(2, 5, 8, 11), prompt_width=16,
    mask_channels=4, decoder_hidden=16, quality_hidden=16, upscaled=(8, 4),
)  # fmt: skip
SCALE = get_spec("sam3d_adapter").hounsfield
DEAD = 263_424
"""Parameters of the used prompt encoder that no forward pass reads; the authors' optimizer holds them all the same."""


@pytest.fixture(scope="module")
def a_sam(tmp_path_factory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("sam") / "sam_small.pth"
    torch.save(SamNetwork(SMALL_SAM).state_dict(), path)
    return path


def a_recipe(sam: Path, **settings) -> Sam3DAdapterRecipe:
    torch.manual_seed(0)
    return build(TrainConfig(Path("unused"), start_from=sam, **settings), {1: "tumor"}, rule="sam3d_adapter")


def a_batch(size: int = 32) -> dict[str, torch.Tensor]:
    target = torch.zeros(1, size, size, size, dtype=torch.long)
    target[:, 8:20, 10:22, 6:26] = 1
    noise = torch.from_numpy(np.random.default_rng(0).standard_normal(target.shape).astype(np.float32))
    return {"image": (target + 0.3 * noise)[:, None], "target": target, "number": torch.arange(1)}


def draws(seed: int = 0) -> Draws:
    return Draws([np.random.default_rng(seed)], np.random.default_rng(seed))


@pytest.fixture
def the_authors_step():
    """A recipe with the golden's weights, its batch and points, and what one step of the authors' gave."""
    path = GOLDENS / "extra" / "train_step.npz"
    if not path.is_file():
        pytest.skip(f"no goldens at {path}")
    network = network_from(REFERENCES / "small.safetensors")
    begin_with_sam(network, load_state_dict(REFERENCES / "sam2d_small.safetensors"))
    recipe = Sam3DAdapterRecipe(TrainConfig(Path("unused")), network, rule="sam3d_adapter", value=1)
    golden = dict(np.load(path))
    target = torch.from_numpy(np.unpackbits(golden["seg_packed"]).reshape(1, 32, 32, 32)).long()
    image = torch.from_numpy(np.load(REFERENCES / "small_io.npz")["image"])[None, None]
    points = torch.from_numpy(golden["points_DWH"])[:, [0, 2, 1]]
    return recipe, {"image": image, "target": target}, points, golden


def test_one_step_is_the_authors_to_the_updated_weights(the_authors_step):
    recipe, batch, points, golden = the_authors_step
    config = replace(recipe.config, learning_rate=PLAN.learning_rate)
    optimization = Optimization(recipe.network, PLAN, config)
    step = recipe.prompted(batch, [points])
    assert step.loss.item() == pytest.approx(float(golden["loss"]), abs=1e-5)
    step.loss.backward()
    assert optimization.clip() == pytest.approx(list(golden["grad_norms_enc_dec_prompt"]), rel=1e-4)
    gradients = {name: value.grad for name, value in recipe.network.named_parameters()}
    optimization.optimizer.step()
    after = dict(recipe.network.named_parameters())
    names = {"encoder_dict": "encoder", "decoder_dict": "decoder", "feature_dict.3": "prompt_encoder"}
    compared = 0
    for key, wanted in golden.items():
        kind, _, name = key.partition(":")
        for official, own in names.items():
            if name.startswith(f"{official}.") and kind in ("clipped_grad", "after"):
                place = own + name.removeprefix(official)
                found = (gradients if kind == "clipped_grad" else after)[place].detach().numpy()
                assert np.abs(found - wanted).max() < 1e-4 * np.abs(wanted).max() + 1e-7, key
                compared += 1
    assert compared == 16


def test_the_tensors_that_the_authors_move_move_and_no_others(the_authors_step):
    recipe, batch, points, golden = the_authors_step
    recipe.prompted(batch, [points]).loss.backward()
    optimization = Optimization(recipe.network, PLAN, replace(recipe.config, learning_rate=PLAN.learning_rate))
    before = {name: value.clone() for name, value in recipe.network.state_dict().items()}
    optimization.optimizer.step()
    moved = {name for name, value in recipe.network.state_dict().items() if not torch.equal(value, before[name])}
    renames = {"encoder_dict": "encoder", "decoder_dict": "decoder", "feature_dict.3": "prompt_encoder"}
    wanted = {str(key) for key in golden["changed_keys"]}
    for official, own in renames.items():
        wanted = {own + key.removeprefix(official) if key.startswith(official + ".") else key for key in wanted}
    assert moved == wanted


def test_as_many_numbers_are_trained_as_the_authors_train():
    """Of the full size; specification 9."""
    with torch.device("meta"):
        network = Sam3DAdapterNetwork(Sam3DAdapterConfig())
    recipe = Sam3DAdapterRecipe(TrainConfig(Path("unused")), network, rule="sam3d_adapter", value=2)
    assert trained_count(recipe.network) + DEAD == 25_462_400


def test_the_file_has_the_names_and_shapes_of_the_authors():
    wanted = json.loads((REFERENCES / "full_size_keys.json").read_text())
    with torch.device("meta"):
        weights = Sam3DAdapterNetwork(Sam3DAdapterConfig()).state_dict()
    content = official_content(weights, Sam3DAdapterConfig())
    assert shapes(content["encoder_dict"]) == wanted["encoder_dict"]
    assert shapes(content["decoder_dict"]) == wanted["decoder_dict"]
    prompts = next(value for key, value in wanted.items() if key.startswith("feature_dict"))
    prompts = prompts[3] if isinstance(prompts, list) else prompts
    assert [shapes(part) for part in content["feature_dict"]] == 4 * [prompts]


def test_the_sizes_beside_sams_are_the_official_ones():
    with torch.device("meta"):
        state = SamNetwork(SamSizes()).state_dict()
    assert config_for_sam(state) == Sam3DAdapterConfig()


def test_writing_a_file_changes_no_random_number(a_sam, tmp_path):
    recipe = a_recipe(a_sam)
    state = torch.get_rng_state()
    recipe.save(tmp_path / "a.pth.tar", recipe.network.state_dict())
    assert torch.equal(torch.get_rng_state(), state)
    again = network_from(tmp_path / "a.pth.tar")
    assert all(torch.equal(value, recipe.network.state_dict()[name]) for name, value in again.state_dict().items())
    mask = load_content(tmp_path / "a.pth.tar")["encoder_dict"]["blocks.0.attn_mask"]
    assert set(mask.unique().tolist()) == {-100.0, 0.0}


def test_gradients_are_the_same_with_checkpointing(a_sam):
    found = []
    for checkpointed in (False, True):
        recipe = a_recipe(a_sam)
        if checkpointed:
            assert checkpoint_blocks(recipe.network) == 12
        recipe.step(a_batch(), draws()).loss.backward()
        found.append({name: value.grad for name, value in recipe.network.named_parameters() if value.requires_grad})
    plain, again = found
    assert all(torch.allclose(value, again[name], atol=1e-6) for name, value in plain.items())


def test_thirty_clicks_in_training_and_ten_to_be_judged(a_sam):
    recipe = a_recipe(a_sam)
    counted = []
    recipe.network.prompt_encoder.register_forward_pre_hook(lambda _, given: counted.append(given[1]))
    batch = a_batch()
    recipe.step(batch, draws())
    recipe.network.eval()
    with torch.no_grad():
        recipe.step(batch, draws())
    training, judged = counted
    assert (len(training), len(judged)) == (30, 10)
    held = batch["target"][0][tuple(training[:10].long().T)]
    assert held.all()
    assert batch["target"][0][tuple(judged.long().T)].all()


@pytest.mark.parametrize("in_plane", [False, True])
def test_augmentation_moves_image_and_target_together(in_plane):
    label = np.zeros((30, 36, 40), dtype=np.float32)
    label[8:20, 10:22, 12:30] = 1
    augmented = CropAugmentation(SCALE, size=24, in_plane=in_plane)
    held = 0
    for seed in range(12):
        image, target = augmented(100 * label, label, np.random.default_rng(seed))
        again, _ = augmented(100 * label, label, np.random.default_rng(seed))
        assert image.shape == target.shape == (24, 24, 24)
        assert np.array_equal(image, again)
        if target.sum() > 50:
            held += 1
            assert image[target == 1].mean() > image[target == 0].mean() + 0.5
    assert held > 6


def test_two_cases_are_learned_and_segment_at_once(trained, a_sam, two_cases):
    folder = trained("sam3d_adapter", start_from=a_sam, steps=36, learning_rate=4e-3)
    assert best_dice(folder) > 0.9
    case = read_data_set(two_cases).cases[0]
    volume, truth = case.read(), case.read_labels().array > 0
    model = promptable(open_model("sam3d_adapter", weights=folder.path, device="cpu"))
    middle = volume.grid.to_ras(np.argwhere(truth).mean(axis=0))
    mask = Session(volume, model).predict(PromptSet((Click(tuple(middle), positive=True),))).mask
    found = mask.on(volume.grid.shape).view(bool)
    assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.8


def test_training_without_sam_or_one_class_or_at_another_size_is_refused(tmp_path, a_sam):
    config = TrainConfig(tmp_path, start_from=a_sam)
    with pytest.raises(CheckpointError, match="give sam_vit_b"):
        build(replace(config, start_from=None), {1: "a"}, rule="sam3d_adapter")
    with pytest.raises(OptionError, match="learns one class, not 2"):
        build(config, {1: "a", 2: "b"}, rule="sam3d_adapter")
    with pytest.raises(OptionError, match="32 voxels a side"):
        build(replace(config, image_size=64), {1: "a"}, rule="sam3d_adapter")
    with pytest.raises(OptionError, match="no scope 'norms'"):
        build(replace(config, scope="norms"), {1: "a"}, rule="sam3d_adapter")


def shapes(state) -> dict[str, list[int]]:
    return {name: list(value.shape) for name, value in state.items()}


def test_a_step_in_bfloat16_has_nearly_the_same_loss(a_sam):
    found = []
    for lower in (False, True):
        recipe = a_recipe(a_sam)
        checkpoint_blocks(recipe.network)
        with torch.autocast("cpu", torch.bfloat16, enabled=lower):
            loss = recipe.step(a_batch(), draws()).loss
        loss.backward()
        found.append(loss.item())
    assert found[1] == pytest.approx(found[0], rel=1e-2)
