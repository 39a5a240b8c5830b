"""RT Structure Sets by pydicom: closed contours on the source's slices, and back.

A contour runs half-way between voxels inside and outside, so that the voxels whose centers it encloses are the mask's,
every one and no other. A hole is joined to its outline by a channel without width (the keyhole of PS3.3 section
C.8.8.6.3); nothing is simplified, and no piece is too small.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from inference_core import __version__
from inference_core.errors import VolumeError
from inference_core.geometry.contours import contours, filled, keyholed
from inference_core.geometry.grid import LPS_FROM_RAS, SAME_GRID_MM, Float, Grid
from inference_core.geometry.mask import Mask
from inference_core.io.dicom import DicomSource
from inference_core.io.dicom_export import (
    MANUFACTURER,
    PRODUCT,
    ExportedSegment,
    check_on_source,
    code_attributes,
    save,
    series_number,
    source_datasets,
)
from inference_core.io.dicom_writer import EXPLICIT_LITTLE_ENDIAN, decimals, new_uid
from inference_core.io.findings import coded
from inference_core.io.opening import check_readable

_SOP_CLASS = "1.2.840.10008.5.1.4.1.1.481.3"
_STUDY_CLASS = "1.2.840.10008.3.1.2.3.1"  # retired, and still what RT systems write here
_COPIED = (
    "SpecificCharacterSet", "StudyDate", "StudyTime", "AccessionNumber", "ReferringPhysicianName", "StudyDescription",
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyID", "FrameOfReferenceUID",
    "PositionReferenceIndicator",
)  # fmt: skip
_COLORS = ((230, 77, 51), (51, 153, 230), (77, 204, 102), (242, 191, 51), (166, 102, 217), (26, 188, 188))


def write_rtstruct(
    path: str | os.PathLike[str], segments: Sequence[ExportedSegment], source: DicomSource, *, label: str = PRODUCT
) -> Any:
    """Write segments as one RTSTRUCT that refers to the source's slices; its dataset is returned.

    Raises:
        OutputError: the source lacks what is referred to, a mask lies beyond it, or the file cannot be written.
    """
    check_on_source(segments, source)
    datasets = source_datasets(source)
    dataset = _header(datasets[0], label=label)
    dataset.SoftwareVersions = __version__
    dataset.ReferencedFrameOfReferenceSequence = [_frame_of_reference(datasets)]
    frame_of_reference = dataset.FrameOfReferenceUID
    numbered = list(enumerate(segments, start=1))
    dataset.StructureSetROISequence = [_roi(segment, n, frame_of_reference) for n, segment in numbered]
    references = _references(source, datasets)
    dataset.ROIContourSequence = [_contour(segment, n, source.grid, references) for n, segment in numbered]
    dataset.RTROIObservationsSequence = [_observation(segment, n) for n, segment in numbered]
    save(dataset, path)
    return dataset


def read_rtstruct(path: str | os.PathLike[str], grid: Grid) -> dict[str, Mask]:
    """The regions of an RTSTRUCT by name, as masks on the grid on whose slices they were drawn.

    A voxel is in a region where its center lies inside an odd number of the contours on its slice.

    Raises:
        VolumeError: it is no RTSTRUCT, or a contour lies on none of the grid's slices.
    """
    import pydicom

    name = Path(path).name
    check_readable(Path(path))
    try:
        dataset = pydicom.dcmread(path)
        regions = {int(item.ROINumber): str(item.ROIName) for item in dataset.StructureSetROISequence}
        drawn = {int(item.ReferencedROINumber): item.get("ContourSequence", []) for item in dataset.ROIContourSequence}
    except Exception as error:  # pydicom raises whatever a damaged or another file leads it to
        raise VolumeError(f"'{name}' cannot be read as an RTSTRUCT; choose another file.") from error
    return {region: _mask_of(drawn.get(number, []), grid, name=name) for number, region in regions.items()}


def _mask_of(drawn: Sequence[Any], grid: Grid, *, name: str) -> Mask:
    voxels = np.zeros(grid.shape, dtype=bool, order="F")
    for item in drawn:
        if not str(item.ContourGeometricType).startswith("CLOSED"):
            continue
        lps = np.array(item.ContourData, dtype=float).reshape(-1, 3)
        ijk = grid.to_ijk(lps @ LPS_FROM_RAS[:3, :3])
        k = round(float(ijk[0, 2]))
        if not 0 <= k < grid.shape[2] or np.abs(ijk[:, 2] - k).max() * grid.spacing[2] > SAME_GRID_MM:
            raise VolumeError(f"'{name}' has a contour that lies on none of the image's slices; choose its own series.")
        voxels[:, :, k] ^= filled([ijk[:, :2]], grid.shape[:2])
    return Mask.of(voxels)


def _header(first: Any, *, label: str) -> Any:
    from pydicom import Dataset
    from pydicom.dataset import FileMetaDataset

    dataset: Any = Dataset()
    meta: Any = FileMetaDataset()
    for keyword in _COPIED:
        if keyword in first:
            setattr(dataset, keyword, first.get(keyword))
    now = datetime.now().astimezone()
    dataset.SOPClassUID = meta.MediaStorageSOPClassUID = _SOP_CLASS
    dataset.SOPInstanceUID = meta.MediaStorageSOPInstanceUID = new_uid()
    meta.TransferSyntaxUID = EXPLICIT_LITTLE_ENDIAN
    dataset.file_meta = meta
    dataset.Modality, dataset.SeriesInstanceUID = "RTSTRUCT", new_uid()
    dataset.SeriesNumber, dataset.OperatorsName = series_number(first, 2), ""
    dataset.SeriesDescription = label[:64]
    dataset.Manufacturer, dataset.ManufacturerModelName = MANUFACTURER, PRODUCT
    dataset.StructureSetLabel = label[:16]
    dataset.StructureSetDate = dataset.InstanceCreationDate = now.strftime("%Y%m%d")
    dataset.StructureSetTime = dataset.InstanceCreationTime = now.strftime("%H%M%S")
    dataset.ApprovalStatus = "UNAPPROVED"
    dataset.setdefault("PositionReferenceIndicator", "")
    return dataset


def _frame_of_reference(datasets: Sequence[Any]) -> Any:
    first = datasets[0]
    series = _item(
        SeriesInstanceUID=first.SeriesInstanceUID, ContourImageSequence=[_reference(dataset) for dataset in datasets]
    )
    study = _item(
        ReferencedSOPClassUID=_STUDY_CLASS,
        ReferencedSOPInstanceUID=first.StudyInstanceUID,
        RTReferencedSeriesSequence=[series],
    )
    return _item(FrameOfReferenceUID=first.FrameOfReferenceUID, RTReferencedStudySequence=[study])


def _references(source: DicomSource, datasets: Sequence[Any]) -> list[tuple[Any, int | None]]:
    """For each slice along k its file's dataset and, where that has several, the number of its frame."""
    by_path = dict(zip(source.paths, datasets, strict=True))
    return [
        (by_path[frame.header.path], frame.index + 1 if frame.header.frames > 1 else None) for frame in source.frames
    ]


