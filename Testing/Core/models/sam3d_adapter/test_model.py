"""3DSAM-adapter against what the original classes gave for the same weights (Testing/Data/sam3d_adapter/README.md)."""

import json
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from support.shared import SHARED

from inference_core.engine.session import Session
from inference_core.errors import CheckpointError, ModelError, PromptError
from inference_core.geometry.box import Box3D
from inference_core.geometry.grid import Grid
from inference_core.geometry.volume import Volume
from inference_core.models.interface import WindowImage
from inference_core.models.registry import get_spec
from inference_core.models.sam3d_adapter.checkpoint import (
    begin_with_sam,
    config_of,
    freeze_as_published,
    network_from,
    start_from_sam,
)
from inference_core.models.sam3d_adapter.model import Sam3DAdapter, build, looks_like_hounsfield_units, scaled
from inference_core.models.sam3d_adapter.network import Sam3DAdapterConfig, Sam3DAdapterNetwork, sampled_at
from inference_core.models.sam3d_adapter.shifted_cube_attention import shifted_mask
from inference_core.models.weights import load_state_dict
from inference_core.prompts.encoding import WindowPrompts
from inference_core.prompts.prompt_set import BoxPrompt, Click, PromptSet

SPEC = get_spec("sam3d_adapter")
TOLERANCE = 2e-5
CASES = ("pos1", "pos1_bg6", "ten", "edge")
NO_BOXES = np.zeros((0, 8, 3))
MODES = pytest.mark.parametrize("gradients", [False, True], ids=["inference", "training"])


@pytest.fixture(scope="module")
def the_reference(the_tumor_references):
    with np.load(the_tumor_references / "small_io.npz") as file:
        return {name: file[name] for name in file.files}


@pytest.fixture(scope="module")
def the_extras(the_tumor_references):
    with np.load(the_tumor_references / "extra.npz") as file:
        return {name: file[name] for name in file.files}


@pytest.fixture(scope="module")
def the_small_file(the_tumor_references):
    return the_tumor_references / "small.safetensors"


@pytest.fixture(scope="module")
def the_small_state(the_small_file):
    return load_state_dict(the_small_file)


@pytest.fixture(scope="module")
def a_small_network(the_small_file):
    return network_from(the_small_file).eval()


@pytest.fixture(scope="module")
def a_small_model(a_small_network):
    return Sam3DAdapter(SPEC, a_small_network, "cpu")


@pytest.fixture(scope="module")
def the_image(the_reference):
    return torch.from_numpy(the_reference["image"])[None, None]


@pytest.fixture(scope="module")
def the_maps(a_small_network, the_image):
    with torch.inference_mode():
        return a_small_network.encoder(the_image)


@pytest.fixture
def an_oblique_window():
    turn = np.array([[-0.9, 0.3, 0.2], [0.2, 0.9, -0.3], [0.3, 0.2, 0.9]])
    affine = np.eye(4)
    affine[:3, :3] = np.linalg.qr(turn)[0]
    return Grid((32, 32, 32), affine)


@pytest.fixture
def a_ct():
    """Fat, soft tissue and a brighter ball, on a left-handed anisotropic grid; and where the ball is."""
    grid = Grid((60, 50, 24), np.array([[-0.9, 0, 0, 20], [0, 0, 2.2, -30], [0, 0.8, 0, 5], [0, 0, 0, 1.0]]))
    ras = grid.to_ras(np.moveaxis(np.indices(grid.shape), 0, -1))
    center = grid.to_ras((31, 24, 11))
    array = np.random.default_rng(2).normal(40, 12, grid.shape) - 140 * (ras[..., 1] > center[1] + 16)
    return Volume((array + 70 * (np.linalg.norm(ras - center, axis=-1) < 8)).astype(np.int16), grid), center


