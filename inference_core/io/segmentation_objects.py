"""DICOM SEG and RTSTRUCT alike: what a file of either kind is, and its segments."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from inference_core.geometry.grid import Grid
from inference_core.geometry.mask import Mask
from inference_core.io.dicom_header import is_dicom, kind_of_dicom

_KINDS = ("SEG", "RTSTRUCT")


def is_segmentation_object(path: Path) -> bool:
    """Whether a path is a DICOM SEG or RTSTRUCT."""
    return path.is_file() and is_dicom(path) and kind_of_dicom(path) in _KINDS


def segments_of(path: Path, grid: Grid) -> dict[str, Mask]:
    """The segments of a DICOM SEG or RTSTRUCT by name.

    Raises:
        VolumeError: it cannot be read, or does not lie on the grid's slices.
    """
    from inference_core.io.dicom_seg import read_dicom_seg
    from inference_core.io.rtstruct import read_rtstruct

    read: Callable[[Path, Grid], dict[str, Mask]] = (
        read_rtstruct if kind_of_dicom(path) == "RTSTRUCT" else read_dicom_seg
    )
    return read(path, grid)
