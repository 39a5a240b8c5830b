"""`timeline`: lesions along a 4D NIfTI, a DICOM series of several time points and several images, and refusals."""

from __future__ import annotations

import csv
import json

import nibabel
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from support.scenes import oblique_grid, spheres

from inference_core.geometry.mask import Mask
from inference_core.io.dicom_writer import write_dicom_series
from inference_core.io.files import parts_in, read_labels, read_volume, write_labels
from inference_core.io.itk import sitk_from_array
from inference_core.measures.measurements import measure

GRID = oblique_grid(29, 1)
RADII = (6.0, 8.0, 10.0)


def array_at(point):
    noise = np.random.default_rng(point).normal(0, 6, GRID.shape)
    return (60 + 60 * spheres(GRID, [(GRID.center_ras + (3.0 * point, 0, 0), RADII[point])]) + noise).astype(np.int16)


@pytest.fixture(scope="module")
def a_mask(tmp_path_factory):
    """The lesion as it is at the first time point."""
    path = tmp_path_factory.mktemp("mask") / "first.seg.nrrd"
    labels = (spheres(GRID, [(GRID.center_ras, RADII[0])]) > 0.5).astype(np.uint8)
    write_labels(path, labels, GRID, names=["liver 1"])
    return path


@pytest.fixture(scope="module")
def a_4d_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("4d") / "perfusion.nii.gz"
    voxels = np.stack([array_at(point) for point in range(3)], axis=-1)
    nibabel.save(nibabel.Nifti1Image(voxels, GRID.affine), path)
    return path


def rows_of(path):
    return list(csv.DictReader(path.read_text().splitlines()))


def check(rows, labels=("1", "2", "3")):
    assert [(row["time_point"], row["part"], row["lesion"]) for row in rows] == [
        (str(n), label, "liver 1") for n, label in enumerate(labels, start=1)
    ]
    for row, radius in zip(rows, RADII, strict=True):
        assert float(row["longest_axial_mm"]) == pytest.approx(2 * radius, abs=2.0)
        assert row["measured"] == "yes"


def test_a_4d_image_gives_a_row_a_lesion_and_time_point_and_its_masks(run, a_4d_file, a_mask, tmp_path):
    done = run(
        "timeline", a_4d_file, "--mask", a_mask, "--csv", tmp_path / "t.csv", "--json", tmp_path / "t.json",
        "--output-dir", tmp_path / "masks",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = rows_of(tmp_path / "t.csv")
    check(rows)
    for n, row in enumerate(rows, start=1):
        labels = read_labels(tmp_path / "masks" / f"{n:03d}.seg.nrrd")
        numbers = measure(Mask.of(labels.array == 1), read_volume(a_4d_file, part=n))
        assert float(row["volume_ml"]) == pytest.approx(numbers.volume_ml, rel=1e-5)
        assert float(row["mean"]) == pytest.approx(numbers.statistics.mean, rel=1e-4)
    assert json.loads((tmp_path / "t.json").read_text())["rows"] == [
        {key: int(value) if key == "time_point" else value for key, value in row.items()} for row in rows
    ]
    assert done.stdout.count("liver 1") == 3


def test_a_dicom_series_of_several_time_points_is_one_image(run, a_mask, tmp_path):
    for point in range(3):
        for path in write_dicom_series(tmp_path / f"{point}", array_at(point), GRID):
            dataset = pydicom.dcmread(path)
            dataset.SeriesInstanceUID, dataset.TemporalPositionIdentifier = "2.25.77", point + 1
            (tmp_path / "series").mkdir(exist_ok=True)
            dataset.save_as(tmp_path / "series" / f"{point}-{path.name}")
    assert parts_in(tmp_path / "series") == ("1", "2", "3")
    grid = read_volume(tmp_path / "series", part=1).grid
    mask = tmp_path / "mask.seg.nrrd"
    inside = spheres(grid, [(GRID.center_ras, RADII[0])]) > 0.5
    write_labels(mask, inside.astype(np.uint8), grid, names=["liver 1"])
    done = run("timeline", tmp_path / "series", "--mask", mask, "--csv", tmp_path / "t.csv")
    assert done.returncode == 0, done.stderr
    rows = rows_of(tmp_path / "t.csv")
    check(rows)
    assert rows[0]["unit"] == "HU"


def test_several_images_are_followed_from_any_of_them(run, tmp_path):
    images = [tmp_path / f"{point}.nii.gz" for point in range(3)]
    for point, path in enumerate(images):
        sitk.WriteImage(sitk_from_array(array_at(point), GRID), str(path))
    inside = spheres(GRID, [(GRID.center_ras + (3.0, 0, 0), RADII[1])]) > 0.5
    write_labels(tmp_path / "m.seg.nrrd", inside.astype(np.uint8), GRID, names=["liver 1"])
    mask = ("--mask", tmp_path / "m.seg.nrrd", "--at", 2)
    done = run("timeline", *images, *mask, "--align", "none", "--csv", tmp_path / "t.csv")
    assert done.returncode == 0, done.stderr
    check(rows_of(tmp_path / "t.csv"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--at", 4), "There are 3 time points"),
        (("--csv", "MASK"), "called as images or weights are"),
        (("--output-dir", "/dev/null/masks"), "cannot be made"),
        (("--model", "unknown"), "unknown"),
    ],
)
def test_what_cannot_be_used_is_refused(run, a_4d_file, a_mask, arguments, said):
    done = run("timeline", a_4d_file, "--mask", a_mask, *(a_mask if part == "MASK" else part for part in arguments))
    assert done.returncode == 2
    assert said in done.stderr


def test_an_image_of_one_time_point_is_refused(run, a_mask, tmp_path):
    sitk.WriteImage(sitk_from_array(array_at(0), GRID), str(tmp_path / "one.nii.gz"))
    done = run("timeline", tmp_path / "one.nii.gz", "--mask", a_mask)
    assert done.returncode == 2
    assert "one time point only" in done.stderr


def test_the_report_is_a_page_with_a_row_a_time_point_and_a_picture_a_lesion(run, a_4d_file, a_mask, tmp_path):
    pypdf = pytest.importorskip("pypdf")
    page, printed, table = (tmp_path / name for name in ("x.html", "x.pdf", "x.csv"))
    for report in (page, printed):
        done = run("timeline", a_4d_file, "--mask", a_mask, "--csv", table, "--report", report)
        assert done.returncode == 0, done.stderr
    words = "".join("".join(sheet.extract_text() for sheet in pypdf.PdfReader(printed).pages).split())
    assert page.read_text().count("<img") == 1
    assert "Alongtime" in words
    for row in rows_of(table):
        volume = f"{float(row['volume_ml']):.2f}"
        assert (
            f"<td>{row['time_point']}</td><td>{row['part']}</td><td>liver 1</td><td>{volume}</td>" in page.read_text()
        )
        assert volume in words
    assert "perfusion" not in page.read_text()


def test_a_report_that_is_no_page_is_refused_before_the_work_begins(run, a_4d_file, a_mask, tmp_path):
    done = run("timeline", a_4d_file, "--mask", a_mask, "--report", tmp_path / "x.txt")
    assert done.returncode != 0
    assert ".html or .pdf" in done.stderr
