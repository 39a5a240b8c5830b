"""The DICOM series in a folder: its files' headers, read once and at the same time, and sorted into series."""

from __future__ import annotations

import os
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from inference_core.errors import VolumeError
from inference_core.io.dicom_frames import Frame, frames_of, orientation_of, projections
from inference_core.io.dicom_header import DicomHeader, FileStart, LeftOut, file_start, read_header
from inference_core.io.dicom_parts import Part, parts_of

Notify = Callable[[int, int], None]

DICOM_SUFFIXES = (".dcm", ".dicom", ".ima")
_READERS = 8
_BATCH = 32
_QUICK_SECONDS = 0.001


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
    found: list[DicomHeader] = []
    left_out: list[LeftOut] = []
    paths = sorted(path for path in files if not path.name.startswith("."))  # macOS leaves "._name.dcm" files
    for count, start in enumerate(_starts(paths), start=1):
        if start.is_dicom or start.path.suffix.lower() in DICOM_SUFFIXES or start.error.startswith("cannot"):
            header = read_header(start)
            (found if isinstance(header, DicomHeader) else left_out).append(header)  # type: ignore[arg-type]
        if notify is not None:
            notify(count, len(paths))
    return _sorted_into_series(found, left_out)


def _starts(paths: list[Path]) -> Iterator[FileStart]:
    """The files' starts. A CD or a network is waited for by several threads; a disk that answers at once needs none."""
    began = perf_counter()
    first = _all_starts(paths[:_BATCH])
    quick = (perf_counter() - began) / _BATCH < _QUICK_SECONDS
    yield from first
    rest = paths[_BATCH:]
    if quick:  # threads would only compete with the parsing
        yield from map(file_start, rest)
        return
    batches = [rest[n : n + _BATCH] for n in range(0, len(rest), _BATCH)]
    with ThreadPoolExecutor(_READERS) as readers:
        waiting: deque[Future[list[FileStart]]] = deque()
        for batch in batches:
            waiting.append(readers.submit(_all_starts, batch))
            if len(waiting) > 2 * _READERS:
                yield from waiting.popleft().result()
        for promised in waiting:
            yield from promised.result()


def _all_starts(paths: list[Path]) -> list[FileStart]:
    return [file_start(path) for path in paths]


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
    orientation = orientation_of(header.dataset, 0)
    turned = None if orientation is None else tuple(np.round(orientation.ravel(), 2))
    return header.size, header.scalar, header.sop_class, turned