@MODES
def test_tokens_blocks_and_maps_are_the_original_networks(a_small_network, the_image, the_reference, gradients):
    encoder = a_small_network.encoder
    with torch.set_grad_enabled(gradients):
        tokens = encoder.tokens(the_image)
        stages = {"tokens_in": tokens.clone()}
        for index, block in enumerate(encoder.blocks):
            tokens = block(tokens)
            stages[f"block{index}"] = tokens.clone()
        maps = {f"neck{n}": features for n, features in enumerate(encoder(the_image))}
    for name, value in (stages | maps).items():
        if f"pos1/{name}" in the_reference:
            shown = value if name in maps else value[:, ::2, 1::2]
            assert np.abs(shown.detach().numpy() - the_reference[f"pos1/{name}"]).max() < TOLERANCE, name


@pytest.mark.parametrize("case", CASES)
def test_points_are_sampled_and_written_into_the_map_as_in_the_original(a_small_network, the_maps, the_reference, case):
    points = points_of(the_reference, case)
    with torch.inference_mode():
        sampled, prompted = sampled_at(the_maps[3], points), a_small_network.prompt_encoder(the_maps[3], points)
    assert np.abs(sampled[0].numpy() - the_reference[f"{case}/sampled"]).max() < TOLERANCE
    assert np.abs(prompted.numpy() - the_reference[f"{case}/prompt_out"]).max() < TOLERANCE


@MODES
@pytest.mark.parametrize("case", CASES)
def test_logits_and_masks_are_the_original_networks(a_small_network, the_image, the_reference, case, gradients):
    with torch.set_grad_enabled(gradients):
        logits = a_small_network(the_image, points_of(the_reference, case)).detach().numpy()
    assert np.abs(logits[:, :, 1::2, ::2, ::2] - the_reference[f"{case}/logits_sub"]).max() < TOLERANCE
    mask = logits[0, 1] > logits[0, 0]
    assert mask.sum() == the_reference[f"{case}/n_fg"]
    assert np.array_equal(np.packbits(mask), the_reference[f"{case}/mask_packed"])


def test_the_promptable_model_gives_the_same_in_its_windows_axes(a_small_model, the_reference, an_oblique_window):
    """The reference image as HU: within the clipping range of the network's own scale, so nothing is lost."""
    scale = replace(SPEC.hounsfield, low=-1e4, high=1e4)
    model = Sam3DAdapter(replace(SPEC, hounsfield=scale), a_small_model.network, "cpu")
    raw = the_reference["image"] * scale.deviation + scale.mean
    embedding = model.encode(WindowImage(raw.T, an_oblique_window))
    points = the_reference["ten/points_DWH"][:, [1, 2, 0]].astype(np.float64)
    decoded = model.decode(embedding, clicks(points), None)
    wanted = the_reference["ten/logits_sub"][0]
    assert np.abs(decoded.low_res_logits.T[1::2, ::2, ::2] - (wanted[1] - wanted[0])).max() < 2 * TOLERANCE
    assert decoded.quality is None
    assert embedding.grid is an_oblique_window


def test_background_clicks_and_priors_are_not_read(a_small_model, an_oblique_window):
    embedding = a_small_model.encode(noise(an_oblique_window))
    first = a_small_model.decode(embedding, clicks([[10.0, 20.0, 15.0]]), None).low_res_logits
    mixed = clicks([[3.0, 4.0, 5.0], [10.0, 20.0, 15.0]], labels=[0, 1])
    assert np.array_equal(a_small_model.decode(embedding, mixed, first).low_res_logits, first)


def test_lower_precision_is_asked_for_by_name_and_stays_close(a_small_model, an_oblique_window):
    window, click = noise(an_oblique_window), clicks([[10.0, 20.0, 15.0]])
    exact = a_small_model.decode(a_small_model.encode(window), click, None).low_res_logits
    rough_model = Sam3DAdapter(get_spec("sam3d_adapter"), a_small_model.network, "cpu", precision="bfloat16")
    rough = rough_model.decode(rough_model.encode(window), click, None).low_res_logits
    assert rough.dtype == np.float32
    assert 1e-4 < np.abs(rough - exact).max() < 0.5 * exact.std()
    with pytest.raises(ModelError, match="no precision 'int8'; use one of auto, float32, bfloat16"):
        Sam3DAdapter(get_spec("sam3d_adapter"), a_small_model.network, "cpu", precision="int8")


