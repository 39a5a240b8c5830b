"""Medical SAM Adapter against what the original classes gave (Testing/Data/medical_sam_adapter/README.md)."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from inference_core.engine.session import Session
from inference_core.errors import ModelError, PromptError, VolumeError
from inference_core.geometry.grid import Grid
from inference_core.geometry.volume import Volume
from inference_core.models.blocks.sam_attention import joined_windows
from inference_core.models.blocks.sam_image_encoder import resized_positions
from inference_core.models.blocks.sam_sizes import SamSizes
from inference_core.models.interface import Embedding, WindowImage
from inference_core.models.medical_sam_adapter.model import MedicalSamAdapter, build
from inference_core.models.medical_sam_adapter.network import (
    AdaptedSizes,
    adapted_network,
    as_many_as_slices,
    depth_layout,
)
from inference_core.models.medical_sam_adapter.preprocess import PictureFrame, network_images, network_points
from inference_core.models.registry import get_spec
from inference_core.models.weights import load_state_dict, load_strict
from inference_core.prompts.encoding import WindowPrompts
from inference_core.prompts.prompt_set import Click, PromptSet

TOLERANCE = 5e-5
SMALL = SamSizes(
    image_size=128, width=64, depth=4, heads=4, window=7, global_blocks=(1, 3), prompt_width=64,
    decoder_hidden=128, quality_hidden=48, upscaled=(16, 8),
)  # fmt: skip
GENERATION_D = (
    (r"attn\.rel_([hw])$", r"attn.rel_pos_\1"),
    (r"mlp\.layers\.0\.0\.", "mlp.lin1."),
    (r"mlp\.fc\.", "mlp.lin2."),
)
NO_BOXES = np.zeros((0, 8, 3))
NO_CLICKS = (np.zeros((0, 3)), np.zeros(0, dtype=np.int64))


def network_of(state, *, depth=None, residual=True, tables=8, sizes=SMALL):
    """The network of a state under the official names, put together without the family's reader."""
    network = adapted_network(AdaptedSizes(sizes, tables, residual), depth=depth)
    positions = resized_positions(state["image_encoder.pos_embed"], 8, mode="bicubic")
    load_strict(network, {**state, "image_encoder.pos_embed": positions}, renames=GENERATION_D, name="a.pth")
    return network.eval()


@pytest.fixture(scope="module")
def a_network(the_generation_d_state):
    return network_of(the_generation_d_state)


@pytest.fixture(scope="module")
def a_network_of_2023(the_2023_state):
    return network_of(the_2023_state, residual=False)


@pytest.fixture(scope="module")
def a_checkpoint(the_generation_d_state, tmp_path_factory):
    """What the official training script writes."""
    path = tmp_path_factory.mktemp("adapter") / "best_dice_checkpoint.pth"
    wrapper = {"epoch": 6, "model": "sam", "state_dict": the_generation_d_state, "optimizer": {"state": {}},
               "best_tol": 0.0, "path_helper": {"prefix": "logs/x"}}  # fmt: skip
    torch.save(wrapper, path)
    return path


@pytest.fixture(scope="module")
def a_model(a_checkpoint) -> MedicalSamAdapter:
    return build(get_spec("medical_sam_adapter"), a_checkpoint, "cpu")


@pytest.fixture(scope="module")
def a_deep_model(a_checkpoint) -> MedicalSamAdapter:
    return build(get_spec("medical_sam_adapter_3d"), a_checkpoint, "cpu")


@pytest.fixture
def a_slice() -> Grid:
    """As many voxels as the small network's input has pixels, left-handed."""
    return Grid((128, 128, 1), np.diag([-0.8, 0.7, 5.0, 1.0]))


@pytest.fixture
def the_embedding(the_adapter_io, a_slice) -> Embedding:
    return Embedding({"image_embedding": torch.from_numpy(the_adapter_io["2d/embedding"])}, a_slice)


def differs(ours, theirs) -> float:
    ours = ours.numpy() if isinstance(ours, torch.Tensor) else ours
    assert ours.shape == theirs.shape
    return float(np.abs(ours - theirs).max())


