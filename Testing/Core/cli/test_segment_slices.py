"""`segment` with a model of slices: clicks and boxes in, a mask on the slices they ask for out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from inference_core.cli.main import main
from inference_core.geometry.slices import slice_axis
from inference_core.io.files import read_labels, read_volume

WEIGHTS = Path(__file__).parents[2] / "Data" / "sam" / "small.safetensors"


@pytest.fixture
def a_run(a_ct, tmp_path, capsys):
    """Segments the CT with a small SAM in this process; returns the mask, slices last, the report and what was said."""

    def segment(*arguments):
        output, report = tmp_path / "mask.nii.gz", tmp_path / "report.json"
        given = ("segment", a_ct, "--output", output, "--json", report, "--model", "sam", "--weights", WEIGHTS)
        status = main([str(part) for part in (*given, *arguments)])
        said = capsys.readouterr()
        assert status == 0, said.err
        mask = read_labels(output)
        return np.moveaxis(mask.array != 0, slice_axis(mask.grid), 2), json.loads(report.read_text()), said

    return segment


def test_a_click_gives_a_mask_on_its_own_slice(a_run, a_ct, a_target_click):
    mask, facts, _ = a_run("--click", *a_target_click)
    grid = read_volume(a_ct).grid
    number = grid.voxel_of([float(value) for value in a_target_click])[slice_axis(grid)]
    assert np.flatnonzero(mask.any(axis=(0, 1))).tolist() == [number]
    assert facts["voxels"] == mask.sum()
    assert facts["model"] == "sam"
    assert 0 <= facts["quality"] <= 1


def test_a_box_gives_a_mask_on_the_slices_it_crosses_and_progress_on_the_way(a_run, a_ct):
    grid = read_volume(a_ct).grid
    center, size = (40, 36, 25), (30, 24, 9)
    mask, facts, said = a_run("--frame", "ijk", "--box", *center, *size)
    axis = slice_axis(grid)
    crossed = range(center[axis] - size[axis] // 2, center[axis] + size[axis] // 2 + 1)
    used = np.flatnonzero(mask.any(axis=(0, 1)))
    assert set(used) <= set(crossed)
    assert facts["voxels"] == mask.sum() > 0
    assert "encoding" in said.err


def test_clicks_and_boxes_on_the_same_slices_act_together(a_run, a_ct):
    box = ("--frame", "ijk", "--box", 40, 36, 25, 30, 24, 3)
    alone, _, _ = a_run(*box)
    both, facts, _ = a_run(*box, "--negative-click", 40, 36, 25, "--click", 46, 40, 26)
    axis = slice_axis(read_volume(a_ct).grid)
    differing = np.flatnonzero((alone != both).any(axis=(0, 1)))
    assert set(differing) <= {(40, 36, 25)[axis], (46, 40, 26)[axis]}
    assert len(differing) > 0
    assert [prompt["type"] for prompt in facts["prompts"]] == ["box", "click", "click"]


def test_another_sams_file_is_refused_in_a_sentence(a_ct, tmp_path, capsys):
    weights = WEIGHTS.parents[1] / "sam_med3d" / "small.safetensors"
    given = ("segment", a_ct, "--output", tmp_path / "mask.nii.gz", "--model", "sam", "--weights", weights)
    status = main([str(part) for part in (*given, "--frame", "ijk", "--click", 40, 36, 25)])
    said = capsys.readouterr().err
    assert status == 2
    assert "is of another model" in said or "of a model of another size" in said
    assert not (tmp_path / "mask.nii.gz").exists()
