"""`measure`, and `segment --measure`: the same numbers as Python's, in a table, CSV and JSON."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from support.dicom_files import save, slice_of
from support.scenes import oblique_grid

from inference_core.geometry.grid import Grid
from inference_core.geometry.mask import Mask
from inference_core.io.files import read_labels, read_volume, write_labels
from inference_core.measures.measurements import measure


def test_every_label_is_measured_as_from_python(run, a_ct, its_labels, tmp_path):
    done = run("measure", a_ct, its_labels, "--csv", tmp_path / "m.csv", "--json", tmp_path / "m.json", "--unit", "HU")
    assert done.returncode == 0, done.stderr
    volume, labels = read_volume(a_ct), read_labels(its_labels)
    report = json.loads((tmp_path / "m.json").read_text())
    rows = list(csv.DictReader((tmp_path / "m.csv").read_text().splitlines()))
    present = [int(value) for value in np.unique(labels.array) if value]
    assert [segment["label"] for segment in report["segments"]] == present == [int(row["label"]) for row in rows]
    for segment, row in zip(report["segments"], rows, strict=True):
        expected = measure(Mask.of(labels.array == segment["label"]), volume, unit="HU")
        assert segment == {"label": segment["label"]} | json.loads(json.dumps(expected.as_json()))
        assert float(row["longest_axial_mm"]) == pytest.approx(expected.axial.longest.mm, rel=1e-4)
    assert len(done.stdout.splitlines()) == 1 + len(present)


def test_one_label_can_be_chosen_and_an_absent_one_is_refused(run, a_ct, its_labels):
    done = run("measure", a_ct, its_labels, "--label", 1)
    assert len(done.stdout.splitlines()) == 2
    refused = run("measure", a_ct, its_labels, "--label", 77)
    assert refused.returncode == 2
    assert "has no label 77; it has 1, " in refused.stderr


def test_a_ct_in_dicom_is_measured_in_hounsfield_units(run, a_series, tmp_path):
    volume = read_volume(a_series)
    mask = np.zeros(volume.grid.shape, dtype=np.uint8)
    mask[1:4, 2:5, 3] = 1
    write_labels(tmp_path / "mask.nii.gz", mask, volume.grid)
    done = run("measure", a_series, tmp_path / "mask.nii.gz")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1].endswith("HU")


def test_the_part_that_was_chosen_is_asked_for_its_unit(run, tmp_path):
    grid = oblique_grid(9, 2)
    array = np.arange(np.prod(grid.shape), dtype=np.int16).reshape(grid.shape)
    for phase, slices in ((1, (0, 1, 2, 4, 5, 6, 7, 8)), (2, range(7))):  # the first, and longer, lacks a slice
        for k in slices:
            dataset = slice_of(array, grid, k)
            dataset.AcquisitionNumber = phase
            save(dataset, tmp_path / "series" / f"{phase}-{k}.dcm")
    volume = read_volume(tmp_path / "series", part=2)
    mask = np.zeros(volume.grid.shape, dtype=np.uint8)
    mask[1:4, 2:5, 3] = 1
    write_labels(tmp_path / "mask.nii.gz", mask, volume.grid)
    done = run("measure", tmp_path / "series", tmp_path / "mask.nii.gz", "--part", 2)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1].endswith("HU")


def test_a_mask_that_lies_beside_the_image_is_refused(run, a_ct, a_series, tmp_path):
    grid = read_volume(a_series).grid
    away = Grid(grid.shape, grid.affine + np.pad(np.full((3, 1), 2000.0), ((0, 1), (3, 0))))
    write_labels(tmp_path / "mask.nii.gz", np.ones(grid.shape, dtype=np.uint8), away)
    done = run("measure", a_ct, tmp_path / "mask.nii.gz")
    assert done.returncode == 2
    assert "lies beside" in done.stderr


def test_an_empty_mask_is_refused(run, a_series, tmp_path):
    volume = read_volume(a_series)
    write_labels(tmp_path / "mask.nii.gz", np.zeros(volume.grid.shape, dtype=np.uint8), volume.grid)
    done = run("measure", a_series, tmp_path / "mask.nii.gz")
    assert done.returncode == 2
    assert "is empty" in done.stderr


def test_segment_adds_the_measurements_of_its_mask(run, a_ct, a_target_click, a_small_model, tmp_path):
    mask, report = tmp_path / "mask.nii.gz", tmp_path / "report.json"
    done = run(
        "segment", a_ct, "--output", mask, "--click", *a_target_click, *a_small_model, "--measure", "--json", report
    )
    assert done.returncode == 0, done.stderr
    expected = measure(Mask.of(read_labels(mask).array > 0), read_volume(a_ct)).as_json()
    assert json.loads(report.read_text())["measurements"] == json.loads(json.dumps(expected))
    assert f"{expected['longest_axial_diameter']['value']:.1f} mm axial" in done.stdout


def test_the_report_has_a_picture_of_every_label_and_no_targets(run, a_ct, its_labels, tmp_path):
    done = run("measure", a_ct, its_labels, "--report", tmp_path / "page.html")
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "page.html").read_text()
    present = [int(value) for value in np.unique(read_labels(its_labels).array) if value]
    assert page.count("<img") == len(present)
    assert all(f"label {value}<" in page for value in present)
    assert "Sum of diameters of 0 targets" in page
    refused = run("measure", a_ct, its_labels, "--report", tmp_path / "page.docx")
    assert refused.returncode == 2
    assert "ends in .html or .pdf" in refused.stderr
