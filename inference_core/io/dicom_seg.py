"""DICOM Segmentation by highdicom: binary, one frame a slice and segment, on the source's own slices.

Empty frames are kept: readers miscount where they are left out, and a segment without any frame is lost.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference_core import __version__
from inference_core.errors import VolumeError
from inference_core.geometry.grid import LPS_FROM_RAS, SAME_GRID_MM, Grid
from inference_core.geometry.mask import Mask
from inference_core.io.dicom import DicomSource
from inference_core.io.dicom_export import (
    MANUFACTURER,
    PRODUCT,
    Algorithm,
    ExportedSegment,
    check_on_source,
    code,
    highdicom,
    save,
    series_number,
    source_datasets,
)
from inference_core.io.dicom_multiframe import refer_to_frames_of
from inference_core.io.dicom_writer import new_uid
from inference_core.io.findings import coded
from inference_core.io.opening import check_readable


def write_dicom_seg(
    path: str | os.PathLike[str], segments: Sequence[ExportedSegment], source: DicomSource, *, description: str = ""
) -> Any:
    """Write segments, one at least, as one DICOM SEG that refers to its source; its dataset is returned.

    Raises:
        OutputError: highdicom is not installed, the source lacks what is referred to, a mask lies beyond it, or the
            file cannot be written.
    """
    seg = highdicom("seg")
    check_on_source(segments, source)
    datasets = source_datasets(source)
    dataset = seg.Segmentation(
        source_images=datasets,
        pixel_array=_frames(segments, source),
        segmentation_type=seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[_description(segment, number) for number, segment in enumerate(segments, start=1)],
        series_instance_uid=new_uid(),
        series_number=series_number(datasets[0], 1),
        sop_instance_uid=new_uid(),
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=PRODUCT,
        software_versions=__version__,
        device_serial_number="0",
        content_label="SEGMENTATION",
        content_creator_name="",
        content_description=description[:64] or None,
        series_description=description[:64] or "SAM3DSegment",
        omit_empty_frames=False,
    )
    if source.frames[0].header.frames > 1:
        refer_to_frames_of(source, dataset)
    save(dataset, path)
    return dataset


def read_dicom_seg(path: str | os.PathLike[str], grid: Grid) -> dict[str, Mask]:
    """The segments of a DICOM SEG by name, on a grid of whose slices its frames are some, in any order.

    Raises:
        VolumeError: it is no binary DICOM SEG, or a frame lies on none of the grid's slices.
    """
    import pydicom

    check_readable(Path(path))
    try:
        dataset = pydicom.dcmread(path)
        frames = np.atleast_3d(dataset.pixel_array.T).T if dataset.get("SegmentationType") == "BINARY" else None
    except Exception as error:  # pydicom raises whatever a damaged file leads it to
        raise VolumeError(f"'{Path(path).name}' cannot be read as a DICOM segmentation; copy it again.") from error
    if frames is None:
        raise VolumeError(f"'{Path(path).name}' is no binary DICOM segmentation; choose another file.")
    names = {int(item.SegmentNumber): str(item.SegmentLabel) for item in dataset.SegmentSequence}
    found = {number: np.zeros(grid.shape, dtype=bool, order="F") for number in names}
    for index, groups in enumerate(dataset.PerFrameFunctionalGroupsSequence):
        number = int(_group(dataset, groups, "SegmentIdentificationSequence").ReferencedSegmentNumber)
        found[number][:, :, _slice_of(dataset, groups, grid, Path(path).name)] |= frames[index].T > 0
    return {names[number]: Mask.of(voxels) for number, voxels in found.items()}


def _frames(segments: Sequence[ExportedSegment], source: DicomSource) -> NDArray[np.uint8]:
    """(frames, rows, columns, segments), along k."""
    return np.stack([segment.mask.on(source.grid.shape).transpose(2, 1, 0) for segment in segments], axis=-1)


def _description(segment: ExportedSegment, number: int) -> Any:
    seg, kinds = highdicom("seg"), highdicom("seg").SegmentAlgorithmTypeValues
    category, kind = coded(segment.finding)
    return seg.SegmentDescription(
        segment_number=number,
        segment_label=segment.label,
        segmented_property_category=code(category),
        segmented_property_type=code(kind),
        algorithm_type=kinds.MANUAL if segment.algorithm is None else kinds.SEMIAUTOMATIC,
        algorithm_identification=None if segment.algorithm is None else _identified(segment.algorithm),
        tracking_uid=segment.tracking_uid,
        tracking_id=segment.label,
    )


def _identified(algorithm: Algorithm) -> Any:
    from pydicom.sr.codedict import codes

    return highdicom().AlgorithmIdentificationSequence(
        name=algorithm.name,
        family=codes.cid7162.ArtificialIntelligence,
        version=algorithm.version,
        source=MANUFACTURER,
        parameters={"weights_sha256": algorithm.weights_sha256} if algorithm.weights_sha256 else None,
    )


def _group(dataset: Any, groups: Any, keyword: str) -> Any:
    """A frame's functional group: its own, else the one that all frames share."""
    return (groups if keyword in groups else dataset.SharedFunctionalGroupsSequence[0])[keyword][0]


def _slice_of(dataset: Any, groups: Any, grid: Grid, name: str) -> int:
    orientation = _group(dataset, groups, "PlaneOrientationSequence")
    measures = _group(dataset, groups, "PixelMeasuresSequence")
    axes = np.array(orientation.ImageOrientationPatient, dtype=float).reshape(2, 3)
    rows, columns = (float(step) for step in measures.PixelSpacing)
    position = np.array(_group(dataset, groups, "PlanePositionSequence").ImagePositionPatient, dtype=float)
    last = position + axes[0] * columns * (dataset.Columns - 1) + axes[1] * rows * (dataset.Rows - 1)
    k = round(float(grid.to_ijk(LPS_FROM_RAS[:3, :3] @ position)[2]))
    expected = [grid.to_ras((0, 0, k)), grid.to_ras((grid.shape[0] - 1, grid.shape[1] - 1, k))]
    off = np.abs(np.stack([position, last]) @ LPS_FROM_RAS[:3, :3] - expected).max()
    if not 0 <= k < grid.shape[2] or (dataset.Columns, dataset.Rows) != grid.shape[:2] or off > SAME_GRID_MM:
        raise VolumeError(f"'{name}' does not lie on the image's slices; choose the series that it was made on.")
    return k
