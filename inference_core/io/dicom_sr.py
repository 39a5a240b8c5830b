"""Measurement reports (TID 1500) by highdicom: one measurement group a lesion, its diameters with their end points.

An axial diameter is drawn on its slice's image (SCOORD, pixels) where the images are axial, and in the patient
(SCOORD3D, mm) where they are not, as the longest one in 3D always is. Both axes of a lesion are in one group.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from inference_core.geometry.grid import LPS_FROM_RAS
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
from inference_core.io.dicom_writer import new_uid
from inference_core.io.findings import Coded, coded
from inference_core.io.reported import Quantity, Reported

_SHORTEST_MM = 1e-3  # a line without length is none
_NAMES = {
    Quantity.VOLUME: Coded("118565006", "SCT", "Volume"),
    Quantity.LONG_AXIS: Coded("103339001", "SCT", "Long Axis"),
    Quantity.SHORT_AXIS: Coded("103340004", "SCT", "Short Axis"),
    Quantity.DIAMETER_3D: Coded("81827009", "SCT", "Diameter"),
}
_DERIVATIONS = {
    Quantity.DIAMETER_3D: Coded("56851009", "SCT", "Maximum"),
    Quantity.MEAN: Coded("373098007", "SCT", "Mean"),
    Quantity.SD: Coded("386136009", "SCT", "Standard Deviation"),
    Quantity.MEDIAN: Coded("373099004", "SCT", "Median"),
    Quantity.MIN: Coded("255605001", "SCT", "Minimum"),
    Quantity.MAX: Coded("56851009", "SCT", "Maximum"),
}
_UNITS = {
    "ml": Coded("ml", "UCUM", "ml"),
    "mm": Coded("mm", "UCUM", "mm"),
    "HU": Coded("[hnsf'U]", "UCUM", "Hounsfield unit"),
    "": Coded("1", "UCUM", "no units"),
}
# What the voxels of a modality are: statistics of others, whose unit is not known, are left out.
_INTENSITIES = {
    "CT": Coded("112031", "DCM", "Attenuation Coefficient"),
    "MR": Coded("110852", "DCM", "MR signal intensity"),
}
_PROCEDURES = {
    "CT": Coded("25045-6", "LN", "Unspecified CT"),
    "MR": Coded("25056-3", "LN", "Unspecified MR"),
    "PT": Coded("44136-0", "LN", "Unspecified PET"),
}
_ANY_PROCEDURE = Coded("18748-4", "LN", "Imaging study")


@dataclass(frozen=True, eq=False)
class ReportedLesion:
    """A segment and what was measured of it."""

    segment: ExportedSegment
    numbers: Sequence[Reported]


def write_dicom_sr(
    path: str | os.PathLike[str], lesions: Sequence[ReportedLesion], source: DicomSource, *, segmentation: Any = None
) -> Any:
    """Write lesions, one at least, as one TID 1500 report that refers to its source; its dataset is returned.

    `segmentation` is the dataset of the DICOM SEG that holds the same lesions in the same order, where there is one.

    Raises:
        OutputError: highdicom is not installed, the source lacks what is referred to, a mask lies beyond it, or the
            file cannot be written.
    """
    sr = highdicom("sr")
    check_on_source([lesion.segment for lesion in lesions], source)
    datasets = source_datasets(source)
    context = _Context(source, datasets, segmentation)
    groups = [group for number, lesion in enumerate(lesions, start=1) for group in _groups(lesion, context, number)]
    report = sr.MeasurementReport(
        observation_context=_observed_by_device(),
        procedure_reported=code(_PROCEDURES.get(source.modality, _ANY_PROCEDURE)),
        imaging_measurements=groups,
        referenced_images=datasets,
    )
    dataset = sr.Comprehensive3DSR(
        evidence=[*datasets, *([] if segmentation is None else [segmentation])],
        content=report,
        series_instance_uid=new_uid(),
        series_number=series_number(datasets[0], 3),
        sop_instance_uid=new_uid(),
        instance_number=1,
        manufacturer=MANUFACTURER,
        is_complete=True,
        series_description="Measurements",
    )
    save(dataset, path)
    return dataset


@dataclass(frozen=True, eq=False)
class _Context:
    """The source, its files' datasets in the order of k, and the SEG of the same lesions or None."""

    source: DicomSource
    datasets: Sequence[Any]
    segmentation: Any


