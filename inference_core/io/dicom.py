"""DICOM series as volumes: which series, which part of it, and what is said of the rest.

Series are told apart by the headers of the files themselves, since published files may lack every UID. Slices are
sorted along their normal by ImagePositionPatient. What is no slice of the series is left out, and named in a note;
what might be one but cannot be read refuses the series, for a volume must not lack a slice without a word.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from inference_core.errors import VolumeError
from inference_core.geometry.grid import Grid
from inference_core.geometry.volume import Volume
from inference_core.geometry.voxel_order import in_order_of
from inference_core.io.dicom_folder import Folder, Notify, SeriesInfo, read_files, read_folder
from inference_core.io.dicom_frames import Frame, thickness_stands_for_distance
from inference_core.io.dicom_header import LeftOut, file_start, is_directory_file, read_header
from inference_core.io.dicom_parts import Part, described
from inference_core.io.dicom_pixels import read_frames
from inference_core.io.opening import check_readable

_log = logging.getLogger(__name__)

_MOST_NAMED = 4


def list_series(folder: str | os.PathLike[str], *, notify: Notify | None = None) -> list[SeriesInfo]:
    """The series in a folder and its sub-folders, volumes before color images, the most slices first.

    `notify` is told how many files were looked at, and of how many.
    """
    check_readable(Path(folder))
    with _quiet_pydicom():
        return list(read_folder(Path(folder), notify=notify).series)


def read_dicom(path: Path, *, series_uid: str | None = None, part: int | None = None) -> Volume:
    """Read a series: of a folder the largest or the one named; of a file the series it belongs to.

    Of a series with several parts (phases, echoes, ...) the one with that number, counted from 1, is read; by default
    the first with the most slices or, of a file, the one that the file is in.

    Raises:
        VolumeError: there is no such series or part, a slice of it cannot be read, or its slices do not make one
            scalar, evenly spaced, upright volume.
    """
    with _quiet_pydicom():
        found = _find(path, series_uid=series_uid, part=part, noting=True)
        return _read_part(found.series, found.part, name=found.series.description or path.name)


@dataclass(frozen=True, eq=False)
class DicomSource:
    """The files under a volume: its slices along k, as frames of files, and its grid."""

    frames: tuple[Frame, ...]
    grid: Grid

    @property
    def modality(self) -> str:
        """CT, MR, PT, ..."""
        return self.frames[0].header.modality

    @property
    def unit(self) -> str:
        """The unit of its voxels as far as its files say: HU for a CT, else none."""
        return "HU" if self.modality == "CT" else ""

    @cached_property
    def paths(self) -> tuple[Path, ...]:
        """Its files, each once, in the order of k."""
        return tuple(dict.fromkeys(frame.header.path for frame in self.frames))


def find_source(path: Path, *, series_uid: str | None = None, part: int | None = None) -> DicomSource:
    """The slices of which `read_dicom` makes its volume from the same arguments; no voxel is read.

    Raises:
        VolumeError: as `read_dicom`.
    """
    with _quiet_pydicom():
        found = _find(path, series_uid=series_uid, part=part, noting=False)
        stack = found.part.stack()
    return DicomSource(tuple(found.part.frames[n] for n in stack.order), stack.grid)


def series_parts(path: Path, *, series_uid: str | None = None) -> tuple[str, ...]:
    """The parts that `read_dicom` can read of a series, in the order of their numbers: what tells each apart.

    Raises:
        VolumeError: as `read_dicom`.
    """
    with _quiet_pydicom():
        found = _find(path, series_uid=series_uid, part=1, noting=False)
    return tuple(part.label for part in found.series.parts)


def source_among(paths: Sequence[Path], grid: Grid) -> DicomSource:
    """The slices under a volume on a grid, which may count them in another order, among the files of its series.

    Raises:
        VolumeError: the files are of no series or of several, one cannot be read, or none of their parts, or several,
            lie on the grid's voxels.
    """
    voxels = np.empty(grid.shape, dtype=np.bool_)
    with _quiet_pydicom():
        folder = read_files(paths)
        if len(folder.series) != 1 or any(item.damaged for item in folder.left_out):
            raise VolumeError("The image's DICOM files are not there as one whole series; load the series again.")
        stacks = [(part, part.stack()) for part in folder.series[0].parts]
    found = [(part, stack) for part, stack in stacks if in_order_of(stack.grid, voxels, grid) is not None]
    if len(found) != 1:
        raise VolumeError(
            "The image does not lie on the voxels of its DICOM series as it was loaded; choose the image as it was."
            if not found
            else "The image's series has several parts on the same voxels; load the part that is meant by itself."
        )
    part, stack = found[0]
    return DicomSource(tuple(part.frames[n] for n in stack.order), stack.grid)


@dataclass(frozen=True, eq=False)
class _Found:
    series: SeriesInfo
    part: Part


def _find(path: Path, *, series_uid: str | None, part: int | None, noting: bool) -> _Found:
    own = None
    if path.is_dir() or is_directory_file(path):
        folder = read_folder(path if path.is_dir() else path.parent)
    else:
        own = path
        folder = _folder_of(path)
    chosen = _chosen(folder, series_uid, path)
    _check_whole(chosen, folder.left_out)
    if noting:
        _note_the_rest(folder, chosen, path)
    return _Found(chosen, _chosen_part(chosen, part, own, noting=noting))


def _folder_of(path: Path) -> Folder:
    """The file's folder, reduced to its own series; other files there matter only where they may be of this series."""
    own = read_header(file_start(path))
    if isinstance(own, LeftOut):
        if own.damaged:
            raise VolumeError(f"'{path.name}' cannot be read: it {own.reason}; copy the series again.")
        raise VolumeError(f"'{path.name}' {own.reason}; choose a file of a CT, MR or PET series.")
    beside = read_files(path.parent.iterdir())
    mine = tuple(item for item in beside.series if any(header.path == path for header in item.headers))
    if not mine:  # it is there as a copy, under another name
        mine = tuple(item for item in beside.series if item.uid == own.uid) or read_files([path]).series
    return Folder(mine, tuple(item for item in beside.left_out if item.damaged))


