"""SAM-Med3D against what the original classes gave for the same weights (Testing/Data/sam_med3d/README.md)."""

import argparse
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from inference_core.errors import CheckpointError, ModelError, PromptError, VolumeError
from inference_core.geometry.grid import Grid
from inference_core.models.interface import Embedding, WindowImage
from inference_core.models.registry import get_spec
from inference_core.models.sam_med3d.model import SamMed3D, build, foreground_zscore
from inference_core.models.sam_med3d.network import SamMed3DConfig, SamMed3DNetwork
from inference_core.models.weights import load_state_dict, load_strict
from inference_core.prompts.encoding import WindowPrompts

EMBEDDING_TOLERANCE = 5e-5
LOGIT_TOLERANCE = 1e-4
CASES = ("one_pos", "one_pos_nomask", "three_mixed", "point_prevmask", "prevmask_only", "batch2_userpad")
NO_BOXES = np.zeros((0, 8, 3))
NO_CLICKS = (np.zeros((0, 3)), np.zeros(0, dtype=np.int64))


@pytest.fixture(scope="module")
def the_reference(the_sam_med3d_references):
    with np.load(the_sam_med3d_references / "small_io.npz") as file:
        return {name: file[name] for name in file.files}


@pytest.fixture(scope="module")
def the_small_state(the_sam_med3d_references):
    return load_state_dict(the_sam_med3d_references / "small.safetensors")


@pytest.fixture
def an_oblique_window():
    turn = np.array([[-0.9, 0.3, 0.2], [0.2, 0.9, -0.3], [0.3, 0.2, 0.9]])
    affine = np.eye(4)
    affine[:3, :3] = np.linalg.qr(turn)[0] * 1.5
    return Grid((64, 64, 64), affine)


@pytest.fixture
def the_reference_embedding(the_reference, an_oblique_window):
    return Embedding({"image_embedding": torch.from_numpy(the_reference["enc/embedding"])}, an_oblique_window)


@pytest.fixture
def a_window(an_oblique_window):
    noise = np.random.default_rng(3).normal(100, 60, an_oblique_window.shape)
    return WindowImage(noise.astype(np.float32), an_oblique_window)


def test_the_embedding_is_the_original_networks(a_small_sam_med3d, the_reference):
    image = torch.from_numpy(the_reference["image_int16"]).float()[None, None] / 64
    with torch.inference_mode():
        embedding = a_small_sam_med3d.network.image_encoder(image)
    assert np.abs(embedding.numpy() - the_reference["enc/embedding"]).max() < EMBEDDING_TOLERANCE


def test_the_dense_positional_encoding_is_the_original_networks(a_small_sam_med3d, the_reference):
    encoding = a_small_sam_med3d.network.prompt_encoder.dense_pe()
    assert np.abs(encoding.numpy() - the_reference["dense_pe"]).max() < 1e-5


@pytest.mark.parametrize("case", CASES)
def test_logits_and_masks_are_the_original_networks(a_small_sam_med3d, the_reference, case):
    masks, _ = decoded_case(a_small_sam_med3d, the_reference, case)
    wanted = the_reference[f"case/{case}/low_res_0"]
    assert np.abs(masks[:, :1].numpy() - wanted).max() < LOGIT_TOLERANCE
    mask = F.interpolate(masks[:, :1], size=(64, 64, 64), mode="trilinear", align_corners=False) > 0
    assert np.array_equal(np.packbits(mask.numpy().ravel()), the_reference[f"case/{case}/mask64_packbits"])


def test_all_four_masks_and_quality_scores_are_the_original_networks(a_small_sam_med3d, the_reference):
    masks, quality = decoded_case(a_small_sam_med3d, the_reference, "three_mixed")
    assert np.abs(masks.numpy() - the_reference["case/three_mixed/low_res_all4"]).max() < LOGIT_TOLERANCE
    assert np.abs(quality.numpy() - the_reference["case/three_mixed/iou_all4"]).max() < LOGIT_TOLERANCE


@pytest.mark.parametrize("case", ["one_pos", "three_mixed", "point_prevmask", "prevmask_only"])
def test_the_promptable_model_prompts_as_the_official_script_does(
    a_small_sam_med3d, the_reference, the_reference_embedding, case
):
    """Zero mask logits at first, the previous ones afterwards, all clicks, none needed where there is a mask."""
    name = f"case/{case}/"
    points = the_reference.get(f"{name}points", np.zeros((1, 0, 3)))[0].astype(np.float64)
    labels = the_reference.get(f"{name}labels", np.zeros((1, 0)))[0].astype(np.int64)
    prior = the_reference[f"{name}mask_input"][0, 0] if f"{name}mask_input" in the_reference else None
    decoded = a_small_sam_med3d.decode(the_reference_embedding, WindowPrompts(points, labels, NO_BOXES), prior)
    assert np.abs(decoded.low_res_logits - the_reference[f"{name}low_res_0"][0, 0]).max() < LOGIT_TOLERANCE
    assert decoded.quality is None


def test_a_box_alone_is_a_positive_click_at_its_center(a_small_sam_med3d, the_reference_embedding):
    corners = np.array([[(n >> axis) & 1 for axis in range(3)] for n in range(8)]) * [10, 20, 8] + [20.0, 12.0, 30.0]
    click = WindowPrompts(np.array([[25.0, 22.0, 34.0]]), np.array([1]), NO_BOXES)
    by_box = a_small_sam_med3d.decode(the_reference_embedding, WindowPrompts(*NO_CLICKS, corners[None]), None)
    by_click = a_small_sam_med3d.decode(the_reference_embedding, click, None)
    assert np.array_equal(by_box.low_res_logits, by_click.low_res_logits)
    both = a_small_sam_med3d.decode(the_reference_embedding, replace(click, boxes=corners[None] + 9), None)
    assert np.array_equal(both.low_res_logits, by_click.low_res_logits)


def test_a_window_without_any_prompt_is_refused(a_small_sam_med3d, the_reference_embedding):
    with pytest.raises(PromptError, match="place a foreground click"):
        a_small_sam_med3d.decode(the_reference_embedding, WindowPrompts(*NO_CLICKS, NO_BOXES), None)


def test_points_are_in_the_windows_axis_order(a_small_sam_med3d, the_reference_embedding):
    """A model that read its clicks as (k, j, i) would give the same logits for both of these."""
    logits = [
        a_small_sam_med3d.decode(the_reference_embedding, WindowPrompts(np.array([p]), np.array([1]), NO_BOXES), None)
        for p in ([10.0, 37.0, 52.0], [52.0, 37.0, 10.0])
    ]
    assert np.abs(logits[0].low_res_logits - logits[1].low_res_logits).max() > 0.1


def test_the_default_network_has_exactly_the_official_parameters(the_sam_med3d_references):
    official = json.loads((the_sam_med3d_references / "full_size_keys.json").read_text())
    with torch.device("meta"):
        network = SamMed3DNetwork(SamMed3DConfig())
    assert {name: list(value.shape) for name, value in network.state_dict().items()} == official
    assert len(official) == 324
    assert sum(value.numel() for value in network.parameters()) == 100_509_232


@pytest.mark.parametrize("point_kinds", [2, 4])
def test_the_official_sizes_are_read_off_the_shapes(point_kinds):
    wanted = SamMed3DConfig(point_kinds=point_kinds)
    with torch.device("meta"):
        state = SamMed3DNetwork(wanted).state_dict()
    assert len(state) == 322 + point_kinds
    assert SamMed3DConfig.of(dict(state)) == wanted


def test_a_checkpoint_with_box_embeddings_gives_the_same_masks(
    a_small_sam_med3d, the_small_state, the_reference_embedding, tmp_path
):
    corners = {f"prompt_encoder.point_embeddings.{n}.weight": torch.randn(1, 48) for n in (2, 3)}
    torch.save({"model_state_dict": {**the_small_state, **corners}}, tmp_path / "cvpr.pth")
    model = build(get_spec("sam_med3d"), tmp_path / "cvpr.pth", "cpu")
    assert same_logits(model, a_small_sam_med3d, the_reference_embedding)


def test_the_training_scripts_own_checkpoint_is_read(
    a_small_sam_med3d, the_small_state, the_reference_embedding, tmp_path
):
    wrapper = {"epoch": 3, "model_state_dict": the_small_state, "losses": [0.5], "args": argparse.Namespace(lr=8e-4)}
    torch.save(wrapper, tmp_path / "sam_model_latest.pth")
    model = build(get_spec("sam_med3d"), tmp_path / "sam_model_latest.pth", "cpu")
    assert same_logits(model, a_small_sam_med3d, the_reference_embedding)


