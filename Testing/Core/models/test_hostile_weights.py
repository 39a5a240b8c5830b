"""Weights files that are wrong, by purpose or accident: refused in a sentence that names the file, or read rightly."""

import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from inference_core.errors import CheckpointError
from inference_core.models.registry import all_specs, build_model, get_spec
from inference_core.models.store import installed_path
from inference_core.models.weights import load_state_dict

ABOUT = "weights.pth"
DATA = Path(__file__).parents[2] / "Data"


@pytest.fixture
def a_state():
    torch.manual_seed(0)
    return dict(nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)).state_dict())


@pytest.fixture
def save(tmp_path):
    def saved(content, name=ABOUT, **how):
        torch.save(content, tmp_path / name, **how)
        return tmp_path / name

    return saved


def repacked(path, *, compression=zipfile.ZIP_STORED, change=lambda _name, data: data):
    """The same archive with its members changed or compressed."""
    with zipfile.ZipFile(path) as archive:
        members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in members:
            archive.writestr(name, change(name, data))
    return path


def assert_same(loaded, state):
    assert loaded.keys() == state.keys()
    assert all(torch.equal(loaded[name], state[name]) for name in state)


def test_an_archive_packed_anew_without_compression_is_read(a_state, save):
    assert_same(load_state_dict(repacked(save(a_state))), a_state)


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_compressed_members_are_refused_and_not_read_as_other_numbers(a_state, save, compression):
    with pytest.raises(CheckpointError, match=rf"'{ABOUT}' is compressed .* torch\.save"):
        load_state_dict(repacked(save(a_state), compression=compression))


def test_a_compressed_bomb_is_refused_before_it_is_inflated(save):
    path = repacked(save({"weight": torch.zeros(50_000_000)}), compression=zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 10**6
    with pytest.raises(CheckpointError, match="is compressed"):
        load_state_dict(path)


def test_a_member_shorter_than_its_tensor_is_refused(save):
    path = save({"a": torch.arange(400.0), "b": torch.arange(800.0)})
    short = repacked(path, change=lambda name, data: data[:-400] if name.endswith("data/0") else data)
    with pytest.raises(CheckpointError, match=rf"'{ABOUT}' is damaged"):
        load_state_dict(short)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("kind", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_weights_that_are_not_finite_are_refused_by_name(a_state, save, tmp_path, bad, kind):
    a_state["0.weight"][1, 2] = bad
    a_state = {name: value.to(kind) if value.is_floating_point() else value for name, value in a_state.items()}
    save_file(a_state, tmp_path / "weights.safetensors")
    for path in (save(a_state), tmp_path / "weights.safetensors"):
        with pytest.raises(
            CheckpointError, match=rf"'{path.name}' has weights that are NaN or infinite \('0\.weight'\)"
        ):
            load_state_dict(path)


def test_weights_that_were_never_written_are_refused(a_state, save):
    with pytest.raises(CheckpointError, match="has weights that are all zero"):
        load_state_dict(save({name: torch.zeros_like(value) for name, value in a_state.items()}))


def test_a_file_that_holds_itself_ends(a_state, save):
    content = {"state_dict": {}}
    content["state_dict"]["model"] = content
    with pytest.raises(CheckpointError, match="holds no weights"):
        load_state_dict(save(content))
    content = {"state_dict": a_state}
    content["itself"] = content
    assert_same(load_state_dict(save(content)), a_state)


def test_a_file_nested_a_hundred_thousand_deep_ends(save):
    path = save({"state_dict": {"weight": torch.zeros(3)}})
    deep = b"\x80\x02" + b"}X\x05\x00\x00\x00model" * 100_000 + b"}" + b"s" * 100_000 + b"."
    with pytest.raises(CheckpointError, match=f"'{ABOUT}' "):
        load_state_dict(repacked(path, change=lambda name, data: deep if name.endswith("data.pkl") else data))


@pytest.mark.parametrize("kind", [torch.float32, torch.float16])
def test_a_small_file_with_a_huge_shape_is_refused_before_it_is_widened(save, kind):
    path = save({"weight": torch.zeros(1, dtype=kind).expand(10**12)})
    with pytest.raises(CheckpointError, match=rf"'{ABOUT}' would take 4000000 MB where"):
        load_state_dict(path)


def test_many_tensors_on_one_storage_are_refused_before_they_are_widened(save):
    shared = torch.zeros(1_000_000, dtype=torch.float16)
    with pytest.raises(CheckpointError, match="would take 4000 MB"):
        load_state_dict(save({f"{n}": shared for n in range(1000)}))


def test_a_model_takes_no_more_than_its_published_size_allows(save, tmp_path):
    path = save({"weight": torch.zeros(100_000_000, dtype=torch.int8)})
    assert len(load_state_dict(path)) == 1
    spec = get_spec("sam_med3d")
    small = replace(spec, checkpoint=replace(spec.checkpoint, size_bytes=1_000_000))
    with pytest.raises(CheckpointError, match=rf"'{ABOUT}' would take 400 MB where its model takes 272 MB at most"):
        build_model(small, weights=path, device="cpu")


ODD = [
    pytest.param(lambda: torch.eye(3).to_sparse(), "sparse", id="coo"),
    pytest.param(lambda: torch.eye(3).to_sparse_csr(), "sparse", id="csr"),
    pytest.param(lambda: torch.zeros(3, device="meta"), "without values", id="meta"),
    pytest.param(lambda: torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8), "quantized", id="quantized"),
    pytest.param(lambda: torch.zeros(3, dtype=torch.complex64), "complex", id="complex"),
    pytest.param(lambda: torch.zeros(0, 3), "empty", id="empty"),
    pytest.param(lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]), "nested", id="nested"),
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("make", "word"), ODD)
def test_tensors_that_are_not_plain_are_refused_by_name(a_state, save, make, word):
    with pytest.raises(
        CheckpointError, match=rf"'{ABOUT}' (has a tensor that is {word} \('0\.bias'\)|is damaged|carries)"
    ):
        load_state_dict(save({**a_state, "0.bias": make()}))


