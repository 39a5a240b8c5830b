"""What is read of a DICOM file before its voxels, by pydicom: once, and only the attributes that are used."""

from __future__ import annotations

import io
import re
import stat
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from inference_core.errors import SAM3DError, one_line
from inference_core.geometry.grid import Float
from inference_core.io.opening import why

_SOP_ROOT = "1.2.840.10008.5.1.4.1.1."
_DIRECTORY = "1.2.840.10008.1.3.10"
_VOLUME_CLASSES = {
    _SOP_ROOT + end for end in ("2", "2.1", "2.2", "4", "4.1", "4.3", "4.4", "20", "128", "128.1", "130")
}
_NOT_VOLUMES = {"SEG", "RTDOSE", "RTSTRUCT", "RTPLAN", "SR", "PR", "KO", "REG", "DOC"}
_DEFLATED = "1.2.840.10008.1.2.1.99"
_PIXEL_HEAD_BYTES = 8
_SERIES_TAG = 0x0020000E
_START_BYTES = 1 << 15

# What places frames, scales them, tells them apart and decodes them; all else is skipped, the patient's name too.
KEYWORDS = [
    "SpecificCharacterSet", "ImageType", "SOPClassUID", "SOPInstanceUID", "AcquisitionDate", "ContentDate",
    "AcquisitionDateTime", "AcquisitionTime", "ContentTime", "Modality", "SeriesDescription", "SeriesInstanceUID",
    "AcquisitionNumber", "InstanceNumber", "ImagePositionPatient", "ImageOrientationPatient",
    "TemporalPositionIdentifier", "NumberOfFrames", "FrameIncrementPointer", "SliceThickness", "SpacingBetweenSlices",
    "EchoTime", "EchoNumbers", "InversionTime", "TriggerTime", "FlipAngle", "ConvolutionKernel",
    "ReconstructionDiameter", "NominalPercentageOfCardiacPhase", "DiffusionBValue", "DiffusionGradientOrientation",
    "ComplexImageComponent", "FrameReferenceTime", "SamplesPerPixel", "PhotometricInterpretation",
    "PlanarConfiguration", "Rows", "Columns", "PixelSpacing", "BitsAllocated", "BitsStored", "HighBit",
    "PixelRepresentation", "RescaleIntercept", "RescaleSlope", "ModalityLUTSequence", "DetectorInformationSequence",
    "EnergyWindowVector", "DetectorVector", "PhaseVector", "RotationVector", "RRIntervalVector", "TimeSlotVector",
    "AngularViewVector", "TimeSliceVector", "SliceVector", "StackID", "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence", "ExtendedOffsetTable", "ExtendedOffsetTableLengths",
]  # fmt: skip
# Where vendors keep the b-value (Siemens, GE, Philips, United Imaging) and the Siemens gradient direction.
PRIVATE_TAGS = {
    "b-value": (0x0019100C, 0x00431039, 0x20011003, 0x00651009),
    "gradient direction": (0x0019100E,),
}


@dataclass(frozen=True, eq=False)
class DicomHeader:
    """One image file. `dataset` holds `KEYWORDS`; the pixels begin `pixels_at` bytes into the file.

    `size` is (columns, rows). `pixels_at` is None where the whole file is compressed (deflated).
    """

    path: Path
    dataset: Any
    pixels_at: int | None
    uid: str
    instance_uid: str
    sop_class: str
    description: str
    modality: str
    size: tuple[int, int]
    frames: int
    scalar: bool
    syntax: str

    @property
    def encoding(self) -> tuple[bool, bool]:
        """Whether the file is implicit VR, and little endian."""
        implicit, little = self.dataset.original_encoding
        return bool(implicit), bool(little)


@dataclass(frozen=True)
class LeftOut:
    """A file that is no image, or cannot be read: why, and as far as it says, which series it was a slice of.

    `damaged`: it may be a slice that is missed; otherwise nothing is missed where it is left out. `series_uid` is None
    where the file could not be read as far as that.
    """

    path: Path
    reason: str
    damaged: bool = False
    noted: bool = True
    series_uid: str | None = None
    sop_class: str = ""


@dataclass(frozen=True)
class FileStart:
    """The first bytes of a file, of `size` bytes in all; `error` says why there are none."""

    path: Path
    data: bytes = b""
    size: int = 0
    error: str = ""

    @property
    def is_dicom(self) -> bool:
        """Whether it starts as DICOM does: DICM at byte 128 or, without a preamble, an early group number."""
        start = self.data[:132]
        little = start[:2] in (b"\x02\x00", b"\x08\x00") and start[3:4] == b"\x00"
        big = start[:2] == b"\x00\x08" and start[2:3] == b"\x00"
        return start[128:] == b"DICM" or little or big


