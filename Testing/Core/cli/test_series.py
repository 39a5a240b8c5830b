"""`series`, and `segment --part`: what a CD holds, and one phase of it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from pydicom import dcmread

from inference_core.geometry.grid import Grid
from inference_core.io.dicom_writer import write_dicom_series
from inference_core.io.files import read_labels


@pytest.fixture
def a_cd(tmp_path, a_phantom):
    """Two phases of the phantom in one series, and a shorter series."""
    volume = a_phantom.volume
    for number in (1, 2):
        folder = tmp_path / "cd" / f"phase{number}"
        shift = np.int16(3 * (number - 1))
        for path in write_dicom_series(
            folder, volume.array + shift, volume.grid, description="Liver", series_uid="2.25.1"
        ):
            dataset = dcmread(path)
            dataset.AcquisitionNumber = number
            dataset.save_as(path)
    short = Grid((*volume.grid.shape[:2], 20), volume.grid.affine)
    write_dicom_series(tmp_path / "cd" / "short", volume.array[:, :, :20].copy(), short, patient_name="Secret^Name")
    return tmp_path / "cd"


def test_a_folder_is_listed_without_its_patients(run, a_cd, tmp_path):
    done = run("series", a_cd, "--json", tmp_path / "series.json")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["series", "kind", "description", "size", "spacing", "mm", "parts"]
    assert "2.25.1  " in lines[1]
    assert (
        "CT    Liver        88 x 72 x 52  3.9 x 3.9 x 4.6  2 phases, told apart by AcquisitionNumber 1, 2" in lines[1]
    )
    assert "88 x 72 x 20" in lines[2]
    listed = json.loads((tmp_path / "series.json").read_text())["series"]
    assert [part["slices"] for part in listed[0]["parts"]] == [52, 52]
    assert "Secret" not in done.stdout + (tmp_path / "series.json").read_text()


def test_a_folder_without_images_is_refused(run, tmp_path):
    done = run("series", tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "holds no DICOM images" in done.stderr


def test_a_part_of_a_series_is_segmented_and_others_are_told_of(run, a_cd, a_phantom, tmp_path):
    center = [f"{x:.2f}" for x in a_phantom.tumors[0].center_ras]
    for part in (None, 2):
        options = [] if part is None else ["--part", part]
        done = run("segment", a_cd, "--output", tmp_path / "m.nrrd", "--series", "2.25.1", "--click", *center, *options)
        assert done.returncode == 0, done.stderr
        assert ("told apart by AcquisitionNumber 1, 2; part 1 is read" in done.stderr) == (part is None)
        assert read_labels(tmp_path / "m.nrrd").array.any()
    done = run("segment", a_cd, "--output", tmp_path / "m.nrrd", "--series", "2.25.1", "--click", *center, "--part", 3)
    assert done.returncode == 2
    assert "choose a part from 1 to 2" in done.stderr


def test_an_output_never_replaces_the_data_of_a_header(run, tmp_path):
    (tmp_path / "a.nhdr").write_text(
        "NRRD0004\ntype: uchar\ndimension: 3\nsizes: 2 2 2\nencoding: raw\ndata file: a.voxels\n"
    )
    (tmp_path / "a.voxels").write_bytes(bytes(8))
    done = run(
        "segment",
        tmp_path / "a.nhdr",
        "--output",
        tmp_path / "m.nrrd",
        "--json",
        tmp_path / "a.voxels",
        "--click",
        0,
        0,
        0,
    )
    assert done.returncode == 2
    assert "would be overwritten" in done.stderr
    assert (tmp_path / "a.voxels").read_bytes() == bytes(8)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM")
def test_sigterm_in_the_middle_of_writing_leaves_the_old_file_and_no_litter(tmp_path, an_environment):
    (tmp_path / "mask.nii").write_text("old")
    program = (
        "import sys, time\n"
        "from inference_core.cli import main as entry, models\n"
        "from inference_core.io.atomic import replacing\n"
        "def run(options):\n"
        f"    with replacing({str(tmp_path / 'mask.nii')!r}) as temporary:\n"
        "        temporary.write_text('half')\n"
        "        print('writing', flush=True)\n"
        "        time.sleep(60)\n"
        "models.run = run\n"
        "sys.exit(entry.main(['models']))\n"
    )
    command = [sys.executable, "-c", program]
    with subprocess.Popen(
        command, env=an_environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as job:
        assert job.stdout.readline() == "writing\n"
        time.sleep(0.1)
        job.send_signal(signal.SIGTERM)
        _, said = job.communicate(timeout=20)
    assert job.returncode == 143
    assert "nothing was left half-written" in said
    assert [path.name for path in tmp_path.iterdir()] == ["mask.nii"]
    assert (tmp_path / "mask.nii").read_text() == "old"


def test_control_characters_of_a_file_do_not_reach_the_terminal(run, a_cd, tmp_path):
    for path in (a_cd / "short").iterdir():
        dataset = dcmread(path)
        dataset.SeriesDescription = "Abd\x1b]0;gotcha\x07omen"
        dataset.save_as(path)
    shutil.copytree(a_cd / "short", tmp_path / "odd\x1b[31mname")
    for arguments in (
        ("series", a_cd),
        ("segment", tmp_path / "odd\x1b[31mname", "--output", tmp_path / "m.nrrd", "--click", 9e3, 0, 0),
    ):
        done = run(*arguments)
        assert "\x1b" not in done.stdout + done.stderr
        assert "\x07" not in done.stdout + done.stderr