@pytest.mark.parametrize("name", ["weights.SAFETENSORS", "weights.SafeTensors"])
def test_the_case_of_a_suffix_does_not_matter(a_state, tmp_path, name):
    save_file(a_state, tmp_path / name)
    assert_same(load_state_dict(tmp_path / name), a_state)


WRAPPERS = [
    pytest.param(lambda state: {"net": state, "epoch": 3}, id="net"),
    pytest.param(lambda state: {"model": state, "optimizer": {"state": {}}}, id="model"),
    pytest.param(lambda state: {"network": {"net": state}}, id="network in net"),
    pytest.param(lambda state: {"model": "vit_b", "state_dict": state}, id="a name beside"),
    pytest.param(lambda state: {"state_dict": state, "losses": np.arange(5.0), "dice": np.float64(0.5)}, id="numpy"),
    pytest.param(lambda state: {"state_dict": state, "seen": np.array([True]), "n": np.arange(3)}, id="numpy kinds"),
    pytest.param(lambda state: {"net": {f"module.{name}": value for name, value in state.items()}}, id="module"),
    pytest.param(lambda state: {f"_orig_mod.module.{name}": value for name, value in state.items()}, id="compiled"),
    pytest.param(lambda state: {**state, "total_ops": torch.zeros(1), "0.total_params": torch.zeros(1)}, id="thop"),
]


@pytest.mark.parametrize("wrap", WRAPPERS)
def test_what_people_wrap_weights_in_is_taken_off(a_state, save, wrap):
    assert_same(load_state_dict(save(wrap(a_state))), a_state)


def test_an_array_of_objects_with_code_in_it_is_refused_unrun(a_state, save, capfd):
    class Payload:
        def __reduce__(self):
            return print, ("the file's own code ran",)

    with pytest.raises(CheckpointError, match=r"carries code|is damaged"):
        load_state_dict(save({"state_dict": a_state, "losses": np.array([Payload()], dtype=object)}))
    assert "code ran" not in capfd.readouterr().out


@pytest.mark.parametrize("spec", all_specs(), ids=lambda spec: spec.name)
def test_every_model_names_the_file_that_it_refuses(spec, a_state, save, tmp_path):
    base = save(a_state, "base.pth")
    bad = [save(a_state, "of another model.pth"), save({"a": torch.tensor([float("nan")])}, "not finite.pth"),
           save({"epoch": 3}, "without weights.pth")]  # fmt: skip
    (tmp_path / "cut off.pth").write_bytes(bad[0].read_bytes()[:300])
    for path in (*bad, tmp_path / "cut off.pth", tmp_path / "absent.pth", tmp_path / ("n" * 300 + ".pth")):
        with pytest.raises(CheckpointError) as refusal:
            build_model(spec, weights=path, device="cpu", base=base)
        assert path.name in str(refusal.value)
        assert str(refusal.value).endswith(".")


@pytest.mark.parametrize("shape", [(), (0,), (2, 2, 2)])
@pytest.mark.parametrize(
    ("model", "files", "part"),
    [
        ("sam3d_adapter", ("sam3d_adapter/small",), "pos_embed"),
        ("ma_sam", ("ma_sam/delta_auto", "ma_sam/base_small"), "dapter"),
        ("ma_sam", ("ma_sam/delta_auto", "ma_sam/base_small"), "FacT"),
        ("medical_sam_adapter", ("medical_sam_adapter/adapters_128", "medical_sam_adapter/common"), "MLP_Adapter"),
        ("medical_sam_adapter_3d", ("medical_sam_adapter/adapters_128", "medical_sam_adapter/common"), "Depth_Adapter"),
    ],
)
def test_tensors_of_an_impossible_shape_are_refused_before_a_reader_takes_them_apart(
    model, files, part, shape, tmp_path
):
    own, *base = (DATA / f"{name}.safetensors" for name in files)
    state = load_state_dict(own)
    changed = [key for key in state if part in key][:12]
    assert changed
    for key in changed:
        save_file({**state, key: torch.zeros(shape)}, tmp_path / "changed.safetensors")
        with pytest.raises(CheckpointError, match=r"changed|common"):
            build_model(model, weights=tmp_path / "changed.safetensors", base=base[0] if base else None, device="cpu")


@pytest.mark.parametrize("whole", [torch.int8, torch.uint8, torch.int64, torch.bool])
def test_whole_numbers_are_not_taken_for_weights(tmp_path, whole):
    """A quantized copy without its scales would be read as another network, without a word."""
    good = load_file(installed_path(get_spec("sam3d_lite")))
    save_file({name: value.to(whole) for name, value in good.items()}, tmp_path / "w.safetensors")
    with pytest.raises(CheckpointError, match=r"'w.safetensors' .*whole numbers"):
        build_model("sam3d_lite", weights=tmp_path / "w.safetensors", device="cpu")
