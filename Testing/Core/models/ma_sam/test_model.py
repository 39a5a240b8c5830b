"""MA-SAM against what the original classes gave for the same weights (Testing/Data/ma_sam/README.md)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from inference_core.errors import CheckpointError, ModelError, PromptError, VolumeError
from inference_core.geometry.grid import Grid
from inference_core.geometry.volume import Volume
from inference_core.models.blocks.sam_network import SamNetwork
from inference_core.models.blocks.sam_sizes import SamSizes, read_sizes
from inference_core.models.interface import Embedding, WindowImage, automatic, promptable
from inference_core.models.ma_sam.checkpoint import merged
from inference_core.models.ma_sam.model import MaSam, MaSamBox
from inference_core.models.ma_sam.network import MaSamNetwork, MaSamSizes
from inference_core.models.ma_sam.preprocess import ABDOMINAL_CT, GrayRule
from inference_core.models.registry import build_model
from inference_core.models.weights import load_state_dict
from inference_core.prompts.encoding import WindowPrompts

ENCODER_TOLERANCE, LOGIT_TOLERANCE, LOGIT_MEAN_TOLERANCE, DECIDED = 2e-5, 1e-3, 1e-5, 1e-3
DATA = Path(__file__).parents[3] / "Data" / "ma_sam"
BASE = DATA / "base_small.safetensors"
NO_CLICKS = (np.zeros((0, 3)), np.zeros(0, dtype=np.int64))


@pytest.fixture(scope="module")
def the_reference():
    with np.load(DATA / "network.npz") as file:
        return {name: file[name] for name in file.files}


@pytest.fixture(scope="module")
def an_automatic_model() -> MaSam:
    return build_model("ma_sam", weights=DATA / "delta_auto.safetensors", base=BASE, device="cpu")


@pytest.fixture(scope="module")
def a_box_model() -> MaSamBox:
    return build_model("ma_sam_box", weights=DATA / "delta_bbox.safetensors", base=BASE, device="cpu")


@pytest.fixture(scope="module")
def the_delta():
    return load_state_dict(DATA / "delta_auto.safetensors")


@pytest.fixture(scope="module")
def the_stages(an_automatic_model, the_reference):
    """The network's intermediate results for the reference's patch embeddings."""
    network, stages = an_automatic_model.network, {}
    blocks = network.image_encoder.blocks
    hooks = [decoder_part.register_forward_hook(keeping(stages, name)) for name, decoder_part in decoder_parts(network)]
    with torch.inference_mode():
        tokens = torch.from_numpy(the_reference["patch_embed"])
        x = tokens + network.image_encoder.pos_embed
        for index, block in enumerate(blocks):
            first, second = block.adapters
            stages[f"b{index}_ad1_conv"] = first.mixed(first.down(first.norm(x)))
            x1 = x + first(x)
            stages[f"b{index}_after_ad1"], stages[f"b{index}_qkv"] = x1, block.attn.qkv(block.norm1(x1))
            x2 = x1 + block.attended(x1)
            stages[f"b{index}_after_attn"], stages[f"b{index}_after_ad2"] = x2, x2 + second(x2)
            x = block(x)
            stages[f"b{index}_out"] = x
        stages["image_embeddings"] = network.image_encoder.from_tokens(tokens)
        stages["masks"] = network.decode(stages["image_embeddings"])
    for hook in hooks:
        hook.remove()
    return stages


@pytest.fixture(scope="module")
def the_boxed_embedding(a_box_model, the_reference):
    """The box network's embedding of the reference image, as of a stack of (128, 128, 5) voxels."""
    tokens = tokens_of(a_box_model, the_reference["image_u8"] / 255)
    with torch.inference_mode():
        embedding = a_box_model.network.image_encoder.from_tokens(tokens)
    return Embedding({"image_embedding": embedding}, Grid((128, 128, 5), np.diag([-0.8, 0.8, 3.0, 1.0])))


