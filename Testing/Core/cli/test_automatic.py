"""`segment` with MA-SAM: without prompts every class becomes a segment, with a box one target is segmented."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from inference_core.cli.main import main
from inference_core.geometry.slices import slices_last
from inference_core.io.files import read_labels, read_volume

DATA = Path(__file__).parents[2] / "Data" / "ma_sam"
BASE = ("--base", str(DATA / "base_small.safetensors"))
AUTOMATIC = ("--model", "ma_sam", "--weights", str(DATA / "delta_auto.safetensors"))
WITH_A_BOX = ("--model", "ma_sam_box", "--weights", str(DATA / "delta_bbox.safetensors"))


@pytest.fixture
def segment(a_ct, tmp_path, capsys):
    """Runs `segment` on the CT in this process; returns its status, the output's path and what it said."""

    def run(name, *arguments):
        output = tmp_path / name
        status = main([str(part) for part in ("segment", a_ct, "--output", output, *arguments)])
        said = capsys.readouterr()
        return status, output, said

    return run


def test_every_class_becomes_a_named_segment(segment, a_ct, tmp_path) -> None:
    report = tmp_path / "report.json"

    status, output, said = segment("organs.seg.nrrd", *AUTOMATIC, *BASE, "--slices", 20, 22, "--json", report)

    assert status == 0, said.err
    header = output.read_bytes()[:6000].decode(errors="replace")
    assert [f"Segment{n}_Name:=class {n + 1}" in header for n in range(4)] == [True, True, True, False]
    assert [f"Segment{n}_LabelValue:={n + 1}\n" in header for n in range(3)] == [True] * 3
    colors = {line for line in header.splitlines() if "_Color:=" in line}
    assert len(colors) == 3
    labels, volume, facts = read_labels(output), read_volume(a_ct), json.loads(report.read_text())
    assert labels.grid.matches(volume.grid, tolerance_mm=1e-3)
    assert [part["voxels"] for part in facts["classes"]] == [int((labels.array == n).sum()) for n in (1, 2, 3)]
    assert facts["classes"][0]["volume_ml"] == pytest.approx(
        facts["classes"][0]["voxels"] * volume.grid.voxel_volume_mm3 / 1000
    )
    assert (facts["model"], facts["slices"], facts["stacks"]) == ("ma_sam", [20, 22], 7)
    assert set(facts["seconds"]) == {"load", "classify", "total"}
    assert "class 3" in said.out
    assert "classifying" in said.err
    found = np.flatnonzero(slices_last(labels).array.any(axis=(0, 1)))
    assert set(found) <= {20, 21, 22}
    assert len(found) > 0


def test_a_label_map_has_the_same_labels_in_another_format(segment) -> None:
    outputs = [segment(name, *AUTOMATIC, *BASE, "--slices", 30, 31, "--quick")[1]
               for name in ("a.nii.gz", "a.seg.nrrd", "a.nrrd")]  # fmt: skip
    maps = [read_labels(output).array for output in outputs]
    assert maps[0].any()
    assert all(np.array_equal(maps[0], other) for other in maps[1:])


def test_a_box_segments_the_slices_that_it_crosses(segment, a_ct, a_target_click) -> None:
    status, output, said = segment(
        "tumor.nii.gz", *WITH_A_BOX, *BASE, "--box", *a_target_click, 60, 60, 30, "--quick", "--name", "tumor"
    )

    assert status == 0, said.err
    labels = slices_last(read_labels(output)).array
    found = np.flatnonzero(labels.any(axis=(0, 1)))
    middle = slices_last(read_volume(a_ct)).grid.to_ijk([float(value) for value in a_target_click])[2]
    assert len(found) > 0
    assert np.abs(found - middle).max() <= 15 / 4.6 + 3  # half the box's height, and what its tilt adds


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((*AUTOMATIC, *BASE, "--click", -6, 14, -205), "finds its classes by itself; leave out prompts"),
        ((*AUTOMATIC, *BASE, "--threshold", 1), "leave out prompts and the threshold"),
        ((*AUTOMATIC, *BASE, "--slices", 3, 90), "has slices 0 to 51"),
        (AUTOMATIC, "give SAM's own checkpoint too. Give it with --base FILE."),
        ((*AUTOMATIC, "--base", "absent.pth"), "no weights file 'absent.pth'"),
        ((*AUTOMATIC[:2], "--weights", DATA / "base_small.safetensors", *BASE), "is not of MA-SAM"),
        ((*AUTOMATIC[:2], *BASE), "MA-SAM abdomen is not installed"),
        ((*WITH_A_BOX, *BASE), "There is nothing to go by"),
        ((*WITH_A_BOX, *BASE, "--click", -6, 14, -205), "takes no clicks; draw a box"),
        ((*WITH_A_BOX, *BASE, "--box", -6, 14, -205, 9, 9, 9, "--slices", 3, 4), "leave out --slices"),
        (("--click", -6, 14, -205, "--quick"), "leave out --quick"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_sentence(segment, tmp_path, monkeypatch, arguments, words) -> None:
    monkeypatch.setenv("SAM3DSEGMENT_MODELS", str(tmp_path / "none"))

    status, output, said = segment("mask.nii.gz", *arguments)

    assert status == 2
    assert words in said.err
    assert len(said.err.splitlines()) == 1
    assert said.out == ""
    assert not output.exists()


def test_the_weights_under_a_model_are_not_overwritten(segment, tmp_path) -> None:
    base = tmp_path / "base.nii.gz"
    base.write_bytes(b"precious")
    status, _, said = segment("base.nii.gz", *AUTOMATIC, "--base", base)
    assert status == 2
    assert "is an input and would be overwritten" in said.err
    assert base.read_bytes() == b"precious"


def test_a_run_says_itself_that_it_needs_no_prompt(segment, tmp_path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "last.safetensors").write_bytes((DATA / "delta_auto.safetensors").read_bytes())
    (run / "run.json").write_text(json.dumps({"model": "ma_sam", "weights": "last.safetensors"}), encoding="utf-8")
    status, output, said = segment("organs.nii.gz", "--weights", run, *BASE, "--slices", 20, 21)
    assert status == 0, said.err
    assert output.exists()
