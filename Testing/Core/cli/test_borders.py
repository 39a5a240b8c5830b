"""Paths, values and disks that no one hopes for: one sentence, exit code 2, nothing half done."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest

from inference_core.cli.main import main

CLICK = ("--click", "-6", "14", "-205")
NAME_TOO_LONG = "n" * 300
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="Windows has neither these paths nor these limits")


@pytest.fixture
def odd_paths(tmp_path_factory) -> Path:
    """A folder with a loop of links, a pipe, and a folder that may not be entered."""
    folder = tmp_path_factory.mktemp("odd")
    (folder / "loop").symlink_to(folder / "loop")
    os.mkfifo(folder / "pipe")
    return folder


@pytest.fixture
def segment_ct(a_ct, unread_weights) -> list[object]:
    """What segments the CT, where nothing is wrong."""
    return ["segment", a_ct, "--output", "m.nii.gz", "--weights", unread_weights, *CLICK]


@pytest.fixture
def refused(capsys, monkeypatch, tmp_path):
    """Runs the command line here; gives the one sentence that it must refuse with."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SAM3DSEGMENT_MODELS", str(tmp_path.parent / "no models"))

    def run(*arguments) -> str:
        assert main([str(argument) for argument in arguments]) == 2
        said = capsys.readouterr()
        assert said.out == ""
        assert len(said.err.splitlines()) == 1, said.err
        assert said.err.rstrip().endswith((".", ".'"))
        assert not list(tmp_path.iterdir())
        return said.err

    return run


READ = ("input", "--weights", "--base", "--prompts", "--from", "--images", "--output-dir")
WRITTEN = ("--output", "--json", "--save-prompts")
NOWHERE = ("loop", "pipe", NAME_TOO_LONG, "n/" * 3000 + "n", "pipe/below", "/dev/zero")


@POSIX
@pytest.mark.parametrize(("option", "name"), list(product(READ, NOWHERE)))
def test_paths_that_lead_nowhere_are_refused(refused, odd_paths, segment_ct, option, name) -> None:
    path, segment, unread_weights = odd_paths / name, segment_ct, segment_ct[5]
    arguments = {
        "input": ["segment", path, "--output", "m.nii.gz", "--weights", unread_weights, *CLICK],
        "--from": ["download", "sam_med3d", "--from", path],
        "--images": ["evaluate", "--images", path, "--labels", path, "--weights", unread_weights],
        "--output-dir": ["demo", "--output-dir", path / "below", "--weights", unread_weights],
    }
    said = refused(*arguments.get(option, [*segment, option, path]))
    assert "report it" not in said


@POSIX
@pytest.mark.parametrize(("option", "name"), list(product(WRITTEN, ["loop", NAME_TOO_LONG, "pipe", "absent/file"])))
def test_outputs_that_lead_nowhere_are_refused_before_the_work(refused, odd_paths, segment_ct, option, name) -> None:
    end = ".json" if option != "--output" else ".nii.gz"
    (odd_paths / "loop.json").symlink_to(odd_paths / "loop.json")
    (odd_paths / "loop.nii.gz").symlink_to(odd_paths / "loop.nii.gz")
    said = refused(*segment_ct, option, odd_paths / (name + end))
    assert "report it" not in said


@pytest.mark.parametrize(
    "option", ["--model", "--weights", "--base", "--prompts", "--json", "--output", "--series", "--name"]
)
@pytest.mark.parametrize("value", ["", "  ", "\0"])
def test_an_empty_value_is_refused_and_not_taken_for_the_default(refused, a_ct, unread_weights, option, value) -> None:
    arguments = ["segment", a_ct, "--output", "m.nii.gz", "--weights", unread_weights, *CLICK, option, value]
    assert "empty" in refused(*arguments)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "--minutes", "1", "--output", "w", "--seed", "-1"], "seed -1 is not between"),
        (["train", "--minutes", "1", "--output", "w", "--seed", str(2**70)], "is not between"),
        (["train", "--minutes", "1", "--output", "w", "--seed", "nan"], "seed"),
        (["train", "--minutes", "inf", "--output", "w"], "minutes"),
        (["evaluate", "--images", "a", "--labels", "b", "--tolerance", "nan"], "not a finite number"),
        (["benchmark", "--model", "sam9"], "no model"),
    ],
)
def test_values_out_of_range_are_refused(refused, arguments, words) -> None:
    assert words in refused(*arguments)


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        (["--box", "-6", "14", "-205", "10", "10", "1e-300"], "shorter than 0.001 mm"),
        (["--box", "-6", "14", "-205", "10", "10", "1e300"], "beyond any patient"),
        (["--frame", "ijk", "--box", "9", "9", "9", "1e-300", "4", "4"], "shorter than 0.001 mm"),
        (["--click", "1e300", "1e300", "-1e300"], "beyond any patient"),
        (["--frame", "ijk", "--click", "1e300", "0", "0"], "beyond any patient"),
        (["--click", "-6", "14", "-205", "--window", "nan"], "not a finite number"),
        (["--click", "-6", "14", "-205", "--threshold", "inf"], "not a finite number"),
    ],
)
def test_prompts_beyond_reason_are_refused(refused, a_ct, unread_weights, prompt, words) -> None:
    said = refused("segment", a_ct, "--output", "m.nii.gz", "--weights", unread_weights, *prompt)
    assert words in said