def _reference(dataset: Any, frame: int | None = None) -> Any:
    reference = _item(ReferencedSOPClassUID=dataset.SOPClassUID, ReferencedSOPInstanceUID=dataset.SOPInstanceUID)
    if frame is not None:
        reference.ReferencedFrameNumber = frame
    return reference


def _roi(segment: ExportedSegment, number: int, frame_of_reference: str) -> Any:
    region = _item(
        ROINumber=number,
        ReferencedFrameOfReferenceUID=frame_of_reference,
        ROIName=segment.label,
        ROIGenerationAlgorithm="MANUAL" if segment.algorithm is None else "SEMIAUTOMATIC",
    )
    if (algorithm := segment.algorithm) is not None:
        weights = f", weights sha256 {algorithm.weights_sha256}" if algorithm.weights_sha256 else ""
        region.ROIDescription = f"{algorithm.name}, {PRODUCT} {algorithm.version}{weights}"
        region.ROIGenerationDescription = f"{algorithm.name} {algorithm.version}"[:64]
    return region


def _contour(segment: ExportedSegment, number: int, grid: Grid, references: Sequence[tuple[Any, int | None]]) -> Any:
    items: list[Any] = []
    for k in range(segment.mask.array.shape[2]):
        at = k + segment.mask.start[2]
        for polygon in keyholed(contours(segment.mask.array[:, :, k])):
            lps = _in_lps(polygon + segment.mask.start[:2], at, grid)
            items.append(
                _item(
                    ContourImageSequence=[_reference(*references[at])],
                    ContourGeometricType="CLOSED_PLANAR",
                    NumberOfContourPoints=len(lps),
                    ContourNumber=len(items) + 1,
                    ContourData=decimals(lps.ravel()),
                )
            )
    found = _item(ROIDisplayColor=list(_COLORS[(number - 1) % len(_COLORS)]), ReferencedROINumber=number)
    if items:
        found.ContourSequence = items
    return found


def _in_lps(polygon: Float, k: int, grid: Grid) -> Float:
    ijk = np.column_stack([polygon, np.full(len(polygon), float(k))])
    return np.asarray(grid.to_ras(ijk) @ LPS_FROM_RAS[:3, :3])


def _observation(segment: ExportedSegment, number: int) -> Any:
    concept = _item(**code_attributes(coded(segment.finding)[1]))
    return _item(
        ObservationNumber=number,
        ReferencedROINumber=number,
        RTROIIdentificationCodeSequence=[concept],
        RTROIInterpretedType="",
        ROIInterpreter="",
    )


def _item(**attributes: Any) -> Any:
    from pydicom import Dataset

    dataset = Dataset()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset
