"""Medical SAM Adapter's training: one step of the authors', what moves, that it learns, and the file it leaves."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from support.labeled_sets import best_dice, write_balls
from support.shared import SHARED

from inference_core.engine.open_model import open_model
from inference_core.engine.session import Session
from inference_core.errors import CheckpointError
from inference_core.geometry.grid import Grid
from inference_core.geometry.slices import slice_axis
from inference_core.geometry.volume import Volume
from inference_core.models.blocks.sam_network import SamNetwork
from inference_core.models.blocks.sam_sizes import SamSizes
from inference_core.models.interface import promptable
from inference_core.models.medical_sam_adapter.checkpoint import Generation, read_checkpoint
from inference_core.models.medical_sam_adapter.network import AdaptedSizes, adapted_network
from inference_core.models.medical_sam_adapter.starting import (
    TRAINED,
    Start,
    from_sam,
    official_content,
    start_from,
)
from inference_core.models.weights import load_content, load_state_dict
from inference_core.prompts.prompt_set import Click, PromptSet
from inference_core.training.checkpointing import checkpoint_blocks
from inference_core.training.chunk_sampling import CROP, changed, random_crop, whole_slices
from inference_core.training.config import TrainConfig
from inference_core.training.data.layouts import read_data_set
from inference_core.training.error_clicks import clicks_on_errors, first_click
from inference_core.training.losses import weighted_cross_entropy
from inference_core.training.optimization import Optimization, train_only, trained_count
from inference_core.training.ras_volumes import ras_volume
from inference_core.training.recipe import Draws
from inference_core.training.recipes.medical_sam_adapter import PLAN, MedicalSamAdapterRecipe, build

GOLDENS = SHARED / "goldens" / "medical_sam_adapter"
OFFICIAL_SIZES = {
    "vit_b": SamSizes(),
    "vit_l": SamSizes(width=1024, depth=24, heads=16, global_blocks=(5, 11, 17, 23)),
    "vit_h": SamSizes(width=1280, depth=32, heads=16, global_blocks=(7, 15, 23, 31)),
}


def a_recipe(sam: Path, rule: str = "medical_sam_adapter_3d", **settings) -> MedicalSamAdapterRecipe:
    torch.manual_seed(0)
    return build(TrainConfig(Path("unused"), start_from=sam, image_size=64, **settings), {1: "ball"}, rule=rule)


def a_batch(recipe: MedicalSamAdapterRecipe, count: int = 2) -> dict[str, torch.Tensor]:
    rng = np.random.default_rng(0)
    labels = np.zeros((count, recipe.slices, 40, 40), dtype=np.int64)
    labels[..., 10:30, 12:26] = 1
    image = torch.from_numpy(0.2 + 0.5 * labels + 0.05 * rng.standard_normal(labels.shape)).float()
    scaled = torch.nn.functional.interpolate(image, (recipe.size, recipe.size), mode="bilinear")
    made = [recipe._sample(one, own, rng) for one, own in zip(scaled, labels, strict=True)]
    return torch.utils.data.default_collate([{**one, "number": n} for n, one in enumerate(made)])


def draws(count: int = 2) -> Draws:
    return Draws([np.random.default_rng(n) for n in range(count)], np.random.default_rng(0))


@pytest.fixture
def the_authors_step():
    """A recipe with the golden's weights, its batch, and what one step of the authors' gave."""
    if not GOLDENS.is_dir():
        pytest.skip(f"no goldens at {GOLDENS}")
    start = start_from(GOLDENS / "msa_head_checkpoint.pth", image_size=128, depth=lambda slices, entries: slices)
    recipe = MedicalSamAdapterRecipe(TrainConfig(Path("unused")), start, rule="medical_sam_adapter_3d")
    recipe.target_size = 64
    golden = dict(np.load(GOLDENS / "head_train_val_step.npz"))
    slices, masks = (torch.from_numpy(golden[name]).float()[0].permute(3, 0, 1, 2) for name in ("volume", "mask_used"))
    resize = torch.nn.functional.interpolate
    batch = {
        "image": resize(slices, (128, 128), mode="bilinear")[:, 0][None],
        "target": resize(masks, (64, 64), mode="bilinear")[:, 0][None],
        "point": torch.from_numpy(golden["click_used"]).permute(0, 2, 1),
        "scale": torch.full((1, 2), 40 / 64),
    }
    return recipe, batch, golden


def test_one_step_is_the_authors_to_the_updated_weights(the_authors_step):
    recipe, batch, golden = the_authors_step
    optimization = Optimization(recipe.network, PLAN, replace(recipe.config, learning_rate=PLAN.learning_rate))
    step = recipe.step(batch, draws(1))
    assert step.loss.item() == pytest.approx(float(golden["loss"]), abs=1e-5)
    step.loss.backward()
    gradients = {name: value.grad for name, value in recipe.network.named_parameters()}
    optimization.optimizer.step()
    after = dict(recipe.network.named_parameters())
    compared = 0
    for key, wanted in golden.items():
        kind, _, official = key.partition(".")
        if kind in ("grad", "after"):
            name = official.replace(".mlp.fc.", ".mlp.lin2.")
            found = (gradients if kind == "grad" else after)[name].detach().numpy()
            assert np.abs(found - wanted).max() < 1e-4 * np.abs(wanted).max() + 1e-6, key
            compared += 1
    assert compared == 12


def test_the_tensors_that_the_authors_move_move_and_no_others(the_authors_step):
    recipe, batch, _ = the_authors_step
    recipe.step(batch, draws(1)).loss.backward()
    gradients = {name: value.grad for name, value in recipe.network.named_parameters() if value.grad is not None}
    norms = {name: gradient.norm().item() for name, gradient in gradients.items()}
    with (GOLDENS / "head_train_step.tsv").open() as file:
        lines = list(csv.DictReader(file, delimiter="\t"))
    moved = [line for line in lines if float(line["max_abs_change_after_step"])]
    wanted = {line["parameter"]: float(line["grad_l2_norm"]) for line in moved}
    renamed = {name.replace(".mlp.layers.0.0.", ".mlp.lin1.").replace(".mlp.fc.", ".mlp.lin2."): norm
               for name, norm in wanted.items()}  # fmt: skip
    assert {name for name, norm in norms.items() if norm > 0} == renamed.keys()
    assert norms == pytest.approx({**norms, **renamed}, rel=1e-3, abs=1e-5)


@pytest.mark.parametrize(("name", "trained", "total"), [
    ("vit_b", 14_709_732, 104_386_864), ("vit_l", 41_899_236, 350_183_728), ("vit_h", 82_855_140, 719_887_408),
])  # fmt: skip
def test_counts_are_those_of_the_authors_network(name, trained, total):
    """Of the full sizes; specification 2.8. The file holds the positional encoding's 256 numbers too."""
    sizes = AdaptedSizes(OFFICIAL_SIZES[name], tables=None, residual=True)
    with torch.device("meta"):
        network = adapted_network(sizes)
        train_only(network, TRAINED)
        start = Start(network, sizes, torch.empty(1, 64, 64, sizes.sam.width))
        state = official_content(network.state_dict(), start, optimizer={})["state_dict"]
    assert trained_count(network) == trained
    assert sum(value.numel() for value in state.values()) == total + 256
    # The encoding is a tensor of the file but not a parameter.
    assert len(state) == {"vit_b": 458, "vit_l": 770, "vit_h": 978}[name]