@torch.inference_mode()
def decoded(network, embedding, io, case):
    """All masks and qualities of a case's clicks."""
    points = torch.from_numpy(io[f"{case}/in_coords"]).float()
    labels = torch.from_numpy(io.get(f"{case}/in_labels", np.ones(points.shape[:2], np.int64)))
    sparse, dense = network.prompt_encoder((points, labels))
    places = network.prompt_encoder.dense_pe()
    return network.mask_decoder(torch.as_tensor(embedding), places, sparse=sparse, dense=dense)


def outputs_of(modules):
    """A list that fills with what the modules give from now on."""
    kept = {name: [] for name in modules}
    for name, module in modules.items():
        module.register_forward_hook(lambda _m, _i, out, name=name: kept[name].append(out))
    return kept


def test_every_stage_of_the_encoder_is_the_original_networks(the_generation_d_state, the_adapter_io):
    network = network_of(the_generation_d_state)
    blocks = network.image_encoder.blocks
    kept = outputs_of({f"blocks.{n}": block for n, block in enumerate(blocks)}
                      | {f"blocks.{n}.MLP_Adapter": blocks[n].MLP_Adapter for n in (0, 1)})  # fmt: skip
    with torch.inference_mode():
        embedding = network.image_encoder(torch.from_numpy(the_adapter_io["2d/image"]))
    assert (
        differs(network.image_encoder.pos_embed[..., ::4].detach(), the_adapter_io["2d/pos_embed_resized"]) < TOLERANCE
    )
    for name, (output,) in kept.items():
        wanted = the_adapter_io[f"2d/{name}"]
        assert differs(output[..., :: 8 if "Adapter" in name else 4], wanted) < TOLERANCE, name
    assert differs(embedding, the_adapter_io["2d/embedding"]) < TOLERANCE


def test_attention_and_its_adapter_are_the_original_networks(a_network, the_adapter_io):
    """Padded before the norm: the windows' tokens beyond the grid are the norm's bias."""
    block = a_network.image_encoder.blocks[0]
    with torch.inference_mode():
        tokens = a_network.image_encoder.patch_embed(torch.from_numpy(the_adapter_io["2d/image"]))
        adapted = block.attended(tokens + a_network.image_encoder.pos_embed)
    windows = torch.from_numpy(the_adapter_io["2d/blocks.0.Space_Adapter"])
    assert differs(adapted[..., ::8], joined_windows(windows, (8, 8)).numpy()) < TOLERANCE


def test_every_stage_of_the_decoder_is_the_original_networks(the_generation_d_state, the_adapter_io):
    network = network_of(the_generation_d_state)
    prefix = "2d/dec."
    stages = {key.removeprefix(prefix): value for key, value in the_adapter_io.items() if key.startswith(prefix + "tr")}
    kept = outputs_of({name: network.mask_decoder.get_submodule(name) for name in stages})
    masks, quality = decoded(network, the_adapter_io["2d/embedding"], the_adapter_io, "2d")
    assert len(stages) == 16
    for name, wanted in stages.items():
        assert differs(kept[name][0][..., ::4], wanted) < TOLERANCE, name
    assert differs(masks, the_adapter_io["2d/masks_all"]) < TOLERANCE
    assert differs(quality, the_adapter_io["2d/iou_all"]) < TOLERANCE


@pytest.mark.parametrize("tables", [8, None], ids=["zero tables", "no tables"])
def test_without_relative_positions_the_embedding_is_that_of_real_files(the_generation_d_state, the_adapter_io, tables):
    state = {key: 0 * value if ".rel_" in key else value for key, value in the_generation_d_state.items()
             if tables or ".rel_" not in key}  # fmt: skip
    with torch.inference_mode():
        embedding = network_of(state, tables=tables).image_encoder(torch.from_numpy(the_adapter_io["2d/image"]))
    assert differs(embedding[:, ::4], the_adapter_io["rel_zero/embedding"]) < TOLERANCE


