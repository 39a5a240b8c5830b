"""What is told of a checkpoint of 3DSAM-adapter before it is used on a patient."""

from dataclasses import replace

import pytest
import torch

from inference_core.models.registry import get_spec
from inference_core.models.sam3d_adapter.check_memory import remembered_check
from inference_core.models.sam3d_adapter.model import build
from inference_core.models.sam3d_adapter.network import Sam3DAdapterConfig, Sam3DAdapterNetwork
from inference_core.models.sam3d_adapter.self_check import (
    OrderCheck,
    check_order,
    order_caution,
    synthetic_lesion,
    training_cautions,
)
from inference_core.models.store import FOLDER_VARIABLE
from inference_core.models.weights import load_state_dict

NORM = "transformer.layers.0.norm1.weight"
SMALL = Sam3DAdapterConfig(
    grid=8, width=24, heads=3, cube=4, rows=4 * (13, 7, 31), out=16, prompt_heads=4, prompt_hidden=32, head=8
)


@pytest.fixture(scope="module")
def the_small_state(the_tumor_references):
    return load_state_dict(the_tumor_references / "small.safetensors")


@pytest.fixture(scope="module")
def a_sound_state(the_small_state):
    """What the published training leaves behind: scales of one, and three prompt encoders as they were drawn."""
    scales = {key: torch.ones(()) for key in the_small_state if key.endswith(".attn.lr")}
    return {**the_small_state, **scales, **{f"feature_dict.{n}.{NORM}": torch.ones(16) for n in range(3)}}


@pytest.fixture(scope="module")
def a_network_of_the_old_order():
    """Taught the synthetic lesions with its maps reversed, the clicks on the shallowest, as before August 2023."""
    torch.manual_seed(1)
    network = Sam3DAdapterNetwork(SMALL)
    cases = [synthetic_lesion(16, contrast=contrast) for contrast in (-1.2, 1.2)]
    with torch.no_grad():
        maps = [network.encoder(image)[::-1] for image, _, _ in cases]
    taught = [*network.decoder.parameters(), *network.prompt_encoder.parameters()]
    optimizer = torch.optim.Adam(taught, lr=2e-2)
    for step in range(70):
        image, target, click = cases[step % 2]
        *others, last = maps[step % 2]
        logits = network.decoder([*others, network.prompt_encoder(last, click)], image)
        probability = logits.softmax(dim=1)[0, 1]
        loss = -2 * (probability * target).sum() / (probability.sum() + target.sum())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network.eval()


def test_a_network_of_the_old_order_is_found_out(a_network_of_the_old_order):
    found = check_order(a_network_of_the_old_order)
    assert found.reversed > 0.6
    assert found.published < found.reversed - 0.25
    (caution,) = order_caution(found)
    assert "used before August 2023" in caution


def test_a_network_that_finds_the_lesion_in_the_published_order_is_not_spoken_of():
    assert order_caution(OrderCheck(published=0.7, reversed=0.75)) == ()
    assert order_caution(OrderCheck(published=0.15, reversed=0.2)) == ()


def test_a_network_that_finds_nothing_is_spoken_of():
    (caution,) = order_caution(OrderCheck(published=0.01, reversed=0.15))
    assert "does not find a synthetic lesion (overlap 0.01)" in caution


def test_the_published_training_leaves_nothing_to_say(a_sound_state):
    assert training_cautions(a_sound_state) == ()


def test_a_flat_file_may_lack_what_is_never_used(a_sound_state):
    used = {key: value for key, value in a_sound_state.items() if not key.startswith("feature_dict.1")}
    assert training_cautions(used) == ()


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        (f"feature_dict.1.{NORM}", torch.full((16,), 1.01), "Prompt encoders 1 of this file were trained"),
        (f"feature_dict.3.{NORM}", torch.ones(16), "clicks mean nothing to it"),
        ("encoder_dict.depth_embed", torch.ones(1, 8, 32), "depth positions of this file were never trained"),
        ("encoder_dict.blocks.5.attn.lr", torch.tensor(0.9), "attention's scales of this file were trained"),
    ],
)
def test_another_training_shows_in_the_tensors(a_sound_state, key, value, said):
    (caution,) = training_cautions({**a_sound_state, key: value})
    assert said in caution


def test_a_loaded_model_carries_the_cautions_of_its_file(the_tumor_references, a_sound_state, tmp_path):
    """The reference network has random weights: its scales are not ones, and it finds no lesion."""
    spec = get_spec("sam3d_adapter_colon")
    (first,) = build(spec, the_tumor_references / "small.safetensors", "cpu").spec.cautions
    assert "scales" in first
    torch.save(a_sound_state, tmp_path / "sound.pth")
    model = build(spec, tmp_path / "sound.pth", "cpu")
    assert model.spec.cautions == order_caution(check_order(model.network))
    assert replace(model.spec, cautions=(), window=spec.window) == spec


@pytest.mark.parametrize("contrast", [-1.2, 1.2])
def test_the_synthetic_lesion_is_where_the_click_is(contrast):
    image, target, click = synthetic_lesion(64, contrast=contrast)
    assert target[tuple(click[0].long())]
    assert 0.01 < target.float().mean() < 0.05
    assert abs(image[0, 0][target].mean() - image[0, 0, 32, 20, 32 - 12] - contrast) < 1


def test_a_file_is_checked_once_and_again_when_it_is_another(tmp_path, monkeypatch):
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "models"))
    weights, runs = tmp_path / "last.pth.tar", []

    def check() -> OrderCheck:
        runs.append(1)
        return OrderCheck(0.5, 0.25)

    for content, expected in ((b"one", 1), (b"one", 1), (b"two", 2), (b"one", 2)):
        weights.write_bytes(content)
        assert remembered_check(weights, check) == OrderCheck(0.5, 0.25)
        assert len(runs) == expected


@pytest.mark.parametrize("notes", ["", "[1]", '{"x": 3}', "{"])
def test_damaged_notes_are_no_hindrance(tmp_path, monkeypatch, notes):
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    (tmp_path / "sam3d_adapter_checks.json").write_text(notes)
    (tmp_path / "w").write_bytes(b"w")
    assert remembered_check(tmp_path / "w", lambda: OrderCheck(0.5, 0.25)).published == 0.5