def _observed_by_device() -> Any:
    sr = highdicom("sr")
    from pydicom.sr.codedict import codes

    device = sr.DeviceObserverIdentifyingAttributes(
        uid=new_uid(), name=PRODUCT, manufacturer_name=MANUFACTURER, model_name=PRODUCT
    )
    context = sr.ObserverContext(observer_type=codes.DCM.Device, observer_identifying_attributes=device)
    return sr.ObservationContext(observer_device_context=context)


def _groups(lesion: ReportedLesion, context: _Context, number: int) -> list[Any]:
    """One group; with a SEG two of one tracking UID, since a group that refers to a segment may hold no lines."""
    sr = highdicom("sr")
    if context.segmentation is None:
        return [sr.MeasurementsAndQualitativeEvaluations(**_contents(lesion, lesion.numbers, context))]
    reference = sr.ReferencedSegment(
        sop_class_uid=context.segmentation.SOPClassUID,
        sop_instance_uid=context.segmentation.SOPInstanceUID,
        segment_number=number,
        source_series=sr.SourceSeriesForSegmentation(context.datasets[0].SeriesInstanceUID),
    )
    lines = [item for item in lesion.numbers if item.ends_ras is not None]
    others = [item for item in lesion.numbers if item.ends_ras is None]
    of_segment = sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
        referenced_segment=reference, **_contents(lesion, others, context)
    )
    if not lines:
        return [of_segment]
    return [of_segment, sr.MeasurementsAndQualitativeEvaluations(**_contents(lesion, lines, context))]


def _contents(lesion: ReportedLesion, numbers: Sequence[Reported], context: _Context) -> dict[str, Any]:
    """What a measurement group holds: whose, of what kind, by what made, and the numbers."""
    sr = highdicom("sr")
    segment = lesion.segment
    category, kind = coded(segment.finding)
    found = [_measurement(number, context) for number in numbers]
    return {
        "tracking_identifier": sr.TrackingIdentifier(uid=segment.tracking_uid, identifier=segment.label),
        "finding_category": code(category),
        "finding_type": code(kind),
        "algorithm_id": None if segment.algorithm is None else _identified(segment.algorithm),
        "measurements": [measurement for measurement in found if measurement is not None],
    }


def _identified(algorithm: Algorithm) -> Any:
    return highdicom("sr").AlgorithmIdentification(
        name=algorithm.name,
        version=algorithm.version,
        parameters=[f"weights_sha256 {algorithm.weights_sha256}"] if algorithm.weights_sha256 else None,
    )


def _measurement(number: Reported, context: _Context) -> Any:
    """One content item; None for the statistics of voxels whose unit is not known."""
    sr = highdicom("sr")
    name = _NAMES.get(number.quantity) or _INTENSITIES.get(context.source.modality)
    if name is None or number.unit not in _UNITS:
        return None
    if name == _INTENSITIES["CT"] and number.unit != "HU":
        return None
    derivation = _DERIVATIONS.get(number.quantity)
    line = _line(number, context)
    return sr.Measurement(
        name=code(name),
        value=number.value,
        unit=code(_UNITS[number.unit]),
        derivation=None if derivation is None else code(derivation),
        referenced_coordinates=None if line is None else [line],
    )


def _line(number: Reported, context: _Context) -> Any:
    """A diameter's ends as a polyline of two points, on the slice's image or in the patient; None without a length."""
    sr = highdicom("sr")
    if number.ends_ras is None or number.value < _SHORTEST_MM:
        return None
    ends_ras = np.array(number.ends_ras)
    if number.slice_index is None:
        return sr.CoordinatesForMeasurement3D(
            graphic_type=sr.GraphicTypeValues3D.POLYLINE,
            graphic_data=ends_ras @ LPS_FROM_RAS[:3, :3],
            frame_of_reference_uid=context.datasets[0].FrameOfReferenceUID,
        )
    frame = context.source.frames[number.slice_index]
    dataset = context.datasets[context.source.paths.index(frame.header.path)]
    image = sr.SourceImageForRegion(
        referenced_sop_class_uid=dataset.SOPClassUID,
        referenced_sop_instance_uid=dataset.SOPInstanceUID,
        referenced_frame_numbers=[frame.index + 1] if frame.header.frames > 1 else None,
    )
    # The image's upper left corner is (0, 0): the center of its first pixel is at half a pixel (PS3.3 C.18.6.1.1).
    pixels = context.source.grid.to_ijk(ends_ras)[:, :2] + 0.5
    return sr.CoordinatesForMeasurement(
        graphic_type=sr.GraphicTypeValues.POLYLINE, graphic_data=pixels, source_image=image
    )
