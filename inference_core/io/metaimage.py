"""MetaImage headers (.mha, .mhd), checked before ITK reads the file: its reader trusts what they say.

MetaIO reports a compressed stream that it could not inflate on standard error alone, and goes on with whatever lay in
memory; here the stream is inflated once before, and counted.
Source: https://itk.org/Wiki/MetaIO/Documentation.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import BinaryIO

from inference_core.errors import VolumeError
from inference_core.io.text_header import (
    check_inflates,
    check_spacing,
    data_file,
    header_lines,
    sane_numbers,
    unreadable,
    whole_numbers,
)

_LAST = "ElementDataFile"
_BYTES = {
    "CHAR": 1, "UCHAR": 1, "ASCII_CHAR": 1, "SHORT": 2, "USHORT": 2, "INT": 4, "UINT": 4, "LONG": 4, "ULONG": 4,
    "LONG_LONG": 8, "ULONG_LONG": 8, "FLOAT": 4, "DOUBLE": 8,
}  # fmt: skip
_PLACES = ("Offset", "Position", "Origin")
_DIRECTIONS = ("TransformMatrix", "Rotation", "Orientation")


def check_metaimage(path: Path) -> None:
    """Refuse a MetaImage whose header cannot be trusted, or whose data are not what it says.

    Raises:
        VolumeError: as said.
    """
    with path.open("rb") as stream:
        fields = _fields(header_lines(stream, path, last=_LAST), path)
        expected = _check_fields(fields, path)
        if fields[_LAST].upper() == "LOCAL":
            _check_data(stream, fields, path, expected=expected)
            return
    with data_file(fields[_LAST], path).open("rb") as stream:
        _check_data(stream, fields, path, expected=expected)


def metaimage_data(path: Path) -> Path | None:
    """The data file that a header names, or None where it names none that can be used."""
    try:
        with path.open("rb") as stream:
            name = _fields(header_lines(stream, path, last=_LAST), path)[_LAST]
        return None if name.upper() == "LOCAL" else data_file(name, path)
    except (OSError, VolumeError):
        return None


def _fields(lines: list[str], path: Path) -> dict[str, str]:
    pairs = [line.partition("=") for line in lines if line.strip()]
    if not pairs or any(not equals for _, equals, _ in pairs):
        raise unreadable(path)
    fields = {name.strip(): value.strip() for name, _, value in pairs}
    # A control character behind the name has led ITK's reader beyond its buffer.
    if not fields.get(_LAST) or not all(line.isprintable() or "\t" in line for line in lines):
        raise unreadable(path)
    return fields


def _check_fields(fields: dict[str, str], path: Path) -> int:
    """Refuse what is not one scalar 3D volume of sound numbers; the number of bytes that its voxels take."""
    (rank,) = whole_numbers(fields.get("NDims", ""), 1, path, what="a number of dimensions of")
    if rank != 3:
        raise VolumeError(f"'{path.name}' has {rank} dimensions; choose one single 3D volume.")
    sizes = whole_numbers(fields.get("DimSize", ""), rank, path, what="a size of")
    channels = fields.get("ElementNumberOfChannels", "1")
    if channels != "1":
        raise VolumeError(
            f"'{path.name}' holds {channels[:10]} numbers a voxel (color, vector, complex or 4D); "
            "choose a scalar 3D volume."
        )
    spacing = fields.get("ElementSpacing", fields.get("ElementSize"))
    if spacing is not None:
        check_spacing(sane_numbers(spacing, rank, path, what="voxel spacing"), path)
    for names, count, what in ((_PLACES, rank, "place"), (_DIRECTIONS, rank * rank, "orientation")):
        for name in names:
            if name in fields:
                sane_numbers(fields[name], count, path, what=what)
    kind = fields.get("ElementType", "").removeprefix("MET_")
    if kind not in _BYTES:
        raise VolumeError(
            f"'{path.name}' holds voxels of an unusual type ({kind[:20]}); save it again as short or float."
        )
    if not fields.get("BinaryData", "True").upper().startswith("T"):
        raise VolumeError(f"'{path.name}' has its voxels as text; save it again as binary.")
    return math.prod(sizes) * _BYTES[kind]


def _check_data(stream: BinaryIO, fields: dict[str, str], path: Path, *, expected: int) -> None:
    """Refuse data that are not as many as the header says; the stream stands where they begin."""
    if fields.get("CompressedData", "False").upper().startswith("T"):
        size = fields.get("CompressedDataSize", "")
        if not size.isascii() or not size.isdigit():
            raise VolumeError(
                f"'{path.name}' does not say how long its compressed data are; it is damaged, copy it again."
            )
        check_inflates(stream, size=int(size), expected=expected, header=path)
    else:
        start = stream.tell() if fields[_LAST].upper() == "LOCAL" else _skipped(fields, path)
        held = stream.seek(0, 2) - start
        if held < expected:
            raise unreadable(path)


def _skipped(fields: dict[str, str], path: Path) -> int:
    """The bytes before the data in a file of their own; -1 means that the data are its end."""
    text = fields.get("HeaderSize", "0")
    if text != "-1" and not (text.isascii() and text.isdigit() and len(text) < 10):
        raise unreadable(path)
    return max(0, int(text))