def file_start(path: Path) -> FileStart:
    """Read the start of a file, which holds the header of most slices."""
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            return FileStart(path, error="is no plain file")
        with path.open("rb", buffering=0) as stream:
            return FileStart(path, stream.read(_START_BYTES) or b"", found.st_size)
    except (OSError, ValueError) as error:
        return FileStart(path, error=f"cannot be opened ({why(error)})")


def is_dicom(path: Path) -> bool:
    """Whether a file starts as DICOM does; False too where it cannot be opened."""
    return file_start(path).is_dicom


def kind_of_dicom(path: Path) -> str:
    """The Modality that a DICOM file names, such as CT or SEG; empty where it cannot be read."""
    from pydicom import dcmread

    try:
        return text(dcmread(path, specific_tags=["Modality"], stop_before_pixels=True, force=True), "Modality")
    except Exception:  # noqa: BLE001 - pydicom raises whatever a damaged element leads it to
        return ""


def is_directory_file(path: Path) -> bool:
    """Whether a file is a DICOMDIR, the table of contents of a CD."""
    return path.name.upper() == "DICOMDIR" or _meta_class(path) == _DIRECTORY


def read_header(start: FileStart) -> DicomHeader | LeftOut:
    """The header of a file that begins as DICOM or is called so."""
    if start.error:
        return LeftOut(start.path, start.error, damaged=start.error.startswith("cannot"))
    if not start.is_dicom:
        return LeftOut(start.path, "is no DICOM file" if start.size else "is empty")
    try:
        return _read(start)
    except OSError as error:
        return LeftOut(start.path, f"cannot be opened ({why(error)})", damaged=True)
    except SAM3DError:
        raise
    except Exception:  # noqa: BLE001 - pydicom raises whatever a damaged element leads it to, when it is first read
        return _damaged(start.path)


def _read(start: FileStart) -> DicomHeader | LeftOut:
    path = start.path
    dataset, at = _parsed(start)
    meta_class = str(dataset.file_meta.get("MediaStorageSOPClassUID", ""))
    if _DIRECTORY in (meta_class, text(dataset, "SOPClassUID")):
        return LeftOut(path, "is a table of contents", noted=False)
    if text(dataset, "Modality") in _NOT_VOLUMES:
        return LeftOut(path, f"holds no image ({text(dataset, 'Modality')})")
    syntax = str(dataset.file_meta.get("TransferSyntaxUID", "")) or _syntax_of(dataset)
    if syntax == _DEFLATED:
        at = None
    return _image(start, dataset, at, syntax=syntax, sop_class=text(dataset, "SOPClassUID") or meta_class)


def _parsed(start: FileStart) -> tuple[Any, int | None]:
    """The attributes before the pixels, and where these begin."""
    if start.size > len(start.data):
        try:
            dataset, at = _parsed_stream(io.BytesIO(start.data))
            # A deflated file is cut off unnoticed, and so are elements that end beyond the start.
            if at < len(start.data) and dataset.file_meta.get("TransferSyntaxUID", "") != _DEFLATED:
                return dataset, at
        except Exception:  # noqa: BLE001 - cut off in the middle of an element: the whole file says more
            pass
    with start.path.open("rb") as stream:
        return _parsed_stream(stream)


def _parsed_stream(stream: BinaryIO) -> tuple[Any, int]:
    from pydicom import dcmread

    dataset = dcmread(stream, stop_before_pixels=True, specific_tags=_tags(), force=True)
    return dataset, stream.tell()


@cache
def _tags() -> list[Any]:
    from pydicom.tag import Tag

    return [*map(Tag, KEYWORDS), *(Tag(tag) for tags in PRIVATE_TAGS.values() for tag in tags)]


