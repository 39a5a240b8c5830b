"""Files that belong together: a header and the data file it names, the two of a .hdr and .img pair."""

from __future__ import annotations

import os
from pathlib import Path

from inference_core.io.dicom_header import is_dicom, kind_of_dicom
from inference_core.io.metaimage import metaimage_data
from inference_core.io.nifti import companion
from inference_core.io.nrrd_header import nrrd_data
from inference_core.io.opening import is_regular_file

_HEADERS = {".mhd": metaimage_data, ".mha": metaimage_data, ".nhdr": nrrd_data, ".nrrd": nrrd_data}
_MOST_SIBLINGS = 2000
_WRITTEN_ANEW = ("SEG", "SR", "RTSTRUCT")  # what is exported, which another export may replace


def files_read(path: Path) -> tuple[Path, ...]:
    """A volume's file and, where its voxels are in another one, that one."""
    find = _HEADERS.get(path.suffix.lower(), companion)
    other = find(path) if is_regular_file(path) else None
    return (path,) if other is None else (path, other)


def is_part_of_an_image(path: Path) -> bool:
    """Whether writing over a file destroys an image: it is DICOM, but no export, or holds the voxels of a header."""
    if not is_regular_file(path):
        return False
    if is_dicom(path):
        return kind_of_dicom(path) not in _WRITTEN_ANEW
    try:
        with os.scandir(path.parent) as entries:
            beside = [Path(entry) for _, entry in zip(range(_MOST_SIBLINGS), entries, strict=False)]
    except OSError:
        return False
    headers = [header for header in beside if header.suffix.lower() in (".mhd", ".nhdr") and is_regular_file(header)]
    return any(same_file(data, path) for header in headers if (data := _HEADERS[header.suffix.lower()](header)))


def same_file(one: Path, other: Path) -> bool:
    """Whether two paths lead to one file, or would if it were there."""
    return os.path.realpath(one) == os.path.realpath(other)
