"""The DICOM series in a folder: its files' headers, read once and at the same time, and sorted into series."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from inference_core.errors import VolumeError
from inference_core.io.dicom_frames import Frame, frames_of, projections
from inference_core.io.dicom_header import DicomHeader, LeftOut, is_dicom, read_header
from inference_core.io.dicom_parts import Part, parts_of

Notify = Callable[[int, int], None]

DICOM_SUFFIXES = (".dcm", ".dicom", ".ima")
# Header reading waits for the disk or the network more than it computes.
_READERS = 8


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
        """How many slices the files hold together, copies not counted."""
        return sum(header.frames for header in self.headers)

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows of most slices."""
        return self.parts[0].size

    @property
    def scalar(self) -> bool:
        """Whether most slices have one number a voxel."""
        return self.parts[0].frames[0].header.scalar

    @property
    def placed(self) -> bool:
        """Whether its slices say where they lie, so that they may make a volume."""
        first = self.parts[0].frames
        return len(first) > 1 and first[0].position is not None

    @property
    def parts(self) -> tuple[Part, ...]:
        """Its volumes: one, or several told apart by an attribute.

        Raises:
            VolumeError: a file describes its frames wrongly.
        """
        return self._divided[0]

    @property
    def dropped(self) -> tuple[Frame, ...]:
        """Slices that belong to none of the parts, such as a localizer."""
        return self._divided[1]

    @cached_property
    def _divided(self) -> tuple[tuple[Part, ...], tuple[Frame, ...]]:
        return parts_of([frame for header in self.headers for frame in frames_of(header)])

    def __str__(self) -> str:
        columns, rows = self.size
        title = " ".join(part for part in (self.modality, self.description) if part)
        return f"{self.uid} ({title or 'no description'}, {columns} x {rows} x {self.slices})"


@dataclass(frozen=True, eq=False)
class Folder:
    """What a folder holds: its series, volumes before pictures and the most slices first, and what was left out."""

    series: tuple[SeriesInfo, ...]
    left_out: tuple[LeftOut, ...]


def read_folder(folder: Path, *, notify: Notify | None = None) -> Folder:
    """The series in a folder and its sub-folders.

    `notify` is told how many of the files were looked at.
    """
    files = [Path(place) / name for place, _, names in os.walk(folder) for name in names]
    return read_files(files, notify=notify)


def read_files(files: Iterable[Path], *, notify: Notify | None = None) -> Folder:
    """The series that some files make."""
    found, left_out = [], []
    paths = sorted(path for path in files if not path.name.startswith("."))  # macOS leaves "._name.dcm" files
    with ThreadPoolExecutor(_READERS) as readers:
        for count, header in enumerate(readers.map(_header, paths), start=1):
            if isinstance(header, DicomHeader):
                found.append(header)
            elif header is not None:
                left_out.append(header)
            if notify is not None:
                notify(count, len(paths))
    return _sorted_into_series(found, left_out)


def _header(path: Path) -> DicomHeader | LeftOut | None:
    """None for a file that neither begins as DICOM nor is called so."""
    if path.suffix.lower() not in DICOM_SUFFIXES:
        try:
            if not path.is_file() or not is_dicom(path):
                return None
        except OSError:
            pass  # it might be a slice: read_header says why it cannot be opened
    return read_header(path)


def _sorted_into_series(headers: list[DicomHeader], left_out: list[LeftOut]) -> Folder:
    groups: dict[Any, list[DicomHeader]] = defaultdict(list)
    seen: dict[str, Path] = {}
    for header in headers:
        if header.instance_uid and header.instance_uid in seen:
            original = seen[header.instance_uid].name
            left_out.append(LeftOut(header.path, f"is a copy of '{original}' (the same SOP Instance UID)"))
        elif projections(header):
            left_out.append(LeftOut(header.path, "holds projections, not slices", series_uid=header.uid))
        else:
            seen[header.instance_uid] = header.path
            groups[_group_key(header)].append(header)
    series, unnamed = [], 0
    for members in groups.values():
        unnamed += not members[0].uid
        found = SeriesInfo(members[0].uid or f"unnamed-{unnamed}", tuple(members))
        try:
            _ = found.parts
        except VolumeError as error:
            left_out += [LeftOut(header.path, str(error), damaged=True, series_uid=header.uid) for header in members]
            continue
        series.append(found)
    ranked = sorted(series, key=lambda item: (not item.scalar, not item.placed, -item.slices))
    return Folder(tuple(ranked), tuple(left_out))


def _group_key(header: DicomHeader) -> tuple[object, ...]:
    """Files with equal keys are slices of one series.

    With no UID to tell that slices belong together, their size, kind and direction do.
    """
    if header.uid:
        return (header.uid,)
    orientation = frames_of(header)[0].orientation
    turned = None if orientation is None else tuple(np.round(orientation.ravel(), 2))
    return header.size, header.scalar, header.sop_class, turned