def test_patch_embeddings_are_the_original_networks(an_automatic_model, the_reference):
    tokens = tokens_of(an_automatic_model, the_reference["image_u8"] / 255)
    assert np.abs(tokens.numpy() - the_reference["patch_embed"]).max() < ENCODER_TOLERANCE


@pytest.mark.parametrize("name", [f"b{n}_{part}" for n in (0, 1) for part in ("after_ad1", "after_attn", "after_ad2")]
                         + [f"b{n}_out" for n in range(4)])  # fmt: skip
def test_every_block_is_the_original_networks(the_stages, the_reference, name):
    ours, wanted = the_stages[name][:, ::2, ::2].numpy(), the_reference[f"auto/{name}"]
    assert np.abs(ours - wanted).max() < ENCODER_TOLERANCE


@pytest.mark.parametrize("index", [0, 1])
def test_neighbors_across_the_slices_are_the_original_convolutions(the_stages, the_reference, index):
    ours = the_stages[f"b{index}_ad1_conv"].permute(3, 0, 1, 2)[None, :, :, ::2, ::2].numpy()
    assert np.abs(ours - the_reference[f"auto/b{index}_ad1_conv"]).max() < ENCODER_TOLERANCE


def test_folding_the_factors_gives_the_original_projections(the_stages, the_reference, the_delta):
    folded = the_stages["b1_qkv"][:, ::2, ::2].numpy()
    assert np.abs(folded - the_reference["auto/b1_qkv"]).max() < ENCODER_TOLERANCE
    assert np.abs(folded - the_reference["auto/b1_qkv_base"]).max() > 0.1
    first_window = the_stages["b0_qkv"][0, :7, :7][::2, ::2].numpy()
    assert np.abs(first_window - the_reference["auto/b0_qkv"][0]).max() < ENCODER_TOLERANCE


def test_the_image_embedding_is_the_original_networks(an_automatic_model, the_reference):
    tokens = tokens_of(an_automatic_model, the_reference["image_u8"] / 255)
    with torch.inference_mode():
        embedding = an_automatic_model.network.image_encoder.from_tokens(tokens)
    assert np.abs(embedding[:, ::2].numpy() - the_reference["auto/image_embeddings"]).max() < ENCODER_TOLERANCE


def test_the_decoder_is_the_original_networks(the_stages, the_reference):
    for name in ("hs", "upscaled_slice2", "keys_out"):
        assert np.abs(the_stages[name] - the_reference[f"auto/{name}"]).max() < LOGIT_TOLERANCE, name
    for n in range(4):
        assert np.abs(the_stages[f"hyper_{n}"] - the_reference[f"auto/hyper_{n}"]).max() < LOGIT_TOLERANCE


def test_logits_and_labels_are_the_original_networks(the_stages, the_reference):
    logits = the_stages["masks"].numpy()
    difference = np.abs(logits[:, :, ::4, ::4] - the_reference["auto/masks"])
    assert difference.max() < LOGIT_TOLERANCE
    assert difference.mean() < LOGIT_MEAN_TOLERANCE
    assert same_where_decided(logits, the_reference["auto/labels"])


def test_stacks_in_one_batch_do_not_see_each_other(an_automatic_model, the_reference):
    tokens = torch.from_numpy(the_reference["patch_embed"])
    with torch.inference_mode():
        alone = an_automatic_model.network.image_encoder.from_tokens(tokens)
        both = an_automatic_model.network.image_encoder.from_tokens(torch.cat([tokens.flip(0), tokens]))
    assert (both[5:] - alone).abs().max() < ENCODER_TOLERANCE


def test_boxes_give_the_original_networks_logits_and_labels(a_box_model, the_boxed_embedding, the_reference):
    boxes = torch.from_numpy(the_reference["box/boxes"][0])
    with torch.inference_mode():
        logits = a_box_model.network.decode(the_boxed_embedding.tensors["image_embedding"], boxes).numpy()
    difference = np.abs(logits[:, :, ::4, ::4] - the_reference["box/masks"])
    assert difference.max() < LOGIT_TOLERANCE
    assert difference.mean() < LOGIT_MEAN_TOLERANCE
    assert same_where_decided(logits, the_reference["box/labels"])


