"""The frames of a DICOM file: where each lies, how it is scaled, and what may tell it apart from others at its place.

Enhanced files say so in functional groups, per frame or shared (PS3.3 section C.7.6.16); nuclear medicine in the
detector information; plain files at the top level. Vendors' private items are not looked into, for they repeat the
same attributes with other values. Positions and directions are LPS, as DICOM has them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from inference_core.errors import VolumeError
from inference_core.geometry.grid import Float
from inference_core.io.dicom_header import PRIVATE_TAGS, DicomHeader, first_item, number, numbers, value

_NM_VECTORS = ("EnergyWindowVector", "PhaseVector", "TimeSlotVector", "RRIntervalVector", "TimeSliceVector")
_ANGLES = ("RotationVector", "AngularViewVector")
# attribute -> the functional group that holds it, and its name there
_GROUPS = {
    "StackID": ("FrameContentSequence", "StackID"),
    "AcquisitionNumber": ("FrameContentSequence", "FrameAcquisitionNumber"),
    "TemporalPositionIdentifier": ("FrameContentSequence", "TemporalPositionIndex"),
    "ContentTime": ("FrameContentSequence", "FrameReferenceDateTime"),
    "AcquisitionTime": ("FrameContentSequence", "FrameAcquisitionDateTime"),
    "FrameReferenceTime": ("TemporalPositionSequence", "TemporalPositionTimeOffset"),
    "EchoTime": ("MREchoSequence", "EffectiveEchoTime"),
    "FlipAngle": ("MRTimingAndRelatedParametersSequence", "FlipAngle"),
    "InversionTime": ("MRModifierSequence", "InversionTimes"),
    "DiffusionBValue": ("MRDiffusionSequence", "DiffusionBValue"),
    "NominalPercentageOfCardiacPhase": ("CardiacSynchronizationSequence", "NominalPercentageOfCardiacPhase"),
    "TriggerTime": ("CardiacSynchronizationSequence", "NominalCardiacTriggerDelayTime"),
    "ConvolutionKernel": ("CTReconstructionSequence", "ConvolutionKernel"),
}
_FRAME_TYPES = ("MRImageFrameTypeSequence", "CTImageFrameTypeSequence", "PETFrameTypeSequence")


@dataclass(frozen=True, eq=False)
class Frame:
    """One slice of a file. position (3,): the center of its first voxel in LPS mm, or None.

    orientation (2, 3): the directions in which the column and the row index grow, or None; spacing: mm along these, or
    None; scaling: slope and intercept.
    """

    header: DicomHeader
    index: int
    position: Float | None
    orientation: Float | None
    spacing: tuple[float, float] | None
    scaling: tuple[float, float]

    def attribute(self, name: str) -> Any:
        """What the frame says of an attribute by which frames may be told apart; None where it says nothing."""
        if name in PRIVATE_TAGS:
            found = [value(self.header.dataset, tag) for tag in PRIVATE_TAGS[name]]
            return next((_plain(item) for item in found if item is not None), None)
        if name == "file":
            return self.header.path.name if self.header.frames > 1 else None
        if name.startswith("dimension "):
            values = _group_value(self.header.dataset, self.index, "FrameContentSequence", "DimensionIndexValues")
            number = int(name.removeprefix("dimension "))
            return float(values[number - 1]) if hasattr(values, "__len__") and len(values) >= number else None
        if name in _NM_VECTORS:
            return _plain(_of_vector(self.header.dataset, name, self.index))
        return _plain(self._of_groups(name))

    def _of_groups(self, name: str) -> Any:
        dataset, index = self.header.dataset, self.index
        if name == "ImageType":
            kinds = [_group_value(dataset, index, group, "FrameType") for group in _FRAME_TYPES]
            component = value(dataset, "ComplexImageComponent")
            own = next((kind for kind in kinds if kind is not None), value(dataset, "ImageType"))
            return own if component is None else [*(own or ()), component]
        if name == "DiffusionGradientOrientation":
            diffusion = _group(dataset, index, "MRDiffusionSequence")
            direction = None if diffusion is None else first_item(diffusion, "DiffusionGradientDirectionSequence")
            return value(dataset if direction is None else direction, name)
        found = _group_value(dataset, index, *_GROUPS[name]) if name in _GROUPS else None
        return value(dataset, name) if found is None else found


def frames_of(header: DicomHeader) -> tuple[Frame, ...]:
    """The frames of a file in its order.

    Raises:
        VolumeError: the functional groups describe another number of frames.
    """
    dataset = header.dataset
    described = value(dataset, "PerFrameFunctionalGroupsSequence")
    if described is not None and len(described) != header.frames:
        raise VolumeError(
            f"'{header.path.name}' has {header.frames} frames but describes {len(described)}; export the series again."
        )
    positions = _positions(header)
    return tuple(
        Frame(
            header=header,
            index=index,
            position=positions[index],
            orientation=orientation_of(dataset, index),
            spacing=_spacing(dataset, index),
            scaling=_scaling(dataset, index),
        )
        for index in range(header.frames)
    )


def projections(header: DicomHeader) -> bool:
    """Whether a nuclear medicine file holds views from many angles instead of slices."""
    kinds = [str(kind).upper() for kind in (value(header.dataset, "ImageType") or ())]
    turning = any(value(header.dataset, name) is not None for name in _ANGLES)
    return header.modality == "NM" and (turning or "TOMO" in kinds) and not any("RECON" in kind for kind in kinds)


def thickness_stands_for_distance(header: DicomHeader) -> bool:
    """Whether the distance of the slices is known from their thickness alone."""
    if header.frames == 1 or np.isfinite(_between_slices(header.dataset)):
        return False
    return all(position is None for position in _own_positions(header))


def _positions(header: DicomHeader) -> list[Float | None]:
    """A position per frame: its own or, where the file has one, following from that one along the normal."""
    dataset, own = header.dataset, _own_positions(header)
    if any(position is not None for position in own):
        return own
    first = _top_level(dataset, "ImagePositionPatient", 3)
    if header.frames == 1 or first is None:
        return [first] * header.frames
    orientation = orientation_of(dataset, 0)
    step = _between_slices(dataset)
    if not np.isfinite(step):
        step = number(dataset, "SliceThickness")
    if orientation is None or not np.isfinite(step) or step == 0:
        return [None] * header.frames
    normal = np.cross(orientation[0], orientation[1])
    # The sign of a nuclear medicine file's spacing says to which side of the first slice the others lie (C.8.4.15).
    return [first + normal * step * place for place in _slice_places(header)]


def _own_positions(header: DicomHeader) -> list[Float | None]:
    """The position that each frame's functional group says; None where it says none."""
    groups = [_group(header.dataset, index, "PlanePositionSequence") for index in range(header.frames)]
    return [None if group is None else numbers(group, "ImagePositionPatient", 3) for group in groups]


