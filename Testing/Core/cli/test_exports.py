"""`segment` to DICOM: SEG, report and RTSTRUCT of one mask, and what is refused before the work begins."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest

from inference_core.io.dicom_seg import read_dicom_seg
from inference_core.io.dicom_writer import write_dicom_series
from inference_core.io.files import read_labels, read_volume
from inference_core.io.rtstruct import read_rtstruct
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


@pytest.mark.parametrize("arguments", [("--output", "x.seg.dcm"), ("--output", "x.nii.gz", "--rtstruct", "rt.dcm")])
def test_an_image_that_is_not_dicom_is_refused_with_what_needs_it(run, a_ct, unread_weights, tmp_path, arguments):
    placed = [tmp_path / part if part.endswith((".dcm", ".gz")) else part for part in arguments]
    done = run("segment", a_ct, *placed, "--click", 0, 0, 0, "--model", "sam_med3d", "--weights", unread_weights)
    assert done.returncode == 2
    assert "DICOM SEG, --report and --rtstruct refer to a DICOM series" in done.stderr
    assert list(tmp_path.iterdir()) == []