def test_a_box_in_voxels_is_the_same_rectangle_in_every_slice(a_box_model, the_boxed_embedding, the_reference):
    """The target's logit is the difference of the two classes', and voxels run the other way round."""
    x0, y0, x1, y1 = the_reference["box/boxes_same"][0, 0]
    low, high = np.array([127 - x1, 127 - y1, 0.8]) + 0.5, np.array([127 - x0, 127 - y0, 2.0]) + 0.5
    decoded = a_box_model.decode(the_boxed_embedding, boxed(low, high), None)
    wanted = np.subtract(*the_reference["box/masks_same_slice2"][::-1])
    assert np.abs(decoded.low_res_logits[::2, ::2, 2].T - wanted).max() < 2 * LOGIT_TOLERANCE
    voxels = a_box_model.to_voxels(decoded.low_res_logits, (128, 128, 5))
    assert np.array_equal(voxels[3, 20, 4], decoded.low_res_logits[124, 107, 4])
    assert decoded.quality is None


def test_boxes_are_decoded_each_by_itself(a_box_model, the_boxed_embedding):
    boxes = [boxed(np.array([a, 30.0, -1.0]), np.array([a + 25, 60.0, 9.0])) for a in (20.0, 70.0)]
    both = WindowPrompts(*NO_CLICKS, np.concatenate([prompts.boxes for prompts in boxes]))
    apart = [a_box_model.decode(the_boxed_embedding, prompts, None).low_res_logits for prompts in boxes]
    together = a_box_model.decode(the_boxed_embedding, both, None).low_res_logits
    assert np.allclose(together, np.maximum(*apart), atol=LOGIT_TOLERANCE)
    assert np.abs(apart[0] - apart[1]).max() > 0.1


def test_without_a_box_the_box_model_refuses(a_box_model, the_boxed_embedding):
    with pytest.raises(PromptError, match="draw one around the target"):
        a_box_model.decode(the_boxed_embedding, WindowPrompts(*NO_CLICKS, np.zeros((0, 8, 3))), None)


def test_the_box_model_refuses_other_stacks_and_holes(a_box_model):
    grid = Grid((20, 20, 4), np.eye(4))
    with pytest.raises(ModelError, match="looks at 5 slices at a time, not 4"):
        a_box_model.encode(WindowImage(np.ones(grid.shape, np.float32), grid))
    with pytest.raises(VolumeError, match="NaN or infinite"):
        a_box_model.encode(WindowImage(np.full((20, 20, 5), np.nan, np.float32), Grid((20, 20, 5), np.eye(4))))


def test_slices_of_any_size_come_back_on_their_own_voxels(a_box_model):
    x, y, z = np.indices((96, 141, 5))
    logits = (5 - np.hypot(x - 61, y - 37 - 3 * z)).astype(np.float32)
    low_res = a_box_model.to_low_res(logits)
    assert low_res.shape == (128, 128, 5)
    back = a_box_model.to_voxels(low_res, logits.shape)
    assert ((back > 0) != (logits > 0)).sum() <= 0.1 * (logits > 0).sum()
    whole = a_box_model.encode(WindowImage(1000 * logits, Grid(logits.shape, np.diag([1.0, 1.0, 3.0, 1.0]))))
    assert whole.tensors["image_embedding"].shape == (5, 64, 8, 8)


def test_stretching_embeddings_is_embedding_the_stretched_slices(an_automatic_model):
    """However steep the stretch: these gray values span 3 of 450 HU."""
    network, rule = an_automatic_model.network, ABDOMINAL_CT
    raw = np.random.default_rng(2).uniform(40, 43, (128, 128, 5))
    windowed = [rule.windowed(raw[:, :, k]) for k in range(5)]
    embedder = an_automatic_model.embedder
    tokens = embedder.of_stack([embedder.of_slice(pixels) for pixels in windowed], rule)
    stretched = rule.stretched(np.stack([pixels.T[::-1, ::-1] for pixels in windowed]))
    with torch.inference_mode():
        wanted = network.image_encoder.patch_embed(torch.from_numpy(stretched)[:, None].expand(-1, 3, -1, -1))
    assert (tokens - wanted).abs().max() < 5e-4  # float32 leaves 3e-5 of 255 in a windowed value, 150 times stretched


