"""`batch` and `evaluate` on many cases: each once, whoever does it, and what is done stays done."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.labeled_sets import write_balls

from inference_core.cli.main import main
from inference_core.cli.sharding import Share
from inference_core.evaluation.protocol import first_click
from inference_core.io.files import read_labels
from inference_core.io.prompts_json import write_prompts
from inference_core.prompts.prompt_set import PromptSet
from inference_core.training.data.layouts import read_data_set


@pytest.fixture
def three_cases(tmp_path) -> Path:
    """Images of balls, a click on each, and a folder for masks to be."""
    folder = write_balls(tmp_path / "balls")
    for case in read_data_set(folder).cases:
        volume, target = case.read(), case.read_labels().array > 0
        write_prompts(folder / f"{case.name}.prompts.json", PromptSet((first_click(target, volume.grid),)))
    return folder


def arguments(folder: Path) -> list[str]:
    return [
        "batch", "--images", f"{folder}/imagesTr/*.nii.gz", "--prompts", f"{folder}/*.prompts.json",
        "--output-dir", f"{folder}/masks", "--device", "cpu",
    ]  # fmt: skip


def lines_of(folder: Path) -> list[dict]:
    return [json.loads(line) for path in folder.glob("results-*.jsonl") for line in path.read_text().splitlines()]


def test_every_image_gets_its_mask_and_a_line(three_cases):
    assert main(arguments(three_cases)) == 0
    lines = lines_of(three_cases / "masks")
    assert [line["mask"] for line in lines] == ["a_0000.seg.nrrd", "b_0000.seg.nrrd", "c_0000.seg.nrrd"]
    for case, line in zip(read_data_set(three_cases).cases, lines, strict=True):
        mask, truth = read_labels(three_cases / "masks" / line["mask"]), case.read_labels()
        inside = mask.array > 0
        assert line["volume_ml"] == pytest.approx(inside.sum() * mask.grid.voxel_volume_mm3 / 1000, abs=1e-3)
        assert 2 * np.sum(inside & (truth.array > 0)) / (inside.sum() + (truth.array > 0).sum()) > 0.8


def test_what_is_done_is_not_done_again_and_what_failed_is(three_cases, capsys):
    image = three_cases / "imagesTr" / "b_0000.nii.gz"
    kept = image.read_bytes()
    image.write_bytes(b"no image")
    assert main(arguments(three_cases)) == 2
    assert "1 of 3 cases failed" in capsys.readouterr().err
    made = {path.name: path.stat().st_mtime_ns for path in (three_cases / "masks").glob("*.nrrd")}
    assert len(made) == 2
    image.write_bytes(kept)
    with (three_cases / "masks" / "results-0.jsonl").open("a") as stream:
        stream.write('{"image": "cut sho')
    assert main(arguments(three_cases)) == 0
    assert len([line for line in lines_of_whole(three_cases / "masks") if "error" not in line]) == 3
    for name, at in made.items():
        assert (three_cases / "masks" / name).stat().st_mtime_ns == at
    assert main(arguments(three_cases)) == 0
    assert "cases are done" in capsys.readouterr().err


def lines_of_whole(folder: Path) -> list[dict]:
    """Those lines that were not cut short."""
    found = []
    for line in (folder / "results-0.jsonl").read_text().splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            found.append({"error": "cut"})
    return found


def test_two_processes_share_the_cases_and_none_is_done_twice(three_cases):
    masks, labels = three_cases / "masks", f"{three_cases}/labelsTr/*.nii.gz"
    in_two(arguments(three_cases), port=29521)
    assert sorted(line["mask"][0] for line in lines_of(masks)) == ["a", "b", "c"]
    assert {path.name for path in masks.glob("results-*.jsonl")} == {"results-0.jsonl", "results-1.jsonl"}
    evaluated = ["evaluate", "--images", f"{three_cases}/imagesTr/*.nii.gz", "--labels", labels, "--clicks", "1"]
    in_two([*evaluated, "--json", f"{three_cases}/two.json"], port=29522)
    assert main([*evaluated, "--json", f"{three_cases}/one.json"]) == 0
    one, two = (json.loads((three_cases / f"{name}.json").read_text()) for name in ("one", "two"))
    assert [case["image"] for case in one["cases"]] == [case["image"] for case in two["cases"]]
    assert one["mean"]["dice"] == pytest.approx(two["mean"]["dice"])


def in_two(command: list[str], *, port: int) -> None:
    program = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", str(port)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*program, "-m", "inference_core", *command], env=environment, capture_output=True, text=True, timeout=100,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_shares_are_disjoint_and_complete(monkeypatch):
    found = []
    for rank in range(3):
        monkeypatch.setenv("SLURM_PROCID", str(rank))
        monkeypatch.setenv("SLURM_NTASKS", "3")
        found += Share.of_environment().of(range(10))
    assert sorted(found) == list(range(10))


def test_a_model_that_needs_prompts_is_refused_without_them(three_cases, capsys):
    assert main(["batch", "--images", f"{three_cases}/imagesTr/*", "--output-dir", f"{three_cases}/masks"]) == 2
    assert "needs --prompts" in capsys.readouterr().err
    assert not (three_cases / "masks").exists()
