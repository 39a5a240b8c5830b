"""`evaluate`, `models`, `download`, `benchmark` and `demo`."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import socket
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from inference_core.benchmark import timing
from inference_core.cli import benchmark, demo, demo_case, download
from inference_core.cli.main import main
from inference_core.engine.session import Session
from inference_core.evaluation.metrics import dice, surface_dice
from inference_core.evaluation.phantom import make_phantom
from inference_core.io.files import read_labels, read_volume
from inference_core.io.prompts_json import read_prompts
from inference_core.models.registry import all_specs, build_model, get_spec
from inference_core.prompts.prompt_set import Click, PromptSet
from inference_core.prompts.simulation import deepest_voxel, next_click
from inference_core.training.config import TrainConfig

PNG = b"\x89PNG"


def test_evaluate_reports_what_the_protocol_gives(
    a_ct: Path, its_labels: Path, a_small_model: tuple[str, ...], tmp_path: Path, capsys
) -> None:
    report, plot = tmp_path / "e.json", tmp_path / "e.png"
    arguments = [
        "--images",
        a_ct,
        "--labels",
        its_labels,
        "--label",
        3,
        "--clicks",
        2,
        "--json",
        report,
        "--plot",
        plot,
    ]

    assert main(["evaluate", *map(str, arguments), *a_small_model]) == 0

    volume, target = read_volume(a_ct), read_labels(its_labels).array == 3
    session = Session(volume, build_model("sam_med3d", weights=Path(a_small_model[3]), device="cpu"))
    spacing, prompts, found = volume.grid.spacing, PromptSet(), []
    click = (deepest_voxel(target, spacing), True)
    for _ in range(2):
        r, a, s = volume.grid.to_ras(click[0])
        prompts = prompts.with_(Click((r, a, s), click[1]))
        mask = session.predict(prompts).mask.on(volume.grid.shape) > 0
        found.append((dice(mask, target), surface_dice(mask, target, spacing=spacing, tolerance_mm=2.0)))
        click = next_click(target, mask, spacing)
    content = json.loads(report.read_text())
    (case,) = content["cases"]
    assert (content["model"], content["device"]) == ("sam_med3d", "cpu")
    assert (case["image"], case["label"]) == (str(a_ct), str(its_labels))
    assert case["dice"] == pytest.approx([value for value, _ in found], abs=1e-9)
    assert case["nsd"] == pytest.approx([value for _, value in found], abs=1e-6)
    assert len(case["seconds"]) == 2
    assert content["mean"] == {"dice": case["dice"], "nsd": case["nsd"]}
    assert plot.read_bytes().startswith(PNG)
    assert "mean of 1 cases" in capsys.readouterr().out


def test_a_case_that_cannot_be_read_is_named_and_the_rest_goes_on(
    a_ct: Path, its_labels: Path, a_small_model: tuple[str, ...], tmp_path: Path, capsys
) -> None:
    for name in ("1", "2"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "image.nii.gz").symlink_to(a_ct)
        (tmp_path / name / "label.nii.gz").symlink_to(its_labels)
    (tmp_path / "1" / "image.nii.gz").unlink()
    (tmp_path / "1" / "image.nii.gz").write_bytes(b"damaged")
    patterns = ["--images", str(tmp_path / "**" / "image.nii.gz"), "--labels", str(tmp_path / "**" / "label.nii.gz")]
    report = tmp_path / "e.json"

    status = main(["evaluate", *patterns, "--label", "3", "--clicks", "1", "--box", "--peers", *a_small_model,
                   "--json", str(report)])  # fmt: skip

    content, stderr = json.loads(report.read_text()), capsys.readouterr().err
    assert status == 2
    assert "1 of 2 cases" in stderr.splitlines()[-1]
    assert [Path(case["image"]).parent.name for case in content["cases"]] == ["2"]
    assert [Path(case["image"]).parent.name for case in content["failed"]] == ["1"]
    assert set(content["cases"][0]["start"]) == {"dice", "nsd", "seconds"}
    assert set(content["peers"]) == {"confidence_connected", "grow_from_seeds"}
    assert all(len(peer["mean"]["dice"]) == 1 for peer in content["peers"].values())


def test_models_lists_the_registry(capsys) -> None:
    assert main(["models", "--json"]) == 0
    entries = json.loads(capsys.readouterr().out)
    assert main(["models"]) == 0
    shown = capsys.readouterr().out

    assert [entry["name"] for entry in entries] == [spec.name for spec in all_specs()]
    for entry, spec in zip(entries, all_specs(), strict=True):
        assert {"title", "prompts", "license", "size_bytes", "source", "installed"} <= set(entry)
        assert set(entry["prompts"]) == {kind.value for kind in spec.prompt_kinds}
        assert set(entry["prompts_by_session"]) == {kind.value for kind in spec.session_kinds}
        assert spec.name in shown
        assert spec.license in shown


def test_download_from_a_file_tells_what_it_has(tmp_path: Path, monkeypatch, capsys) -> None:
    known = get_spec("sam_med3d")
    spec = replace(known, checkpoint=replace(known.checkpoint, size_bytes=1000))
    monkeypatch.setattr(download, "get_spec", lambda _: spec)
    monkeypatch.setenv("SAM3DSEGMENT_MODELS", str(tmp_path / "models"))
    source = tmp_path / "fetched.pth"
    source.write_bytes(bytes(range(250)) * 4)

    assert main(["download", "sam_med3d", "--from", str(source)]) == 0
    told = capsys.readouterr()
    assert main(["download", "sam_med3d"]) == 0

    assert hashlib.sha256(source.read_bytes()).hexdigest() in told.out
    assert "not verified" in told.out
    assert known.license in told.err
    assert (tmp_path / "models" / known.checkpoint.filename).read_bytes() == source.read_bytes()
    assert "installed already" in capsys.readouterr().out


def test_nothing_is_fetched_from_a_terminal_without_a_yes(tmp_path: Path, monkeypatch, capsys) -> None:
    import io
    import sys

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    def connect(*_: object, **__: object) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", connect)
    monkeypatch.setenv("SAM3DSEGMENT_MODELS", str(tmp_path))
    monkeypatch.setattr(sys, "stdin", Terminal("\n"))
    monkeypatch.setattr(sys, "stderr", Terminal())

    assert main(["download", "sam_med3d"]) == 2
    assert "Nothing was fetched" in sys.stderr.getvalue()  # type: ignore[attr-defined]


def test_benchmark_measures_clicks_memory_and_the_machine(
    a_small_model: tuple[str, ...], tmp_path: Path, monkeypatch, capsys
) -> None:
    for name, slices in (("_USUAL", 64), ("_SHORT", 56), ("_LONG", 72)):
        monkeypatch.setattr(benchmark, name, slices)
    monkeypatch.setattr(benchmark, "_OWN", {})
    monkeypatch.setattr(timing, "ORGAN_MM", 20.0)
    report = tmp_path / "b.json"

    assert main(["benchmark", *a_small_model, "--repeat", "2", "--json", str(report)]) == 0

    content = json.loads(report.read_text())
    assert len(content["first_click_s"]["all"]) == 2
    assert len(content["further_click_s"]["all"]) == 10
    assert content["further_click_s"]["worst"] >= content["further_click_s"]["median"] > 0
    assert len(content["wide_first_click_s"]["all"]) == 2
    assert len(content["wide_further_click_s"]["all"]) == 10
    assert set(content["first_click_s_by_slices"]) == {"56", "72"}
    assert content["first_click_ratio"] > 0
    assert {"cpus", "threads", "torch"} <= set(content["machine"])
    assert content["peak_memory_bytes"] is None or content["peak_memory_bytes"] > 1e8
    assert "peak memory" in capsys.readouterr().out


def test_the_demo_goes_on_a_series_of_ones_own(
    a_ct: Path, a_target_click: tuple[str, ...], a_small_model: tuple[str, ...], tmp_path: Path, capsys
) -> None:
    folder = tmp_path / "out"

    arguments = ["demo", str(a_ct), "--click", *a_target_click, "--output-dir", str(folder), *a_small_model]
    assert main(arguments) == 0, capsys.readouterr().err

    assert {path.name for path in folder.iterdir()} == {"mask.seg.nrrd", "prompts.json", "picture.png"}
    assert (folder / "picture.png").read_bytes().startswith(PNG)
    assert len(read_prompts(folder / "prompts.json").prompts.prompts) == 1
    assert read_labels(folder / "mask.seg.nrrd").grid.matches(read_volume(a_ct).grid, tolerance_mm=1e-3)


def test_a_refused_demo_leaves_no_folder(a_ct: Path, unread_weights: Path, tmp_path: Path, capsys) -> None:
    arguments = ["demo", a_ct, "--click", 900, 0, 0, "--output-dir", tmp_path / "out", "--weights", unread_weights]

    assert main([str(part) for part in arguments]) == 2
    assert not list(tmp_path.iterdir())


def test_the_demo_reads_its_phantom_back_from_dicom(tmp_path: Path) -> None:
    small = make_phantom(shape=(64, 56, 40), spacing=(5.3, 5.3, 6.0))

    demo_case.phantom_case(tmp_path, phantom=small)
    case = demo_case.phantom_case(tmp_path, phantom=small)  # over an earlier one

    assert np.array_equal(case.volume.array, small.volume.array)
    assert case.volume.grid.matches(small.volume.grid, tolerance_mm=1e-3)
    assert case.target is not None
    assert np.array_equal(case.target, small.labels.array == demo_case.TUMOR)
    assert isinstance(case.first, Click)
    assert case.target[case.volume.grid.voxel_of(case.first.ras)]
    assert {path.name for path in tmp_path.iterdir()} == {demo_case.SERIES, "truth.nii.gz"}


def test_the_demo_deletes_no_folder_of_the_users(tmp_path: Path, capsys, unread_weights: Path) -> None:
    (tmp_path / demo_case.SERIES).mkdir()
    precious = tmp_path / demo_case.SERIES / "thesis.txt"
    precious.write_text("years of work")

    assert main(["demo", "--output-dir", str(tmp_path), "--weights", str(unread_weights)]) == 2
    assert precious.read_text() == "years of work"
    assert "holds other files" in capsys.readouterr().err


def test_the_demo_segments_its_tumor(the_default_model: str, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)

    assert main(["demo"]) == 0, capsys.readouterr().err

    folder, shown = tmp_path / "demo_output", capsys.readouterr().out
    assert {"mask.seg.nrrd", "prompts.json", "picture.png", "truth.nii.gz", demo_case.SERIES} == {
        path.name for path in folder.iterdir()
    }
    mask, truth = read_labels(folder / "mask.seg.nrrd"), read_labels(folder / "truth.nii.gz")
    assert dice(mask.array > 0, truth.array == demo_case.TUMOR) > 0.7
    assert [line.split("  ")[0] for line in shown.splitlines()[2:5]] == ["click", "box", "corrective click"]
    assert demo.NAME == "demo"


def test_an_evaluation_can_be_one_page_with_pictures_of_the_worst_cases(tmp_path, a_ct, its_labels, a_small_model):
    page = tmp_path / "report.html"
    arguments = [
        "--images",
        a_ct,
        "--labels",
        its_labels,
        "--label",
        3,
        "--clicks",
        2,
        "--first",
        "anywhere",
        "--seeds",
        2,
    ]
    assert main(["evaluate", *map(str, arguments), "--report", str(page), *a_small_model]) == 0
    text = page.read_text(encoding="utf-8")
    assert text.count("data:image/png;base64,") == 3  # the curves, and two cases
    assert "harmful clicks" in text
    assert "<script" not in text


def test_one_deepest_voxel_cannot_be_tried_twice(capsys):
    assert main(["evaluate", "--images", "a", "--labels", "b", "--seeds", "2"]) == 2
    assert "There is one deepest voxel" in capsys.readouterr().err


def test_the_help_of_train_says_what_each_setting_is_for_written_as_it_is_typed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["train", "--help"]) == 0

    shown = " ".join(capsys.readouterr().out.split())
    for setting in dataclasses.fields(TrainConfig):
        option = f"--{setting.name.replace('_', '-')} "
        said = next(line for line in (TrainConfig.__doc__ or "").splitlines() if f"    {setting.name}:" in line)
        assert option in shown, "the name of an option as a user types it"
        assert said.partition(": ")[2] in shown, f"what {option}is for"


@pytest.mark.parametrize(
    "asked",
    [
        ("--box", "--start", "line"),
        ("--start", "mask", "--first", "border"),
        ("--start", "line", "--seeds", "2"),
        ("--box", "--seeds", "2"),
    ],
)
def test_a_case_begins_with_one_thing(capsys, asked):
    assert main(["evaluate", "--images", "a", "--labels", "b", *asked]) == 2
    said = capsys.readouterr().err
    assert "begins with one thing" in said or "one deepest voxel, box" in said


def test_evaluate_says_what_a_stroke_gives_alone_and_what_the_first_click_after_it_does(
    a_ct: Path, its_labels: Path, a_small_model: tuple[str, ...], tmp_path: Path, capsys
) -> None:
    report = tmp_path / "e.json"
    arguments = ["--images", a_ct, "--labels", its_labels, "--label", 3, "--clicks", 1, "--start", "lasso", "--json"]

    assert main(["evaluate", *map(str, arguments), str(report), *a_small_model]) == 0

    content = json.loads(report.read_text())
    (case,) = content["cases"]
    change = case["dice"][0] - case["start"]["dice"]
    assert content["start"]["worst_fall"] == pytest.approx(min(0.0, change))
    assert content["start"]["first_click_made_worse"] == int(change < 0)
    assert f"Dice before the clicks {case['start']['dice']:.2f}" in capsys.readouterr().out
