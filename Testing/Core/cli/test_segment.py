"""`segment` on an oblique CT: what it writes, what it reports, and that prompts mean the same in every frame."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from inference_core.cli.main import main
from inference_core.engine.original_pipeline import predict_as_original
from inference_core.evaluation.metrics import dice
from inference_core.evaluation.phantom import Phantom
from inference_core.io.dicom_writer import write_dicom_series
from inference_core.io.files import read_labels, read_volume
from inference_core.io.prompts_json import read_prompts
from inference_core.models.registry import build_model, get_spec
from inference_core.prompts.prompt_set import Click, PromptSet

DATA = Path(__file__).parents[2] / "Data"


@pytest.fixture
def a_run(a_ct, a_small_model, tmp_path, capsys):
    """Segments the CT in this process; returns the mask and the report."""

    def segment(name, *arguments):
        output, report = tmp_path / f"{name}.nii.gz", tmp_path / f"{name}.json"
        outputs = ("--output", output, "--json", report)
        status = main([str(part) for part in ("segment", a_ct, *outputs, *a_small_model, *arguments)])
        assert status == 0, capsys.readouterr().err
        return read_labels(output), json.loads(report.read_text())

    return segment


def test_a_click_becomes_a_mask_on_the_images_own_voxels(run, a_ct, a_small_model, a_target_click, tmp_path) -> None:
    output, report = tmp_path / "mask.seg.nrrd", tmp_path / "report.json"
    beside = tuple(str(float(value) + 40) for value in a_target_click)

    done = run("segment", a_ct, "--output", output, "--json", report, *a_small_model, "--name", "liver tumor",
               "--click", *a_target_click, "--negative-click", *beside)  # fmt: skip

    assert done.returncode == 0, done.stderr
    mask, volume, facts = read_labels(output), read_volume(a_ct), json.loads(report.read_text())
    assert mask.grid.matches(volume.grid, tolerance_mm=1e-3)
    assert mask.array[volume.grid.voxel_of([float(value) for value in a_target_click])] == 1
    assert mask.array[volume.grid.voxel_of([float(value) for value in beside])] == 0
    assert facts["voxels"] == np.count_nonzero(mask.array)
    assert facts["volume_ml"] == pytest.approx(facts["voxels"] * volume.grid.voxel_volume_mm3 / 1000)
    assert b"Segment0_Name:=liver tumor" in output.read_bytes()[:4000]
    assert f"{facts['voxels']} voxels" in done.stdout
    assert str(output) in done.stdout
    assert "encoding" in done.stderr
    assert set(tmp_path.iterdir()) == {output, report}


def test_the_report_has_what_was_promised(a_run, a_target_click) -> None:
    _, facts = a_run("mask", "--click", *a_target_click)

    assert facts["model"] == "sam_med3d"
    assert facts["device"] == "cpu"
    assert facts["prompts"] == [
        {"type": "click", "position": [float(value) for value in a_target_click], "positive": True}
    ]
    assert set(facts["seconds"]) == {"load", "encode", "decode", "total"}
    assert all(value > 0 for value in facts["seconds"].values())
    assert sum(facts["seconds"][part] for part in ("load", "encode", "decode")) <= facts["seconds"]["total"]
    assert len(facts["window"]["shape"]) == len(facts["window"]["spacing_mm"]) == 3
    assert facts["quality"] is None  # this model has no quality head


def test_clicks_mean_the_same_in_every_frame(a_run, a_ct, a_target_click) -> None:
    r, a, s = (float(value) for value in a_target_click)
    ijk = read_volume(a_ct).grid.to_ijk((r, a, s))

    masks = [
        a_run("ras", "--click", r, a, s)[0],
        a_run("lps", "--frame", "lps", "--click", -r, -a, s)[0],
        a_run("ijk", "--frame", "ijk", "--click", *ijk)[0],
    ]

    assert masks[0].array.any()
    assert np.array_equal(masks[0].array, masks[1].array)
    assert dice(masks[0].array > 0, masks[2].array > 0) > 0.99


def test_a_box_lies_along_the_axes_of_its_frame(a_run, a_ct, a_target_click) -> None:
    grid = read_volume(a_ct).grid
    r, a, s = (float(value) for value in a_target_click)
    i, j, k = grid.to_ijk((r, a, s))

    _, straight = a_run("ras", "--box", r, a, s, 40, 50, 60)
    _, flipped = a_run("lps", "--frame", "lps", "--box", -r, -a, s, 40, 50, 60)
    _, tilted = a_run("ijk", "--frame", "ijk", "--box", i, j, k, 10, 11, 12)

    assert straight["prompts"] == flipped["prompts"]
    assert straight["prompts"][0]["size"] == [40, 50, 60]
    assert np.allclose(straight["prompts"][0]["axes"], np.eye(3))
    assert np.allclose(tilted["prompts"][0]["center"], (r, a, s), atol=1e-6)
    assert np.allclose(tilted["prompts"][0]["size"], np.array([10, 11, 12]) * grid.spacing)
    assert np.allclose(np.transpose(tilted["prompts"][0]["axes"]) * grid.spacing, grid.affine[:3, :3], atol=1e-6)


def test_prompts_keep_the_order_in_which_they_were_given(a_run, a_target_click) -> None:
    r, a, s = (float(value) for value in a_target_click)

    _, facts = a_run(
        "mask", "--click", r, a, s, "--negative-click", r + 3e1, a, s, "--box", r, a, s, 60, 60, 60,
        "--click", r, a + 4, s, "--negative-click", r, a - 4e1, s,
    )  # fmt: skip

    kinds = [prompt.get("positive", "box") for prompt in facts["prompts"]]
    assert kinds == [True, False, "box", True, False]


def test_saved_prompts_give_the_same_mask_again(a_run, a_target_click, tmp_path) -> None:
    saved = tmp_path / "prompts.json"
    beside = [float(value) + 25 for value in a_target_click]
    arguments = ("--click", *a_target_click, "--negative-click", *beside, "--threshold", "-0.5")

    first, facts = a_run("first", *arguments, "--save-prompts", saved)
    again, repeated = a_run("again", "--prompts", saved)

    assert (read_prompts(saved).model, read_prompts(saved).threshold) == ("sam_med3d", -0.5)
    assert np.array_equal(first.array, again.array)
    assert facts["prompts"] == repeated["prompts"]


def test_a_lower_threshold_gives_no_smaller_mask(a_run, a_target_click) -> None:
    sizes = [a_run(f"t{n}", "--click", *a_target_click, "--threshold", t)[1]["voxels"] for n, t in enumerate((-1, 1))]

    assert sizes[0] > sizes[1] > 0


def test_an_empty_mask_is_written_and_said_to_be_empty(a_run, a_target_click, capsys) -> None:
    mask, facts = a_run("empty", "--box", *a_target_click, 40, 40, 40, "--threshold", "1e6")

    assert not mask.array.any()
    assert facts["voxels"] == 0
    assert "The mask is empty" in capsys.readouterr().err


def test_a_failed_run_leaves_an_earlier_mask_alone(a_ct, unread_weights, a_target_click, tmp_path, capsys) -> None:
    output = tmp_path / "mask.nii.gz"
    output.write_bytes(b"earlier")

    arguments = ["segment", a_ct, "--output", output, "--weights", unread_weights, "--click", *a_target_click]
    assert main([str(part) for part in arguments]) == 2

    assert output.read_bytes() == b"earlier"
    assert list(tmp_path.iterdir()) == [output]


def test_other_series_of_a_folder_are_named_and_can_be_chosen(
    a_phantom: Phantom, a_small_model, a_target_click, tmp_path: Path, capsys
) -> None:
    volume = a_phantom.volume
    folder, output = tmp_path / "study", tmp_path / "mask.nii.gz"
    half = volume.grid.cropped((0, 0, 0), (*volume.grid.shape[:2], 40))
    write_dicom_series(folder, volume.array, volume.grid, description="Whole", series_uid="1.2.3")
    write_dicom_series(folder / "more", volume.array[:, :, :40].copy(), half, description="Part", series_uid="1.2.4")
    arguments = ["segment", folder, "--output", output, *a_small_model, "--click", *a_target_click]

    assert main([str(part) for part in arguments]) == 0
    by_default = capsys.readouterr()
    assert main([str(part) for part in (*arguments, "--series", "1.2.4")]) == 0
    chosen = capsys.readouterr()

    assert "Whole" in by_default.out
    assert "1.2.4" in by_default.err
    assert "Part" in chosen.out
    assert read_labels(output).grid.shape[2] == 40
    assert main([str(part) for part in (*arguments, "--series", "9.9")]) == 2
    assert main([str(part) for part in (*arguments[:-4], "--json", folder / "slice-0001.dcm", *arguments[-4:])]) == 2


def test_the_default_model_finds_a_tumor_from_one_click(
    the_default_model, a_phantom: Phantom, a_ct, a_target_click, tmp_path
) -> None:
    output = tmp_path / "mask.nii.gz"

    status = main([str(part) for part in ("segment", a_ct, "--output", output, "--click", *a_target_click)])

    assert status == 0
    assert dice(read_labels(output).array > 0, a_phantom.labels.array == 1) > 0.5


def test_the_official_window_answers_as_the_authors_script_does(a_run, a_ct, a_target_click) -> None:
    mask, facts = a_run("official", "--click", *a_target_click, "--window", "official")

    spec, weights = get_spec("sam_med3d"), DATA / "sam_med3d" / "small.safetensors"
    volume = read_volume(a_ct)
    clicked = PromptSet((Click(tuple(float(value) for value in a_target_click)),))
    expected = predict_as_original(volume, build_model(spec.name, weights=weights, device="cpu"), clicked)
    np.testing.assert_array_equal(mask.array, expected.mask.on(volume.grid.shape))
    assert facts["window"]["spacing_mm"] == pytest.approx([1.5, 1.5, 1.5])


def test_the_width_of_the_window_can_be_given(the_default_model, a_ct, a_target_click, tmp_path) -> None:
    report = tmp_path / "report.json"
    given = ("segment", a_ct, "--output", tmp_path / "mask.nii.gz", "--json", report, "--click", *a_target_click)
    assert main([str(part) for part in (*given, "--window", "60")]) == 0
    window = json.loads(report.read_text())["window"]
    assert window["shape"][0] * window["spacing_mm"][0] == pytest.approx(60)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--window", "wide"), "'wide' is not a number"),
        (("--window", "-3"), "-3 is not greater than zero"),
        (("--precision", "half"), "invalid choice: 'half'"),
    ],
)
def test_a_window_or_precision_that_is_none_is_refused(a_ct, tmp_path, capsys, given, said) -> None:
    output = tmp_path / "mask.nii.gz"
    assert main([str(part) for part in ("segment", a_ct, "--output", output, "--click", 0, 0, 0, *given)]) == 2
    assert said in capsys.readouterr().err
    assert not output.exists()


def test_strokes_mean_the_same_in_every_frame_and_are_saved(a_run, a_ct, a_target_click, tmp_path) -> None:
    center, grid = np.array([float(value) for value in a_target_click]), read_volume(a_ct).grid
    places = {"--line": center + [(-9, 0, 0), (9, 2, 1)], "--scribble": center + [(-4, 0, 0), (0, 3, 0), (4, 0, 2)]}
    places["--negative-lasso"] = center + [(30, -5, 0), (40, -5, 0), (40, 6, 0), (30, 6, 0)]
    frames = {"ras": np.asarray, "lps": lambda points: points * (-1, -1, 1), "ijk": grid.to_ijk}
    masks, saved = [], []
    for frame, convert in frames.items():
        numbers = [part for option, points in places.items() for part in (option, *convert(points).ravel())]
        save = tmp_path / f"{frame}_prompts.json"
        mask, _ = a_run(frame, "--frame", frame, "--save-prompts", save, *numbers)
        masks.append(mask.array)
        saved.append(read_prompts(save).prompts)
    assert masks[0].any()
    assert all((mask != masks[0]).mean() < 1e-3 for mask in masks)
    for prompts in saved:
        for stroke, points in zip(prompts.strokes, places.values(), strict=True):
            np.testing.assert_allclose(stroke.points_ras, points, atol=1e-4)
    assert not saved[0].strokes[2].positive
