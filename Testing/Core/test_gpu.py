"""What `make gpu` needs on any computer: packing, parts that fail, and bringing home what was learned."""

import json
import sys
import time
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from Gpu.measuring import FAMILIES, costs
from Gpu.packing import LISTS_BYTES, pack, packed_state, quantized, unpacked_state
from Gpu.parts import run_part
from Gpu.teaching import bring_home, cut, joined, teach
from support.labeled_sets import write_balls

from inference_core.benchmark.timing import synthetic_ct
from inference_core.errors import OptionError, OutputError
from inference_core.models.registry import all_specs, build_model
from inference_core.models.weights import load_state_dict
from inference_core.training.checkpoint import load_training_state
from inference_core.training.data.layouts import read_data_set

CASES = ("a", "b", "c", "d", "e", "f")
SPLIT = {"balls": {"train": ["a", "b", "c"], "validation": ["d"], "test": ["e", "f"]}}


@pytest.fixture(scope="module")
def a_set(tmp_path_factory):
    return write_balls(tmp_path_factory.mktemp("set") / "balls", cases=CASES)


@pytest.fixture(scope="module")
def a_split(tmp_path_factory):
    path = tmp_path_factory.mktemp("split") / "split.json"
    path.write_text(json.dumps(SPLIT))
    return path


def test_cases_held_out_are_never_packed_and_the_others_are_what_they_were(a_set, a_split, tmp_path):
    found = pack([a_set], tmp_path / "packed", split=a_split)

    data, original = read_data_set(tmp_path / "packed" / "data" / "balls"), read_data_set(a_set)
    assert {case.name for case in data.cases} == {"a", "b", "c", "d"}
    assert sorted(found["balls"].train) == ["a", "b", "c"]
    assert found["balls"].validation == ("d",)
    assert not found["balls"].test
    for case in data.cases:
        volume, before = case.read(), original[case.name].read()
        contrast = np.subtract(*np.percentile(before.array, (99.95, 0.05)))
        assert volume.grid.matches(before.grid, tolerance_mm=1e-3)
        assert np.abs(volume.array - before.array).max() < 0.003 * contrast + np.ptp(before.array) - contrast
        assert np.median(np.abs(volume.array - before.array)) < 0.002 * contrast
        assert np.array_equal(case.read_labels().array, original[case.name].read_labels().array)


def test_packing_ends_where_the_budget_does(a_set, a_split, tmp_path):
    whole = tmp_path / "whole"
    pack([a_set], whole, split=a_split)
    largest = max(sum(file.stat().st_size for file in case.iterdir()) for case in (whole / "data" / "balls").iterdir())
    budget = (whole / "start.safetensors").stat().st_size + LISTS_BYTES + round(2.5 * largest)

    found = pack([a_set], tmp_path / "packed", split=a_split, budget_bytes=budget)

    used = sum(path.stat().st_size for path in (tmp_path / "packed").rglob("*") if path.is_file())
    assert 0 < len(found["balls"].train) < 3
    assert used < budget
    there = {path.parent.name for path in (tmp_path / "packed").rglob("label.nii.gz")}
    assert there == {*found["balls"].train, *found["balls"].validation}


def test_what_cannot_be_packed_is_refused(a_set, a_split, tmp_path):
    with pytest.raises(OptionError, match="no room for one case"):
        pack([a_set], tmp_path / "small", split=a_split, budget_bytes=5_300_000)
    (tmp_path / "other.json").write_text('{"cubes": {"train": [], "validation": []}}')
    with pytest.raises(OptionError, match="says nothing about 'balls'"):
        pack([a_set], tmp_path / "unknown", split=tmp_path / "other.json")
    (tmp_path / "there").mkdir()
    with pytest.raises(OutputError, match="is there already"):
        pack([a_set], tmp_path / "there", split=a_split)


def test_an_image_in_steps_keeps_its_values_to_a_fifth_of_a_percent_of_its_contrast():
    rng = np.random.default_rng(0)
    image = rng.normal(-300, 80, (30, 31, 32)).astype(np.float32)
    image[0, 0, 0] = np.nan

    steps, slope, intercept = quantized(image)

    known = np.isfinite(image)
    low, high = np.percentile(image[known], (0.05, 99.95))
    inside = known & (image > low) & (image < high)
    assert steps.dtype == np.int16
    assert np.abs(steps * slope + intercept - image)[inside].max() <= 0.0011 * (high - low)
    assert quantized(np.full((3, 3, 3), 7.0))[2] == 7


def test_a_state_in_half_the_room_is_the_same_to_three_digits_and_starts_the_clock_anew():
    weights = {"w": torch.randn(40, 40), "n": torch.tensor(3)}
    moments = {0: {"step": torch.tensor(9.0), "exp_avg": torch.randn(40, 40), "exp_avg_sq": torch.rand(40, 40)}}
    state = {
        "network": weights, "ema": weights, "optimizer": {"state": moments, "param_groups": [{"lr": 0.1}]},
        "progress": {"step": 70, "samples": 420, "best": 0.8, "minutes": 12.0}, "torch_rng": [torch.get_rng_state()],
    }  # fmt: skip

    packed = packed_state(state)
    found = unpacked_state(packed)

    assert packed["network"]["w"].dtype == torch.float16
    assert packed["optimizer"]["state"][0]["exp_avg"].dtype == torch.bfloat16
    assert torch.allclose(found["network"]["w"], weights["w"], rtol=1e-3)
    assert torch.allclose(found["optimizer"]["state"][0]["exp_avg_sq"], moments[0]["exp_avg_sq"], rtol=8e-3)
    assert found["optimizer"]["state"][0]["step"] == 9
    assert found["network"]["n"].dtype == torch.int64
    assert (found["progress"]["step"], found["progress"]["minutes"], found["progress"]["samples"]) == (0, 0.0, 0)
    assert torch.equal(found["torch_rng"][0], state["torch_rng"][0])


