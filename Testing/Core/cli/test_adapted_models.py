"""Medical SAM Adapter from the terminal: adapters over a SAM file, with what they lack said aloud."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from inference_core.cli.main import main
from inference_core.io.files import read_labels, read_volume

DATA = Path(__file__).parents[2] / "Data"
ADAPTERS, SAM = DATA / "medical_sam_adapter" / "adapters_128.safetensors", DATA / "sam" / "small.safetensors"


@pytest.fixture
def a_run(a_ct, tmp_path, capsys):
    """Segments the CT in this process; returns the status, the mask or None, the report and what was said."""

    def segment(model, *arguments):
        output, report = tmp_path / "mask.nii.gz", tmp_path / "report.json"
        parts = ("segment", a_ct, "--output", output, "--json", report, "--model", model, "--weights", ADAPTERS)
        status = main([str(part) for part in (*parts, *arguments)])
        if status != 0:
            return status, None, {}, capsys.readouterr().err
        return status, read_labels(output), json.loads(report.read_text()), capsys.readouterr().err

    return segment


@pytest.mark.parametrize("model", ["medical_sam_adapter", "medical_sam_adapter_normalized", "medical_sam_adapter_3d"])
def test_a_click_segments_its_slice_over_a_base(a_run, a_ct, a_target_click, model) -> None:
    status, mask, facts, said = a_run(model, "--base", SAM, "--click", *a_target_click)

    assert status == 0, said
    grid = read_volume(a_ct).grid
    clicked = grid.voxel_of([float(value) for value in a_target_click])
    assert mask.array[clicked] == 1
    assert set(np.argwhere(mask.array)[:, 2]) == {clicked[2]}
    assert "Caution: 'adapters_128.safetensors' holds adapters only" in said
    assert facts["cautions"][0].startswith("'adapters_128.safetensors' holds adapters only")


def test_adapters_without_a_base_are_refused_in_one_sentence(a_run, a_target_click, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("SAM3DSEGMENT_MODELS", str(tmp_path / "none"))
    status, _, _, said = a_run("medical_sam_adapter", "--click", *a_target_click)

    assert status != 0
    assert "give the SAM checkpoint it was trained on (of width 64) too. Give it with --base FILE." in said
    assert "Traceback" not in said


def test_the_list_of_models_tells_how_each_sees_its_images(capsys) -> None:
    assert main(["models", "--json"]) == 0
    entries = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)}

    conventions = {
        (entries[name]["intensity"], entries[name]["clicks"])
        for name in entries
        if name.startswith("medical_sam_adapter")
    }
    assert len(conventions) == 4
    assert "row, column" in entries["medical_sam_adapter"]["clicks"]
    assert "not normalized" in entries["medical_sam_adapter"]["intensity"]