@pytest.mark.parametrize("case", ["shared", "per_image"])
@pytest.mark.parametrize("year", ["2023", "2024"])
def test_clicks_of_several_images_are_shared_or_paired_as_in_the_original(
    a_network, a_network_of_2023, the_adapter_io, case, year
):
    network, prefix = (a_network_of_2023, "y2023/") if year == "2023" else (a_network, "")
    first = the_adapter_io[f"{prefix}2d/embedding"]
    both = np.concatenate([first, the_adapter_io[f"{prefix}second/embedding"]])
    masks, _ = decoded(network, both, the_adapter_io, case)
    assert differs(masks[:, :1], the_adapter_io[f"{prefix}{case}/masks"]) < TOLERANCE


@pytest.mark.parametrize("count", [2, 6])
def test_masks_of_several_classes_are_the_first_ones(
    the_generation_d_state, the_adapter_io, the_adapter_references, count
):
    state, masks = the_generation_d_state, max(4, count)
    if count == 6:
        more = load_state_dict(the_adapter_references / "generation_d.safetensors")
        state = state | {key.removeprefix("six_masks."): value for key, value in more.items() if "six_masks" in key}
    network = network_of(state, sizes=replace(SMALL, mask_tokens=masks))
    found, quality = decoded(network, the_adapter_io["2d/embedding"], the_adapter_io, "2d")
    assert differs(found[:, :count], the_adapter_io[f"multimask/mm{count}_masks"]) < TOLERANCE
    assert differs(quality[:, :count], the_adapter_io[f"multimask/mm{count}_iou"]) < TOLERANCE


@pytest.mark.parametrize(
    "given",
    [
        ("chunk4", "chunk4", as_many_as_slices),
        ("chunk5", "chunk5", as_many_as_slices),
        ("chunk_none", "chunk4", lambda slices, entries: entries),
        ("y2023/chunk4", "chunk4", lambda slices, entries: 4),
    ],
    ids=lambda given: given[0],
)
def test_chunks_through_depth_are_the_original_networks(the_generation_d_state, the_2023_state, the_adapter_io, given):
    case, volume, depth = given
    state = the_2023_state if "2023" in case else the_generation_d_state
    network = network_of(state, depth=depth, residual="2023" not in case)
    slices = torch.from_numpy(the_adapter_io[f"{volume}/volume"]).permute(2, 0, 1)[:, None]
    images = F.interpolate(slices, (128, 128), mode="bilinear").expand(-1, 3, -1, -1)
    kept = outputs_of({f"blocks.{n}": block for n, block in enumerate(network.image_encoder.blocks)})
    with torch.inference_mode():
        embedding = network.image_encoder(images)
    masks, quality = decoded(network, embedding, the_adapter_io, case)
    assert differs(embedding[:, ::4], the_adapter_io[f"{case}/embedding"]) < TOLERANCE
    assert differs(masks[:, :1], the_adapter_io[f"{case}/masks"]) < TOLERANCE
    assert differs(quality[:, :1], the_adapter_io[f"{case}/iou"]) < TOLERANCE
    whole = F.interpolate(masks[:, :1], (64, 64), mode="nearest") > 0
    assert np.array_equal(np.packbits(whole.numpy()), the_adapter_io[f"{case}/binary"])
    for name in (name for name in kept if f"{case}/{name}" in the_adapter_io):
        assert differs(kept[name][0][..., ::8], the_adapter_io[f"{case}/{name}"]) < TOLERANCE


def test_the_2023_generation_is_the_original_network(a_network_of_2023, the_adapter_io):
    with torch.inference_mode():
        embedding = a_network_of_2023.image_encoder(torch.from_numpy(the_adapter_io["2d/image"]))
    masks, quality = decoded(a_network_of_2023, embedding, the_adapter_io, "2d")
    assert differs(embedding, the_adapter_io["y2023/2d/embedding"]) < TOLERANCE
    assert differs(masks, the_adapter_io["y2023/2d/masks_all"]) < TOLERANCE
    assert differs(quality, the_adapter_io["y2023/2d/iou_all"]) < TOLERANCE


