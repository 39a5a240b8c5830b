import argparse
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from inference_core.errors import CheckpointError
from inference_core.models import mapped_weights
from inference_core.models.weights import (
    load_content,
    load_state_dict,
    load_strict,
    sha256_of,
    shapes_only,
    verify_sha256,
)


class Payload:
    """Unpickled without care, it runs a command of the file's choosing."""

    def __reduce__(self):
        return print, ("the file's own code ran",)


@pytest.fixture
def a_network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))


@pytest.fixture
def a_state(a_network):
    return dict(a_network.state_dict())


WRAPPERS = [
    pytest.param(lambda state: state, id="bare"),
    pytest.param(lambda state: {"state_dict": state, "epoch": 2}, id="state_dict"),
    pytest.param(lambda state: {"model_state_dict": state, "optimizer_state_dict": {"lr": 1}}, id="model_state_dict"),
    pytest.param(lambda state: {"model": {"state_dict": state}}, id="nested"),
    pytest.param(lambda state: {f"module.{name}": value for name, value in state.items()}, id="data parallel"),
    pytest.param(lambda state: {"state_dict": state, "args": argparse.Namespace(lr=1e-3)}, id="with options"),
]


@pytest.mark.parametrize("wrap", WRAPPERS)
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_weights_are_found_under_what_training_scripts_wrap_them_in(a_state, tmp_path, wrap, zipped):
    path = tmp_path / "weights.pth"
    torch.save(wrap(a_state), path, _use_new_zipfile_serialization=zipped)
    loaded = load_state_dict(path)
    assert loaded.keys() == a_state.keys()
    assert all(torch.equal(loaded[name], a_state[name]) for name in a_state)


def test_safetensors_in_half_precision_are_widened_and_integers_kept(a_state, tmp_path):
    half = {name: value.half() if value.is_floating_point() else value for name, value in a_state.items()}
    save_file(half, tmp_path / "weights.safetensors")
    loaded = load_state_dict(tmp_path / "weights.safetensors")
    assert loaded["0.weight"].dtype == torch.float32
    assert loaded["1.num_batches_tracked"].dtype == torch.int64
    assert torch.equal(loaded["0.weight"], a_state["0.weight"].half().float())


def test_code_in_a_checkpoint_is_refused_and_not_run(a_state, tmp_path, capfd):
    torch.save({"state_dict": a_state, "hook": Payload()}, tmp_path / "weights.pth")
    with pytest.raises(CheckpointError, match=r"'weights.pth' carries code"):
        load_state_dict(tmp_path / "weights.pth")
    assert "code ran" not in capfd.readouterr().out


def test_a_plain_pickle_is_refused_and_not_run(tmp_path, capfd):
    (tmp_path / "weights.pth").write_bytes(pickle.dumps(Payload(), protocol=2))
    with pytest.raises(CheckpointError, match=r"carries code|damaged"):
        load_state_dict(tmp_path / "weights.pth")
    assert "code ran" not in capfd.readouterr().out


@pytest.mark.parametrize("share", [0.02, 0.5, 0.99])
@pytest.mark.parametrize("kind", ["zip.pth", "legacy.pth", "tensors.safetensors"])
def test_a_cut_off_file_is_refused(a_state, tmp_path, kind, share):
    path = tmp_path / kind
    if kind.endswith("safetensors"):
        save_file(a_state, path)
    else:
        torch.save(a_state, path, _use_new_zipfile_serialization=kind == "zip.pth")
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(CheckpointError, match=r"download it again\.$") as refusal:
        load_state_dict(path)
    assert path.name in str(refusal.value)


@pytest.mark.parametrize("name", ["weights.pth", "weights.pt", "weights.safetensors"])
@pytest.mark.parametrize(
    "content",
    [b"", b"<html>404</html>", bytes(range(256)) * 40, b"PK\x03\x04 and no more"],
    ids=["empty", "html", "noise", "zip"],
)
def test_a_file_that_holds_no_weights_is_refused(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError, match="download it again"):
        load_state_dict(tmp_path / name)


@pytest.mark.parametrize("content", [{}, {"epoch": 3}, [torch.zeros(2)], torch.zeros(2), {"state_dict": {"a": 1.0}}])
def test_a_checkpoint_without_weights_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "empty.pth")
    with pytest.raises(CheckpointError, match="holds no weights"):
        load_state_dict(tmp_path / "empty.pth")


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    for path in (tmp_path / "absent.pth", tmp_path):
        with pytest.raises(CheckpointError, match="There is no weights file"):
            load_state_dict(path)


def test_keys_of_another_model_are_named_from_both_sides(a_network):
    state = {f"layer{n}.weight": torch.zeros(1) for n in range(5)}
    with pytest.raises(CheckpointError) as refusal:
        load_strict(a_network, state, name="other.pth")
    message = str(refusal.value)
    assert "'other.pth' is of another model" in message
    assert "lacks '0.weight', '0.bias', '1.weight' and 4 more" in message
    assert "has 'layer0.weight', 'layer1.weight', 'layer2.weight' and 2 more" in message


