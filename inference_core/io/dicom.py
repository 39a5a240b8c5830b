"""DICOM series: which a folder holds, and their slices as one volume.

Series are told apart by the headers of the files themselves, since published files may lack every UID. Slices are
sorted along their normal by ImagePositionPatient and read one by one into one array: memory holds the volume once.
"""

from __future__ import annotations

import logging
import os
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference_core.errors import VolumeError
from inference_core.geometry.volume import Volume
from inference_core.io.dicom_header import DicomHeader, check_frame_scaling, is_dicom, read_header
from inference_core.io.itk import quiet_itk, simpleitk
from inference_core.io.slice_stack import stack_slices

_log = logging.getLogger(__name__)

_SUFFIXES = (".dcm", ".dicom", ".ima")


@dataclass(frozen=True, eq=False)
class SeriesInfo:
    """One series of a folder. `uid` is the file's, or "unnamed-1", "unnamed-2", ... where the files have none."""

    uid: str
    headers: tuple[DicomHeader, ...]

    @property
    def description(self) -> str:
        """The series description, for example "t2_tse_tra"; it may be empty."""
        return self.headers[0].description

    @property
    def modality(self) -> str:
        """CT, MR, PT, ..."""
        return self.headers[0].modality

    @property
    def slices(self) -> int:
        """How many slices the files hold together."""
        return sum(header.frames for header in self.headers)

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows of each slice."""
        return self.headers[0].size

    def __str__(self) -> str:
        columns, rows = self.size
        title = " ".join(part for part in (self.modality, self.description) if part)
        return f"{self.uid} ({title or 'no description'}, {columns} x {rows} x {self.slices})"


def list_series(folder: str | os.PathLike[str]) -> list[SeriesInfo]:
    """The series in a folder and its sub-folders, volumes before color images, the most slices first.

    Raises:
        VolumeError: a file of a series is damaged or cut off.
    """
    files = [Path(place) / name for place, _, names in os.walk(folder) for name in names]
    return _grouped(_headers(files))


def read_dicom(path: Path, *, series_uid: str | None = None) -> Volume:
    """Read a series: of a folder the largest or the one named; of a file the series it belongs to.

    Raises:
        VolumeError: there is no such series, or its slices do not make one scalar, evenly spaced, upright volume.
    """
    if path.is_dir():
        series = list_series(path)
        chosen = _chosen(series, series_uid, path)
    else:
        chosen = _series_of(path, series_uid)
        series = [chosen]
    for other in series:
        if other is not chosen:
            _log.info("'%s' also holds the series %s.", path, other)
    return _read_series(chosen, name=chosen.description or path.name)


def _headers(files: Iterable[Path]) -> list[DicomHeader]:
    found = [read_header(path) for path in sorted(files) if _may_be_dicom(path)]
    return [header for header in found if header is not None]


def _may_be_dicom(path: Path) -> bool:
    if path.name.startswith(".") or not path.is_file():  # macOS leaves "._name.dcm" files that are no DICOM
        return False
    return path.suffix.lower() in _SUFFIXES or is_dicom(path)


def _grouped(headers: list[DicomHeader]) -> list[SeriesInfo]:
    groups: dict[Any, list[DicomHeader]] = defaultdict(list)
    for header in headers:
        groups[_group_key(header)].append(header)
    series, unnamed = [], 0
    for members in groups.values():
        unnamed += not members[0].uid
        series.append(SeriesInfo(members[0].uid or f"unnamed-{unnamed}", tuple(members)))
    return sorted(series, key=lambda item: (not item.headers[0].scalar, -item.slices))


def _group_key(header: DicomHeader) -> tuple[object, ...]:
    """Files with equal keys are slices of one series; a multi-frame file is a series by itself.

    With no UID to tell that differently turned slices belong together, their orientation tells them apart.
    """
    own_file = header.path if header.frames > 1 else None
    orientation = None if header.uid else tuple(np.round(header.orientations.ravel(), 2))
    return header.uid, header.size, header.scalar, own_file, orientation


def _chosen(series: list[SeriesInfo], uid: str | None, folder: Path) -> SeriesInfo:
    if not series:
        raise VolumeError(f"The folder '{folder}' holds no DICOM images; choose the folder with the series' files.")
    if uid is None:
        return series[0]
    for candidate in series:
        if candidate.uid == uid:
            return candidate
    present = "; ".join(str(candidate) for candidate in series)
    raise VolumeError(f"'{folder}' holds no series '{uid}'; choose one of: {present}.")


def _series_of(path: Path, uid: str | None) -> SeriesInfo:
    """The series in the file's folder that the file is part of."""
    own = _headers([path])
    if not own:
        raise VolumeError(f"'{path.name}' holds no image; choose a file of a CT, MR or PET series.")
    if own[0].frames == 1:
        own = _headers(path.parent.iterdir())
    series = _grouped(own)
    if uid is not None:
        return _chosen(series, uid, path.parent)
    return next(item for item in series if any(header.path == path for header in item.headers))