def _chosen(folder: Folder, uid: str | None, path: Path) -> SeriesInfo:
    if not folder.series:
        raise _nothing(folder, path)
    if uid is None:
        return folder.series[0]
    for candidate in folder.series:
        if candidate.uid == uid:
            return candidate
    present = "; ".join(str(candidate) for candidate in folder.series)
    raise VolumeError(f"'{path}' holds no series '{uid}'; choose one of: {present}.")


def _nothing(folder: Folder, path: Path) -> VolumeError:
    damaged = [item for item in folder.left_out if item.damaged]
    if damaged:
        return VolumeError(f"'{damaged[0].path.name}' cannot be read: it {damaged[0].reason}; copy the series again.")
    why = f" ({_named(folder.left_out)})" if folder.left_out else ""
    return VolumeError(f"The folder '{path}' holds no DICOM images{why}; choose the folder with the series' files.")


def _check_whole(series: SeriesInfo, left_out: Sequence[LeftOut]) -> None:
    """Refuse a series of which a slice is there, but cannot be read.

    A damaged file is one by its series' UID or, where it does not get as far, by its kind and folder.
    """
    places = {(header.path.parent, header.path.suffix) for header in series.headers}
    kinds = {header.sop_class for header in series.headers}
    for item in (item for item in left_out if item.damaged):
        beside = (item.path.parent, item.path.suffix) in places and (not item.sop_class or item.sop_class in kinds)
        if item.series_uid == series.uid or (item.series_uid is None and beside):
            raise VolumeError(f"'{item.path.name}' cannot be read: it {item.reason}; copy the series again.")


def _note_the_rest(folder: Folder, chosen: SeriesInfo, path: Path) -> None:
    for other in folder.series:
        if other is not chosen:
            _log.info("'%s' also holds the series %s.", path, other)
    noted = [item for item in folder.left_out if item.noted]
    if noted:
        _log.info("Left out: %s.", _named(noted))
    if chosen.dropped:
        names = sorted({frame.header.path.name for frame in chosen.dropped})
        _log.info(
            "%d slices of the series are left out, being turned or of another size or kind than the others: %s.",
            len(chosen.dropped), _listed([f"'{name}'" for name in names]),
        )  # fmt: skip


def _named(items: Sequence[LeftOut]) -> str:
    return _listed([f"'{item.path.name}' {item.reason}" for item in items])


def _listed(texts: Sequence[str]) -> str:
    more = len(texts) - _MOST_NAMED
    return "; ".join(texts[:_MOST_NAMED]) + (f"; and {more} more" if more > 0 else "")


def _chosen_part(series: SeriesInfo, number: int | None, own: Path | None, *, noting: bool) -> Part:
    parts = series.parts
    if number is not None:
        if not 1 <= number <= len(parts):
            what = described(parts) if len(parts) > 1 else "a single part"
            raise VolumeError(f"The series has {what}; choose a part from 1 to {len(parts)}.")
        return parts[number - 1]
    held = [part for part in parts if any(frame.header.path == own for frame in part.frames)] or list(parts)
    chosen = max(held, key=lambda part: len(part.frames))
    if len(parts) > 1 and noting:
        _log.warning("The series has %s; part %d is read.", described(parts), parts.index(chosen) + 1)
    return chosen


def _read_part(series: SeriesInfo, part: Part, *, name: str) -> Volume:
    if not part.frames[0].header.scalar:
        raise VolumeError(f"The series '{name}' is in color; choose a scalar CT, MR or PET series.")
    stack = part.stack()
    if any(thickness_stands_for_distance(header) for header in {frame.header for frame in part.frames}):
        _log.warning("The series does not say how far apart its slices are; their thickness is taken for it.")
    return Volume(read_frames(part.frames, stack.order).T, stack.grid, name)


@contextmanager
def _quiet_pydicom() -> Iterator[None]:
    """Keep pydicom's remarks on odd files off the terminal: what matters of them is said in sentences."""
    logger = logging.getLogger("pydicom")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