def _image(start: FileStart, dataset: Any, at: int | None, *, syntax: str, sop_class: str) -> DicomHeader | LeftOut:
    path = start.path
    rows, columns = number(dataset, "Rows"), number(dataset, "Columns")
    frames = number(dataset, "NumberOfFrames")
    count = int(frames) if frames >= 1 else 1
    whole = at is None or start.size - at > _PIXEL_HEAD_BYTES * count
    if not (rows >= 1 and columns >= 1 and whole):
        if sop_class in _VOLUME_CLASSES:
            said = text(dataset, "SeriesInstanceUID") or ("" if _goes_beyond_series(dataset) else None)
            return _damaged(path, series_uid=said, sop_class=sop_class)
        return LeftOut(path, "holds no image")
    return DicomHeader(
        path=path,
        dataset=dataset,
        pixels_at=at,
        uid=text(dataset, "SeriesInstanceUID"),
        instance_uid=text(dataset, "SOPInstanceUID"),
        sop_class=sop_class,
        description=text(dataset, "SeriesDescription"),
        modality=text(dataset, "Modality"),
        size=(int(columns), int(rows)),
        frames=count,
        scalar=not number(dataset, "SamplesPerPixel") > 1
        and "PALETTE" not in text(dataset, "PhotometricInterpretation"),
        syntax=syntax,
    )


def text(dataset: Any, keyword: str) -> str:
    """An attribute as one line of text in its own character set; empty where it is absent or cannot be decoded."""
    found = value(dataset, keyword)
    if found is None:
        return ""
    if not isinstance(found, str) and hasattr(found, "__iter__"):
        found = "\\".join(str(part) for part in found)
    return one_line(str(found))


def number(dataset: Any, keyword: str) -> float:
    """An attribute's one number; NaN where it is absent, or no number."""
    found = numbers(dataset, keyword, 1)
    return float("nan") if found is None else float(found[0])


def numbers(dataset: Any, keyword: str, count: int) -> Float | None:
    """An attribute's `count` finite numbers; None where it is absent, or not these."""
    found = value(dataset, keyword)
    try:
        parts = np.atleast_1d(np.asarray(found if not hasattr(found, "__iter__") else list(found), dtype=np.float64))
    except (TypeError, ValueError):
        return None
    return parts if parts.shape == (count,) and np.isfinite(parts).all() else None


def value(dataset: Any, keyword: str | int) -> Any:
    """An attribute's value; None where it is absent, empty or malformed."""
    try:
        element = dataset[keyword] if keyword in dataset else None  # noqa: SIM401 - get() hides malformed elements
        return None if element is None or element.value in ("", b"") else element.value
    except Exception:  # noqa: BLE001 - pydicom raises whatever a malformed element leads it to
        return None


def first_item(dataset: Any, keyword: str) -> Any:
    """The first item of a sequence; None where there is none."""
    items = value(dataset, keyword)
    return items[0] if items is not None and hasattr(items, "__len__") and len(items) else None


def _goes_beyond_series(dataset: Any) -> bool:
    """Whether a header goes on behind where it would have named its series."""
    return any(tag > _SERIES_TAG for tag in dataset.keys())  # noqa: SIM118 - a dataset iterates over elements


def _damaged(path: Path, *, series_uid: str | None = None, sop_class: str = "") -> LeftOut:
    """What a damaged file still says of itself."""
    from pydicom import dcmread

    if series_uid is None:
        try:
            early = dcmread(
                path, specific_tags=["SeriesInstanceUID", "SOPClassUID"], stop_before_pixels=True, force=True
            )
            series_uid, sop_class = text(early, "SeriesInstanceUID") or None, text(early, "SOPClassUID")
        except Exception:  # noqa: BLE001 - damaged before what is looked for
            series_uid = _searched_series(path)
    sop_class = sop_class or _meta_class(path)
    return LeftOut(path, "is damaged or cut off", damaged=True, series_uid=series_uid, sop_class=sop_class)


def _searched_series(path: Path) -> str | None:
    """The series UID of a file that cannot be parsed, from the bytes of its start."""
    with path.open("rb") as stream:
        found = re.search(rb"\x20\x00\x0e\x00(?:UI..|..\x00\x00)([0-9.]{1,64})", stream.read(1 << 16), re.DOTALL)
    return found[1].decode() if found else None


def _meta_class(path: Path) -> str:
    from pydicom.filereader import read_file_meta_info

    try:
        return str(read_file_meta_info(path).get("MediaStorageSOPClassUID", ""))
    except Exception:  # noqa: BLE001 - no DICOM, or cut off
        return ""


def _syntax_of(dataset: Any) -> str:
    """The transfer syntax of a file that does not name it, as it was found to be encoded."""
    implicit, little = dataset.original_encoding
    if implicit:
        return "1.2.840.10008.1.2"
    return "1.2.840.10008.1.2.1" if little else "1.2.840.10008.1.2.2"
