"""DICOM as an archive exports it: a folder a patient, with a series and the SEG or RTSTRUCT that was drawn on it.

The series is the one that the SEG or RTSTRUCT refers to, since a patient's folder holds several. Classes are the names
of the segments, the same name the same class in all patients.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from inference_core.errors import VolumeError
from inference_core.io.segmentation_objects import is_segmentation_object
from inference_core.training.data.cases import Case, DataSet
from inference_core.training.data.listing import Patients, dataset_json, folders_in


def read_dicom_set(folder: Path, pattern: str | None = None) -> DataSet | None:
    """Read the cases of a folder of patients' folders, or None where none of them holds a SEG or RTSTRUCT.

    Raises:
        VolumeError: a SEG or RTSTRUCT cannot be read.
    """
    patients = Patients.of(dataset_json(folder), pattern)
    cases = [case for below in folders_in(folder) for case in _cases_of(below, patients)]
    return with_segments(DataSet(folder.absolute().name, tuple(cases), {}, ("image",))) if cases else None


def with_segments(data: DataSet) -> DataSet:
    """A set whose SEG and RTSTRUCT labels are numbered by the names of their segments, in the order of the names.

    Raises:
        VolumeError: a SEG or RTSTRUCT cannot be read.
    """
    objects = {case.name: case.label for case in data.cases if case.label and is_segmentation_object(case.label)}
    if not objects:
        return data
    # Of an RTSTRUCT the header is all of it: it is read once, and not kept.
    told = {name: _told_by(label) for name, label in objects.items()}
    names = tuple(data.classes.values()) or tuple(sorted({name for found, _ in told.values() for name in found}))
    cases = [
        replace(case, segments=names, series_uid=case.series_uid or _series_of(case, told[case.name][1]))
        if case.name in told else case
        for case in data.cases
    ]  # fmt: skip
    return replace(data, cases=tuple(cases), classes=dict(enumerate(names, start=1)))


def _cases_of(folder: Path, patients: Patients) -> Iterator[Case]:
    """A case for each SEG and RTSTRUCT; the image is the folder itself, of which the series is told by its UID."""
    labels = [path for path in sorted(folder.rglob("*")) if _is_object(path)]
    for number, label in enumerate(labels, start=1):
        name = folder.name if len(labels) == 1 else f"{folder.name}_{number}"
        yield Case(name, patients(folder.name), (folder,), label)


def _is_object(path: Path) -> bool:
    return not path.name.startswith(".") and is_segmentation_object(path)


def _series_of(case: Case, referred: str | None) -> str | None:
    """The series that a label refers to, where the image is a folder of several."""
    return referred if case.images[0].is_dir() else None


def _told_by(path: Path) -> tuple[list[str], str | None]:
    """The names of a SEG's segments or of an RTSTRUCT's regions, and the series that it refers to, where it says so.

    Raises:
        VolumeError: it cannot be read.
    """
    dataset = _header(path)
    if dataset.get("SegmentSequence"):
        names = [str(item.SegmentLabel) for item in dataset.SegmentSequence]
    else:
        names = [str(item.ROIName) for item in dataset.get("StructureSetROISequence", [])]
    return names, next(_referred(dataset), None)


def _referred(dataset: Any) -> Iterator[str]:
    """The series that a SEG, and an RTSTRUCT, refers to."""
    for item in dataset.get("ReferencedSeriesSequence", []):
        yield str(item.SeriesInstanceUID)
    for frame in dataset.get("ReferencedFrameOfReferenceSequence", []):
        for study in frame.get("RTReferencedStudySequence", []):
            for series in study.get("RTReferencedSeriesSequence", []):
                yield str(series.SeriesInstanceUID)


def _header(path: Path) -> Any:
    from pydicom import dcmread

    try:
        return dcmread(path, stop_before_pixels=True)
    except Exception as error:  # pydicom raises whatever a damaged file leads it to
        raise VolumeError(f"'{path.name}' cannot be read as a DICOM SEG or RTSTRUCT; copy it again.") from error