def test_a_part_that_fails_tells_how_and_one_that_hangs_is_ended():
    failing = run_part([sys.executable, "-c", "print('so far'); raise SystemExit(3)"], limit_s=20)
    began = time.monotonic()
    hanging = run_part([sys.executable, "-c", "import time; print('begun', flush=True); time.sleep(99)"], limit_s=3)

    assert (failing.status, failing.in_time, failing.lines) == (3, True, ("so far",))
    assert not hanging.in_time
    assert hanging.status != 0
    assert time.monotonic() - began < 20


def test_a_part_that_does_not_listen_is_ended_too():
    deaf = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(99)"
    )
    began = time.monotonic()

    outcome = run_part([sys.executable, "-c", deaf], limit_s=3, grace_s=1)

    assert outcome.status == -9
    assert time.monotonic() - began < 20


def test_a_file_in_parts_is_the_file(tmp_path):
    content = bytes(range(256)) * 100
    (tmp_path / "state.pt").write_bytes(content)
    (tmp_path / "out").mkdir()

    names = cut(tmp_path / "state.pt", tmp_path / "out", most_bytes=10_000)

    assert names == ["state.pt.0", "state.pt.1", "state.pt.2"]
    assert b"".join((tmp_path / "out" / name).read_bytes() for name in names) == content


def test_training_goes_on_from_what_was_packed_and_comes_home_in_small_files(a_set, a_split, tmp_path):
    first, packed, out = tmp_path / "first", tmp_path / "packed", tmp_path / "out"
    teach(None, first, device="cpu", minutes=0, steps=1)
    pack([a_set], packed, split=a_split, run=first)
    out.mkdir()

    run = teach(packed, tmp_path / "second", device="cpu", minutes=0, steps=1)
    figures = bring_home(run.path, out)
    (out / "figures.json").write_text(json.dumps({"parts": {"training": figures}}))
    home = joined(out, tmp_path / "home")

    assert max(path.stat().st_size for path in out.iterdir()) < 16_000_000
    assert len(list(out.iterdir())) <= 8
    assert (figures["steps"], figures["samples"]) == (1, 2)
    assert figures["config"]["seed"] == 25  # the run before had seen two windows with seed 23
    assert np.isfinite(figures["losses"][0]["loss"])
    before, after = load_training_state(first / "state.pt"), load_training_state(home / "state.pt")
    # The optimizer went on: its count is of both runs.
    assert {float(of["step"]) for of in after["optimizer"]["state"].values()} == {2.0}
    name = next(name for name, value in before["network"].items() if value.ndim == 5)
    change = (after["network"][name] - before["network"][name]).abs().max()
    assert 0 < change < 0.01
    assert load_state_dict(home / "last.safetensors").keys() == before["network"].keys()
    (out / "state.pt.1").unlink()
    with pytest.raises(OutputError, match="has not all parts"):
        joined(out, tmp_path / "again")


def test_a_case_keeps_its_orientation_in_the_file_itself(a_set, a_split, tmp_path):
    pack([a_set], tmp_path / "packed", split=a_split)
    file = nibabel.load(tmp_path / "packed" / "data" / "balls" / "a" / "image.nii.gz")
    assert np.allclose(file.affine, read_data_set(a_set)["a"].grid().affine, atol=1e-3)
    assert file.get_data_dtype() == np.int16


@pytest.mark.parametrize(
    ("model", "weights", "base", "figures"),
    [
        ("sam_med3d", "sam_med3d/small.safetensors", None, {"cold_first_s", "first_s", "further_s"}),
        ("ma_sam", "ma_sam/delta_auto.safetensors", "ma_sam/base_small.safetensors", {"stack_s"}),
    ],
)
def test_clicks_are_timed_where_a_model_takes_them_and_stacks_elsewhere(model, weights, base, figures):
    data = Path(__file__).resolve().parents[1] / "Data"
    built = build_model(model, weights=data / weights, device="cpu", base=base and data / base)

    found = costs(built, synthetic_ct(60), repeats=1)

    assert found.keys() == figures | {"process_peak_bytes"}
    seconds = found["stack_s"] if "stack_s" in found else found["further_s"]["all"]
    assert all(0 < second < 60 for second in seconds)
    assert found["process_peak_bytes"] > 100e6


def test_a_model_of_every_family_is_measured():
    families = {spec.builder.partition(":")[0].split(".")[2] for spec in all_specs()}
    measured = {spec.builder.partition(":")[0].split(".")[2] for spec in all_specs() if spec.name in FAMILIES}
    assert measured == families
    assert len(families) == 6
