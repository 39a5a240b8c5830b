"""`compare`: two models and two boundaries on one CT, where they differ, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from inference_core.evaluation.metrics import dice
from inference_core.io.files import read_labels

SMALL = Path(__file__).resolve().parents[2] / "Data" / "sam_med3d" / "small.safetensors"


def segmented(run, ct, path, *arguments):
    done = run("segment", ct, "--output", path, *arguments)
    assert done.returncode == 0, done.stderr
    return read_labels(path).array > 0


def test_two_models_answer_the_same_prompts_as_each_does_alone(run, a_ct, a_target_click, the_default_model, tmp_path):
    files = {name: tmp_path / f"{name}.nii.gz" for name in ("parts", "a", "b")}
    done = run(
        "compare", a_ct, "--click", *a_target_click, "--model", the_default_model, "--against", "sam_med3d",
        "--against-weights", SMALL, "--output", files["parts"], "--output-a", files["a"],
        "--output-b", files["b"], "--json", tmp_path / "x.json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    a, b = (read_labels(files[name]).array > 0 for name in "ab")
    assert np.array_equal(a, segmented(run, a_ct, tmp_path / "1.nii.gz", "--click", *a_target_click))
    small = ("--model", "sam_med3d", "--weights", SMALL)
    expected = segmented(run, a_ct, tmp_path / "2.nii.gz", "--click", *a_target_click, *small)
    assert np.array_equal(b, expected)
    parts = read_labels(files["parts"]).array
    assert np.array_equal(parts, 1 * (a & b) + 2 * (a & ~b) + 3 * (b & ~a))
    report = json.loads((tmp_path / "x.json").read_text())
    assert report["dice"] == pytest.approx(dice(a, b))
    assert (report["a"]["model"], report["b"]["model"]) == (the_default_model, "sam_med3d")
    assert f"Dice {dice(a, b):.2f}, " in done.stdout


def test_two_boundaries_ask_the_model_once_and_the_lower_one_is_larger(
    run, a_ct, a_target_click, the_default_model, tmp_path
):
    done = run(
        "compare", a_ct, "--click", *a_target_click, "--against-threshold", -2, "--output", tmp_path / "x.seg.nrrd",
        "--output-a", tmp_path / "a.nii.gz",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("loading") == 1
    parts = read_labels(tmp_path / "x.seg.nrrd").array
    assert (parts == 3).any()
    assert not (parts == 2).any()
    assert np.array_equal(
        (parts == 1) | (parts == 3),
        segmented(run, a_ct, tmp_path / "b.nii.gz", "--click", *a_target_click, "--threshold", -2),
    )
    assert "0.00 ml only in A" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "A and B are the same"),
        (("--against-threshold", 0), "A and B are the same"),
        (("--against", "unknown"), "unknown"),
        (("--against", "ma_sam", "--against-weights", "WEIGHTS"), "takes no prompts"),
        (("--against-threshold", 1, "--output", "x.docx"), "x.docx"),
        (("--against-threshold", 1, "--text-encoder", "clip"), "Neither A nor B reads texts"),
    ],
)
def test_what_cannot_be_compared_is_refused(run, a_ct, tmp_path, arguments, said):
    placed = [{"WEIGHTS": SMALL, "x.docx": tmp_path / "x.docx"}.get(part, part) for part in arguments]
    done = run("compare", a_ct, "--click", 0, 0, 0, "--model", "sam_med3d", "--weights", SMALL, *placed)
    assert done.returncode == 2, done.stdout
    assert said in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_without_prompts_nothing_is_compared(run, a_ct):
    done = run("compare", a_ct, "--against-threshold", 1)
    assert done.returncode == 2
    assert "nothing to go by" in done.stderr