def test_each_slice_is_embedded_once_in_neighboring_stacks(an_automatic_model, monkeypatch):
    seen = []
    embed = an_automatic_model.embedder.of_slice
    monkeypatch.setattr(an_automatic_model.embedder, "of_slice", lambda pixels: seen.append(1) or embed(pixels))
    voxels = np.random.default_rng(0).normal(0, 100, (128, 128, 7)).astype(np.int16)
    reader = an_automatic_model.on(Volume(voxels, Grid(voxels.shape, np.diag([1.0, 1.0, 3.0, 1.0]))))
    for first in range(3):
        reader.tokens(range(first, first + 5))
    assert len(seen) == 7


def test_position_tables_are_resized_as_by_the_original_loading(an_automatic_model, the_reference):
    encoder = an_automatic_model.network.image_encoder
    assert np.abs(encoder.pos_embed.detach().numpy() - the_reference["pos_embed"]).max() < 1e-6
    tables = {f"rel_pos_{axis}_block{n}": getattr(encoder.blocks[n].attn, f"rel_pos_{axis}") for axis, n in
              (("h", 0), ("h", 1), ("w", 3))}  # fmt: skip
    for name, table in tables.items():
        assert np.abs(table.detach().numpy() - the_reference[name]).max() < 1e-6, name


def test_everything_is_read_off_the_shapes(an_automatic_model):
    assert an_automatic_model.network.all_sizes == MaSamSizes(
        SamSizes(
            image_size=128, width=48, depth=4, heads=4, window=7, global_blocks=(1, 3), prompt_width=64,
            decoder_hidden=128, mask_tokens=4, quality_hidden=64, upscaled=(16, 8, 4, 2),
        ),
        adapter_width=20,
    )  # fmt: skip
    assert an_automatic_model.spec.window.shape == (128, 128, 5)
    assert an_automatic_model.spec.classes == ("class 1", "class 2", "class 3")


def test_a_full_size_file_is_understood_from_its_shapes():
    shapes = json.loads((DATA / "full_size_keys.json").read_text())["vit_b_12cls"]
    with torch.device("meta"):
        adapted = {name: torch.zeros(shape) for name, shape in shapes.items()}
        state = merged(adapted, dict(SamNetwork(SamSizes()).state_dict()), name="epoch_159.pth")
        sizes = MaSamSizes(read_sizes(state), adapter_width=384)
        network = MaSamNetwork(sizes)
    assert {name: value.shape for name, value in network.state_dict().items()} == {
        name: value.shape for name, value in state.items()
    }
    assert sizes.sam == SamSizes(image_size=512, mask_tokens=13, upscaled=(64, 32, 16, 8))
    assert (len(shapes), sum(int(np.prod(shape)) for shape in shapes.values())) == (369, 30_142_617)
    adapters = sum(value.numel() for name, value in network.named_parameters() if ".adapters." in name)
    assert adapters == 24_818_688


def test_the_trainings_own_file_is_read(an_automatic_model, the_delta, tmp_path):
    """Its cores are `nn.Parameter`s among tensors; it may have been saved on a GPU, in half precision or not."""
    path = tmp_path / "epoch_159.pth"
    torch.save({key: nn.Parameter(value) if "FacTs" in key else value for key, value in the_delta.items()}, path)
    model = build_model("ma_sam", weights=path, base=BASE, device="cpu")
    ours, theirs = model.network.state_dict(), an_automatic_model.network.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())


def test_half_the_digits_change_the_answer_a_little_for_those_who_ask(an_automatic_model, the_reference):
    tokens = torch.from_numpy(the_reference["patch_embed"])
    files = {"weights": DATA / "delta_auto.safetensors", "base": BASE}
    rough_model = build_model("ma_sam", **files, device="cpu", precision="bfloat16")
    with torch.inference_mode():
        exact = an_automatic_model.network.embed(tokens)
        rough = rough_model.network.embed(tokens)
    assert rough.dtype == torch.float32
    assert 1e-3 < (rough - exact).abs().max() < 0.2 < exact.std()