def test_a_single_missing_or_surplus_key_is_refused(a_network, a_state):
    with pytest.raises(CheckpointError, match=r"lacks nothing and has 'extra'"):
        load_strict(a_network, {**a_state, "extra": torch.zeros(1)}, name="a.pth")
    del a_state["0.bias"]
    with pytest.raises(CheckpointError, match=r"lacks '0.bias' and has nothing"):
        load_strict(a_network, a_state, name="a.pth")


def test_a_wrong_shape_is_refused_and_nothing_is_loaded(a_network, a_state):
    before = a_network[0].weight.clone()
    state = {name: value + 1 for name, value in a_state.items()}
    state["1.running_mean"] = torch.zeros(5)
    with pytest.raises(CheckpointError, match=r"'1.running_mean' is \(5,\) instead of \(4,\)"):
        load_strict(a_network, state, name="a.pth")
    assert torch.equal(a_network[0].weight, before)


def test_foreign_names_are_renamed_by_a_table(a_network, a_state):
    foreign = {name.replace("0.", "sam.fc.").replace("1.", "sam.norm."): value + 1 for name, value in a_state.items()}
    load_strict(a_network, foreign, renames=((r"^sam\.", ""), (r"^fc\.", "0."), (r"^norm\.", "1.")), name="a.pth")
    assert torch.equal(a_network[0].weight, a_state["0.weight"])
    assert torch.equal(a_network.state_dict()["0.bias"], foreign["sam.fc.bias"])


def test_names_that_fall_together_when_renamed_are_refused(a_network, a_state):
    doubled = {**a_state, "x.0.weight": a_state["0.weight"]}
    with pytest.raises(CheckpointError, match="of another model"):
        load_strict(a_network, doubled, renames=((r"^x\.", ""),), name="a.pth")


def test_a_network_without_memory_gets_it_when_loaded(a_state):
    with torch.device("meta"):
        network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    load_strict(network, a_state, name="a.pth")
    assert all(torch.equal(value, a_state[name]) for name, value in network.state_dict().items())


def test_the_published_hash_is_verified(tmp_path):
    path = tmp_path / "weights.pth"
    path.write_bytes(b"abc")
    published = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256_of(path) == published
    verify_sha256(path, published.upper())
    path.write_bytes(b"abd")
    with pytest.raises(CheckpointError, match=r"not the published file .*expected ba7816bf8f01"):
        verify_sha256(path, published)


def written_to_disk(state, path):
    save_file(state, path) if path.suffix == ".safetensors" else torch.save(state, path)
    return path


@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
def test_loaded_weights_are_the_callers_own_and_outlast_the_file(a_state, tmp_path, name):
    path = written_to_disk(a_state, tmp_path / name)
    loaded = load_state_dict(path)
    path.write_bytes(b"")
    assert all(torch.equal(loaded[key], a_state[key]) for key in a_state)
    loaded["0.weight"].zero_()


def test_views_of_one_tensor_and_turned_ones_are_read_as_they_are(tmp_path):
    whole = torch.arange(24.0).reshape(4, 6)
    state = {"rows": whole[1:3], "turned": whole.T, "number": torch.tensor(7.0), "none": torch.tensor(True)}
    torch.save(state, tmp_path / "views.pth")
    loaded = load_state_dict(tmp_path / "views.pth")
    assert all(torch.equal(loaded[key], state[key]) for key in state)
    assert all(value.is_contiguous() for value in loaded.values())


@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
def test_weights_are_read_where_the_system_does_not_tell_what_is_mapped(a_state, tmp_path, monkeypatch, name):
    monkeypatch.setattr(mapped_weights, "_MAPS", tmp_path / "absent")
    path = written_to_disk(a_state, tmp_path / name)
    loaded = load_state_dict(path)
    assert all(torch.equal(loaded[key], a_state[key]) for key in a_state)


@pytest.mark.skipif(not mapped_weights._MAPS.is_file(), reason="only Linux tells what is mapped")
def test_nothing_of_a_mapped_file_is_touched_but_its_head(tmp_path):
    state = {"weight": torch.ones(4_000_000), "other": torch.ones(4_000_000)}
    path = written_to_disk(state, tmp_path / "weights.safetensors")
    content = load_content(path)
    with mapped_weights.mapped_weights(path) as file:
        own = file.taken(content["weight"])
    assert torch.equal(own, torch.ones(4_000_000))
    resident = [mapping for mapping in Path("/proc/self/smaps").read_text().split("VmFlags") if str(path) in mapping]
    kilobytes = sum(int(line.split()[1]) for part in resident for line in part.splitlines() if line.startswith("Rss"))
    assert resident
    assert kilobytes < 2000


def test_a_network_of_shapes_takes_the_tensors_themselves(a_state):
    with shapes_only():
        network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    load_strict(network, a_state, name="a.pth")
    assert network[0].weight.data_ptr() == a_state["0.weight"].data_ptr()
    assert network[0].weight.requires_grad
    assert not network[1].running_mean.requires_grad


def test_doubles_become_what_the_network_computes_in(a_state):
    with shapes_only():
        network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    doubles = {key: value.double() if value.is_floating_point() else value for key, value in a_state.items()}
    load_strict(network, doubles, name="a.pth")
    assert {value.dtype for value in network.parameters()} == {torch.float32}