def test_a_depth_is_laid_out_as_in_the_original(the_adapter_io):
    assert [(n, *depth_layout(n)) for n in the_adapter_io["depth_layouts"][:, 0]] == [
        tuple(row) for row in the_adapter_io["depth_layouts"]
    ]


def test_a_single_slice_has_a_depth_of_one(a_deep_model, a_slice):
    """The official code never returns from this."""
    assert depth_layout(1) == (1, 1)
    image = WindowImage(np.zeros(a_slice.shape, np.float32), a_slice)
    assert a_deep_model.encode(image).tensors["image_embedding"].shape == (1, 64, 8, 8)


@pytest.mark.parametrize(
    ("sizes", "tensors", "parameters"),
    [
        (SamSizes(), 458, 104_386_864),
        (SamSizes(width=1024, depth=24, heads=16, global_blocks=(5, 11, 17, 23)), 770, 350_183_728),
        (SamSizes(width=1280, depth=32, heads=16, global_blocks=(7, 15, 23, 31)), 978, 719_887_408),
    ],
    ids=["ViT-B", "ViT-L", "ViT-H"],
)
def test_the_full_networks_have_exactly_the_official_parameters(sizes, tensors, parameters):
    with torch.device("meta"):
        network = adapted_network(AdaptedSizes(sizes, 64, residual=True))
    assert len(network.state_dict()) == tensors
    assert sum(value.numel() for value in network.parameters()) == parameters


def test_a_volume_of_the_trained_spacing_gives_the_original_masks(a_deep_model, the_adapter_io):
    window, prompts = chunk_of(the_adapter_io, "chunk4", np.diag([1.5, 1.5, 2.0, 1.0]))
    found = a_deep_model.decode(a_deep_model.encode(window), prompts, None)
    assert differs(found.low_res_logits, the_adapter_io["chunk4/masks"][:, 0].transpose(1, 2, 0)) < TOLERANCE
    assert found.quality is None


def test_a_volume_stored_the_other_way_round_gives_the_same_masks(a_deep_model, the_adapter_io):
    """Left, posterior and downwards, columns before rows: the network still sees right, front and up."""
    window, prompts = chunk_of(the_adapter_io, "chunk4", np.diag([1.5, 1.5, 2.0, 1.0]))
    array = window.array[::-1, ::-1, ::-1].transpose(1, 0, 2)
    affine = np.array([[0, -1.5, 0, 58.5], [-1.5, 0, 0, 58.5], [0, 0, -2.0, 6.0], [0, 0, 0, 1.0]])
    points = (np.array([39.0, 39.0, 3.0]) - prompts.points)[:, [1, 0, 2]]
    embedding = a_deep_model.encode(WindowImage(array, Grid(array.shape, affine)))
    found = a_deep_model.decode(embedding, replace(prompts, points=points), None).low_res_logits
    wanted = the_adapter_io["chunk4/masks"][:, 0].transpose(1, 2, 0)[::-1, ::-1, ::-1].transpose(1, 0, 2)
    assert differs(found, wanted) < TOLERANCE


def test_a_click_is_told_as_row_and_column_where_it_was_trained_so(a_model, the_embedding, the_adapter_io):
    """The original case's click (37, 81): row 37, column 81."""
    click = WindowPrompts(np.array([[81.0, 37.0, 0.0]]), np.array([1]), NO_BOXES)
    found = a_model.decode(the_embedding, click, None).low_res_logits
    assert differs(found[..., 0].T, the_adapter_io["2d/masks_all"][0, 0]) < TOLERANCE


def test_a_click_is_told_as_column_and_row_with_sams_input(a_checkpoint, the_embedding, the_adapter_io):
    model = build(get_spec("medical_sam_adapter_normalized"), a_checkpoint, "cpu")
    click = WindowPrompts(np.array([[37.0, 81.0, 0.0]]), np.array([1]), NO_BOXES)
    found = model.decode(the_embedding, click, None).low_res_logits
    assert differs(found[..., 0].T, the_adapter_io["2d/masks_all"][0, 0]) < TOLERANCE