@pytest.mark.parametrize(("name", "kept"), [("vit_b", 282), ("vit_l", 426), ("vit_h", 522)])
def test_of_sam_as_many_tensors_are_taken_as_the_authors_take(name, kept):
    with torch.device("meta"):
        assert len(from_sam(SamNetwork(OFFICIAL_SIZES[name]).state_dict())) == kept


def test_the_file_has_the_names_and_shapes_of_the_authors(the_authors_step, tmp_path):
    recipe, _, _ = the_authors_step
    recipe.save(tmp_path / "a.pth", recipe.network.state_dict())
    found, wanted = (load_content(path) for path in (tmp_path / "a.pth", GOLDENS / "msa_head_checkpoint.pth"))
    assert found.keys() == wanted.keys()
    assert {name: value.shape for name, value in found["state_dict"].items()} == {
        name: value.shape for name, value in wanted["state_dict"].items()
    }
    assert all(torch.equal(value, wanted["state_dict"][name]) for name, value in found["state_dict"].items())


def test_what_starts_from_sam_is_read_as_the_last_generation(a_tiny_sam, tmp_path):
    recipe = a_recipe(a_tiny_sam)
    recipe.save(tmp_path / "a.pth", recipe.network.state_dict())
    checkpoint = read_checkpoint(tmp_path / "a.pth", None, image_size=1024, deep=True)
    assert checkpoint.generation is Generation.D
    assert checkpoint.sizes.sam == recipe.start.sizes.sam
    positions = load_state_dict(tmp_path / "a.pth")["image_encoder.pos_embed"]
    assert torch.equal(positions, load_state_dict(a_tiny_sam)["image_encoder.pos_embed"])


