"""`evaluate --table` on miniature prepared sets, with small models of random weights."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from support.labeled_sets import write_prepared

from inference_core.cli.evaluate_table import targets_of, values_found
from inference_core.cli.main import main
from inference_core.cli.parsing import UsageError
from inference_core.models.registry import get_spec
from inference_core.training.data.layouts import read_data_set

DATA = Path(__file__).parents[2] / "Data"
ORGANS = ("spleen", "right kidney", "left kidney")


@pytest.fixture
def some_weights(tmp_path):
    """A folder with weights called as their models are, and a file that is none."""
    folder = tmp_path / "weights"
    folder.mkdir()
    shutil.copy(DATA / "sam_med3d" / "small.safetensors", folder / "sam_med3d.safetensors")
    shutil.copy(DATA / "ma_sam" / "delta_auto.safetensors", folder / "ma_sam.safetensors")
    (folder / "notes.txt").write_text("no weights")
    return folder


@pytest.fixture
def organs(tmp_path):
    return write_prepared(tmp_path / "btcv", "btcv", "ma_sam", classes=ORGANS)


def test_a_folder_of_weights_fills_the_table(organs, some_weights, tmp_path, capsys) -> None:
    files = {kind: tmp_path / f"table.{kind}" for kind in ("json", "csv")}
    base = DATA / "ma_sam" / "base_small.safetensors"
    arguments = ["evaluate", "--table", "btcv", "--data", organs, "--weights", some_weights, "--base", base]
    arguments += ["--rows", "automatic", "1 click", "3 clicks", "--device", "cpu"]

    status = main([*map(str, arguments), "--json", str(files["json"]), "--csv", str(files["csv"])])

    said = capsys.readouterr()
    assert status == 0, said.err
    assert "'notes.txt' is not evaluated" in said.err
    assert "Abdominal organs of BTCV: 1 cases of" in said.out
    for part in ("HD95, mm", "less MA-SAM", "nnU-Net (published)", "less SAM-Med3D", "Medical SAM Adapter's table"):
        assert part in said.out
    content = json.loads(files["json"].read_text())
    assert {(one["model"], one["setting"], one["case"]) for one in content["scores"]} == {
        ("ma_sam", "automatic", "c"), ("sam_med3d", "1 click", "c"), ("sam_med3d", "3 clicks", "c"),
    }  # fmt: skip
    line = next(one for one in content["lines"] if (one["model"], one["measure"]) == ("ma_sam", "Dice"))
    assert list(line["columns"]) == [*ORGANS, "average"]
    difference = line["columns"]["spleen"]["value"] - 96.7
    assert line["difference"]["spleen"] == pytest.approx(difference)
    rows = list(csv.DictReader(files["csv"].open()))
    found = next(row for row in rows if (row["method"], row["measure"], row["column"]) == ("ma_sam", "Dice", "spleen"))
    assert (float(found["published"]), found["of"]) == (96.7, "MA-SAM")
    assert float(found["difference"]) == pytest.approx(difference, abs=1e-3)


def test_the_paper_s_target_alone_is_segmented_of_a_tumor_set(tmp_path, capsys) -> None:
    data = write_prepared(tmp_path / "kits", "kits21", "sam3d_adapter", classes=("kidney", "tumor"), targets=["tumor"])
    weights = DATA / "sam_med3d" / "small.safetensors"
    arguments = ["evaluate", "--table", "kits21", "--data", data, "--weights", weights, "--model", "sam_med3d"]

    assert main([*map(str, arguments), "--device", "cpu", "--json", str(tmp_path / "t.json")]) == 0

    scores = json.loads((tmp_path / "t.json").read_text())["scores"]
    assert [(one["setting"], one["target"]) for one in scores] == [
        ("1 point", "tumor"), ("3 points", "tumor"), ("10 points", "tumor"),
    ]  # fmt: skip
    assert set(scores[0]["values"]) == {"Dice", "NSD"}
    said = capsys.readouterr().out
    assert "NSD at 5 mm, %" in said
    assert "issue 46" in said


@pytest.mark.parametrize(("classes", "targets", "values"), [
    (("pancreas", "tumor"), ["tumor"], (2,)), (("pancreas", "tumor"), [], (1, 2)), (("a", "b", "c"), ["a"], None),
])  # fmt: skip
def test_the_classes_of_an_automatic_model_are_the_targets_or_all(tmp_path, classes, targets, values) -> None:
    data = read_data_set(write_prepared(tmp_path / "set", "msd_pancreas", "ma_sam", classes=classes, targets=targets))
    spec = replace(get_spec("ma_sam"), classes=tuple("xy") if values is None else tuple("x" * len(values)))
    if values is None:
        with pytest.raises(UsageError, match=r"finds 2 classes where '.*' has 3"):
            values_found(spec, data, targets_of(data))
    else:
        assert values_found(spec, data, targets_of(data)) == values


def test_two_processes_fill_the_same_table_as_one(organs, some_weights, tmp_path) -> None:
    arguments = ["evaluate", "--table", "btcv", "--data", organs, "--weights", some_weights / "sam_med3d.safetensors"]
    arguments += ["--model", "sam_med3d", "--rows", "1 click", "--side", "validation", "--device", "cpu", "--json"]
    (organs / "splits_final.json").write_text('[{"train": ["a"], "val": ["b", "c"], "test": []}]')
    assert main([*map(str, arguments), str(tmp_path / "one.json")]) == 0
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "29533"]
    command = [*launcher, "-m", "inference_core", *map(str, arguments), str(tmp_path / "two.json")]
    done = subprocess.run(
        command, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=110, check=False
    )
    assert done.returncode == 0, done.stderr
    one, two = (json.loads((tmp_path / f"{name}.json").read_text())["scores"] for name in ("one", "two"))
    assert [(score["case"], score["target"]) for score in one] == [(score["case"], score["target"]) for score in two]
    assert {score["case"] for score in one} == {"b", "c"}
    for left, right in zip(one, two, strict=True):
        assert left["values"] == pytest.approx(right["values"], abs=0.05)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--table", "btcv", "--weights", "DATA"], "needs --data PREPARED and --weights FOLDER"),
        (["--table", "btcv", "--data", "DATA", "--weights", "DATA", "--rows", "2 points"], "has no row '2 points'"),
        (["--table", "btcv", "--data", "DATA", "--weights", "DATA", "--images", "a"], "--images is not for tables"),
        (["--table", "btcv", "--data", "DATA", "--weights", "DATA"], "holds no weights"),
        (["--table", "btcv", "--data", "DATA", "--weights", "GONE"], "There is no weights file"),
        (["--data", "DATA", "--images", "a", "--labels", "b"], "are for a --table"),
        (["--images", "a"], "Give --images and --labels"),
    ],
)
def test_what_cannot_be_used_is_refused_by_one_sentence(organs, tmp_path, capsys, arguments, said) -> None:
    places = {"DATA": str(organs), "GONE": str(tmp_path / "gone.pth")}
    assert main(["evaluate", *(places.get(argument, argument) for argument in arguments)]) == 2
    assert said in capsys.readouterr().err.splitlines()[-1]