def test_a_box_alone_is_a_click_at_its_center(a_small_model, an_oblique_window):
    embedding = a_small_model.encode(noise(an_oblique_window))
    corners = np.array([[(n >> axis) & 1 for axis in range(3)] for n in range(8)]) * [10.0, 8.0, 6.0] + [5.0, 9.0, 12.0]
    none = WindowPrompts(np.zeros((0, 3)), np.zeros(0, dtype=np.int64), corners[None])
    by_box = a_small_model.decode(embedding, none, None).low_res_logits
    assert np.array_equal(by_box, a_small_model.decode(embedding, clicks([[10.0, 13.0, 15.0]]), None).low_res_logits)


def test_a_window_without_a_foreground_click_is_refused(a_small_model, an_oblique_window):
    embedding = a_small_model.encode(noise(an_oblique_window))
    with pytest.raises(PromptError, match="no foreground click"):
        a_small_model.decode(embedding, clicks([[3.0, 4.0, 5.0]], labels=[0]), None)


def test_a_window_of_another_shape_is_refused(a_small_model, an_oblique_window):
    with pytest.raises(ModelError, match=r"windows of \(32, 32, 32\) voxels"):
        a_small_model.encode(noise(an_oblique_window.cropped((0, 0, 0), (32, 32, 16))))


def test_the_session_answers_for_background_clicks_and_boxes(a_small_model, a_ct):
    volume, center = a_ct
    session = Session(volume, a_small_model)
    first = session.predict(PromptSet((Click(tuple(center)),)))
    assert session.cache.nbytes > 0
    inside = np.argwhere(first.mask.on(volume.grid.shape))
    wrong = volume.grid.to_ras(inside[len(inside) // 3])
    second = session.predict(first.prompts.with_(Click(tuple(wrong), False)))
    assert np.array_equal(second.low_res_logits, first.low_res_logits)
    assert second.seconds.encode == second.seconds.decode == 0
    assert first.mask.at(volume.grid.voxel_of(wrong))
    assert not second.mask.at(volume.grid.voxel_of(wrong))
    boxed = Session(volume, a_small_model).predict(PromptSet((BoxPrompt(Box3D.aligned(center, (12, 12, 12))),)))
    assert np.allclose(boxed.window.to_ijk(center), 16)


def test_beyond_the_volume_the_network_is_shown_zeros(a_small_model, a_ct, monkeypatch):
    volume, _ = a_ct
    shown = []
    encoder = a_small_model.network.encoder
    monkeypatch.setattr(encoder, "forward", lambda image: shown.append(image) or type(encoder).forward(encoder, image))
    session = Session(volume, a_small_model)
    prediction = session.predict(PromptSet((Click(tuple(volume.grid.to_ras((0, 0, 0)))),)))
    places = prediction.window.to_ras(np.moveaxis(np.indices((32, 32, 32)), 0, -1))
    ijk = volume.grid.to_ijk(places)
    beyond = np.any((ijk < -1.01) | (ijk > np.array(volume.grid.shape) + 0.01), axis=-1)
    assert 0.3 < beyond.mean() < 0.95
    assert not shown[0][0, 0].numpy().T[beyond].any()
    assert shown[0].abs().max() > 0.5


def test_intensities_are_clipped_and_scaled():
    raw = torch.tensor([-1000.0, -54.0, 59.53867, 247.0, 3000.0])
    found = scaled(raw, SPEC.hounsfield)
    assert found[2] == 0
    assert found[0] == found[1]
    assert found[3] == found[4] == pytest.approx((247 - 59.53867) / 55.457336, rel=1e-6)


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("a CT", lambda raw: raw),
        ("a CT without its rescale intercept", lambda raw: raw + 1024),
        ("an MR image", lambda raw: (2 * raw + 300).clamp(min=0)),
        ("a normalized CT", lambda raw: raw / 1000),
    ],
)
def test_voxels_that_are_no_hounsfield_units_are_noticed(a_ct, kind, change):
    raw = change(torch.from_numpy(a_ct[0].array.astype(np.float32)))
    assert looks_like_hounsfield_units(raw, SPEC.hounsfield) is (kind == "a CT")


