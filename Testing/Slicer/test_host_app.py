"""`make app`: the tour of the module in the host, on an image of the user's own."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core exists for Python 3.11 on 64-bit Linux")
pytest.importorskip("PySide6")

ROOT = Path(__file__).resolve().parents[2]
PICTURES = ["empty_panel", "image", "first_click", "second_click", "dragged_click", "undone_twice", "mask_in_3D"]


@pytest.fixture
def a_series(tmp_path):
    """A DICOM folder with a bright ball of 12 mm radius in the middle of an oblique volume."""
    from inference_core.geometry.grid import Grid
    from inference_core.io.dicom_writer import write_dicom_series

    shape, spacing = (72, 64, 30), np.array([1.0, 1.0, 2.5])
    affine = np.eye(4)
    affine[:3, :3] = np.array([[0.8, -0.6, 0.0], [0.6, 0.8, 0.0], [0.0, 0.0, 1.0]]) * spacing
    grid = Grid(shape, affine)
    distance = np.linalg.norm((np.indices(shape).T - (np.array(shape) - 1) / 2) * spacing, axis=-1).T
    noise = np.random.default_rng(0).normal(0, 10, shape)
    array = (np.where(distance < 12, 130, 50) + noise).astype(np.int16)
    write_dicom_series(tmp_path / "series", array, grid)
    return tmp_path / "series"


def test_the_tour_does_what_it_says_on_a_dicom_series(a_host, a_series, tmp_path):
    from Host.tour import Tour

    a_host.openModule()
    Tour(a_host, tmp_path / "out", inputPath=a_series).run()

    written = sorted(path.stem[3:] for path in (tmp_path / "out").glob("*.png"))
    assert written == sorted([*PICTURES, "compared", "scene_reopened"])
    assert (tmp_path / "out" / "scene.mrb").stat().st_size > 0


def test_the_tour_takes_a_folder_named_from_where_it_was_begun(a_host, a_series, tmp_path, monkeypatch):
    from Host.tour import Tour

    monkeypatch.chdir(tmp_path)
    a_host.openModule()
    Tour(a_host, Path("out"), inputPath=a_series).run()

    assert (tmp_path / "out" / "09_scene_reopened.png").stat().st_size > 0


def test_a_missing_input_is_named(tmp_path):
    command = [sys.executable, "-m", "Host", "--out", str(tmp_path), "--input", str(tmp_path / "nowhere")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "Testing")}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=100)

    assert result.returncode == 1
    assert f"There is no file or folder {tmp_path / 'nowhere'}" in result.stderr
    assert "Traceback" not in result.stderr
