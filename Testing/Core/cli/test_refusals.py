"""What cannot be used is refused: exit code 2, one sentence on stderr, nothing on stdout, nothing written."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

INSIDE = ("-6", "14", "-205")


@pytest.fixture
def segment(run, unread_weights, tmp_path):
    """`segment` of an image; what is given overrides the output in `tmp_path` and the weights."""
    defaults = ("--output", tmp_path / "mask.nii.gz", "--weights", unread_weights)
    return lambda image, *arguments: run("segment", image, *defaults, *arguments)


def assert_refused(done: subprocess.CompletedProcess[str], words: str) -> None:
    assert done.returncode == 2, done
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].endswith(".")
    assert words in lines[0]


@pytest.mark.parametrize(
    ("prompts", "words"),
    [
        (["--click", "500", "0", "-205"], "mm outside the volume"),
        (["--click", "-5e2", "0", "-205"], "mm outside the volume"),
        (["--frame", "ijk", "--click", "88", "3", "3"], "mm outside the volume"),
        (["--click", "nan", "0", "0"], "'nan' is not a finite number"),
        (["--click", "-nan", "0", "0"], "'-nan' is not a finite number"),
        (["--click", "0", "-inf", "0"], "'-inf' is not a finite number"),
        (["--click", "0", "1e999", "0"], "'1e999' is not a finite number"),
        (["--click", "here", "0", "0"], "'here' is not a number"),
        (["--click", "1", "2"], "expected 3 arguments"),
        ([], "There is nothing to go by"),
        (["--negative-click", *INSIDE], "only background clicks"),
        (["--box", *INSIDE, "10", "0", "10"], "empty or inverted"),
        (["--box", *INSIDE, "10", "-5", "10"], "empty or inverted"),
        (["--frame", "ijk", "--box", "9", "9", "9", "4", "-1", "4"], "empty or inverted"),
        (["--box", "900", "0", "0", "10", "10", "10"], "box lies outside"),
        (["--box", *INSIDE, "10", "10"], "expected 6 arguments"),
        (["--click", *INSIDE, "--frame", "mni"], "invalid choice: 'mni'"),
        (["--click", *INSIDE, "--threshold", "nan"], "not a finite number"),
        (["--click", *INSIDE, "--model", "sam9"], "no model 'sam9'"),
        (["--click", *INSIDE, "--device", "tpu"], "invalid choice: 'tpu'"),
        (["--click", *INSIDE, "--series", "1.2.3"], "not DICOM"),
        (["--click", *INSIDE, "--model", "sam3d_lite", "--window", "official"], "no official window"),
        (["--click", *INSIDE, "--weights", "absent.pth"], "no weights file"),
        (["--click", *INSIDE, "--prompts", "absent.json"], "no prompt file"),
        (["--click", *INSIDE, "--what"], "Unrecognized arguments"),
    ],
)
def test_prompts_that_cannot_be_used_are_refused(segment, a_ct, tmp_path, prompts, words) -> None:
    done = segment(a_ct, *prompts)

    assert_refused(done, words)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("image", "words"),
    [
        ("absent.nii.gz", "no file or folder"),
        ("four_dimensions.nii.gz", "4"),
        ("color.nrrd", "3 numbers a voxel"),
        ("one_slice.nii.gz", "single slice"),
        ("empty.nii.gz", "empty file"),
        ("text.txt", "no known kind"),
        ("no_series", "no DICOM images"),
    ],
)
def test_images_that_cannot_be_used_are_refused(segment, bad_images, tmp_path, image, words) -> None:
    done = segment(bad_images / image, "--click", 0, 0, 0)

    assert_refused(done, words)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("output", "words"),
    [
        (("--output", "mask.png"), "does not tell the format"),
        (("--output", "absent/mask.nii.gz"), "does not exist"),
        (("--output", "folder.nii.gz"), "is a folder"),
        (("--json", "absent/report.json"), "does not exist"),
        (("--json", "mask.nii.gz"), "called as images or weights are"),
        (("--save-prompts", "absent/p.json"), "does not exist"),
    ],
)
def test_outputs_that_cannot_be_written_are_refused(segment, a_ct, tmp_path, output, words) -> None:
    (tmp_path / "folder.nii.gz").mkdir()
    option, name = output

    done = segment(a_ct, "--click", *INSIDE, option, tmp_path / name)

    assert_refused(done, words)
    assert [left.name for left in tmp_path.iterdir()] == ["folder.nii.gz"]


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="a folder that not even root may write is a Linux thing")
def test_a_folder_without_write_access_is_refused(segment, a_ct) -> None:
    done = segment(a_ct, "--click", *INSIDE, "--output", "/proc/mask.nii.gz")

    assert_refused(done, "cannot be written")


def test_no_input_is_overwritten(segment, a_ct) -> None:
    before = a_ct.read_bytes()
    aside = a_ct.parent / ".." / a_ct.parent.name / a_ct.name

    done = segment(a_ct, "--click", *INSIDE, "--output", aside)

    assert_refused(done, "is an input")
    assert a_ct.read_bytes() == before


def test_a_malformed_prompt_file_is_refused(segment, a_ct, tmp_path) -> None:
    prompts = tmp_path / "p.json"
    click = {"type": "click", "position": [0, float("nan"), 0], "positive": True}
    prompts.write_text(json.dumps({"format": "sam3dsegment-prompts", "version": 1, "frame": "ras", "prompts": [click]}))

    done = segment(a_ct, "--prompts", prompts)

    assert_refused(done, "prompt 1")
    assert [left.name for left in tmp_path.iterdir()] == ["p.json"]


def test_a_file_that_holds_no_weights_is_refused(segment, a_ct, a_target_click, tmp_path) -> None:
    done = segment(a_ct, "--click", *a_target_click)

    assert_refused(done, "weights.safetensors")
    assert not list(tmp_path.iterdir())


def test_a_click_on_a_voxel_that_is_no_number_is_refused(segment, bad_images, a_small_model, tmp_path) -> None:
    done = segment(bad_images / "holes.nii.gz", "--frame", "ijk", "--click", 9, 9, 9, *a_small_model)

    assert_refused(done, "has no value")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "COMMAND"),
        (["segmnt"], "invalid choice: 'segmnt'"),
        (["segment"], "INPUT, --output"),
        (["evaluate", "--images", "*.a", "--labels", "*.b"], "finds nothing"),
        (["evaluate", "--images", "Makefile", "--labels", "inference_core/*.py"], "1 images but"),
        (["evaluate", "--images", "a", "--labels", "b", "--clicks", "0"], "less than one"),
        (["evaluate", "--images", "a", "--labels", "b", "--tolerance", "-1"], "not greater than zero"),
        (["evaluate", "--images", "a", "--labels", "b", "--json", "absent/e.json"], "does not exist"),
        (["download", "sam9"], "no model 'sam9'"),
        (["download", "sam_med3d", "--from", "absent.pth"], "absent.pth"),
        (["benchmark", "--model", "sam9"], "no model 'sam9'"),
        (["benchmark", "--repeat", "many"], "not a whole number"),
        (["demo", "somewhere"], "go together"),
        (["demo", "--click", "1", "-2e1", "3"], "go together"),
        (["models", "--json", "absent/m.json"], "does not exist"),
        (["train", "--minutes", "0", "--output", "w"], "not greater than zero"),
        (["train", "--minutes", "1", "--output", "w", "--data", "absent"], "no data 'absent'"),
        (["train", "--minutes", "1", "--output", "w", "--start-from", "absent"], "no weights 'absent'"),
        (["train", "--minutes", "1", "--steps", "1", "--output", "w"], "Both steps and minutes"),
        (["train", "--minutes", "1", "--output", "w", "--wings", "2"], "wings"),
        (["train", "--output", "w"], "give --steps or --minutes"),
        (["train", "--steps", "9"], "output"),
        (["train", "--steps", "9", "--output", "absent_run", "--resume"], "no run that can be gone on with"),
        (["segment", "a.nii", "--output", "o.nii", "--scribble", "1", "2"], "three coordinates for each of its points"),
        (["segment", "a.nii", "--output", "o.nii", "--lasso", *"123456"], "3 points at least"),
        (["segment", "a.nii", "--output", "o.nii", "--line", *"12345"], "6 arguments"),
    ],
)
def test_commands_that_cannot_be_followed_are_refused(run, unread_weights, arguments, words) -> None:
    weights = ["--weights", unread_weights] if arguments[:1] == ["evaluate"] else []

    done = run(*arguments, *weights)

    lines = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr
    assert words in lines[-1]
    assert len(lines) == 1


def test_a_mistake_of_ours_is_told_in_one_line_unless_debugging(an_environment: dict[str, str]) -> None:
    program = (
        "import sys, inference_core.cli.main as m, inference_core.cli.models as c\n"
        "c.all_specs = lambda: 1 / 0\n"
        "sys.exit(m.main(sys.argv[1:]))"
    )
    done, debugged = (
        subprocess.run(
            [sys.executable, "-c", program, "models", *more],
            env=an_environment, capture_output=True, text=True, check=False,
        )
        for more in ([], ["--debug"])
    )  # fmt: skip

    assert done.returncode == debugged.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "--debug" in done.stderr
    assert "Traceback" in debugged.stderr