def _read_series(series: SeriesInfo, *, name: str) -> Volume:
    headers = series.headers
    if not headers[0].scalar:
        raise VolumeError(f"The series '{name}' is in color; choose a scalar CT, MR or PET series.")
    _check_positions(series)
    order, grid = stack_slices(
        np.concatenate([header.positions for header in headers]),
        np.concatenate([header.orientations for header in headers]),
        spacing=_common_spacing(headers),
        size=series.size,
    )
    return Volume(_read_pixels(headers, order).T, grid, name)


def _check_positions(series: SeriesInfo) -> None:
    without = sum(header.frames for header in series.headers if len(header.positions) != header.frames)
    if without:
        raise VolumeError(
            f"{without} of the {series.slices} slices do not say where they lie in the patient; "
            "export the series with its slice positions."
        )


def _common_spacing(headers: tuple[DicomHeader, ...]) -> tuple[float, float]:
    spacings = np.array([header.spacing for header in headers])
    if np.abs(spacings - spacings[0]).max() > 1e-3:
        raise VolumeError(
            "The slices of the series have different voxel sizes; export each size as a series of its own."
        )
    return headers[0].spacing


def _read_pixels(headers: tuple[DicomHeader, ...], order: NDArray[np.intp]) -> NDArray[Any]:
    """The slices in stack order, (slices, rows, columns), in the narrowest type that holds them all."""
    places = np.empty_like(order)
    places[order] = np.arange(len(order))
    columns, rows = headers[0].size
    array = np.empty((len(order), rows, columns), dtype=_first_type(headers))
    start = 0
    for header in headers:
        if header.frames > 1:
            check_frame_scaling(header)
        slices = _pixels_of(header)
        array = _widened(array, slices)
        array[places[start : start + header.frames]] = slices
        start += header.frames
    return array


def _first_type(headers: tuple[DicomHeader, ...]) -> np.dtype[Any]:
    """The common type; a rescaled 16-bit series starts as int16, for GDCM calls it int32 by what it might hold."""
    common = np.result_type(*[header.dtype for header in headers])
    if not np.issubdtype(common, np.integer):
        return np.dtype(np.float32)
    may_fit = common == np.int32 and all(header.stored_bits <= 16 for header in headers)
    return np.dtype(np.int16) if may_fit else common


def _widened(array: NDArray[Any], slices: NDArray[Any]) -> NDArray[Any]:
    if array.dtype == np.int16 and not np.can_cast(slices.dtype, np.int16):
        limits = np.iinfo(np.int16)
        if slices.min() < limits.min or slices.max() > limits.max:
            return array.astype(np.int32)
    return array


def _pixels_of(header: DicomHeader) -> NDArray[Any]:
    """One file's voxels, (frames, rows, columns), scaled by its own slope and intercept."""
    sitk = simpleitk()
    try:
        with quiet_itk():
            image = sitk.ReadImage(str(header.path), imageIO="GDCMImageIO")
    except RuntimeError as error:
        raise VolumeError(
            f"'{header.path.name}' cannot be read: it is damaged or of an unknown compression; copy the series again."
        ) from error
    columns, rows = header.size
    return np.asarray(sitk.GetArrayFromImage(image)).reshape(header.frames, rows, columns)