def test_a_file_without_its_sam_is_refused_by_naming_it(tmp_path, the_delta):
    with pytest.raises(CheckpointError, match="holds only what MA-SAM adapted; give SAM's own checkpoint too"):
        build_model("ma_sam", weights=DATA / "delta_auto.safetensors", device="cpu")
    save_file({**the_delta, "image_encoder.FacTv.weight": torch.zeros(1280, 32)}, tmp_path / "huge.safetensors")
    with pytest.raises(CheckpointError, match=r"SAM's own checkpoint 'sam_vit_h_4b8939.pth' too"):
        build_model("ma_sam", weights=tmp_path / "huge.safetensors", device="cpu")


def test_a_file_of_another_backbone_is_refused(the_delta, tmp_path):
    wide = {**the_delta, "image_encoder.FacTv.weight": torch.zeros(768, 8)}
    deep = {**the_delta, "q_FacTs_004": torch.zeros(8, 8)}
    for name, adapted, title in (("wide", wide, r"ViT-B \(width 768, 4"), ("deep", deep, r"size \(width 48, 5")):
        save_file(adapted, tmp_path / f"{name}.safetensors")
        with pytest.raises(CheckpointError, match=f"adapts SAM .*{title} blocks.* but 'base_small.* 4 blocks"):
            build_model("ma_sam", weights=tmp_path / f"{name}.safetensors", base=BASE, device="cpu")


def test_files_of_other_families_are_refused():
    other = DATA.parent / "sam_med3d" / "small.safetensors"
    with pytest.raises(CheckpointError, match="is not of MA-SAM: it has no 'q_FacTs_000'"):
        build_model("ma_sam", weights=other, base=BASE, device="cpu")
    with pytest.raises(CheckpointError, match=r"'small.safetensors' is no SAM checkpoint; give SAM's own"):
        build_model("ma_sam", weights=DATA / "delta_auto.safetensors", base=other, device="cpu")


@pytest.mark.parametrize(
    ("lost", "says"),
    [
        ("image_encoder.ImageEncoderViT.blocks.2.Block.adapter_conv_2.bias", "blocks.2.adapters.1.here.bias"),
        ("v_FacTs_003", "does not fit together in block 3"),
        ("mask_decoder.mask_tokens.weight", "lacks parts of MA-SAM's network"),
    ],
)
def test_a_file_that_lacks_something_is_refused(the_delta, tmp_path, lost, says):
    save_file({key: value for key, value in the_delta.items() if key != lost}, tmp_path / "short.safetensors")
    with pytest.raises(CheckpointError, match=says):
        build_model("ma_sam", weights=tmp_path / "short.safetensors", base=BASE, device="cpu")


def test_a_truncated_file_is_refused(the_delta, tmp_path):
    path = tmp_path / "epoch_159.pth"
    torch.save(the_delta, path)
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(CheckpointError, match="is cut off; download it again"):
        build_model("ma_sam", weights=path, base=BASE, device="cpu")


class Payload:
    def __reduce__(self):
        return (print, ("run",))


def test_a_file_with_code_in_it_is_refused_unrun(the_delta, tmp_path, capsys):
    torch.save({**the_delta, "extra": Payload()}, tmp_path / "bad.pth")
    with pytest.raises(CheckpointError, match="carries code beside its weights"):
        build_model("ma_sam", weights=tmp_path / "bad.pth", base=BASE, device="cpu")
    assert capsys.readouterr().out == ""


def test_a_file_with_several_classes_is_refused_where_one_is_found():
    for name in ("ma_sam_prostate", "ma_sam_box"):
        with pytest.raises(CheckpointError, match=r"tells 3 classes apart, but .* finds one; choose 'ma_sam' for it"):
            build_model(name, weights=DATA / "delta_auto.safetensors", base=BASE, device="cpu")


