"""MA-SAM's training: its loss, what moves, that it learns, and that its file is the one that MA-SAM loads."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import torch
from support.labeled_sets import best_dice
from support.shared import SHARED

from inference_core.cli.main import main
from inference_core.engine.automatic import segment_automatically
from inference_core.engine.open_model import open_model
from inference_core.errors import CheckpointError, OptionError
from inference_core.models.blocks.sam_sizes import SamSizes
from inference_core.models.interface import automatic
from inference_core.models.ma_sam.checkpoint import merged
from inference_core.models.ma_sam.factor_tuning import TRAINED, TrainableMaSam, official_delta, start_from_sam
from inference_core.models.ma_sam.network import MaSamNetwork, MaSamSizes
from inference_core.models.weights import load_state_dict, load_strict
from inference_core.training.config import TrainConfig
from inference_core.training.data.layouts import read_data_set
from inference_core.training.losses import class_dice_and_cross_entropy
from inference_core.training.optimization import train_only, trained_count
from inference_core.training.recipes.ma_sam import build, turned_labels, warm_power
from inference_core.training.stack_augmentation import augmented_stack

GOLDENS = SHARED / "goldens" / "ma_sam"


@pytest.fixture
def a_network(a_tiny_sam) -> TrainableMaSam:
    torch.manual_seed(0)
    network = start_from_sam(load_state_dict(a_tiny_sam), classes=2)
    torch.nn.init.normal_(network.factors.out.weight)
    return network.eval()


def test_the_loss_is_the_authors():
    if not GOLDENS.is_dir():
        pytest.skip(f"no goldens at {GOLDENS}")
    golden = np.load(GOLDENS / "loss.npz")
    logits = torch.from_numpy(golden["logits"])
    for labels, wanted in (("labels", "plain_total_ce_dice"), ("labels_ignore", "ignore_total_ce_dice")):
        found = class_dice_and_cross_entropy(logits, torch.from_numpy(golden[labels]))
        assert float(found) == pytest.approx(golden[wanted][0], abs=1e-6)


def test_the_loss_of_a_case_worked_by_hand():
    """Two voxels, two classes, all logits zero: cross-entropy ln 2; Dice 1 - (2 * 1/2) / (1/2 + 1) for each class."""
    loss = class_dice_and_cross_entropy(torch.zeros(1, 2, 2), torch.tensor([[0, 1]]))
    assert float(loss) == pytest.approx(0.2 * np.log(2) + 0.8 * (1 - 1 / 1.5), abs=1e-5)


def test_factors_that_stand_beside_the_weights_are_those_added_into_them(a_network, a_tiny_sam):
    state = merged(official_delta(a_network.state_dict()), load_state_dict(a_tiny_sam))
    plain = MaSamNetwork(a_network.all_sizes)
    load_strict(plain, state, name="a.pth")
    images = torch.rand(a_network.all_sizes.slices, 3, 64, 64)
    with torch.no_grad():
        apart, folded = (network.decode(network.image_encoder(images)) for network in (a_network, plain.eval()))
    with torch.enable_grad():
        trained = a_network.decode(a_network.image_encoder(images)).detach()
    torch.testing.assert_close(apart, folded, atol=2e-5, rtol=1e-4)
    torch.testing.assert_close(trained, folded, atol=2e-5, rtol=1e-4)


def test_the_authors_parts_move_and_no_others(a_network):
    train_only(a_network, TRAINED)
    a_network.train()
    labels = torch.randint(0, 3, (5, 64, 64))
    class_dice_and_cross_entropy(a_network.decode(a_network.image_encoder(torch.rand(5, 3, 64, 64))), labels).backward()
    moved = {name for name, weight in a_network.named_parameters() if weight.grad is not None and weight.grad.any()}
    assert {name.split(".")[0] for name in moved} == {"factors", "image_encoder", "mask_decoder", "prompt_encoder"}
    encoder = {name for name in moved if name.startswith("image_encoder.")}
    assert all(".adapters." in name or ".queries." in name or ".values." in name for name in encoder)
    assert {name for name in moved if name.startswith("prompt_encoder")} == {"prompt_encoder.no_mask_embed.weight"}
    assert not any("iou_prediction_head" in name for name in moved)


@pytest.mark.parametrize("name", ["vit_b", "vit_h"])
def test_as_many_numbers_are_trained_as_the_authors_train(name):
    """Of the full size; specification 9: 30.14 million with ViT-B, 96.81 million with ViT-H."""
    sizes = {
        "vit_b": SamSizes(image_size=512, mask_tokens=13, upscaled=(64, 32, 16, 8)),
        "vit_h": SamSizes(
            image_size=512, width=1280, depth=32, heads=16, global_blocks=(7, 15, 23, 31), mask_tokens=13,
            upscaled=(64, 32, 16, 8),
        ),
    }[name]  # fmt: skip
    with torch.device("meta"):
        network = TrainableMaSam(MaSamSizes(sizes, adapter_width=384), rank=32)
    train_only(network, TRAINED)
    published = {"vit_b": 30_140_000, "vit_h": 96_810_000}[name]
    assert trained_count(network) == pytest.approx(published, rel=5e-4)
    assert len(official_delta(network.state_dict())) == {"vit_b": 369, "vit_h": 649}[name]


def test_the_file_has_the_names_and_shapes_of_the_authors(a_tiny_sam):
    if not GOLDENS.is_dir():
        pytest.skip(f"no goldens at {GOLDENS}")
    wanted = json.loads((GOLDENS / "keys_vit_b_12cls.json").read_text())
    sizes = SamSizes(image_size=512, mask_tokens=13, upscaled=(64, 32, 16, 8))
    with torch.device("meta"):
        delta = official_delta(TrainableMaSam(MaSamSizes(sizes, adapter_width=384), rank=32).state_dict())
    assert {name: list(value.shape) for name, value in delta.items()} == wanted["delta_shapes"]


def test_two_cases_are_learned(trained, a_tiny_sam):
    folder = trained(
        "ma_sam_prostate", start_from=a_tiny_sam, image_size=64, steps=360, batch=2, accumulate=1, learning_rate=3e-3
    )
    assert best_dice(folder) > 0.9


def test_boxes_are_learned_from_too(trained, a_tiny_sam):
    folder = trained(
        "ma_sam_box", start_from=a_tiny_sam, image_size=64, steps=110, batch=2, accumulate=1, learning_rate=3e-3
    )
    kept = [line["validation_dice"] for line in folder.lines() if "validation_dice" in line]
    assert best_dice(folder) > kept[0] + 0.4


def test_what_was_trained_segments_at_once(trained, a_tiny_sam, two_cases):
    folder = trained("ma_sam_prostate", start_from=a_tiny_sam, steps=2, batch=1, accumulate=1)
    model = automatic(open_model("ma_sam_prostate", weights=folder.path, base=a_tiny_sam, device="cpu"))
    volume = read_data_set(two_cases).cases[0].read()
    assert segment_automatically(volume, model) is not None


def test_training_without_sam_or_a_class_is_refused(tmp_path, a_tiny_sam):
    config = TrainConfig(tmp_path)
    with pytest.raises(CheckpointError, match="give SAM's checkpoint"):
        build(config, {1: "a"}, rule="ma_sam", boxes=False)
    config = TrainConfig(tmp_path, start_from=a_tiny_sam)
    with pytest.raises(OptionError, match="names no class"):
        build(config, {}, rule="ma_sam", boxes=False)
    with pytest.raises(OptionError, match="learns one class, not 2"):
        build(config, {1: "a", 2: "b"}, rule="ma_sam_box", boxes=True)


def test_labels_are_turned_as_their_slice_is():
    labels = np.zeros((6, 4), dtype=np.uint8)
    labels[5, 3] = 1
    assert turned_labels(labels, 8)[0, 0] == 1
    assert turned_labels(labels, 8).sum() < 8


def test_augmentation_moves_image_and_labels_together():
    image = np.zeros((5, 32, 32), dtype=np.float32)
    image[:, 8:20, 10:22] = 1
    for seed in range(30):
        changed, labels = augmented_stack(image, (image > 0.5).astype(np.int64), np.random.default_rng(seed))
        assert changed.dtype == np.float32
        assert 0 <= changed.min() <= changed.max() <= 1
        if labels.sum() > 60:
            assert changed[labels == 1].mean() > changed[labels == 0].mean() + 0.2


def test_the_rate_is_the_authors():
    """Specification 8: i / 250 at first, then (1 - (i - 251) / max)^7 where max is 4/3 of the steps made."""
    assert warm_power(0, 30_000) == pytest.approx(1 / 250)
    assert warm_power(125, 30_000) == pytest.approx(0.5)
    assert warm_power(10_251, 30_000) == pytest.approx((1 - 10_000 / 40_000) ** 7)


def test_what_a_run_says_it_is_used_with_is_enough(tmp_path, a_tiny_sam, two_cases, capsys):
    """The README's command for MA-SAM, small; then its last line's options, taken as they stand."""
    given = ["--data", two_cases, "--start-from", a_tiny_sam, "--steps", "2", "--batch", "1", "--workers", "0"]
    run = tmp_path / "run"
    assert main(["train", "--model", "ma_sam", *map(str, given), "--image_size", "64", "--output", str(run)]) == 0
    (hint,) = re.findall(r"use it with (--weights \S+ --base \S+),", "".join(capsys.readouterr()))
    image, organs = next(two_cases.rglob("*a_0000.nii.gz")), tmp_path / "organs.nii.gz"
    assert main(["segment", str(image), "--model", "ma_sam", *hint.split(), "--output", str(organs)]) == 0
    assert organs.exists()