def test_a_file_of_another_model_is_refused_by_naming_both_sides(tmp_path):
    torch.save({"encoder.conv.weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match=r"lacks 'image_encoder.pos_embed'.* has 'encoder.conv.weight'"):
        build(get_spec("sam_med3d"), tmp_path / "other.pth", "cpu")


def test_a_checkpoint_with_one_wrong_shape_is_refused(the_small_state, tmp_path):
    state = {**the_small_state, "mask_decoder.iou_token.weight": torch.zeros(1, 47)}
    torch.save(state, tmp_path / "odd.pth")
    with pytest.raises(CheckpointError, match=r"'mask_decoder.iou_token.weight' is \(1, 47\) instead of \(1, 48\)"):
        build(get_spec("sam_med3d"), tmp_path / "odd.pth", "cpu")


def test_loading_a_model_leaves_its_file_free_to_change(the_small_state, the_reference_embedding, tmp_path):
    """Mapped weights would change, or crash the process, with the file."""
    path = tmp_path / "weights.pth"
    torch.save(the_small_state, path)
    model = build(get_spec("sam_med3d"), path, "cpu")
    before = logits_of(model, the_reference_embedding)
    path.write_bytes(b"\xff" * path.stat().st_size)
    assert np.array_equal(before, logits_of(model, the_reference_embedding))


def test_the_spec_of_a_smaller_model_tells_its_window(a_small_sam_med3d):
    assert a_small_sam_med3d.spec.window.shape == (64, 64, 64)
    assert a_small_sam_med3d.spec.window.spacings == (1.5,)


def test_a_window_of_another_shape_is_refused(a_small_sam_med3d, an_oblique_window):
    window = WindowImage(np.ones((64, 64, 32), np.float32), an_oblique_window.cropped((0, 0, 0), (64, 64, 32)))
    with pytest.raises(ModelError, match=r"windows of \(64, 64, 64\) voxels"):
        a_small_sam_med3d.encode(window)


def test_foreground_voxels_alone_set_the_contrast():
    raw = torch.tensor([-1000.0, 0.0, 10.0, 20.0, 60.0])
    deviation = np.sqrt((20.0**2 + 10.0**2 + 30.0**2) / 2)
    assert torch.allclose(foreground_zscore(raw), (raw - 30.0) / deviation)


@pytest.mark.parametrize("values", [[-5.0, 0.0], [0.0, 7.0, 7.0], [0.0, 7.0]], ids=["none", "constant", "single"])
def test_a_window_without_contrast_above_zero_is_refused(values):
    with pytest.raises(VolumeError, match="place"):
        foreground_zscore(torch.tensor(values))


def test_an_image_in_any_memory_layout_gives_the_same_embedding(a_small_sam_med3d, a_window):
    turned = WindowImage(np.asfortranarray(a_window.array), a_window.grid)
    embeddings = [a_small_sam_med3d.encode(window).tensors["image_embedding"] for window in (a_window, turned)]
    assert torch.equal(*embeddings)
    assert a_small_sam_med3d.encode(a_window).grid is a_window.grid


def test_half_precision_storage_is_widened(the_small_state):
    assert {value.dtype for value in the_small_state.values()} == {torch.float32}


def decoded_case(model: SamMed3D, reference, case: str) -> tuple[Tensor, Tensor]:
    name, network = f"case/{case}/", model.network
    points, labels = (torch.from_numpy(reference[name + key]) if name + key in reference else None
                      for key in ("points", "labels"))  # fmt: skip
    mask = {"none": None, "zeros": torch.zeros(1, 1, 16, 16, 16), "array": None}[
        str(reference[f"{name}mask_input_kind"])
    ]
    if f"{name}mask_input" in reference:
        mask = torch.from_numpy(reference[f"{name}mask_input"])
    image = torch.from_numpy(reference["enc/embedding"])
    with torch.inference_mode():
        sparse, dense = network.prompt_encoder(points, labels, mask)
        return network.mask_decoder(image, network.prompt_encoder.dense_pe(), sparse=sparse, dense=dense)


def logits_of(model: SamMed3D, embedding: Embedding) -> np.ndarray:
    click = WindowPrompts(np.array([[10.0, 37.0, 52.0]]), np.array([1]), NO_BOXES)
    return model.decode(embedding, click, None).low_res_logits


def same_logits(model: SamMed3D, other: SamMed3D, embedding: Embedding) -> bool:
    return np.array_equal(logits_of(model, embedding), logits_of(other, embedding))


def test_weights_load_into_a_fresh_network_unchanged(the_small_state):
    network = SamMed3DNetwork(SamMed3DConfig.of(the_small_state))
    load_strict(network, the_small_state, name="a.pth")
    assert all(torch.equal(value, the_small_state[name]) for name, value in network.state_dict().items())