def test_gradients_are_the_same_with_checkpointing(a_tiny_sam):
    found = []
    for checkpointed in (False, True):
        recipe = a_recipe(a_tiny_sam)
        batch = a_batch(recipe)
        if checkpointed:
            assert checkpoint_blocks(recipe.network) == 2
        recipe.step(batch, draws()).loss.backward()
        found.append({name: value.grad for name, value in recipe.network.named_parameters() if value.grad is not None})
    plain, again = found
    assert plain.keys() == again.keys()
    assert all(torch.allclose(value, again[name], atol=1e-6) for name, value in plain.items())


@pytest.mark.parametrize("rule", ["medical_sam_adapter_3d", "medical_sam_adapter_3d_normalized", "medical_sam_adapter"])
def test_samples_of_a_batch_are_answered_as_if_alone_unless_clicks_are_shared(a_tiny_sam, rule):
    recipe = a_recipe(a_tiny_sam, rule)
    batch = a_batch(recipe)
    first = {name: value[:1] for name, value in batch.items()}
    with torch.no_grad():
        alone, together = recipe.step(first, draws(1)), recipe.step(batch, draws())
        assert torch.equal(together.masks[:1], alone.masks)
        seen = []
        recipe.network.prompt_encoder.register_forward_pre_hook(lambda _, given: seen.append(given[0][0].shape))
        recipe.step(batch, draws())
        recipe.config = replace(recipe.config, shared_clicks=True)
        recipe.step(batch, draws())
    per_set = {"medical_sam_adapter_3d": (2, 8, 2), "medical_sam_adapter": (2, 1, 2)}.get(rule, (16, 1, 2))
    assert seen == [per_set, (1, recipe.slices * 2, 2)]


def test_further_clicks_go_on_where_the_answer_is_wrong(a_tiny_sam):
    recipe = a_recipe(a_tiny_sam, "medical_sam_adapter_3d_normalized", clicks=3)
    told = []
    recipe.network.prompt_encoder.register_forward_pre_hook(lambda _, given: told.append(given[0]))
    step = recipe.step(a_batch(recipe), draws())
    assert len(step.dice) == 3
    assert [points.shape[1] for points, _ in told] == [1, 2, 3]
    assert (told[0][1] == 1).all()
    assert told[2][0].max() < 40


def test_clicks_on_errors_say_what_should_be_there():
    masks, truth = torch.zeros(3, 4, 4, dtype=torch.bool), torch.zeros(3, 4, 4, dtype=torch.bool)
    truth[0, 1, 2] = masks[1, 3, 0] = True
    points, labels = clicks_on_errors(masks, truth, [np.random.default_rng(n) for n in range(3)])
    assert points[:2].tolist() == [[1, 2], [3, 0]]
    assert labels.tolist() == [1, 0, -1]


def test_a_first_click_falls_on_a_class_or_anywhere():
    labels = np.zeros((5, 6), dtype=np.int64)
    labels[2, 3] = 4
    place, value = first_click(labels, np.random.default_rng(0))
    assert (place.tolist(), value) == ([2, 3], 4)
    place, value = first_click(0 * labels, np.random.default_rng(0))
    assert value == 0
    assert (place >= 0).all()
    assert (place < [5, 6]).all()


def test_the_2d_loss_of_a_case_worked_by_hand():
    """Two pixels of logit 0, one of them in the target: (2 ln 2 + ln 2) / 2."""
    assert float(weighted_cross_entropy(torch.zeros(1, 2), torch.tensor([[1.0, 0.0]]))) == pytest.approx(
        1.5 * np.log(2)
    )


