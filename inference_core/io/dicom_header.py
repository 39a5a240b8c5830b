"""What is read of a DICOM file before its voxels: series, size, and where its slices or frames lie.

GDCM (through SimpleITK) parses the files. It gives no access to the nested items in which enhanced multi-frame files
keep each frame's position, so those few attributes are searched for in the file's bytes.
Tags are (group, element) as in DICOM PS3.6; positions and directions are LPS, as DICOM has them.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from inference_core.errors import VolumeError
from inference_core.geometry.grid import Float
from inference_core.io.itk import quiet_itk, simpleitk

_log = logging.getLogger(__name__)

_POSITION, _ORIENTATION, _SPACING = (0x0020, 0x0032), (0x0020, 0x0037), (0x0028, 0x0030)
_SLOPE, _INTERCEPT = (0x0028, 0x1053), (0x0028, 0x1052)
_MEDIA_CLASS, _SOP_CLASS, _MODALITY = (0x0002, 0x0002), (0x0008, 0x0016), (0x0008, 0x0060)
_SOP_ROOT = "1.2.840.10008.5.1.4.1.1."
_VOLUME_CLASSES = {
    _SOP_ROOT + end for end in ("2", "2.1", "2.2", "4", "4.1", "4.3", "4.4", "20", "128", "128.1", "130")
}
_VOLUME_MODALITIES = {"CT", "MR", "PT", "NM"}
_NOT_VOLUMES = {"SEG", "RTDOSE", "RTSTRUCT", "RTPLAN", "SR", "PR", "KO", "REG", "DOC"}


@dataclass(frozen=True, eq=False)
class DicomHeader:
    """One file: `size` is (columns, rows), `positions` (frames, 3) the center of each frame's first voxel in LPS mm.

    `orientations` (1 or frames, 2, 3) holds the directions in which the column and the row index grow; `spacing` is in
    mm along these. What the file does not say has no rows, or is NaN.
    """

    path: Path
    uid: str
    description: str
    modality: str
    size: tuple[int, int]
    frames: int
    scalar: bool
    dtype: np.dtype[Any]
    stored_bits: int
    positions: Float
    orientations: Float
    spacing: tuple[float, float]


def is_dicom(path: Path) -> bool:
    """Whether a file starts as DICOM does: DICM at byte 128 or, without a preamble, an early group number.

    Raises:
        VolumeError: the file may not be opened.
    """
    try:
        with path.open("rb") as stream:
            start = stream.read(132)
    except OSError as error:
        raise VolumeError(
            f"'{path}' cannot be opened ({error.strerror}); change its permissions or copy it."
        ) from error
    return start[128:] == b"DICM" or (start[:2] in (b"\x02\x00", b"\x08\x00") and start[3:4] == b"\x00")


def read_header(path: Path) -> DicomHeader | None:
    """The header of an image file; None for DICOM that is no image (a plan, a report, a directory, a segmentation).

    Raises:
        VolumeError: it is an image, but damaged, cut off, or compressed in a way that cannot be read.
    """
    reader = _opened(path)
    if reader is None:
        if _should_be_volume(path):
            raise VolumeError(
                f"'{path.name}' cannot be read: it is damaged, cut off or of an unknown compression; "
                "copy the series again."
            )
        _log.info("'%s' is left out: it holds no image.", path)
        return None
    if _text(reader, "0008|0060") in _NOT_VOLUMES:
        return None
    columns, rows, frames = (*reader.GetSize(), 1)[:3]
    positions, orientations, spacing = _geometry(reader, path, frames=frames)
    return DicomHeader(
        path=path,
        uid=_text(reader, "0020|000e"),
        description=_text(reader, "0008|103e"),
        modality=_text(reader, "0008|0060"),
        size=(columns, rows),
        frames=frames,
        scalar=reader.GetNumberOfComponents() == 1,
        dtype=_dtype(reader),
        stored_bits=int(_text(reader, "0028|0100") or 16),
        positions=positions,
        orientations=orientations,
        spacing=spacing,
    )


def check_frame_scaling(header: DicomHeader) -> None:
    """Refuse a multi-frame file whose frames are scaled differently: GDCM applies the first frame's numbers to all.

    Raises:
        VolumeError: the frames' rescale slopes or intercepts differ.
    """
    data = _head(header.path)
    if any(len(set(_find(data, tag))) > 1 for tag in (_SLOPE, _INTERCEPT)):
        raise VolumeError(
            f"The frames of '{header.path.name}' are scaled differently; export it as single-frame DICOM."
        )


def _opened(path: Path) -> Any:
    """A SimpleITK reader that has read the file's header, or None if GDCM finds no image in it."""
    reader = simpleitk().ImageFileReader()
    reader.SetFileName(str(path))
    reader.SetImageIO("GDCMImageIO")
    try:
        with quiet_itk():
            reader.ReadImageInformation()
    except RuntimeError:
        return None
    return reader


