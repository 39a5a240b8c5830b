"""`segment` to DICOM: SEG, report and RTSTRUCT of one mask, and what is refused before the work begins."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pydicom
import pytest
from support.dicom_peers import complaints, measured_by_dcmqi, needs_dcmqi, needs_validator, segments_by_dcmqi

from inference_core.cli.parsing import UsageError
from inference_core.cli.starting_mask import read_starting_mask
from inference_core.errors import VolumeError
from inference_core.evaluation.metrics import dice
from inference_core.geometry.mask import Mask
from inference_core.io.companions import is_part_of_an_image
from inference_core.io.dicom import find_source
from inference_core.io.dicom_export import Algorithm, ExportedSegment
from inference_core.io.dicom_seg import read_dicom_seg, write_dicom_seg
from inference_core.io.dicom_writer import write_dicom_series
from inference_core.io.files import read_labels, read_volume, write_labels
from inference_core.io.rtstruct import read_rtstruct, write_rtstruct
from inference_core.measures.measurements import measure
from inference_core.models.weights import sha256_of

pytest.importorskip("highdicom")


@pytest.fixture(scope="module")
def a_ct_series(a_phantom, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("dicom") / "ct"
    array = np.clip(np.rint(a_phantom.volume.array), -1024, 3000).astype(np.int16)
    write_dicom_series(folder, array, a_phantom.volume.grid)
    return folder


def test_one_run_writes_all_three_of_one_mask(run, a_ct_series, a_target_click, a_small_model, tmp_path):
    seg, sr, rt = tmp_path / "x.seg.dcm", tmp_path / "x.sr.dcm", tmp_path / "rt.dcm"
    arguments = ("--click", *a_target_click, *a_small_model, "--name", "liver tumor", "--finding", "mass")
    done = run("segment", a_ct_series, "--output", seg, "--report", sr, "--rtstruct", rt, *arguments)
    assert done.returncode == 0, done.stderr
    plain = run("segment", a_ct_series, "--output", tmp_path / "x.nii.gz", *arguments)
    assert plain.returncode == 0, plain.stderr
    expected, grid = read_labels(tmp_path / "x.nii.gz").array > 0, read_volume(a_ct_series).grid
    assert expected.any()
    for found in (read_dicom_seg(seg, grid), read_rtstruct(rt, grid)):
        assert np.array_equal(found["liver tumor"].on(grid.shape), expected)
    assert sha256_of(Path(a_small_model[-1])).encode() in sr.read_bytes()
    assert pydicom.dcmread(seg).SegmentSequence[0].TrackingUID.encode() in sr.read_bytes()


@needs_validator
@needs_dcmqi
def test_independent_programs_take_what_one_run_writes(run, a_ct_series, a_target_click, a_small_model, tmp_path):
    seg, sr, rt = tmp_path / "x.seg.dcm", tmp_path / "x.sr.dcm", tmp_path / "rt.dcm"
    done = run(
        "segment", a_ct_series, "--output", seg, "--report", sr, "--rtstruct", rt, "--click", *a_target_click,
        *a_small_model, "--name", "liver tumor", "--measure", "--json", tmp_path / "x.json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert complaints(seg, sr, rt) == []
    expected = json.loads((tmp_path / "x.json").read_text())
    places = segments_by_dcmqi(seg, tmp_path / "dcmqi")["liver tumor"]
    assert len(places) == expected["voxels"]
    found = measured_by_dcmqi(sr, tmp_path / "sr.json")
    assert found["liver tumor", "Volume", ""] == (pytest.approx(expected["volume_ml"], abs=1e-6), "ml")
    grid = read_volume(a_ct_series).grid
    ijk = grid.to_ijk(places)
    assert np.abs((ijk - np.rint(ijk)) * grid.spacing).max() < 0.01


@pytest.mark.parametrize("arguments", [("--output", "x.seg.dcm"), ("--output", "x.nii.gz", "--rtstruct", "rt.dcm")])
def test_an_image_that_is_not_dicom_is_refused_with_what_needs_it(run, a_ct, unread_weights, tmp_path, arguments):
    placed = [tmp_path / part if part.endswith((".dcm", ".gz")) else part for part in arguments]
    done = run("segment", a_ct, *placed, "--click", 0, 0, 0, "--model", "sam_med3d", "--weights", unread_weights)
    assert done.returncode == 2
    assert "DICOM SEG, SR and RTSTRUCT refer to a DICOM series" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_pages_of_an_image_that_is_not_dicom_say_what_was_measured(run, a_ct, a_target_click, a_small_model, tmp_path):
    pypdf = pytest.importorskip("pypdf")
    pytest.importorskip("fpdf")
    mask, html, pdf = tmp_path / "x.nii.gz", tmp_path / "x.html", tmp_path / "x.pdf"
    arguments = ("--click", *a_target_click, *a_small_model, "--name", "liver tumor", "--finding", "mass")
    done = run("segment", a_ct, "--output", mask, "--report", html, "--report", pdf, *arguments)
    assert done.returncode == 0, done.stderr
    numbers = measure(Mask.of(read_labels(mask).array > 0), read_volume(a_ct))
    page, document = html.read_text(), pypdf.PdfReader(pdf)
    text = document.pages[0].extract_text()
    axes = f"{numbers.axial.longest.mm:.1f} x {numbers.axial.perpendicular.mm:.1f} mm"
    for said in (page, " ".join(text.split())):
        assert axes in said
        assert f"{numbers.volume_ml:.2f} ml" in said
        assert "liver tumor" in said
        assert "Mass" in said
        assert sha256_of(Path(a_small_model[-1])) in said
        assert "Not a medical device" in said
    assert page.count("<img") == len(document.pages[0].images) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--report", "x.docx"), "ends in .sr.dcm, .html or .pdf"),
        (("--report", "x.html", "--report", "x.html"), "is to hold two outputs"),
        (("--report", "x.pdf", "--name", "肝"), "no letter '肝'"),
    ],
)
def test_a_report_that_cannot_be_written_is_refused_before_the_work(run, a_ct, tmp_path, arguments, said):
    pytest.importorskip("fpdf")
    placed = [tmp_path / part if part.startswith("x.") else part for part in arguments]
    done = run("segment", a_ct, "--output", tmp_path / "x.nii.gz", "--click", 0, 0, 0, *placed)
    assert done.returncode == 2
    assert said in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def a_source_mask(a_phantom, a_ct_series, tmp_path_factory):
    """The phantom's larger tumor as a DICOM SEG, an RTSTRUCT and a label map; the first two hold another one."""
    source = find_source(a_ct_series)
    tumor = Mask.of(a_phantom.labels.array == 1)
    other = Mask.of(a_phantom.labels.array == 2)
    segments = [ExportedSegment(name, mask, Algorithm("reader")) for name, mask in (("tumor", tumor), ("other", other))]
    folder = tmp_path_factory.mktemp("start")
    write_dicom_seg(folder / "start.seg.dcm", segments, source)
    write_rtstruct(folder / "start.rt.dcm", segments, source)
    write_labels(folder / "start.nii.gz", tumor.on(source.grid.shape), source.grid)
    return folder, tumor


