"""SEG, SR and RTSTRUCT before independent judges: checked by dicom-validator, read back by dcmqi."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom import Dataset
from support.dicom_files import NM, enhanced, image, item, orientation, position, save
from support.dicom_peers import complaints, measured_by_dcmqi, needs_dcmqi, needs_validator, segments_by_dcmqi

from inference_core.geometry.grid import Grid
from inference_core.io.dicom import find_source
from inference_core.io.dicom_exports import staged_dicom_exports
from inference_core.io.dicom_sr import ReportedLesion
from inference_core.io.dicom_writer import decimals, write_dicom_series
from inference_core.io.files import read_volume
from inference_core.measures.measurements import measure
from inference_core.measures.reported import reported

pytest.importorskip("highdicom")

_NOT_SAID = (
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate",
    "StudyTime", "ReferringPhysicianName", "SeriesNumber", "SliceThickness", "SpecificCharacterSet",
)  # fmt: skip


def a_plain_series(folder, grid, modality, *, flip=False):
    affine = grid.affine @ np.diag([-1.0, 1, -1, 1]) if flip else grid.affine
    noise = np.random.default_rng(4).integers(0, 200, grid.shape).astype(np.int16)
    write_dicom_series(folder, noise, Grid(grid.shape, affine), modality=modality)


def a_series_that_says_little(folder, grid):
    a_plain_series(folder, grid, "CT")
    for path in folder.iterdir():
        dataset = pydicom.dcmread(path)
        for keyword in _NOT_SAID:
            del dataset[keyword]
        dataset.save_as(path)


def noise_on(grid):
    return np.random.default_rng(3).integers(-100, 200, grid.shape).astype(np.int16)


def save_one(dataset, folder):
    dataset.StudyInstanceUID, dataset.FrameOfReferenceUID = "2.25.81", "2.25.82"
    save(dataset, folder / "frames.dcm")


def an_enhanced_series(folder, grid):
    save_one(enhanced(noise_on(grid), grid, [4, 1, 8, 0, 3, 2, 7, 6, 5], series="2.25.8"), folder)


def an_enhanced_series_with_all_said_per_frame(folder, grid):
    dataset = enhanced(noise_on(grid), grid, range(9), series="2.25.8")
    (shared,) = dataset.SharedFunctionalGroupsSequence
    for groups in dataset.PerFrameFunctionalGroupsSequence:
        groups.PixelMeasuresSequence = shared.PixelMeasuresSequence
        groups.PlaneOrientationSequence = shared.PlaneOrientationSequence
    dataset.SharedFunctionalGroupsSequence = [Dataset()]
    save_one(dataset, folder)


def a_phase_of_an_enhanced_series(folder, grid):
    dataset = enhanced(noise_on(grid), grid, [*range(9), *range(9)], series="2.25.8")
    for n, groups in enumerate(dataset.PerFrameFunctionalGroupsSequence):
        groups.FrameContentSequence[0].TemporalPositionIndex = n // 9 + 1
    save_one(dataset, folder)


def a_nuclear_medicine_series(folder, grid):
    stored = noise_on(grid)
    dataset = image(np.stack([stored[:, :, k].T for k in range(9)]), sop_class=NM, modality="NM", series="2.25.3")
    detector = item(ImagePositionPatient=position(grid, 0), ImageOrientationPatient=orientation(grid))
    dataset.DetectorInformationSequence = [detector]
    dataset.PixelSpacing = decimals([grid.spacing[1], grid.spacing[0]])
    dataset.SpacingBetweenSlices = decimals([grid.spacing[2]])[0]
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "RECON TOMO", "EMISSION"]
    save_one(dataset, folder)


SERIES = {
    "oblique CT": lambda folder, grid: a_plain_series(folder, grid, "CT"),
    "flipped oblique MR": lambda folder, grid: a_plain_series(folder, grid, "MR", flip=True),
    "oblique PET": lambda folder, grid: a_plain_series(folder, grid, "PT"),
    "a patient without most attributes": a_series_that_says_little,
    "enhanced CT": an_enhanced_series,
    "enhanced CT that says all per frame": an_enhanced_series_with_all_said_per_frame,
    "the second phase of an enhanced CT": a_phase_of_an_enhanced_series,
    "nuclear medicine": a_nuclear_medicine_series,
}


@pytest.fixture(params=SERIES)
def exported(request, tmp_path, a_larger_oblique_grid, lesions_on):
    """The three files of three lesions (a hole, single voxels, empty slices; noise; nothing) and what they hold."""
    folder = tmp_path / "series"
    SERIES[request.param](folder, a_larger_oblique_grid)
    part = 2 if "second" in request.param else None
    source, volume = find_source(folder, part=part), read_volume(folder, part=part)
    lesions = [
        ReportedLesion(segment, reported(measure(segment.mask, volume, unit=source.unit))) for segment in lesions_on()
    ]
    seg, sr, rt = (tmp_path / f"x.{kind}.dcm" for kind in ("seg", "sr", "rt"))
    with staged_dicom_exports(lesions, source, seg=seg, reports=[sr], rtstruct=rt):
        pass
    return {"seg": seg, "sr": sr, "rt": rt, "lesions": lesions, "grid": source.grid, "unit": source.unit}


@needs_validator
def test_dicom_validator_finds_no_error(exported):
    assert complaints(exported["seg"], exported["sr"], exported["rt"]) == []


@needs_validator
def test_dicom_validator_is_one_that_finds_errors(exported, tmp_path):
    broken: Path = tmp_path / "broken.dcm"
    dataset = pydicom.dcmread(exported["rt"])
    del dataset.StructureSetLabel
    dataset.save_as(broken)
    assert any("Structure Set Label" in line for line in complaints(broken))


@needs_dcmqi
def test_dcmqi_finds_each_voxel_in_its_place(exported, tmp_path):
    found = segments_by_dcmqi(exported["seg"], tmp_path / "dcmqi")
    assert set(found) == {lesion.segment.name for lesion in exported["lesions"]}
    for lesion in exported["lesions"]:
        mask, places = lesion.segment.mask, found[lesion.segment.name]
        assert len(places) == mask.voxel_count
        if not len(places):
            continue
        ijk = exported["grid"].to_ijk(places)
        assert np.abs((ijk - np.rint(ijk)) * exported["grid"].spacing).max() < 0.01
        assert mask.on(exported["grid"].shape)[tuple(np.rint(ijk).astype(int).T)].all()
        assert len(np.unique(np.rint(ijk), axis=0)) == len(places)


@needs_dcmqi
def test_dcmqi_reads_the_measured_values(exported, tmp_path):
    found = measured_by_dcmqi(exported["sr"], tmp_path / "sr.json")
    for lesion in exported["lesions"][:2]:
        name = lesion.segment.name
        numbers = {number.quantity.name: number.value for number in lesion.numbers}
        assert found[name, "Volume", ""] == (pytest.approx(numbers["VOLUME"]), "ml")
        assert found[name, "Long Axis", ""] == (pytest.approx(numbers["LONG_AXIS"], abs=1e-6), "mm")
        assert found[name, "Short Axis", ""] == (pytest.approx(numbers["SHORT_AXIS"], abs=1e-6), "mm")
        assert found[name, "Diameter", "Maximum"] == (pytest.approx(numbers["DIAMETER_3D"], abs=1e-6), "mm")
        if exported["unit"] == "HU":
            mean = found[name, "Attenuation Coefficient", "Mean"]
            assert mean == (pytest.approx(numbers["MEAN"]), "[hnsf'U]")