def _geometry(reader: Any, path: Path, *, frames: int) -> tuple[Float, Float, tuple[float, float]]:
    """Positions (n, 3), orientations (m, 2, 3) and spacing; no rows, and NaN, where the file does not say."""
    texts = {tag: [_text(reader, f"{tag[0]:04x}|{tag[1]:04x}")] for tag in (_POSITION, _ORIENTATION, _SPACING)}
    if frames > 1 or not texts[_POSITION][0]:
        data = _head(path)
        texts = {tag: _find(data, tag) for tag in texts}
    spacings = _numbers(texts[_SPACING], 2)
    between_rows, between_columns = spacings[0] if len(spacings) else (np.nan, np.nan)
    orientations = _numbers(texts[_ORIENTATION], 6).reshape(-1, 2, 3)
    return _numbers(texts[_POSITION], 3), orientations, (float(between_columns), float(between_rows))


def _numbers(texts: list[str], count: int) -> Float:
    """The backslash-separated decimal strings as an (n, count) array; rows that are not `count` numbers are dropped."""
    rows = []
    for text in texts:
        try:
            row = [float(part) for part in text.split("\\")]
        except ValueError:
            continue
        if len(row) == count:
            rows.append(row)
    return np.array(rows, dtype=np.float64).reshape(-1, count)


def _dtype(reader: Any) -> np.dtype[Any]:
    """The voxels' type after GDCM has applied slope and intercept; every float becomes float32."""
    sitk = simpleitk()
    types = {
        sitk.sitkUInt8: np.uint8,
        sitk.sitkInt8: np.int8,
        sitk.sitkUInt16: np.uint16,
        sitk.sitkInt16: np.int16,
        sitk.sitkUInt32: np.uint32,
        sitk.sitkInt32: np.int32,
    }
    return np.dtype(types.get(reader.GetPixelIDValue(), np.float32))


def _text(reader: Any, key: str) -> str:
    """A tag's text, empty where it is absent; bytes that are no UTF-8 are read as Latin-1, the usual other alphabet."""
    if not reader.HasMetaDataKey(key):
        return ""
    data = str(reader.GetMetaData(key)).strip(" \0").encode(errors="surrogateescape")
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _should_be_volume(path: Path) -> bool:
    """Whether a file that GDCM cannot read says of itself, as far as it goes, that it is a CT, MR or PET image."""
    data = _head(path)
    classes = _find(data, _MEDIA_CLASS) + _find(data, _SOP_CLASS)
    named = [text for text in classes if text.startswith(_SOP_ROOT)]
    if named:
        return bool(_VOLUME_CLASSES.intersection(named))
    return not is_dicom(path) or bool(_VOLUME_MODALITIES.intersection(_find(data, _MODALITY)))


def _head(path: Path) -> bytes:
    """The start of the file, beyond the longest headers; pixels in it do no harm, no text of a tag is found in them."""
    with path.open("rb") as stream:
        return stream.read(1 << 24)


def _find(data: bytes, tag: tuple[int, int]) -> list[str]:
    """The text values of a tag, in nested items too, in the file's order (little endian; explicit or implicit VR)."""
    name = b"".join(number.to_bytes(2, "little") for number in tag)
    values = []
    for match in re.finditer(re.escape(name), data):
        at = match.end()
        explicit = data[at : at + 2].isalpha()
        width = 2 if explicit else 4
        start = at + 4
        length = int.from_bytes(data[start - width : start], "little")
        if 0 < length <= 256 and start + length <= len(data):
            values.append(data[start : start + length].decode("ascii", "replace").strip(" \0"))
    return values
