"""Medical SAM Adapter's files: each generation is told by its names, nothing is made up, what is lacking is said."""

import numpy as np
import pytest
import torch

from inference_core.errors import CheckpointError
from inference_core.models.blocks.sam_attention import resized_table
from inference_core.models.medical_sam_adapter.checkpoint import Generation, generation_of, read_checkpoint
from inference_core.models.medical_sam_adapter.model import build
from inference_core.models.registry import get_spec

TOLERANCE = 5e-5
DECODER_MLP = ".mlp.layers.0.0."


@pytest.fixture
def a_file(tmp_path):
    """Writes a state as a training checkpoint."""

    def write(state, name="best_dice_checkpoint.pth"):
        torch.save({"epoch": 6, "model": "sam", "state_dict": state, "best_tol": 0.0}, tmp_path / name)
        return tmp_path / name

    return write


@pytest.fixture(scope="module")
def the_base(the_adapted_sam_state, the_generation_d_state, tmp_path_factory):
    """A SAM whose table of positions is as large as the official one's."""
    path = tmp_path_factory.mktemp("base") / "sam_small.pth"
    positions = {"image_encoder.pos_embed": the_generation_d_state["image_encoder.pos_embed"]}
    torch.save({**the_adapted_sam_state, **positions}, path)
    return path


@pytest.fixture(scope="module")
def the_adapters(the_adapter_references):
    return the_adapter_references / "adapters_128.safetensors"


@pytest.fixture
def a_state(the_generation_d_state):
    """A copy of generation D's state, to be spoilt."""
    return dict(the_generation_d_state)


def read(path, base=None, *, image_size=1024, deep=False):
    return read_checkpoint(path, base, image_size=image_size, deep=deep)


def built(path, base=None, *, name="medical_sam_adapter"):
    return build(get_spec(name), path, "cpu", base=base)


def embedding_of(model, io):
    with torch.inference_mode():
        return model.network.image_encoder(torch.from_numpy(io["2d/image"])).numpy()


def without_tables(state):
    return {key: value for key, value in state.items() if ".attn.rel_" not in key}


@pytest.mark.parametrize(
    ("names", "generation"),
    [
        ("rel_pos_ original", Generation.A),
        ("rel_pos_ residual", Generation.B),
        ("residual", Generation.C),
        ("rel_ residual", Generation.D),
    ],
)
def test_a_generation_is_told_by_the_names_in_its_files(the_2023_state, the_generation_d_state, names, generation):
    tables = {key: value for state in (the_2023_state, the_generation_d_state) for key, value in state.items()
              if f".attn.{names.split()[0]}" in key and key[-2:] in ("_h", "_w")}  # fmt: skip
    if names.startswith("rel_ "):
        tables = {key: value for key, value in tables.items() if "rel_pos" not in key}
    body = the_generation_d_state if "residual" in names else the_2023_state
    rest = {key: value for key, value in body.items() if ".attn.rel_" not in key}
    assert generation_of(rest | tables) is generation


def test_the_training_scripts_own_checkpoint_gives_the_original_embedding(a_file, a_state, the_adapter_io):
    model = built(a_file(a_state))
    assert model.spec.window.shape == (128, 128, 1)
    assert np.abs(embedding_of(model, the_adapter_io) - the_adapter_io["2d/embedding"]).max() < TOLERANCE


def test_a_checkpoint_of_2023_from_several_gpus_gives_the_original_embedding(a_file, the_2023_state, the_adapter_io):
    model = built(a_file({f"module.{key}": value for key, value in the_2023_state.items()}))
    assert np.abs(embedding_of(model, the_adapter_io) - the_adapter_io["y2023/2d/embedding"]).max() < TOLERANCE


def test_tables_of_zeros_are_let_go(a_file, a_state, the_adapter_io):
    zero = {key: 0 * value if ".attn.rel_" in key else value for key, value in a_state.items()}
    model = built(a_file(zero))
    assert not any("rel_pos" in key for key in model.network.state_dict())
    assert np.abs(embedding_of(model, the_adapter_io)[:, ::4] - the_adapter_io["rel_zero/embedding"]).max() < TOLERANCE