def test_the_newest_3d_convention_takes_sams_mean_off_values_of_0_to_1():
    """Worked out by hand: (0.5 - 123.675) / 58.395 in red, and so on; 37.5 HU is the middle of -175..250."""
    pictures = np.full((2, 4, 4), 37.5, np.float32)
    images = network_images(pictures, get_spec("medical_sam_adapter_3d_normalized").intensity, 4)
    assert images.shape == (2, 3, 4, 4)
    assert np.allclose(images[:, :, 1, 2].numpy(), [[-2.109342, -2.026961, -1.795730]] * 2, atol=1e-5)


def test_the_newest_3d_convention_tells_row_and_column_of_the_slice_unscaled():
    spec = get_spec("medical_sam_adapter_3d_normalized")
    frame = PictureFrame.towards_ras(Grid((96, 80, 4), np.diag([1.5, 1.5, 2.0, 1.0])))
    assert np.allclose(network_points(np.array([[37.0, 61.0, 2.0]]), frame, spec.clicks, 256), [[37.0, 61.0]])


def test_each_slice_of_the_newest_3d_convention_is_told_of_its_own_clicks_alone(a_checkpoint, the_adapter_io):
    model = build(get_spec("medical_sam_adapter_3d_normalized"), a_checkpoint, "cpu")
    window, _ = chunk_of(the_adapter_io, "chunk4", np.diag([1.5, 1.5, 2.0, 1.0]))
    embedding = model.encode(window)
    points = np.array([[10.0, 12.0, 0.0], [30.0, 8.0, 2.0], [20.0, 20.0, 2.0]])
    together = model.decode(embedding, WindowPrompts(points, np.array([1, 1, 0]), NO_BOXES), None).low_res_logits
    first = model.decode(embedding, WindowPrompts(points[:1], np.array([1]), NO_BOXES), None).low_res_logits
    rest = model.decode(embedding, WindowPrompts(points[1:], np.array([1, 0]), NO_BOXES), None).low_res_logits
    assert differs(together[..., 0], first[..., 0]) < TOLERANCE
    assert differs(together[..., 2], rest[..., 2]) < TOLERANCE
    assert differs(together[..., 2], first[..., 2]) > 0.01


def test_every_mask_token_but_the_first_is_left_alone(a_model, the_embedding):
    click = WindowPrompts(np.array([[81.0, 37.0, 0.0]]), np.array([1]), NO_BOXES)
    assert a_model.decode(the_embedding, click, None).low_res_logits.shape == (32, 32, 1)


def test_each_slice_of_a_chunk_is_told_of_its_own_cut_through_a_box(a_deep_model, the_adapter_io):
    """A slanted box: were all slices told of one rectangle, all of them would answer as for that one."""
    window, _ = chunk_of(the_adapter_io, "chunk4", np.diag([1.5, 1.5, 2.0, 1.0]))
    embedding = a_deep_model.encode(window)
    corners = np.array([[n & 1, n >> 1 & 1, n >> 2] for n in range(8)]) * [10.0, 12.0, 3.0] + [5.0, 6.0, 0.0]
    slanted = corners + corners[:, 2:] * [4.0, 3.0, 0.0]
    found = a_deep_model.decode(embedding, WindowPrompts(*NO_CLICKS, slanted[None]), None).low_res_logits
    for k in (0, 3):
        upright = corners + k * np.array([4.0, 3.0, 0.0])
        wanted = a_deep_model.decode(embedding, WindowPrompts(*NO_CLICKS, upright[None]), None).low_res_logits
        assert differs(found[..., k], wanted[..., k]) < TOLERANCE
        assert differs(found[..., 3 - k], wanted[..., 3 - k]) > 0.01