def test_more_prompts_than_a_segment_takes_are_refused(refused, a_ct, unread_weights) -> None:
    clicks = ["--click", "-6", "14", "-205"] * 1001
    said = refused("segment", a_ct, "--output", "m.nii.gz", "--weights", unread_weights, *clicks)
    assert "1000 prompts at most" in said


@POSIX
def test_where_a_report_finds_no_room_no_mask_is_left(an_environment, a_ct, a_small_model, tmp_path) -> None:
    """Files may have 12 kB: the mask fits, the report of three hundred clicks does not."""
    (tmp_path / "earlier").write_bytes(b"earlier")
    for name in ("mask.nii.gz", "prompts.json"):
        (tmp_path / name).write_bytes(b"earlier")
    clicks = [part for n in range(300) for part in ("--click", "-6", "14", f"{-205 + n / 1000:.3f}")]
    outputs = ("--output", tmp_path / "mask.nii.gz", "--save-prompts", tmp_path / "prompts.json")
    limited = (
        "import resource, signal, sys; from inference_core.cli.main import main\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (12000, 12000))\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    arguments = [
        "segment",
        a_ct,
        *outputs,
        "--json",
        tmp_path / "report.json",
        *a_small_model,
        "--window",
        "30",
        *clicks,
    ]
    done = subprocess.run(
        [sys.executable, "-c", limited, *map(str, arguments)],
        env=an_environment, capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip

    assert done.returncode == 2, done.stderr
    assert "report.json' could not be written" in done.stderr.splitlines()[-1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["earlier", "mask.nii.gz", "prompts.json"]
    assert {path.read_bytes() for path in tmp_path.iterdir()} == {b"earlier"}


@POSIX
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_table_that_finds_no_room_is_said(an_environment) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "inference_core", "models"],
            env=an_environment, stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=60,
        )  # fmt: skip
    assert done.returncode == 2
    assert "No space left" in done.stderr.splitlines()[0]
    assert "Traceback" not in done.stderr


SLOW = {
    "demo": ("inference_core.cli.demo", "load", ["demo", "--output-dir", "out"]),
    "evaluate": ("inference_core.cli.evaluate", "load", ["evaluate", "--images", "CT", "--labels", "LABELS"]),
    "benchmark": ("inference_core.cli.benchmark", "load", ["benchmark"]),
    "segment": ("inference_core.cli.segment", "load", ["segment", "CT", "--output", "m.nii.gz", *CLICK]),
}


@POSIX
@pytest.mark.parametrize("command", SLOW)
def test_every_command_ends_cleanly_at_sigterm(segment_ct, an_environment, its_labels, tmp_path, command) -> None:
    """Each is held where it loads its model."""
    a_ct, unread_weights = segment_ct[1], segment_ct[5]
    module, place, arguments = SLOW[command]
    held = (
        f"import sys, time; from inference_core.cli.main import main; import {module} as stage\n"
        f"stage.{place} = lambda *_, **__: (print('held', flush=True), time.sleep(60))\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    given = [{"CT": str(a_ct), "LABELS": str(its_labels)}.get(part, part) for part in arguments]
    process = subprocess.Popen(
        [sys.executable, "-c", held, *given, "--weights", str(unread_weights)],
        env={**an_environment, "PYTHONPATH": str(Path(__file__).parents[3])}, cwd=tmp_path,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n", process.stderr and process.stderr.read()
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=30)

    assert process.returncode == 143
    assert "Traceback" not in stderr
    assert "nothing was left half-written" in stderr.splitlines()[-1]
    assert not [path for path in tmp_path.rglob("*") if path.name.startswith(".")]


@POSIX
@pytest.mark.parametrize(
    "options",
    [("--config", "pipe"), ("--config=pipe",), ("--lite", "pipe"), ("--data", "set", "--split", "pipe"),
     ("--data", "set", "--text-file", "pipe")],
)  # fmt: skip
def test_training_reads_no_settings_without_an_end(capsys, monkeypatch, odd_paths, options):
    monkeypatch.chdir(odd_paths)
    (odd_paths / "set").mkdir()
    assert main(["train", "--output", "run", *options]) == 2
    assert "has no end" in capsys.readouterr().err
