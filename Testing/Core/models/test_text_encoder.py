"""Reading a text encoder's folder, and what is wrong with one that cannot be used."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from support.text_encoders import write_text_encoder

from inference_core.errors import CheckpointError
from inference_core.models.text_encoder import CONFIG, TOKENIZER, WEIGHTS, read_text_encoder


@pytest.fixture
def a_folder(tmp_path):
    pytest.importorskip("tokenizers")
    return write_text_encoder(tmp_path / "clip")


def test_texts_become_embeddings_of_length_one_that_differ(a_folder) -> None:
    encoder = read_text_encoder(a_folder)
    found = encoder.embed(["the left ball", "the right ball", "The LEFT ball"])

    assert found.shape == (3, encoder.width) == (3, 16)
    assert torch.allclose(found.norm(dim=1), torch.ones(3))
    assert (found[0] - found[1]).abs().max() > 0.01
    assert torch.equal(found[0], found[2]), "case is the tokenizer's matter, and this one lowers it"


def test_a_long_text_is_cut_and_keeps_its_end(a_folder) -> None:
    found = read_text_encoder(a_folder).embed(["ball " * 50, "ball " * 14])
    assert torch.allclose(found[0], found[1])


def test_pytorch_files_are_read_too(a_folder) -> None:
    wanted = read_text_encoder(a_folder).embed(["ball"])
    torch.save(load_file(a_folder / WEIGHTS[0]), a_folder / WEIGHTS[1])
    (a_folder / WEIGHTS[0]).unlink()
    assert torch.equal(read_text_encoder(a_folder).embed(["ball"]), wanted)


@pytest.mark.parametrize("name", [CONFIG, TOKENIZER, WEIGHTS[0]])
def test_a_missing_file_is_named(a_folder, name) -> None:
    (a_folder / name).unlink()
    with pytest.raises(CheckpointError, match=f"lacks '{name}'"):
        read_text_encoder(a_folder)


def test_other_towers_and_damaged_files_are_refused(a_folder) -> None:
    config = json.loads((a_folder / CONFIG).read_text())
    config["model_cfg"]["text_cfg"]["hf_model_name"] = "bert"
    (a_folder / CONFIG).write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=r"not CLIP's own transformer \('hf_model_name'\)"):
        read_text_encoder(a_folder)
    (a_folder / CONFIG).write_text("[]")
    with pytest.raises(CheckpointError, match="no configuration of a CLIP"):
        read_text_encoder(a_folder)


def test_a_tokenizer_of_other_weights_is_refused(a_folder, tmp_path) -> None:
    larger = write_text_encoder(tmp_path / "larger", words=[f"word{n}" for n in range(99)])
    (a_folder / TOKENIZER).write_text((larger / TOKENIZER).read_text())
    with pytest.raises(CheckpointError, match="of another vocabulary"):
        read_text_encoder(a_folder)
    (a_folder / TOKENIZER).write_text("{")
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_text_encoder(a_folder)


def test_weights_that_lack_a_layer_are_refused(a_folder) -> None:
    state = load_file(a_folder / WEIGHTS[0])
    state.pop("transformer.resblocks.1.ln_1.weight")
    save_file(state, a_folder / WEIGHTS[0])
    with pytest.raises(CheckpointError, match=r"resblocks\.1\.ln_1\.weight"):
        read_text_encoder(a_folder)