def test_adapters_and_decoder_are_laid_over_the_sam_they_adapted(a_file, a_state, the_base, the_adapter_io):
    """What training froze is SAM's; that generation's tables of relative positions were zero."""
    trained = {key: value for key, value in a_state.items() if "_Adapter" in key or key.startswith("mask_decoder.")}
    model = built(a_file(trained, "trained_128.pth"), the_base)
    assert not any("decoder" in caution for caution in model.spec.cautions)
    found = model.network.mask_decoder.transformer.layers[0].mlp.lin1.weight
    assert torch.equal(found, a_state["mask_decoder.transformer.layers.0.mlp.layers.0.0.weight"])
    assert np.abs(embedding_of(model, the_adapter_io)[:, ::4] - the_adapter_io["rel_zero/embedding"]).max() < TOLERANCE


def test_adapters_alone_are_used_with_sams_decoder_and_say_so(
    the_adapters, the_base, the_adapted_sam_state, the_adapter_io
):
    checkpoint = read(the_adapters, the_base)
    assert checkpoint.generation is Generation.ADAPTERS
    assert not checkpoint.sizes.residual
    key = "mask_decoder.transformer.layers.0.mlp.lin1.weight"
    assert torch.equal(checkpoint.state[key], the_adapted_sam_state[key])
    (caution, _) = checkpoint.cautions
    assert "the 120 tensors of the mask decoder ('mask_decoder." in caution
    assert "SAM's own and not those trained with these adapters" in caution
    model = built(the_adapters, the_base)
    assert model.spec.cautions == checkpoint.cautions
    assert np.abs(embedding_of(model, the_adapter_io)[:, ::4] - the_adapter_io["rel_zero/embedding"]).max() < TOLERANCE


def test_adapters_alone_without_sam_are_refused(the_adapters):
    with pytest.raises(CheckpointError, match=r"'adapters_128.safetensors' holds only what .*of width 64\) too"):
        built(the_adapters)


def test_a_base_that_is_no_sam_is_refused(the_adapters, the_sam_med3d_references):
    with pytest.raises(CheckpointError, match=r"'generation_d.safetensors' is no SAM checkpoint"):
        built(the_adapters, the_adapters.with_name("generation_d.safetensors"))


def test_a_base_of_another_size_is_refused(a_file, a_state, the_base):
    wider = {key: torch.zeros(192, 768) if key.endswith("fc1.weight") else value
             for key, value in a_state.items() if "_Adapter" in key}  # fmt: skip
    with pytest.raises(CheckpointError, match=r"a SAM of width 768 but 'sam_small.pth' is 64 wide; give .*sam_vit_b"):
        built(a_file(wider), the_base)


@pytest.mark.parametrize("over", [False, True], ids=["alone", "over a base"])
def test_decoder_mlps_are_never_made_up(a_file, a_state, the_base, over):
    lacking = {key: value for key, value in a_state.items() if DECODER_MLP not in key and ".mlp.fc." not in key}
    if over:
        lacking = {key: value for key, value in lacking.items() if key != "image_encoder.pos_embed"}
    with pytest.raises(CheckpointError, match=r"lacks the MLPs of the mask decoder"):
        built(a_file(lacking), the_base)


def test_a_file_that_mixes_generations_is_refused(a_file, the_2023_state):
    mixed = {key.replace(".rel_pos_", ".rel_"): value for key, value in the_2023_state.items()}
    with pytest.raises(CheckpointError, match="mixes the names of different generations"):
        built(a_file(mixed))


def test_a_file_trained_with_lora_is_refused(a_file, a_state):
    lora = {key: value for key, value in a_state.items() if "_Adapter" not in key}
    lora["image_encoder.blocks.0.attn.qkv.lora_A"] = torch.zeros(4, 64)
    with pytest.raises(CheckpointError, match="trained with LoRA in place of adapters"):
        built(a_file(lora))


def test_adapters_in_another_image_encoder_are_refused(a_file):
    other = {"image_encoder.layers.1.blocks.0.Space_Adapter.D_fc1.weight": torch.ones(16, 64)}
    with pytest.raises(CheckpointError, match="in another image encoder than SAM's ViT"):
        built(a_file(other))


