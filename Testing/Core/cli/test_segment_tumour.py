"""`segment` with 3DSAM-adapter: what its network does not read, what is said of its file, and its authors' script."""

from __future__ import annotations

import json

import numpy as np
import pytest

from inference_core.cli.main import main
from inference_core.engine.original_pipeline import predict_as_original
from inference_core.io.files import read_labels, read_volume
from inference_core.models.registry import build_model, get_spec
from inference_core.prompts.prompt_set import Click, PromptSet


@pytest.fixture(scope="module")
def a_small_tumor_model(the_tumor_weights):
    return ("--model", "sam3d_adapter_liver", "--weights", str(the_tumor_weights))


@pytest.fixture(scope="module")
def the_tumor_weights(request):
    return request.path.parents[2] / "Data" / "sam3d_adapter" / "small.safetensors"


@pytest.fixture
def a_run(a_ct, a_small_tumor_model, tmp_path, capsys):
    """Segments the CT in this process; returns the exit status, where the mask would be, and what was said."""

    def segment(*arguments):
        output = tmp_path / "mask.nii.gz"
        report = ("--json", tmp_path / "report.json")
        status = main(["segment", *map(str, (a_ct, "--output", output, *report, *a_small_tumor_model, *arguments))])
        return status, output, capsys.readouterr().err

    return segment


def test_a_background_click_is_obeyed_and_the_files_training_told(a_run, a_ct, a_target_click, tmp_path) -> None:
    beside = (str(float(a_target_click[0]) + 9), *a_target_click[1:])
    status, output, said = a_run("--click", *a_target_click, "--negative-click", *beside)
    assert status == 0, said
    mask, volume = read_labels(output), read_volume(a_ct)
    assert mask.array[volume.grid.voxel_of([float(value) for value in a_target_click])] == 1
    assert mask.array[volume.grid.voxel_of([float(value) for value in beside])] == 0
    assert "Caution: The attention's scales of this file were trained" in said
    (caution,) = json.loads((tmp_path / "report.json").read_text())["cautions"]
    assert caution in said


def test_the_official_window_answers_as_the_authors_script_does(a_run, a_ct, a_target_click, the_tumor_weights) -> None:
    status, output, said = a_run("--click", *a_target_click, "--window", "official")
    assert status == 0, said
    volume = read_volume(a_ct)
    model = build_model("sam3d_adapter_liver", weights=the_tumor_weights, device="cpu")
    expected = predict_as_original(volume, model, PromptSet((Click(tuple(float(v) for v in a_target_click)),)))
    assert np.array_equal(read_labels(output).array, expected.mask.on(volume.grid.shape))
    assert expected.mask.array.any()


def test_the_official_window_takes_no_background_click(a_run, a_target_click) -> None:
    beside = (str(float(a_target_click[0]) + 9), *a_target_click[1:])
    status, output, said = a_run("--click", *a_target_click, "--negative-click", *beside, "--window", "official")
    assert status != 0
    assert "knows no background clicks" in said
    assert not output.exists()


def test_weights_that_are_not_installed_are_told_where_to_get(
    a_ct, a_target_click, tmp_path, monkeypatch, capsys
) -> None:
    monkeypatch.setenv("SAM3DSEGMENT_MODELS", str(tmp_path))
    arguments = (
        "segment",
        a_ct,
        "--output",
        tmp_path / "m.nii.gz",
        "--model",
        "sam3d_adapter",
        "--click",
        *a_target_click,
    )
    assert main([str(part) for part in arguments]) != 0
    assert str(get_spec("sam3d_adapter").checkpoint.page) in capsys.readouterr().err