def test_other_images_than_ct_are_warned_of(a_small_model, an_oblique_window, caplog):
    a_small_model.encode(WindowImage(np.full((32, 32, 32), 900, np.float32), an_oblique_window))
    assert "does not look like Hounsfield units" in caplog.text


def test_the_default_network_has_exactly_the_official_tensors(the_tumor_references):
    official = json.loads((the_tumor_references / "full_size_keys.json").read_text())
    with torch.device("meta"):
        network = Sam3DAdapterNetwork(Sam3DAdapterConfig())
    parts = {"encoder": "encoder_dict", "decoder": "decoder_dict"}
    for own, part in parts.items():
        wanted = {key: shape for key, shape in official[part].items() if "attn_mask" not in key}
        assert shapes(getattr(network, own)) == wanted
    (prompts,) = [value for key, value in official.items() if key.startswith("feature_dict")][:1]
    prompts = prompts[3] if isinstance(prompts, list) else prompts
    dead = [key for key in prompts if "token_to_image" in key or "gaussian" in key]
    assert shapes(network.prompt_encoder) == {key: shape for key, shape in prompts.items() if key not in dead}
    assert sum(value.numel() for value in network.parameters()) == 104_056_588 + 2_900_736 + 7_088_256


def test_the_official_sizes_are_read_off_the_shapes():
    with torch.device("meta"):
        state = official_names(Sam3DAdapterNetwork(Sam3DAdapterConfig()).state_dict())
    assert config_of(state) == Sam3DAdapterConfig()


def test_an_official_checkpoint_is_read(the_small_state, a_small_network, tmp_path):
    """With the numpy number, the masks and the three unused prompt encoders that the training script saves."""
    network = network_from(saved(official_checkpoint(the_small_state), tmp_path))
    assert same_tensors(network, a_small_network)


def test_the_originals_own_file_is_read(a_small_network):
    path = SHARED / "goldens" / "sam3d_adapter" / "small" / "last.pth.tar"
    if not path.is_file():
        pytest.skip("the original's own checkpoint of the small network is not here")
    assert same_tensors(network_from(path), a_small_network)


def test_a_flat_pytorch_file_is_read(the_small_state, a_small_network, tmp_path):
    assert same_tensors(network_from(saved(the_small_state, tmp_path)), a_small_network)


def test_an_official_checkpoint_of_several_gpus_and_with_counters_is_read(the_small_state, a_small_network, tmp_path):
    content = official_checkpoint(the_small_state)
    parts = [content["encoder_dict"], content["decoder_dict"], *content["feature_dict"]]
    for part in parts:
        named = {f"module.{key}": value for key, value in part.items()}
        part.clear()
        part.update(named | {"module.total_ops": torch.zeros(1), "module.total_params": torch.zeros(1)})
    assert same_tensors(network_from(saved(content, tmp_path)), a_small_network)


def test_a_part_that_is_not_finite_is_refused_by_name(the_small_state, tmp_path):
    content = official_checkpoint(the_small_state)
    content["decoder_dict"]["cls.3.weight"] = torch.full((1, 16, 1, 1, 1), float("nan"))
    with pytest.raises(CheckpointError, match=r"NaN or infinite \('decoder_dict\.cls\.3\.weight'\)"):
        network_from(saved(content, tmp_path))


@pytest.mark.parametrize("part", ["feature_dict", "encoder_dict", "decoder_dict"])
@pytest.mark.parametrize("content", [None, 3, "text", [1, 2, 3, 4], torch.zeros(4)], ids=str)
def test_parts_that_are_no_weights_are_refused(the_small_state, tmp_path, part, content):
    with pytest.raises(CheckpointError, match=r"last\.pth\.tar"):
        network_from(saved({**official_checkpoint(the_small_state), part: content}, tmp_path))


