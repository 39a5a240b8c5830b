"""NRRD headers (.nrrd, .nhdr), checked before ITK reads the file: sizes, spacings and directions, and the data file.

Source: http://teem.sourceforge.net/nrrd/format.html.
"""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np

from inference_core.errors import VolumeError
from inference_core.geometry.grid import Grid
from inference_core.io.text_header import (
    check_spacing,
    data_file,
    header_lines,
    sane_numbers,
    unreadable,
    whole_numbers,
)

_VECTOR = re.compile(r"\(([^()]*)\)|none", re.IGNORECASE)
_BYTES = {
    "char": 1,
    "int8": 1,
    "short": 2,
    "int16": 2,
    "int": 4,
    "int32": 4,
    "long": 8,
    "int64": 8,
    "float": 4,
    "double": 8,
}
# A line that is none of these, nor a comment nor a key with its value, ends ITK's process where it is long.
_FIELDS = {
    *("content", "number", "type", "blocksize", "dimension", "space", "spacedimension", "sizes", "spacings"),
    *("thicknesses", "axismins", "axismaxs", "centers", "centerings", "labels", "units", "kinds", "min", "max"),
    *("oldmin", "oldmax", "endian", "encoding", "lineskip", "byteskip", "sampleunits", "datafile"),
    *("spacedirections", "spaceorigin", "spaceunits", "measurementframe"),
}
_LONGEST_FIELD = 900
_SCALAR_KINDS = {"domain", "space", "time", "???", "none", "scalar", "stub"}


def check_nrrd(path: Path) -> None:
    """Refuse an NRRD whose header cannot be trusted, or whose data are fewer than it says.

    Raises:
        VolumeError: as said.
    """
    with path.open("rb") as stream:
        fields = _fields(header_lines(stream, path), path)
        held = path.stat().st_size - stream.tell()
    expected = _check_fields(fields, path)
    name = fields.get("datafile")
    if name is not None:
        held = data_file(name, path).stat().st_size
    if fields.get("encoding", "").lower() == "raw" and held < expected:
        raise unreadable(path)


def nrrd_grid(path: Path) -> Grid | None:
    """The grid of a checked header in left-anterior-superior space, which ITK mirrors before SimpleITK 2.5; else None.

    Raises:
        VolumeError: its axes are not independent.
    """
    with path.open("rb") as stream:
        fields = _fields(header_lines(stream, path), path)
    if fields.get("space", "").lower() not in ("left-anterior-superior", "las") or "spacedirections" not in fields:
        return None
    affine = np.eye(4)
    for axis, vector in enumerate(_VECTOR.findall(fields["spacedirections"])):
        affine[:3, axis] = _numbers(vector)
    affine[:3, 3] = _numbers(fields.get("spaceorigin", "0 0 0").strip("()"))
    sizes = fields["sizes"].split()
    return Grid((int(sizes[0]), int(sizes[1]), int(sizes[2])), np.diag([-1.0, 1.0, 1.0, 1.0]) @ affine)


def _numbers(text: str) -> list[float]:
    return [float(part) for part in text.replace(",", " ").split()]


def nrrd_data(path: Path) -> Path | None:
    """The data file that a header names, or None where it names none that can be used."""
    try:
        with path.open("rb") as stream:
            name = _fields(header_lines(stream, path), path).get("datafile")
        return None if name is None else data_file(name, path)
    except (OSError, VolumeError):
        return None


def _fields(lines: list[str], path: Path) -> dict[str, str]:
    """The fields by their names, without spaces and in small letters: "data file" and "datafile" are one."""
    if not lines or not lines[0].startswith("NRRD"):
        raise unreadable(path)
    fields = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if line.startswith("#") or value.startswith("="):
            continue
        name = name.replace(" ", "").lower()
        if not colon or name not in _FIELDS or len(line) > _LONGEST_FIELD:
            raise unreadable(path)
        fields[name] = value.strip()
    return fields


def _check_fields(fields: dict[str, str], path: Path) -> int:
    """Refuse what is not one 3D volume of sound numbers; the number of bytes that its voxels take."""
    if "dimension" not in fields or "sizes" not in fields:
        raise unreadable(path)
    (rank,) = whole_numbers(fields.get("dimension", ""), 1, path, what="a number of dimensions of")
    sizes = whole_numbers(fields.get("sizes", ""), rank, path, what="a size of")
    if rank != 3:
        _refuse_rank(rank, sizes, fields, path)
    if "spacings" in fields:
        check_spacing(sane_numbers(fields["spacings"], 3, path, what="voxel spacing"), path)
    if "spacedirections" in fields:
        vectors = [match[1] for match in _VECTOR.finditer(fields["spacedirections"])]
        if len(vectors) != 3 or None in vectors:
            raise VolumeError(f"'{path.name}' has missing numbers in its orientation; convert it again.")
        for vector in vectors:
            sane_numbers(str(vector).replace(",", " "), 3, path, what="orientation")
    if "spaceorigin" in fields:
        origin = fields["spaceorigin"].strip("()").replace(",", " ")
        sane_numbers(origin, 3, path, what="space origin")
    kind = fields.get("type", "").lower().removeprefix("unsigned ").removeprefix("signed ")
    return math.prod(sizes) * _BYTES.get(kind.removeprefix("u").removesuffix("_t"), 1)


def _refuse_rank(rank: int, sizes: tuple[int, ...], fields: dict[str, str], path: Path) -> None:
    kinds = fields.get("kinds", "").lower().split()
    colors = [n for n, kind in enumerate(kinds) if kind not in _SCALAR_KINDS]
    if rank == 4 and len(kinds) == 4 and colors:
        count = sizes[colors[0]]
        raise VolumeError(
            f"'{path.name}' holds {count} numbers a voxel (color, vector, complex or 4D); choose a scalar 3D volume."
        )
    raise VolumeError(f"'{path.name}' has {rank} dimensions; choose one single 3D volume.")