def test_one_cannot_be_asked_for_in_place_of_the_other(an_automatic_model, a_box_model):
    with pytest.raises(ModelError, match="MA-SAM abdomen takes no prompts"):
        promptable(an_automatic_model)
    with pytest.raises(ModelError, match="MA-SAM with a box finds nothing by itself"):
        automatic(a_box_model)


class Unstretched(GrayRule):
    """Leaves a stack as it is."""

    def stretch_of(self, low: float, high: float) -> tuple[float, float]:
        return 1.0, 0.0


def tokens_of(model, pixels) -> torch.Tensor:
    """Patch embeddings of slices (n, rows, columns) that are the network's input already."""
    slices = [model.embedder.of_slice(rows[::-1, ::-1].T.astype(np.float32)) for rows in pixels]
    return model.embedder.of_stack(slices, Unstretched(0.0, 1.0))


def boxed(low, high) -> WindowPrompts:
    """An upright box between two corners, in window voxels."""
    corners = np.array([[(n >> axis) & 1 for axis in range(3)] for n in range(8)])
    return WindowPrompts(*NO_CLICKS, (low + corners * (np.asarray(high) - low))[None])


def same_where_decided(logits, labels) -> bool:
    ordered = np.sort(logits, axis=1)
    return np.array_equal(
        *(part[ordered[:, -1] - ordered[:, -2] > DECIDED] for part in (logits.argmax(axis=1), labels))
    )


def decoder_parts(network):
    decoder = network.mask_decoder
    heads = [(f"hyper_{n}", head) for n, head in enumerate(decoder.output_hypernetworks_mlps)]
    return [("transformer", decoder.transformer), ("upscaled", decoder.output_upscaling), *heads]


def keeping(stages, name):
    def keep(_module, _inputs, output):
        if name == "transformer":
            stages["hs"], stages["keys_out"] = output[0].numpy(), output[1][:, ::4].numpy()
        elif name == "upscaled":
            stages["upscaled_slice2"] = output[2][:, ::4, ::4].numpy()
        else:
            stages[name] = output.numpy()

    return keep


@pytest.fixture
def whole_bases(tmp_path):
    """The base with SAM's prompt encoder, as published files have it: under an automatic file it has not moved."""
    encoder, one_class = load_state_dict(BASE), load_state_dict(DATA / "delta_bbox.safetensors")
    kept = {key: value for key, value in one_class.items() if key.startswith("prompt_encoder.")}
    moved = {
        key: value + 0.02 * key.endswith(("embeddings.2.weight", "embeddings.3.weight")) for key, value in kept.items()
    }
    save_file({**encoder, **kept}, tmp_path / "unmoved.safetensors")
    save_file({**encoder, **moved}, tmp_path / "moved.safetensors")
    return tmp_path / "unmoved.safetensors", tmp_path / "moved.safetensors"


def test_a_file_trained_with_boxes_is_not_taken_as_the_automatic_one(whole_bases):
    weights, (unmoved, moved) = DATA / "delta_bbox.safetensors", whole_bases
    for name in ("ma_sam", "ma_sam_prostate"):
        with pytest.raises(CheckpointError, match=r"'delta_bbox.safetensors' was trained with boxes; .*ma_sam_box"):
            build_model(name, weights=weights, base=moved, device="cpu")
        with pytest.raises(CheckpointError, match=r"does not tell whether .* take SAM's whole checkpoint"):
            build_model(name, weights=weights, base=BASE, device="cpu")
        build_model(name, weights=weights, base=unmoved, device="cpu")


def test_a_file_trained_without_boxes_is_not_taken_as_the_one_with_them(whole_bases):
    weights, (unmoved, moved) = DATA / "delta_bbox.safetensors", whole_bases
    with pytest.raises(CheckpointError, match=r"'delta_bbox.safetensors' was trained without boxes; .*ma_sam_prostate"):
        build_model("ma_sam_box", weights=weights, base=unmoved, device="cpu")
    build_model("ma_sam_box", weights=weights, base=moved, device="cpu")
