"""Whatever a command is told to write, it writes over no image, mask, prompts or weights."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest

from inference_core.cli.main import main
from inference_core.evaluation.phantom import Phantom
from inference_core.io.dicom_writer import write_dicom_series
from inference_core.models.registry import DEFAULT_MODEL, get_spec
from inference_core.models.store import installed_path

CLICK = ("--click", "0", "0", "0")


@pytest.fixture
def a_place(a_ct, its_labels, a_phantom: Phantom, tmp_path, monkeypatch) -> Path:
    """Images, a mask, prompts and a training run; names without an ending among them, as exports have them."""
    monkeypatch.chdir(tmp_path)
    for name in ("ct.nii.gz", "later.nii.gz"):
        shutil.copy(a_ct, name)
    for name in ("mask.nii.gz", "001.seg.nrrd"):
        shutil.copy(its_labels, name)
    write_dicom_series(tmp_path / "series", a_phantom.volume.array.astype(np.int16), a_phantom.volume.grid)
    for path in sorted(Path("series").iterdir())[:1]:
        shutil.copy(path, "IM0001")
    Path("p.json").write_text(json.dumps({"prompts": []}), encoding="utf-8")
    Path("run").mkdir()
    shutil.copy(installed_path(get_spec(DEFAULT_MODEL)), "run/weights")
    Path("run/run.json").write_text(json.dumps({"model": DEFAULT_MODEL, "weights": "weights"}), encoding="utf-8")
    return tmp_path


SEGMENT = ("segment", "ct.nii.gz", *CLICK, "--output", "new.nii.gz")
MEASURE = ("measure", "ct.nii.gz", "mask.nii.gz")
EVALUATE = ("evaluate", "--images", "ct.nii.gz", "--labels", "mask.nii.gz")
FOLLOWUP = ("followup", "ct.nii.gz", "mask.nii.gz", "later.nii.gz", "--output", "new.nii.gz")
TIMELINE = ("timeline", "ct.nii.gz", "later.nii.gz")
COMPARE = ("compare", "ct.nii.gz", *CLICK, "--against-threshold", "1")


@pytest.mark.parametrize(
    "arguments",
    [
        (*MEASURE, "--json", "mask.nii.gz"),
        (*MEASURE, "--csv", "ct.nii.gz"),
        (*MEASURE, "--json", "IM0001"),
        (*EVALUATE, "--json", "mask.nii.gz"),
        (*EVALUATE, "--plot", "ct.nii.gz"),
        (*EVALUATE, "--report", "IM0001"),
        (*EVALUATE, "--weights", "run", "--json", "run/weights"),
        (*EVALUATE, "--weights", "run", "--json", "run/run.json"),
        (*SEGMENT, "--weights", "run", "--json", "run/weights"),
        (*SEGMENT, "--weights", "run", "--save-prompts", "run/run.json"),
        (*SEGMENT, "--save-prompts", "later.nii.gz"),
        (*COMPARE, "--weights", "run", "--json", "run/weights"),
        (*COMPARE, "--against-weights", "run", "--json", "run/weights"),
        (*FOLLOWUP, "--weights", "run", "--csv", "run/weights"),
        (*FOLLOWUP, "--align", "p.json", "--json", "p.json"),
        (*TIMELINE, "--mask", "mask.nii.gz", "--weights", "run", "--csv", "run/weights"),
        (*TIMELINE, "--mask", "001.seg.nrrd", "--output-dir", "."),
        ("batch", "--images", "ct.nii.gz", "--prompts", "p.json", "--output-dir", ".", "--suffix", ".nii.gz"),
        ("models", "--json", "run/best.safetensors"),
        ("models", "--json", "IM0001"),
        ("series", "series", "--json", "ct.nii.gz"),
    ],
    ids=" ".join,
)
def test_it_is_refused_in_a_sentence_and_all_files_stay(arguments, a_place, capsys):
    before = {path: path.read_bytes() for path in a_place.rglob("*") if path.is_file()}
    assert main(list(arguments)) == 2
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    assert "overwritten" in said or "called as images or weights are" in said
    assert {path: path.read_bytes() for path in a_place.rglob("*") if path.is_file()} == before


def test_what_is_no_input_may_be_written_again(a_place, capsys):
    for _ in range(2):
        assert main([*MEASURE, "--json", "m.json", "--csv", "m.csv"]) == 0
    assert pydicom.dcmread("IM0001").Modality == "CT"


@pytest.mark.parametrize("command", [MEASURE, EVALUATE, FOLLOWUP, (*TIMELINE, "--mask", "mask.nii.gz")], ids=" ".join)
def test_of_two_reports_none_is_dropped_without_a_word(command, a_place, capsys):
    assert main([*command, "--report", "a.html", "--report", "b.html"]) == 2
    assert "is given twice" in capsys.readouterr().err
