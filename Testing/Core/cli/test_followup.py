"""`followup`: two visits on the command line, with lesions of known growth, and what is refused."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import SimpleITK as sitk
from support.scenes import oblique_grid, spheres

from inference_core.geometry.mask import Mask
from inference_core.io.dicom_writer import write_dicom_series
from inference_core.io.files import read_labels, read_volume, write_labels
from inference_core.io.itk import sitk_from_array
from inference_core.measures.measurements import measure

GRID = oblique_grid(29, 1)
PLACES = {"grows": (14.0, 10.0, 8.0), "node": (-14.0, 8.0, -8.0)}


def image(path, radii, seed):
    balls = [(GRID.center_ras + PLACES[name], radius) for name, radius in radii.items()]
    noise = np.random.default_rng(seed).normal(0, 8, GRID.shape)
    array = (60 + 60 * spheres(GRID, balls) + noise).astype(np.float32)
    sitk.WriteImage(sitk_from_array(array, GRID), str(path))
    return path


def masks(path, radii):
    labels = np.zeros(GRID.shape, np.uint8)
    for value, (name, radius) in enumerate(radii.items(), start=1):
        labels[spheres(GRID, [(GRID.center_ras + PLACES[name], radius)]) > 0.5] = value
    write_labels(path, labels, GRID, names=list(radii))
    return path


@pytest.fixture(scope="module")
def two_visits(tmp_path_factory):
    folder = tmp_path_factory.mktemp("visits")
    return (
        image(folder / "before.nii.gz", {"grows": 6.0, "node": 10.0}, 0),
        masks(folder / "before.seg.nrrd", {"grows": 6.0, "node": 10.0}),
        image(folder / "after.nii.gz", {"grows": 9.0, "node": 7.0}, 1),
        folder,
    )


def test_lesions_are_found_again_and_compared_in_all_files_alike(run, two_visits, tmp_path):
    before, mask, after, _ = two_visits
    files = {name: tmp_path / f"out.{name}" for name in ("seg.nrrd", "csv", "json", "html")}
    done = run(
        "followup", before, mask, after, "--align", "none", "--node", "node", "--output", files["seg.nrrd"],
        "--csv", files["csv"], "--json", files["json"], "--report", files["html"],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report = json.loads(files["json"].read_text())
    grows, node = report["lesions"]
    assert (grows["name"], grows["node"], node["name"], node["node"]) == ("grows", False, "node", True)
    assert (grows["diameter"]["before"], grows["diameter"]["after"]) == pytest.approx((12, 18), abs=1.5)
    volume, labels = read_volume(after), read_labels(files["seg.nrrd"])
    expected = measure(Mask.of(labels.array == 1), volume)
    assert grows["volume"]["after"] == pytest.approx(expected.volume_ml)
    assert grows["diameter"]["after"] == pytest.approx(expected.axial.longest.mm)
    rows = list(csv.DictReader(files["csv"].read_text().splitlines()))
    assert float(rows[0]["after_mm"]) == pytest.approx(grows["diameter"]["after"], rel=1e-4)
    assert "sum of diameters" in done.stdout
    assert f"RECIST 1.1: {report['recist_1_1']['category']}" in done.stdout
    page = files["html"].read_text()
    assert page.count("<img") == 2
    assert "sam3d_lite, weights sha256" in page
    assert "Not a medical device" in page


def test_the_report_is_a_pdf_too_with_a_picture_of_each_lesion_and_the_change(run, two_visits, tmp_path):
    pypdf = pytest.importorskip("pypdf")
    pytest.importorskip("fpdf")
    before, mask, after, folder = two_visits
    later = masks(folder / "later_both.seg.nrrd", {"grows": 9.0, "node": 7.0})
    done = run("followup", before, mask, after, "--after-mask", later, "--report", tmp_path / "change.pdf")
    assert done.returncode == 0, done.stderr
    document = pypdf.PdfReader(tmp_path / "change.pdf")
    text = " ".join(" ".join(page.extract_text() for page in document.pages).split())
    assert done.stdout.splitlines()[-1] in text
    assert sum(len(page.images) for page in document.pages) == 2


def as_a_field(translation, image):
    """The same shift of every point, as a displacement field over an image's surroundings."""
    nodes = sitk.GetImageFromArray(np.tile(translation, (9, 9, 9, 1)), isVector=True)
    nodes.SetOrigin((np.array(image.TransformIndexToPhysicalPoint([n // 2 for n in image.GetSize()])) - 800).tolist())
    nodes.SetSpacing([200.0] * 3)
    return sitk.DisplacementFieldTransform(nodes)


@pytest.mark.parametrize("bent", [False, True])
def test_a_transform_as_slicer_saves_it_takes_the_place_of_the_alignment(run, two_visits, tmp_path, bent):
    before, mask, after, _ = two_visits
    moved, away = sitk.ReadImage(str(before)), np.array([60.0, -35.0, 20.0])
    lps = away * (-1, -1, 1)
    moved.SetOrigin((np.array(moved.GetOrigin()) - lps).tolist())
    sitk.WriteImage(moved, str(tmp_path / "moved.nii.gz"))
    volume = read_volume(tmp_path / "moved.nii.gz")
    write_labels(tmp_path / "moved.seg.nrrd", read_labels(mask).array, volume.grid, names=["grows", "node"])
    # Slicer saves what moves the earlier image by `away` as ITK's way back, from the later points.
    back = sitk.TranslationTransform(3, (-lps).tolist())
    sitk.WriteTransform(as_a_field(-lps, moved) if bent else back, str(tmp_path / "own.h5"))
    done = run(
        "followup", tmp_path / "moved.nii.gz", tmp_path / "moved.seg.nrrd", after, "--node", "node",
        "--transform", tmp_path / "own.h5", "--output", tmp_path / "o.nii.gz", "--json", tmp_path / "o.json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "o.json").read_text())
    assert report["lesions"][0]["diameter"]["after"] == pytest.approx(18, abs=1.5)
    assert any(f"alignment: given, moved by {np.linalg.norm(away):.1f} mm" in line for line in report["made_by"])


def test_two_masks_are_compared_without_a_model_and_new_and_vanished_ones_flagged(run, two_visits, tmp_path):
    before, mask, after, folder = two_visits
    later = masks(folder / "later.seg.nrrd", {"grows": 9.0})
    done = run("followup", before, mask, after, "--after-mask", later)
    assert done.returncode == 0, done.stderr
    assert "vanished" in done.stdout
    assert "partial response" in done.stdout, "32 to 18 mm"
    done = run("followup", after, later, before, "--after-mask", mask)
    assert "progressive disease; a new lesion: node" in done.stdout


def test_what_the_reader_declares_vanished_is_not_segmented(run, two_visits, tmp_path):
    before, mask, after, _ = two_visits
    done = run(
        "followup", before, mask, after, "--align", "none", "--vanished", "node", "--output", tmp_path / "o.nii.gz"
    )
    assert done.returncode == 0, done.stderr
    assert "vanished" in done.stdout
    assert set(np.unique(read_labels(tmp_path / "o.nii.gz").array)) == {0, 1}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--node", "spleen"], "no lesion 'spleen' at the earlier visit; there are 'grows', 'node'"),
        (["--report", "page.docx"], "ends in .html or .pdf"),
        (["--align", "missing.tfm"], "There is no file"),
        (["--transform", "missing.h5"], "There is no file"),
        (["--transform", "missing.h5", "--align", "none"], "not allowed with argument"),
        (["--model", "unknown"], "unknown"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_sentence(run, two_visits, tmp_path, arguments, said):
    before, mask, after, _ = two_visits
    done = run("followup", before, mask, after, "--output", tmp_path / "o.nii.gz", *arguments)
    assert done.returncode == 2, done.stdout + done.stderr
    assert said in done.stderr
    assert not list(tmp_path.iterdir())


def test_an_input_is_not_overwritten(run, two_visits):
    before, mask, after, _ = two_visits
    done = run("followup", before, mask, after, "--output", mask)
    assert done.returncode == 2
    assert "would be overwritten" in done.stderr


def test_images_of_two_patients_are_refused(run, tmp_path):
    grid = oblique_grid(9, 1)
    array = np.arange(np.prod(grid.shape), dtype=np.int16).reshape(grid.shape)
    for name in ("one", "other"):
        write_dicom_series(tmp_path / name, array, grid, patient_id=name)
    mask = np.zeros(grid.shape, np.uint8)
    mask[2:5, 2:5, 2:5] = 1
    write_labels(tmp_path / "mask.nii.gz", mask, grid)
    done = run(
        "followup", tmp_path / "one", tmp_path / "mask.nii.gz", tmp_path / "other", "--output", tmp_path / "o.nrrd"
    )
    assert done.returncode == 2
    assert "two patients" in done.stderr