def test_a_volume_is_turned_to_right_anterior_superior_and_resampled():
    """Values that are the position in mm say where each voxel of the result comes from."""
    affine = np.array([[0, -0.8, 0, 50], [0, 0, 3.0, -20], [1.2, 0, 0, 7], [0, 0, 0, 1.0]])
    grid = Grid((10, 12, 6), affine)
    places = np.stack(np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij"), axis=-1)
    ras = grid.to_ras(places.reshape(-1, 3)).reshape(*grid.shape, 3)
    for axis in range(3):
        found = ras_volume(Volume(ras[..., axis].astype(np.float32), grid), (1.5, 1.5, 2.0))
        step = (1.5, 1.5, 2.0)[axis]
        line = np.moveaxis(found, axis, 0)[:, 0, 0]
        assert line[0] == pytest.approx(ras[..., axis].min(), abs=1e-4)
        assert np.diff(line)[:-1] == pytest.approx(step, abs=1e-4)
    labels = ras_volume(Volume((ras[..., 0] > 45).astype(np.uint8), grid), (1.5, 1.5, 2.0), labels=True)
    assert labels.dtype == np.uint8
    assert labels[-1].all()
    assert not labels[0].any()


def test_chunks_have_their_size_and_hold_the_target():
    image = np.zeros((120, 110, 5), dtype=np.float32)
    image[50:60, 60:70, 1:3] = 1
    labels = image.astype(np.int64)
    for seed in range(10):
        rng = np.random.default_rng(seed)
        crop, inside = changed(*random_crop(image, labels, rng, slices=8), rng)
        assert crop.shape == inside.shape == (CROP, CROP, 8)
        assert np.abs(crop - inside).max() <= 0.1 + 1e-6
        chunk, held = whole_slices(image, labels, rng, slices=2)
        assert chunk.shape == (120, 110, 2)
        assert held.any()


@pytest.fixture(scope="module")
def two_ct_cases(tmp_path_factory) -> Path:
    """Soft tissue of 100 HU at most, as the 3D models' window of gray values wants it."""
    grid = Grid((36, 36, 20), np.diag([1.5, 1.5, 2.0, 1.0]))
    return write_balls(tmp_path_factory.mktemp("ct") / "balls", cases=("a", "b"), background=0, grid=grid)


def segmented(folder, model_name: str, data: Path) -> float:
    """Dice of the slice that is clicked in its middle, by the trained file."""
    case = read_data_set(data).cases[0]
    volume, truth = case.read(), case.read_labels().array > 0
    model = promptable(open_model(model_name, weights=folder.path, device="cpu"))
    place = np.round(np.argwhere(truth).mean(axis=0))
    click = Click(tuple(volume.grid.to_ras(place)), positive=True)
    mask = Session(volume, model).predict(PromptSet((click,))).mask.on(volume.grid.shape).view(bool)
    axis = slice_axis(volume.grid)
    held = mask.any(axis=tuple({0, 1, 2} - {axis}))
    mask, truth = (array.compress(held, axis=axis) for array in (mask, truth))
    return float(2 * (mask & truth).sum() / (mask.sum() + truth.sum()))


def test_two_cases_are_learned_in_2d_and_segment_at_once(trained, a_tiny_sam, two_cases):
    folder = trained(
        "medical_sam_adapter", start_from=a_tiny_sam, image_size=128, steps=200, batch=2, accumulate=1,
        learning_rate=3e-3,
    )  # fmt: skip
    assert best_dice(folder) > 0.9
    assert segmented(folder, "medical_sam_adapter", two_cases) > 0.7


def test_two_cases_are_learned_through_depth_and_segment_at_once(trained, a_tiny_sam, two_ct_cases):
    folder = trained(
        "medical_sam_adapter_3d", data=(two_ct_cases,), start_from=a_tiny_sam, image_size=128, steps=190, batch=1,
        accumulate=1, learning_rate=3e-3,
    )  # fmt: skip
    assert best_dice(folder) > 0.9
    assert segmented(folder, "medical_sam_adapter_3d", two_ct_cases) > 0.7


def test_training_without_sam_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="give SAM's checkpoint"):
        build(TrainConfig(tmp_path), {1: "a"}, rule="medical_sam_adapter")
    torch.save({"a": torch.zeros(1)}, tmp_path / "odd.pth")
    with pytest.raises(CheckpointError, match="is no SAM checkpoint"):
        a_recipe(tmp_path / "odd.pth")


@pytest.mark.parametrize("rule", ["medical_sam_adapter_3d", "medical_sam_adapter_normalized"])
def test_a_step_in_bfloat16_has_nearly_the_same_loss(a_tiny_sam, rule):
    found = []
    for lower in (False, True):
        recipe = a_recipe(a_tiny_sam, rule)
        checkpoint_blocks(recipe.network)
        batch = a_batch(recipe)
        with torch.autocast("cpu", torch.bfloat16, enabled=lower):
            loss = recipe.step(batch, draws()).loss
        loss.backward()
        found.append(loss.item())
    assert found[1] == pytest.approx(found[0], rel=1e-2)
