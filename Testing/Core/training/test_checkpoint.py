"""What training writes can be read back, is small, and never replaces a good file by half of one."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from inference_core.errors import CheckpointError
from inference_core.models.blocks.conv3d import channels_last
from inference_core.models.sam3d_lite.network import LiteConfig, LiteNetwork
from inference_core.models.weights import load_state_dict, load_strict
from inference_core.training.checkpoint import load_training_state, save_content, save_mean, save_weights

TINY = LiteConfig(fine=8, middle=16, coarse=32, depth=1, heads=4, match=8, detail=8)


@pytest.fixture
def a_network() -> LiteNetwork:
    torch.manual_seed(0)
    return channels_last(LiteNetwork(TINY))


def test_weights_come_back_rounded_to_half_precision(tmp_path, a_network):
    path = tmp_path / "tiny.safetensors"
    save_weights(path, a_network.state_dict())
    assert {value.dtype for value in load_file(path).values()} == {torch.float16}
    other = LiteNetwork(TINY)
    load_strict(other, load_state_dict(path), name="a.pth")
    for name, value in a_network.state_dict().items():
        assert torch.equal(other.state_dict()[name], value.half().float())


def test_the_mean_of_two_runs_lies_half_way_between_them(tmp_path, a_network):
    runs = [tmp_path / "a.safetensors", tmp_path / "b.safetensors"]
    for factor, run in enumerate(runs, start=1):
        save_weights(run, {name: factor * torch.ones_like(value) for name, value in a_network.state_dict().items()})
    save_mean(tmp_path / "mean.safetensors", runs)
    mean = load_file(tmp_path / "mean.safetensors")
    assert mean.keys() == a_network.state_dict().keys()
    assert all(bool((value == 1.5).all()) for value in mean.values())


def test_runs_of_different_networks_have_no_mean(tmp_path, a_network):
    runs = [tmp_path / "a.safetensors", tmp_path / "b.safetensors"]
    save_weights(runs[0], a_network.state_dict())
    save_weights(runs[1], {"other": torch.zeros(2)})
    with pytest.raises(ValueError, match="one network"):
        save_mean(tmp_path / "mean.safetensors", runs)


def test_the_published_network_takes_less_than_ten_megabytes(tmp_path):
    path = tmp_path / "lite.safetensors"
    save_weights(path, LiteNetwork(LiteConfig()).state_dict())
    assert path.stat().st_size < 10_000_000


@pytest.fixture
def a_state(a_network) -> dict[str, Any]:
    average = {name: value + 0.125 for name, value in a_network.state_dict().items()}
    progress = {"step": 3, "samples": 6, "minutes": 0.5, "best": 0.25}
    tensors = {"network": a_network.state_dict(), "ema": average, "torch_rng": [torch.get_rng_state()]}
    return {**tensors, "optimizer": {}, "progress": progress}


def test_a_state_comes_back_in_full_precision_and_carries_no_code(tmp_path, a_state):
    save_content(tmp_path / "tiny.state.pt", a_state)
    state = torch.load(tmp_path / "tiny.state.pt", weights_only=True)
    assert load_training_state(tmp_path / "tiny.state.pt").keys() == state.keys() == a_state.keys()
    for name, value in a_state["network"].items():
        assert torch.equal(state["network"][name], value)
        assert torch.equal(state["ema"][name], a_state["ema"][name])


@pytest.mark.parametrize("missing", ["network", "optimizer", "torch_rng", "progress"])
def test_a_file_without_all_that_a_run_needs_is_refused(tmp_path, a_state, missing):
    save_content(tmp_path / "tiny.state.pt", {key: value for key, value in a_state.items() if key != missing})
    with pytest.raises(CheckpointError, match="start from its weights"):
        load_training_state(tmp_path / "tiny.state.pt")


def test_training_can_be_taken_up_from_weights_as_well_as_from_a_state(tmp_path, a_network, a_state):
    save_content(tmp_path / "tiny.state.pt", a_state)
    other = LiteNetwork(TINY)
    load_strict(other, load_state_dict(tmp_path / "tiny.state.pt"), name="a.pth")
    assert all(torch.equal(v, a_network.state_dict()[n]) for n, v in other.state_dict().items())