@pytest.mark.parametrize("file", ["start.seg.dcm", "start.rt.dcm", "start.nii.gz"])
def test_a_mask_of_another_program_is_one_to_start_from(a_source_mask, a_ct_series, file):
    folder, tumor = a_source_mask
    volume = read_volume(a_ct_series)
    found = read_starting_mask(folder / file, volume, name="tumor")
    assert tumor.voxel_count > 0
    assert np.array_equal(found.array, tumor.on(volume.grid.shape))
    assert found.grid == volume.grid


def test_of_several_segments_one_must_be_named(a_source_mask, a_ct_series):
    folder, _ = a_source_mask
    with pytest.raises(UsageError, match="holds the segments 'tumor', 'other'"):
        read_starting_mask(folder / "start.seg.dcm", read_volume(a_ct_series), name="segment")


def test_a_mask_on_other_voxels_is_none_to_start_from(a_source_mask, a_series):
    folder, _ = a_source_mask
    for file in ("start.seg.dcm", "start.rt.dcm", "start.nii.gz"):
        with pytest.raises(VolumeError):
            read_starting_mask(folder / file, read_volume(a_series), name="tumor")


@pytest.mark.usefixtures("the_default_model")
def test_a_click_corrects_the_mask_it_starts_from(run, a_source_mask, a_ct_series, a_target_click, tmp_path):
    folder, tumor = a_source_mask
    arguments = ("segment", a_ct_series, "--click", *a_target_click, "--name", "tumor")
    done = run(*arguments, "--output", tmp_path / "x.nii.gz", "--start-from", folder / "start.seg.dcm")
    assert done.returncode == 0, done.stderr
    plain = run(*arguments, "--output", tmp_path / "y.nii.gz")
    assert plain.returncode == 0, plain.stderr
    started, alone = (read_labels(tmp_path / name).array > 0 for name in ("x.nii.gz", "y.nii.gz"))
    truth = tumor.on(started.shape) > 0
    assert not np.array_equal(started, alone)
    assert dice(started, truth) > dice(alone, truth)


def test_exports_may_be_written_over_earlier_ones_but_not_over_a_slice(a_source_mask, a_ct_series):
    folder, _ = a_source_mask
    assert not is_part_of_an_image(folder / "start.seg.dcm")
    assert not is_part_of_an_image(folder / "start.rt.dcm")
    assert is_part_of_an_image(next(a_ct_series.iterdir()))
