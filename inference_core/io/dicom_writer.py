"""Synthetic DICOM series, for demonstrations and tests: uncompressed, explicit VR little endian.

Encoded here rather than by GDCM, whose writer derives the rescale numbers and cannot be told to leave a UID empty.
Source: DICOM PS3.5 section 7.1 (elements) and PS3.10 section 7.1 (file meta information).
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference_core.errors import OutputError
from inference_core.geometry.grid import LPS_FROM_RAS, Float, Grid
from inference_core.io.atomic import replacing

Tag = tuple[int, int]
Elements = Mapping[Tag, tuple[str, Any]]
"""Tag -> (VR, value). A value is text, an integer (US), bytes (OB, OW), or for SQ a sequence of such mappings."""

_SOP_CLASSES = {
    "CT": "1.2.840.10008.5.1.4.1.1.2",
    "MR": "1.2.840.10008.5.1.4.1.1.4",
    "PT": "1.2.840.10008.5.1.4.1.1.128",
}
_EXPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
_LONG_FORM = {"OB", "OW", "SQ", "UN"}


def write_dicom_series(
    folder: str | os.PathLike[str],
    array_ijk: NDArray[Any],
    grid: Grid,
    *,
    modality: str = "CT",
    patient_name: str = "Synthetic^Patient",
    description: str = "",
    series_uid: str | None = None,
    scaling: Sequence[tuple[float, float]] | None = None,
) -> list[Path]:
    """Write an int16 or uint16 array (i, j, k) as one file a slice; the paths are returned in the order of k.

    `scaling` gives each slice its rescale slope and intercept; the array then holds what is stored, not what is shown.

    Raises:
        OutputError: the modality is not CT, MR or PT, the array is not 16-bit, or the folder cannot be written.
    """
    if modality not in _SOP_CLASSES or array_ijk.dtype not in (np.int16, np.uint16):
        raise OutputError("A DICOM series is written of int16 or uint16 voxels, with the modality CT, MR or PT.")
    target = Path(folder)
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"The folder '{folder}' cannot be made ({error.strerror}); choose another one.") from error
    shared = {
        **_series_elements(modality, description=description, patient_name=patient_name, uid=series_uid or new_uid()),
        **image_elements(array_ijk.dtype, grid),
    }
    paths = []
    for k in range(grid.shape[2]):
        slope, intercept = scaling[k] if scaling is not None else (1.0, 0.0)
        elements = {
            **shared,
            (0x0008, 0x0018): ("UI", new_uid()),
            (0x0020, 0x0013): ("IS", str(k + 1)),
            (0x0020, 0x0032): ("DS", position_text(grid, k)),
            (0x0028, 0x1052): ("DS", decimals([intercept])),
            (0x0028, 0x1053): ("DS", decimals([slope])),
            (0x7FE0, 0x0010): ("OW", array_ijk[:, :, k].tobytes(order="F")),
        }
        paths.append(target / f"slice-{k + 1:04d}.dcm")
        with replacing(paths[-1]) as temporary:
            temporary.write_bytes(dicom_file(elements))
    return paths


def image_elements(dtype: np.dtype[Any], grid: Grid) -> dict[Tag, tuple[str, Any]]:
    """What all slices of a grid share: size, type, orientation and spacing."""
    columns, rows, _ = grid.shape
    axes = (LPS_FROM_RAS @ grid.affine)[:3, :3] / np.asarray(grid.spacing)
    return {
        (0x0018, 0x0050): ("DS", decimals([grid.spacing[2]])),
        (0x0020, 0x0037): ("DS", decimals([*axes[:, 0], *axes[:, 1]])),
        (0x0028, 0x0002): ("US", 1),
        (0x0028, 0x0004): ("CS", "MONOCHROME2"),
        (0x0028, 0x0010): ("US", rows),
        (0x0028, 0x0011): ("US", columns),
        (0x0028, 0x0030): ("DS", decimals([grid.spacing[1], grid.spacing[0]])),
        (0x0028, 0x0100): ("US", 16),
        (0x0028, 0x0101): ("US", 16),
        (0x0028, 0x0102): ("US", 15),
        (0x0028, 0x0103): ("US", int(np.issubdtype(dtype, np.signedinteger))),
    }


def position_text(grid: Grid, k: int) -> str:
    """ImagePositionPatient of slice k."""
    return decimals((LPS_FROM_RAS @ grid.affine @ np.array([0, 0, k, 1.0]))[:3])


def decimals(values: Sequence[float] | Float) -> str:
    """Numbers as DICOM decimal strings, of at most 16 characters each."""
    return "\\".join(f"{float(value):.10g}" for value in values)


def new_uid() -> str:
    """A fresh UID under the root that needs no registration (PS3.5 section B.2)."""
    return f"2.25.{uuid.uuid4().int}"


def dicom_file(elements: Elements) -> bytes:
    """A whole file: preamble, meta information drawn from the elements, and the elements in the order of their tags."""
    meta: dict[Tag, tuple[str, Any]] = {
        (0x0002, 0x0001): ("OB", b"\0\1"),
        (0x0002, 0x0002): elements[0x0008, 0x0016],
        (0x0002, 0x0003): elements[0x0008, 0x0018],
        (0x0002, 0x0010): ("UI", _EXPLICIT_LITTLE_ENDIAN),
        (0x0002, 0x0012): ("UI", "2.25.329800735698586629295641978511506172918"),
    }
    encoded = _dataset(meta)
    length = _element((0x0002, 0x0000), "UL", len(encoded).to_bytes(4, "little"))
    return bytes(128) + b"DICM" + length + encoded + _dataset(elements)


def _series_elements(modality: str, *, description: str, patient_name: str, uid: str) -> dict[Tag, tuple[str, Any]]:
    return {
        (0x0008, 0x0005): ("CS", "ISO_IR 192"),
        (0x0008, 0x0008): ("CS", "DERIVED\\SECONDARY\\AXIAL"),
        (0x0008, 0x0016): ("UI", _SOP_CLASSES[modality]),
        (0x0008, 0x0020): ("DA", "20000101"),
        (0x0008, 0x0030): ("TM", "120000"),
        (0x0008, 0x0060): ("CS", modality),
        (0x0008, 0x103E): ("LO", description),
        (0x0010, 0x0010): ("PN", patient_name),
        (0x0010, 0x0020): ("LO", "SYNTHETIC"),
        (0x0020, 0x000D): ("UI", new_uid()),
        (0x0020, 0x000E): ("UI", uid),
        (0x0020, 0x0010): ("SH", "1"),
        (0x0020, 0x0011): ("IS", "1"),
        (0x0020, 0x0052): ("UI", new_uid()),
    }


def _dataset(elements: Elements) -> bytes:
    return b"".join(_element(tag, vr, _encoded(vr, value)) for tag, (vr, value) in sorted(elements.items()))


def _encoded(vr: str, value: Any) -> bytes:
    if vr == "SQ":
        items = [_dataset(item) for item in value]
        return b"".join(b"\xfe\xff\x00\xe0" + len(item).to_bytes(4, "little") + item for item in items)
    if isinstance(value, int):
        return value.to_bytes(2, "little")
    data = value if isinstance(value, bytes) else str(value).encode()
    return data + (b"\0" if vr in ("UI", "OB", "OW") else b" ") * (len(data) % 2)


def _element(tag: Tag, vr: str, data: bytes) -> bytes:
    head = b"".join(number.to_bytes(2, "little") for number in tag) + vr.encode()
    if vr in _LONG_FORM:
        return head + b"\0\0" + len(data).to_bytes(4, "little") + data
    return head + len(data).to_bytes(2, "little") + data