def _slice_places(header: DicomHeader) -> list[int]:
    """How many slices each frame is away from the first, where a file has one position for all."""
    places = value(header.dataset, "SliceVector")
    if places is None:
        varying = [name for name in _NM_VECTORS if len(set(_vector(header.dataset, name))) > 1]
        if varying:  # the slices run fastest: PS3.3 C.8.4.8
            keys = [tuple(_of_vector(header.dataset, name, n) for name in varying) for n in range(header.frames)]
            return [keys[:n].count(key) for n, key in enumerate(keys)]
        return list(range(header.frames))
    return [int(place) - 1 for place in places]


def _between_slices(dataset: Any) -> float:
    shared = first_item(dataset, "SharedFunctionalGroupsSequence")
    measures = None if shared is None else first_item(shared, "PixelMeasuresSequence")
    found = float("nan") if measures is None else number(measures, "SpacingBetweenSlices")
    step = found if np.isfinite(found) else number(dataset, "SpacingBetweenSlices")
    if step == 0:
        return float("nan")
    return step if str(value(dataset, "Modality")) == "NM" else abs(step)


def orientation_of(dataset: Any, index: int) -> Float | None:
    """The directions (2, 3) in which a frame's column and row index grow; None where none are said."""
    group = _group(dataset, index, "PlaneOrientationSequence")
    own = None if group is None else numbers(group, "ImageOrientationPatient", 6)
    found = _top_level(dataset, "ImageOrientationPatient", 6) if own is None else own
    return None if found is None else found.reshape(2, 3)


def _spacing(dataset: Any, index: int) -> tuple[float, float] | None:
    """Between columns and between rows, in mm: DICOM names them in the other order."""
    group = _group(dataset, index, "PixelMeasuresSequence")
    own = None if group is None else numbers(group, "PixelSpacing", 2)
    found = numbers(dataset, "PixelSpacing", 2) if own is None else own
    return None if found is None or found.min() <= 0 else (float(found[1]), float(found[0]))


def _scaling(dataset: Any, index: int) -> tuple[float, float]:
    group = _group(dataset, index, "PixelValueTransformationSequence")
    source = dataset if group is None else group
    slope, intercept = number(source, "RescaleSlope"), number(source, "RescaleIntercept")
    # A slope of zero would make every voxel alike: it is a field that was never filled in.
    return slope if np.isfinite(slope) and slope != 0 else 1.0, intercept if np.isfinite(intercept) else 0.0


def _top_level(dataset: Any, keyword: str, count: int) -> Float | None:
    found = numbers(dataset, keyword, count)
    detector = first_item(dataset, "DetectorInformationSequence") if found is None else None
    return found if detector is None else numbers(detector, keyword, count)


def _group(dataset: Any, index: int, keyword: str) -> Any:
    """A frame's functional group: its own, else the shared one; None where there is neither."""
    per_frame = value(dataset, "PerFrameFunctionalGroupsSequence")
    own = first_item(per_frame[index], keyword) if per_frame is not None and index < len(per_frame) else None
    shared = first_item(dataset, "SharedFunctionalGroupsSequence") if own is None else None
    return own if shared is None else first_item(shared, keyword)


def _group_value(dataset: Any, index: int, keyword: str, attribute: str) -> Any:
    group = _group(dataset, index, keyword)
    return None if group is None else value(group, attribute)


def _vector(dataset: Any, name: str) -> list[Any]:
    found = value(dataset, name)
    return list(found) if hasattr(found, "__iter__") else []


def _of_vector(dataset: Any, name: str, index: int) -> Any:
    values = _vector(dataset, name)
    return values[index] if index < len(values) else None


def _plain(found: Any) -> Any:
    """A value that can be compared: a number, a text, or a tuple of these."""
    if found is None or isinstance(found, (bytes, str)):
        return found
    if hasattr(found, "__iter__"):
        return tuple(_plain(part) for part in found)
    try:
        return float(found)
    except (TypeError, ValueError):
        return str(found)