@pytest.mark.parametrize("family", ["sam", "sam_med3d"])
def test_a_file_of_another_family_is_refused(family, the_sam_references, the_sam_med3d_references):
    folder = {"sam": the_sam_references, "sam_med3d": the_sam_med3d_references}[family]
    with pytest.raises(CheckpointError, match=r"is not of Medical SAM Adapter: it has no '.*MLP_Adapter"):
        built(folder / "small.safetensors")


def test_a_file_without_some_adapters_is_refused(a_file, a_state):
    lacking = {key: value for key, value in a_state.items() if "blocks.2.Depth_Adapter" not in key}
    with pytest.raises(CheckpointError, match=r"lacks 'image_encoder.blocks.2.Depth_Adapter"):
        built(a_file(lacking))


def test_a_cut_off_file_is_refused(a_file, a_state):
    path = a_file(a_state)
    path.write_bytes(path.read_bytes()[:200_000])
    with pytest.raises(CheckpointError, match="download it again"):
        built(path)


def test_code_in_a_file_is_refused_and_not_run(tmp_path):
    class Harm:
        def __reduce__(self):
            return (open, (str(tmp_path / "harmed"), "w"))

    torch.save({"state_dict": Harm()}, tmp_path / "harmful.pth")
    with pytest.raises(CheckpointError, match="carries code"):
        built(tmp_path / "harmful.pth")
    assert not (tmp_path / "harmed").exists()


@pytest.mark.parametrize(
    ("name", "size", "told"),
    [("Melanoma_Photo_SAM_256.pth", 256, True), ("isic_2018.pth", 512, False), ("best.pth", 512, False)],
)
def test_without_tables_the_input_size_is_that_in_the_files_name(a_file, a_state, name, size, told):
    checkpoint = read(a_file(without_tables(a_state), name), image_size=512)
    assert checkpoint.sizes.sam.image_size == size
    assert checkpoint.state["image_encoder.pos_embed"].shape == (1, size // 16, size // 16, 64)
    assert any("does not tell the size" in caution and "512" in caution for caution in checkpoint.cautions) != told


def test_tables_tell_the_input_size_whatever_the_files_name_says(a_file, a_state):
    assert read(a_file(a_state, "run_512.pth")).sizes.sam.image_size == 128


def test_official_sizes_are_taken_where_no_table_tells_them(a_file, a_state):
    sizes = read(a_file(without_tables(a_state))).sizes
    assert (sizes.sam.window, sizes.sam.global_blocks, sizes.tables) == (14, (0, 1, 2, 3), None)


def test_tables_made_for_another_input_are_resampled_as_in_january_2024(
    a_file, a_state, the_2023_state, the_adapter_io
):
    """Generation B keeps the tables of the size SAM was trained at, whatever the size of the input."""
    longer = {key: resized_table(value, 31) if len(value) == 15 else value
              for key, value in the_2023_state.items() if ".rel_pos_" in key}  # fmt: skip
    shorter = {key: resized_table(value, 15) if len(value) == 31 else value for key, value in longer.items()}
    found, wanted = (built(a_file(without_tables(a_state) | tables, "run_128.pth")) for tables in (longer, shorter))
    assert found.network.image_encoder.blocks[1].attn.rel_pos_h.shape == (31, 16)
    assert found.spec.window.shape == wanted.spec.window.shape == (128, 128, 1)
    ours, theirs = embedding_of(found, the_adapter_io), embedding_of(wanted, the_adapter_io)
    assert np.abs(ours - theirs).max() < TOLERANCE


def test_adapters_through_depth_tell_how_a_file_was_trained(a_file, a_state):
    drawn = {
        key: torch.rand_like(value).mul(2).sub(1) / value.shape[-1] ** 0.5 if "Depth_Adapter" in key else value
        for key, value in a_state.items()
    }
    cautions = {
        (trained, deep): read(a_file(state), deep=deep).cautions
        for trained, state in (("deep", a_state), ("flat", drawn))
        for deep in (False, True)
    }
    assert cautions["deep", True] == cautions["flat", False] == ()
    assert "choose a 3D model of this family" in cautions["deep", False][0]
    assert "choose a 2D model of this family" in cautions["flat", True][0]
