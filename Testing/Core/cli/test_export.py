"""`export`: masks of another grid, finer and turned, end up in the series' own voxels in every kind of file."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest
from scipy.spatial.transform import Rotation

from inference_core.evaluation.metrics import dice
from inference_core.geometry.grid import Grid
from inference_core.geometry.sampling import rescaled
from inference_core.io.dicom_seg import read_dicom_seg
from inference_core.io.dicom_writer import write_dicom_series
from inference_core.io.files import read_labels, read_volume, write_labels
from inference_core.io.rtstruct import read_rtstruct

pytest.importorskip("highdicom")

OTHER = "The masks lie on other voxels than"


@pytest.fixture
def an_oblique_series(tmp_path, an_oblique_grid):
    grid = Grid((60, 50, 14), an_oblique_grid.affine)
    noise = np.random.default_rng(2).integers(-100, 200, grid.shape).astype(np.int16)
    write_dicom_series(tmp_path / "ct", noise, grid)
    return tmp_path / "ct"


def turned(grid):
    """Finer, and turned about its middle by angles that no axis shares."""
    fine = rescaled(grid, tuple(2 * n for n in grid.shape))
    matrix, back = np.eye(4), np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", [9, -13, 25], degrees=True).as_matrix()
    matrix[:3, 3], back[:3, 3] = grid.center_ras, -grid.center_ras
    return Grid(fine.shape, matrix @ back @ fine.affine)


def shapes(grid, series):
    """A ball with a hole, and a smaller one beside it, as labels 1 and 2, wherever the grid's voxels lie."""
    places = grid.to_ras(np.moveaxis(np.indices(grid.shape), 0, -1))
    extent = min(np.array(series.shape) * series.spacing)
    first, second = (series.center_ras + series.affine[:3, 0] / series.spacing[0] * at * extent for at in (-0.25, 0.35))
    far = np.linalg.norm(places - first, axis=-1) / extent
    labels = ((far < 0.3) & (far > 0.12)).astype(np.uint8)
    labels[np.linalg.norm(places - second, axis=-1) < 0.2 * extent] = 2
    return labels


def test_a_mask_of_a_finer_turned_grid_is_in_its_place_in_every_file(run, an_oblique_series, tmp_path):
    grid = read_volume(an_oblique_series).grid
    other, out = turned(grid), tmp_path / "out"
    out.mkdir()
    write_labels(tmp_path / "m.seg.nrrd", shapes(other, grid), other, names=["ring", "ball"])
    given = ("export", an_oblique_series, tmp_path / "m.seg.nrrd")
    done = run(
        *given, "--output", out / "x.seg.dcm", "--report", out / "x.sr.dcm", "--rtstruct", out / "rt.dcm",
        "--made-by", "ma_sam", "--finding", "organ",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr.count(OTHER) == 1
    labeled = run(*given, "--output", out / "x.nii.gz")
    assert labeled.returncode == 0, labeled.stderr
    assert OTHER in labeled.stderr
    seg, rt = read_dicom_seg(out / "x.seg.dcm", grid), read_rtstruct(out / "rt.dcm", grid)
    labels, expected = read_labels(out / "x.nii.gz"), shapes(grid, grid)
    assert labels.grid.matches(grid, tolerance_mm=1e-3)
    for value, name in enumerate(("ring", "ball"), start=1):
        found = seg[name].on(grid.shape) > 0
        assert dice(found, expected == value) > 0.93
        assert np.array_equal(found, rt[name].on(grid.shape) > 0)
        assert np.array_equal(found, labels.array == value)
    volumes = [number for number in numbers_in(pydicom.dcmread(out / "x.sr.dcm")) if number[0] == "Volume"]
    exact = [seg[name].voxel_count * grid.voxel_volume_mm3 / 1000 for name in ("ring", "ball")]
    assert [value for _, value in volumes] == pytest.approx(exact, rel=1e-6)
    assert pydicom.dcmread(out / "x.seg.dcm").SegmentSequence[0].SegmentAlgorithmName == "ma_sam"


def numbers_in(item):
    """The names and values of all numbers below a content item."""
    found = []
    if item.get("ValueType") == "NUM":
        name = item.ConceptNameCodeSequence[0].CodeMeaning
        found.append((name, float(item.MeasuredValueSequence[0].NumericValue)))
    return found + [number for child in item.get("ContentSequence", ()) for number in numbers_in(child)]


def test_a_mask_of_the_series_own_voxels_is_written_as_it_is(run, an_oblique_series, tmp_path):
    grid = read_volume(an_oblique_series).grid
    expected = shapes(grid, grid)
    write_labels(tmp_path / "m.nii.gz", expected, grid)
    done = run("export", an_oblique_series, tmp_path / "m.nii.gz", "--output", tmp_path / "x.seg.dcm")
    assert done.returncode == 0, done.stderr
    assert OTHER not in done.stderr
    found = read_dicom_seg(tmp_path / "x.seg.dcm", grid)
    assert list(found) == ["lesion 1", "lesion 2"]
    assert np.array_equal(found["lesion 2"].on(grid.shape) > 0, expected == 2)
    assert pydicom.dcmread(tmp_path / "x.seg.dcm").SegmentSequence[0].SegmentAlgorithmType == "MANUAL"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "There is nothing to write"),
        (("--report", "x.html"), "`measure --report` writes pages"),
        (("--output", "x.png"), "x.png"),
        (("--output", "m.nii.gz"), "m.nii.gz"),
    ],
)
def test_what_cannot_be_written_is_refused_before_the_work(run, an_oblique_series, tmp_path, arguments, said):
    grid = read_volume(an_oblique_series).grid
    write_labels(tmp_path / "m.nii.gz", shapes(grid, grid), grid)
    placed = [tmp_path / part if "." in part else part for part in arguments]
    done = run("export", an_oblique_series, tmp_path / "m.nii.gz", *placed)
    assert done.returncode == 2
    assert said in done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"ct", "m.nii.gz"}


@pytest.mark.parametrize("suffix", [".nii.gz", ".seg.nrrd"])
def test_a_label_map_keeps_the_numbers_of_its_labels(run, an_oblique_series, tmp_path, suffix):
    grid = read_volume(an_oblique_series).grid
    labels = np.zeros(grid.shape, np.uint16)
    labels[4:20, 5:20, 2:9], labels[30:40, 5:20, 2:9] = 7, 1002
    write_labels(tmp_path / "m.nrrd", labels, grid)
    done = run("export", an_oblique_series, tmp_path / "m.nrrd", "--output", tmp_path / f"x{suffix}")
    assert done.returncode == 0, done.stderr
    assert np.array_equal(read_labels(tmp_path / f"x{suffix}").array, labels)


def test_three_hundred_segments_are_exported_as_a_label_map(run, an_oblique_series, tmp_path):
    grid = read_volume(an_oblique_series).grid
    labels = np.zeros(grid.shape, np.uint16)
    labels.ravel()[:600:2] = np.arange(1, 301)
    write_labels(tmp_path / "m.nrrd", labels, grid)
    done = run("export", an_oblique_series, tmp_path / "m.nrrd", "--output", tmp_path / "x.seg.nrrd")
    assert done.returncode == 0, done.stderr
    assert np.array_equal(read_labels(tmp_path / "x.seg.nrrd").array, labels)
