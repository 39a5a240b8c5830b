"""What all exports to DICOM share: the source series, whose findings they are, and by what they were made.

An export belongs to the patient's record: it carries the identity of the series that it refers to.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from inference_core import __version__
from inference_core.errors import OutputError, one_line
from inference_core.geometry.grid import SAME_GRID_MM, Grid
from inference_core.geometry.mask import Mask
from inference_core.io.atomic import replacing
from inference_core.io.dicom import DicomSource
from inference_core.io.dicom_multiframe import keep_frames_of
from inference_core.io.dicom_writer import decimals, new_uid
from inference_core.io.findings import DEFAULT_FINDING, Coded, Finding

UNICODE = "ISO_IR 192"
_LONGEST_LABEL, _LONGEST_CODE = 64, 16
MANUFACTURER, PRODUCT = "SAM3DSegment", "SAM3DSegment"
_NEEDED = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID", "FrameOfReferenceUID")
_MAY_BE_EMPTY = (
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate",
    "StudyTime", "ReferringPhysicianName",
)  # fmt: skip


@dataclass(frozen=True)
class Algorithm:
    """What made a segment: the model's name, this package's version, and the sha256 of the model's weights."""

    name: str
    weights_sha256: str = ""
    version: str = __version__


@dataclass(frozen=True, eq=False)
class ExportedSegment:
    """A mask on the source's grid with its name, what made it (None: a person, by hand), and what it is: a key of
    `findings.FINDINGS`, or its category and its type.

    `tracking_uid` is the same in every object that speaks of this lesion.
    """

    name: str
    mask: Mask
    algorithm: Algorithm | None
    finding: str | Finding = DEFAULT_FINDING
    tracking_uid: str = field(default_factory=new_uid)

    @property
    def label(self) -> str:
        """The name as DICOM takes it (LO): one line of 1 to 64 letters, without the sign between values."""
        return one_line(self.name.replace("\\", "/"))[:_LONGEST_LABEL] or "segment"


def source_datasets(source: DicomSource) -> list[Any]:
    """The datasets of a source's files without their voxels, each once, in the order of k.

    What must be there but may be empty is added where it lacks; a multi-frame file keeps the volume's frames alone.

    Raises:
        OutputError: the files lack what an export must refer to.
    """
    from pydicom import dcmread

    thickness = decimals([source.grid.spacing[2]])[0]
    datasets = [dcmread(path, stop_before_pixels=True, force=True) for path in source.paths]
    for dataset in datasets:
        lacking = [name for name in _NEEDED if not dataset.get(name)]
        if lacking:
            raise OutputError(
                f"The series lacks its {lacking[0]}, which a DICOM export must refer to; get it from the archive "
                "again, or write a .seg.nrrd."
            )
        for name in (name for name in _MAY_BE_EMPTY if name not in dataset):
            setattr(dataset, name, "")
        # Scanners may leave it empty, a SEG's frames may not: it is the step then.
        if not dataset.get("SliceThickness"):
            dataset.SliceThickness = thickness
    if source.frames[0].header.frames > 1:
        if len(datasets) > 1:
            raise OutputError(
                "The volume lies in several multi-frame files, which a DICOM export cannot refer to; write a .seg.nrrd."
            )
        keep_frames_of(source, datasets[0])
    # What an export is written in, of the first file: a segment's name need not fit into the source's own letters.
    datasets[0].decode()
    datasets[0].SpecificCharacterSet = UNICODE
    return datasets


def check_on_source(segments: Sequence[ExportedSegment], source: DicomSource) -> None:
    """Refuse masks that reach beyond the source's voxels.

    Raises:
        OutputError: one does.
    """
    for segment in segments:
        if not segment.mask.fits(source.grid.shape):
            raise OutputError(f"The mask of '{segment.name}' reaches beyond the series; resample it onto the series.")


def check_same_grid(grid: Grid, source: DicomSource) -> None:
    """Refuse masks that were made on other voxels than the source's.

    Raises:
        OutputError: they were.
    """
    if not grid.matches(source.grid, tolerance_mm=SAME_GRID_MM):
        raise OutputError(
            "The mask lies on other voxels than the series; resample it onto the series before the export to DICOM."
        )


def highdicom(module: str = "") -> Any:
    """The package highdicom, or a module of it.

    Raises:
        OutputError: it is not installed.
    """
    try:
        return import_module(f"highdicom.{module}" if module else "highdicom")
    except ImportError as error:
        raise OutputError(
            "This export needs the package highdicom; install it with `pip install highdicom`, or write a .seg.nrrd."
        ) from error


def save(dataset: Any, path: str | os.PathLike[str]) -> None:
    """Write a dataset as a DICOM file, whole or not at all.

    Raises:
        OutputError: it cannot be written.
    """
    with replacing(Path(path)) as temporary:
        dataset.save_as(temporary, enforce_file_format=True)


def series_number(first: Any, kind: int) -> int:
    """A number of its own in the study for each kind of export, by the custom of hundreds; of a source's dataset."""
    return int(first.get("SeriesNumber") or 0) * 100 + kind


def code(coded: Coded) -> Any:
    """A concept as pydicom's codes are."""
    from pydicom.sr.coding import Code

    return Code(coded.value, coded.scheme, coded.meaning[:_LONGEST_LABEL])


def code_attributes(coded: Coded) -> dict[str, str]:
    """A concept as the attributes of a code sequence's item; values longer than 16 letters have one of their own."""
    value = "LongCodeValue" if len(coded.value) > _LONGEST_CODE else "CodeValue"
    meaning = coded.meaning[:_LONGEST_LABEL]
    return {value: coded.value, "CodingSchemeDesignator": coded.scheme, "CodeMeaning": meaning}