def test_another_mask_is_refused(the_small_state, tmp_path):
    content = official_checkpoint(the_small_state)
    content["encoder_dict"]["blocks.4.attn_mask"][3, 1, 0] = -100
    with pytest.raises(CheckpointError, match=r"'encoder_dict.blocks.4.attn_mask'"):
        network_from(saved(content, tmp_path))


def test_the_automatic_variant_is_refused(the_small_state, tmp_path):
    content = official_checkpoint(the_small_state)
    del content["feature_dict"]
    with pytest.raises(CheckpointError, match="automatic variant, which takes no clicks"):
        network_from(saved(content, tmp_path))


def test_another_number_of_prompt_encoders_is_refused(the_small_state, tmp_path):
    content = official_checkpoint(the_small_state)
    content["feature_dict"].pop()
    with pytest.raises(CheckpointError, match="3 prompt encoders instead of 4"):
        network_from(saved(content, tmp_path))


def test_a_cut_off_checkpoint_is_refused(the_small_state, tmp_path):
    path = saved(official_checkpoint(the_small_state), tmp_path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(CheckpointError, match="is cut off; download it again"):
        build(SPEC, path, "cpu")


class Malice:
    def __reduce__(self):
        return print, ("run by the file",)


@pytest.mark.parametrize(
    "write", [torch.save, lambda content, path: path.write_bytes(pickle.dumps(content, protocol=2))]
)
def test_code_in_a_checkpoint_is_not_run(the_small_state, tmp_path, capsys, write):
    path = tmp_path / "last.pth.tar"
    write({**official_checkpoint(the_small_state), "epoch": Malice()}, path)
    with pytest.raises(CheckpointError, match=r"carries code|damaged"):
        build(SPEC, path, "cpu")
    assert "run by the file" not in capsys.readouterr().out


def test_a_file_of_another_family_is_refused_by_naming_both_sides(the_sam_med3d_references):
    with pytest.raises(CheckpointError, match=r"lacks 'encoder.pos_embed'.* has 'image_encoder"):
        build(SPEC, the_sam_med3d_references / "small.safetensors", "cpu")


def test_a_tensor_of_another_shape_is_refused(the_small_state, tmp_path):
    state = {**the_small_state, "decoder_dict.cls.0.weight": torch.zeros(8, 32, 3, 3, 3)}
    with pytest.raises(CheckpointError, match=r"'decoder.cls.0.weight' is \(8, 32, 3, 3, 3\) instead of \(8, 33"):
        network_from(saved(state, tmp_path))


def test_a_start_from_2d_sam_is_the_original_scripts(the_small_file, the_tumor_references, the_image, the_extras):
    network = network_from(the_small_file)
    begin_with_sam(network, load_state_dict(the_tumor_references / "sam2d_small.safetensors"))
    for n in (0, 2, 11):
        found = network.encoder.blocks[n].attn.rel_pos_d.detach().numpy()
        assert np.abs(found - the_extras[f"sam_init/rel_pos_d_{n}"]).max() < 1e-7
    with torch.inference_mode():
        maps = network.encoder(the_image)
    for n, features in enumerate(maps):
        assert np.abs(features.numpy() - the_extras[f"sam_init/feat{n}"]).max() < TOLERANCE
    freeze_as_published(network)
    tuned = {name for name, value in network.encoder.named_parameters() if value.requires_grad}
    assert tuned == {str(key) for key in the_extras["sam_init/tuned_keys"]}
    assert all(value.requires_grad for value in [*network.prompt_encoder.parameters(), *network.decoder.parameters()])


def test_a_fresh_start_draws_what_sam_has_not(the_tumor_references, the_small_state):
    sam = load_state_dict(the_tumor_references / "sam2d_small.safetensors")
    network = start_from_sam(sam, config_of(the_small_state))
    assert torch.equal(network.encoder.depth_embed, torch.ones(1, 8, 32))
    assert all(block.attn.lr == 1 for block in network.encoder.blocks)
    assert torch.equal(network.encoder.blocks[3].mlp.lin1.weight, sam["image_encoder.blocks.3.mlp.lin1.weight"])
    assert 0.05 < network.prompt_encoder.transformer.layers[1].global_query.std() < 0.2


def test_a_start_from_another_model_is_refused(the_small_state):
    with pytest.raises(CheckpointError, match="choose sam_vit_b"):
        start_from_sam(the_small_state, config_of(the_small_state))


def test_one_training_step_has_the_original_scripts_loss_and_gradients(
    the_small_file, the_tumor_references, the_image, the_extras
):
    network = network_from(the_small_file)
    begin_with_sam(network, load_state_dict(the_tumor_references / "sam2d_small.safetensors"))
    freeze_as_published(network)
    given = {name.removeprefix("train_step/"): value for name, value in the_extras.items() if "train_step/" in name}
    target = torch.from_numpy(np.unpackbits(given["seg_packed"]).reshape(32, 32, 32)).long()
    logits = network(the_image, torch.from_numpy(given["points_DWH"])[:, [0, 2, 1]])
    loss = 0.5 * soft_dice_loss(logits.softmax(dim=1)[0, 1], target) + 0.5 * F.cross_entropy(logits, target[None])
    assert abs(loss.item() - given["loss"]) < 1e-5
    loss.backward()
    parts = (network.encoder, network.decoder, network.prompt_encoder)
    norms = [torch.nn.utils.clip_grad_norm_(part.parameters(), 1.0).item() for part in parts]
    assert np.allclose(norms, given["grad_norms_enc_dec_prompt"], rtol=1e-4)
    gradients = {name: value.grad for name, value in official_names(dict(network.named_parameters())).items()}
    compared = [name.removeprefix("clipped_grad:") for name in given if name.startswith("clipped_grad:")]
    assert len(compared) == 8
    for name in compared:
        wanted = given[f"clipped_grad:{name}"]
        assert np.abs(gradients[name].numpy() - wanted).max() < 1e-4 * np.abs(wanted).max(), name


def soft_dice_loss(probability, target):
    """The authors' smoothing."""
    overlap = 2 * (probability * target).sum() + 1e-5
    return 1 - overlap / (probability.sum() + target.sum() + 1e-5)


def points_of(reference, case):
    """The original's (slice, column, row) as (d, h, w)."""
    return torch.from_numpy(reference[f"{case}/points_DWH"])[:, [0, 2, 1]]


def clicks(points, labels=None):
    points = np.asarray(points, dtype=np.float64)
    return WindowPrompts(points, np.asarray(labels if labels is not None else [1] * len(points)), NO_BOXES)


def noise(grid):
    return WindowImage(np.random.default_rng(7).normal(30, 80, grid.shape).astype(np.float32), grid)


def shapes(module):
    return {name: list(value.shape) for name, value in module.state_dict().items()}


def same_tensors(network, other):
    mine, theirs = network.state_dict(), other.state_dict()
    return mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in mine)