def test_the_masks_of_several_boxes_are_united(a_model, the_embedding):
    corners = np.array([[n & 1, n >> 1 & 1, n >> 2] for n in range(8)]) * [30.0, 40.0, 2.0] - [0.0, 0.0, 1.0]
    boxes = np.stack([corners + [10.0, 20.0, 0.0], corners + [70.0, 60.0, 0.0]])
    each = [a_model.decode(the_embedding, WindowPrompts(*NO_CLICKS, box[None]), None).low_res_logits for box in boxes]
    found = a_model.decode(the_embedding, WindowPrompts(*NO_CLICKS, boxes), None).low_res_logits
    assert differs(found, np.maximum(*each)) < 1e-6


def test_logits_come_back_onto_voxels_of_any_slice(a_model):
    ramp = np.linspace(-1, 1, 32, dtype=np.float32)[:, None, None] * np.ones((1, 32, 1), np.float32)
    voxels = a_model.to_voxels(ramp, (64, 48, 1))
    assert voxels.shape == (64, 48, 1)
    assert np.ptp(voxels, axis=1).max() < 1e-6
    assert np.all(np.diff(voxels[:, 0, 0])[1:-1] > 0)
    assert differs(a_model.to_low_res(voxels)[4:-4], ramp[4:-4]) < 1e-3


@pytest.mark.parametrize("name", ["medical_sam_adapter", "medical_sam_adapter_3d"])
def test_a_window_without_any_prompt_is_refused(a_model, a_deep_model, the_embedding, name):
    model = a_deep_model if name.endswith("3d") else a_model
    with pytest.raises(PromptError, match="place a foreground click"):
        model.decode(the_embedding, WindowPrompts(*NO_CLICKS, NO_BOXES), None)


def test_a_2d_model_refuses_several_slices(a_model, a_slice):
    window = Grid((128, 128, 2), a_slice.affine)
    with pytest.raises(ModelError, match="one slice at a time, not 2"):
        a_model.encode(WindowImage(np.zeros(window.shape, np.float32), window))


@pytest.mark.parametrize("deep", [False, True])
def test_voxels_that_are_no_numbers_are_refused(a_model, a_deep_model, a_slice, deep):
    image = WindowImage(np.full(a_slice.shape, np.nan, np.float32), a_slice)
    with pytest.raises(VolumeError, match="repair or re-export"):
        (a_deep_model if deep else a_model).encode(image)


def test_a_click_encodes_one_chunk_and_segments_its_slice(a_deep_model, monkeypatch):
    """Chunks lie end to end, as in the official validation; the volume's slices are its first axis."""
    affine = np.array([[0, 1.2, 0, -30], [0, 0, 1.2, -20], [4.0, 0, 0, 0], [0, 0, 0, 1.0]])
    array = np.random.default_rng(0).normal(20, 40, (19, 50, 44)).astype(np.float32)
    volume = Volume(array, Grid(array.shape, affine), "chunks")
    seen = []
    encode = a_deep_model.encode
    monkeypatch.setattr(a_deep_model, "encode", lambda window: seen.append(window) or encode(window))
    session = Session(volume, a_deep_model)
    place = volume.grid.to_ras((10, 25, 20))
    prompts = PromptSet((Click(tuple(place)),))
    mask = session.predict(prompts).mask.on(array.shape)
    assert set(np.argwhere(mask)[:, 0]) == {10}
    assert [window.array.shape for window in seen] == [(50, 44, 8)]
    assert np.array_equal(seen[0].array, array[8:16].transpose(1, 2, 0))
    session.predict(prompts.with_(Click(tuple(volume.grid.to_ras((9, 20, 22))))))
    assert len(seen) == 1


def chunk_of(io, case, affine) -> tuple[WindowImage, WindowPrompts]:
    """A case's volume as CT numbers, and its clicks, in window indices."""
    volume = io[f"{case}/volume"] * np.float32(425) - np.float32(175)
    rows, columns = io[f"{case}/clicked"]
    points = np.column_stack([rows, columns, np.arange(len(rows))]).astype(np.float64)
    return WindowImage(volume, Grid(volume.shape, affine)), WindowPrompts(points, np.ones(len(rows), int), NO_BOXES)
