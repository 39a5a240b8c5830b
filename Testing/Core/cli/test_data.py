"""`sam3dsegment data`: prepare, check and recipes, as a user starts them."""

from __future__ import annotations

import json

import numpy as np
import pytest
import SimpleITK as sitk
from support.scenes import oblique_grid

from inference_core.cli.main import main
from inference_core.geometry.grid import Grid
from inference_core.io.itk import sitk_from_array


@pytest.fixture
def a_colon_set(tmp_path):
    """The Decathlon's colon set with four cases of a few voxels, whose tumors are specks."""
    grid = Grid((9, 7, 5), oblique_grid(orientation=29, spacing=1, size_mm=8.0).affine)
    folder = tmp_path / "Task10_Colon"
    label = np.zeros(grid.shape, dtype=np.uint8)
    label[2:4, 2:4, 1:3] = 1
    for number in range(4):
        image = np.random.default_rng(number).integers(-100, 100, grid.shape).astype(np.int16)
        for kind, array in (("images", image), ("labels", label)):
            path = folder / f"{kind}Tr" / f"colon_{number:03d}.nii.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            sitk.WriteImage(sitk_from_array(array, grid), str(path))
    return folder


def test_a_published_set_is_prepared_and_checked(a_colon_set, tmp_path, capsys):
    out = tmp_path / "colon"
    assert main(["data", "prepare", "msd_colon", str(a_colon_set), str(out), "--json", str(tmp_path / "p.json")]) == 0
    said = capsys.readouterr()
    assert "4 cases, 0 left out, as in sam3d_adapter" in said.out
    assert "drawn by a seed" in said.err
    assert json.loads((tmp_path / "p.json").read_text())["left_out"] == {}
    assert main(["data", "check", str(out), "--json", str(tmp_path / "c.json")]) == 0
    said = capsys.readouterr()
    assert "4 cases of 4 patients; classes: colon cancer" in said.out
    assert "too small" in said.out
    assert len(json.loads((tmp_path / "c.json").read_text())["findings"]["too small"]) == 4


def test_a_set_is_cleaned_by_rules_of_ones_own(a_colon_set, tmp_path, capsys):
    main(["data", "prepare", "msd_colon", str(a_colon_set), str(tmp_path / "colon")])
    command = ["data", "check", str(tmp_path / "colon"), "--write", str(tmp_path / "clean")]
    assert main(command) == 2
    assert "No case has a label left after cleaning" in capsys.readouterr().err
    assert main([*command[:-1], str(tmp_path / "again"), "--least-ml", "0.0001", "--least-mm", "0.5"]) == 0
    assert "4 cases, 0 left out" in capsys.readouterr().out


def test_a_sound_set_has_nothing_found(a_colon_set, tmp_path, capsys):
    main(["data", "prepare", "msd_colon", str(a_colon_set), str(tmp_path / "colon")])
    assert main(["data", "check", str(tmp_path / "colon"), "--least-ml", "0.0001", "--least-mm", "0.5"]) == 0
    assert "nothing was found" in capsys.readouterr().out


def test_the_recipes_are_listed(capsys):
    assert main(["data", "recipes"]) == 0
    said = capsys.readouterr().out
    assert "kits21" in said
    assert "ma_sam, medical_sam_adapter" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["prepare", "kits", "SOURCE", "OUT"], "There is no recipe 'kits'"),
        (["prepare", "kits21", "SOURCE", "OUT"], "holds no labeled case of KiTS21"),
        (["prepare", "msd_colon", "GONE", "OUT"], "There is no folder"),
        (["prepare", "msd_colon", "SOURCE", "OUT", "--seed", "-1"], "The seed -1 is not between"),
        (["prepare", "msd_colon", "SOURCE", "OUT", "--paper", "ma_sam"], "choose one of sam3d_adapter"),
        (["check", "GONE"], "There is no file or folder"),
        (["check", "SOURCE", "--patients", "("], "no regular expression"),
        (["check", "SOURCE", "--whole", "kidney"], "There is no class 'kidney'"),
        ([], "required"),
    ],
)
def test_what_cannot_be_used_is_refused_by_one_sentence(a_colon_set, tmp_path, capsys, arguments, said):
    places = {"SOURCE": str(a_colon_set), "OUT": str(tmp_path / "out"), "GONE": str(tmp_path / "gone")}
    assert main(["data", *(places.get(argument, argument) for argument in arguments)]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