def official_names(state):
    heads = {"encoder": "encoder_dict", "decoder": "decoder_dict", "prompt_encoder": "feature_dict.3"}
    return {f"{heads[name.split('.')[0]]}.{name.partition('.')[2]}": value for name, value in state.items()}


def official_checkpoint(state):
    """What the training script saves of these tensors."""
    parts = {part: {} for part in ("encoder_dict", "decoder_dict", "feature_dict.3")}
    for key, value in state.items():
        part = next(part for part in parts if key.startswith(part + "."))
        parts[part][key.removeprefix(part + ".")] = value
    for n in range(0, 12, 2):
        parts["encoder_dict"][f"blocks.{n}.attn_mask"] = -100.0 * shifted_mask(8, 4)
    unused = [{key: torch.randn_like(value) for key, value in parts["feature_dict.3"].items()} for _ in range(3)]
    return {
        "epoch": 500,
        "best_val_loss": np.float32(0.31),
        "encoder_dict": parts["encoder_dict"],
        "decoder_dict": parts["decoder_dict"],
        "feature_dict": [*unused, parts["feature_dict.3"]],
        "encoder_opt": {"state": {}, "param_groups": [{"lr": 4e-4, "params": [0]}]},
    }


def saved(content, folder):
    torch.save(content, folder / "last.pth.tar")
    return folder / "last.pth.tar"
