"""Volumes and label maps from files and back: one door for every format.

Read: DICOM (a folder or any file of a series), NIfTI, NRRD, MetaImage. Written: NIfTI, NRRD, Slicer's .seg.nrrd.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference_core.errors import OutputError, VolumeError
from inference_core.geometry.grid import Grid
from inference_core.geometry.mask import Mask
from inference_core.geometry.volume import Volume
from inference_core.io.atomic import check_writable, replacing
from inference_core.io.dicom import find_source, read_dicom, series_parts
from inference_core.io.dicom_folder import DICOM_SUFFIXES
from inference_core.io.dicom_header import is_dicom, is_directory_file
from inference_core.io.itk import grid_from_sitk, quiet_itk, simpleitk, volume_from_sitk
from inference_core.io.metaimage import check_metaimage
from inference_core.io.nifti import LONGEST_AXIS, nifti_parts, read_nifti, read_nifti_grid, write_nifti
from inference_core.io.nrrd import MOST_LABELS, Color, named_segments, segmentation_keys, segments_in, write_nrrd
from inference_core.io.nrrd_header import check_nrrd, nrrd_grid
from inference_core.io.opening import check_readable

AnyPath = str | os.PathLike[str]

LABEL_SUFFIXES = (".nii.gz", ".nii", ".seg.nrrd", ".nrrd")
_NIFTI_SUFFIXES = (".nii", ".nii.gz")
_PAIR_SUFFIXES = (".hdr", ".img", ".hdr.gz", ".img.gz")
_ITK_READERS = {".nrrd": "NrrdImageIO", ".nhdr": "NrrdImageIO", ".mha": "MetaImageIO", ".mhd": "MetaImageIO"}
_CHECKS = {"NrrdImageIO": check_nrrd, "MetaImageIO": check_metaimage}


def read_volume(
    path: AnyPath, *, series_uid: str | None = None, part: int | None = None, single_slice: bool = False
) -> Volume:
    """Read a scalar 3D volume; its voxels keep their own type unless the file scales them.

    `path` is a DICOM folder, any one file of a DICOM series, or a NIfTI, NRRD or MetaImage file. Of a folder with
    several series the one with the most slices is read, unless `series_uid` names another; of a series with several
    parts (phases, echoes, time points, ...) the first, unless `part` (from 1) says which. Of a 4D NIfTI file `part`
    must. `single_slice` allows a volume of one slice, as 2D data sets are kept.

    Raises:
        VolumeError: nothing is there or readable, or it is not one scalar volume on a right-angled, evenly spaced grid.
    """
    source = Path(path)
    check_readable(source)
    if is_dicom_source(source):
        volume = read_dicom(source, series_uid=series_uid, part=part)
    elif part is not None and _is_nifti(source) and series_uid is None:
        volume = read_nifti(source, part=part)
    elif part is not None:
        raise VolumeError(f"'{source.name}' is not DICOM, so it has no parts to choose from; leave the part out.")
    elif series_uid is not None:
        raise VolumeError(f"'{source.name}' is not DICOM, so it has no series '{series_uid}'; leave the series out.")
    else:
        volume = _read_single_file(source)
    if min(volume.grid.shape) < 2 and not single_slice:
        size = " x ".join(str(n) for n in volume.grid.shape)
        raise VolumeError(f"'{source.name}' is a single slice ({size} voxels); choose a volume of two slices or more.")
    return volume


def parts_in(path: AnyPath, *, series_uid: str | None = None) -> tuple[str, ...]:
    """The parts (phases, time points, ...) of an image, in the order of `read_volume`'s numbers, and what tells each
    apart; a single "" for an image without parts.

    Raises:
        VolumeError: nothing is there or readable.
    """
    source = Path(path)
    check_readable(source)
    if is_dicom_source(source):
        found = series_parts(source, series_uid=series_uid)
        return found if len(found) > 1 else ("",)
    count = nifti_parts(source) if _is_nifti(source) else 1
    return tuple(str(n) for n in range(1, count + 1)) if count > 1 else ("",)


def read_grid(path: AnyPath, *, series_uid: str | None = None) -> Grid:
    """The grid of the volume that `read_volume` reads, from the headers alone; of a 4D NIfTI file that of its volumes.

    Raises:
        VolumeError: as `read_volume`, as far as the headers tell.
    """
    source = Path(path)
    check_readable(source)
    if is_dicom_source(source):
        return find_source(source, series_uid=series_uid).grid
    if _is_nifti(source):
        return read_nifti_grid(source)
    return _grid_by_itk(source)


def read_labels(path: AnyPath, *, single_slice: bool = False) -> Volume:
    """Read a label map; its array is of an integer type, whatever type the file stored.

    Raises:
        VolumeError: as `read_volume`, or the voxels are not whole numbers.
    """
    volume = read_volume(path, single_slice=single_slice)
    if np.issubdtype(volume.array.dtype, np.integer):
        return volume
    whole = np.isfinite(volume.array).all() and np.array_equal(volume.array, np.rint(volume.array))
    if not whole or np.abs(volume.array).max() > np.iinfo(np.int32).max:
        raise VolumeError(f"'{volume.name}' holds fractions, so it is no label map; choose the file with the labels.")
    return Volume(volume.array.astype(np.int32), volume.grid, volume.name)


def write_labels(
    path: AnyPath,
    mask: NDArray[Any],
    grid: Grid,
    *,
    name: str = "segment",
    names: Sequence[str] | Mapping[int, str] = (),
    color: Color = (0.9, 0.3, 0.2),
) -> None:
    """Write a mask or label map (i, j, k) on its grid, whole or not at all; the suffix chooses the format.

    Voxels are uint8, or uint16 where a label is beyond 255.

    `name` and `color` (red, green, blue in 0..1) are shown by Slicer for a .seg.nrrd; other formats hold neither.
    `names` are those of the labels 1, 2 and so on, or of a mapping's labels: each becomes a segment, empty or not.

    Raises:
        OutputError: the suffix is not one of `LABEL_SUFFIXES`, the place cannot be written, or a label is beyond 65535.
    """
    check_labels_path(path, shape=grid.shape)
    suffix = _label_suffix(path)
    labels = _as_unsigned(mask, grid)
    with replacing(path) as temporary:
        if suffix in _NIFTI_SUFFIXES:
            write_nifti(temporary, labels, grid)
        elif suffix == ".seg.nrrd":
            called = names if isinstance(names, Mapping) else dict(enumerate(names, start=1))
            segments = named_segments(called, color=color) if called else segments_in(labels, name=name, color=color)
            write_nrrd(temporary, labels, grid, keys=segmentation_keys(segments, grid))
        else:
            write_nrrd(temporary, labels, grid)


def write_segmentation(path: AnyPath, mask: Mask, grid: Grid, *, name: str = "segment") -> None:
    """Write a mask on a grid's voxels as one segment: .seg.nrrd, or a label map as .nrrd, .nii.gz or .nii.

    Raises:
        OutputError: the name does not tell the format, or the file cannot be written.
    """
    write_labels(path, mask.on(grid.shape), grid, name=name)


def check_labels_path(path: AnyPath, *, shape: tuple[int, int, int] | None = None) -> None:
    """Refuse, before the work begins, what `write_labels` would refuse after it: a path, or a shape for its format.

    Raises:
        OutputError: the suffix is not one of `LABEL_SUFFIXES`, the place cannot be written, or an axis is too long.
    """
    suffix = _label_suffix(path)
    if shape is not None and suffix in _NIFTI_SUFFIXES and max(shape) > LONGEST_AXIS:
        raise OutputError(
            f"NIfTI cannot hold an axis of {max(shape)} voxels ({LONGEST_AXIS} at most); end the name in .seg.nrrd."
        )
    check_writable(path)


def is_dicom_source(path: Path) -> bool:
    """Whether `read_volume` reads a path as DICOM: a folder, a slice, a CD's table of contents."""
    return path.is_dir() or is_dicom(path) or path.suffix.lower() in DICOM_SUFFIXES or is_directory_file(path)


def _is_nifti(path: Path) -> bool:
    return path.name.lower().endswith((*_NIFTI_SUFFIXES, *_PAIR_SUFFIXES))


def _read_single_file(path: Path) -> Volume:
    return read_nifti(path) if _is_nifti(path) else _read_with_itk(path)


def _read_with_itk(path: Path) -> Volume:
    reader = _itk_reader(path)
    try:
        with quiet_itk():
            reader.ReadImageInformation()
            _check_scalar_3d(reader, path)
            grid = _itk_grid(reader, path)  # refuses a wrong geometry before the voxels are read
            image = reader.Execute()
    except RuntimeError as error:
        raise _itk_refusal(path, str(error)) from error
    volume = volume_from_sitk(image, name=path.name.removesuffix(path.suffix).removesuffix(".seg"))
    return Volume(volume.array, grid, volume.name)


def _grid_by_itk(path: Path) -> Grid:
    reader = _itk_reader(path)
    try:
        with quiet_itk():
            reader.ReadImageInformation()
            _check_scalar_3d(reader, path)
            return _itk_grid(reader, path)
    except RuntimeError as error:
        raise _itk_refusal(path, str(error)) from error


def _itk_grid(reader: Any, path: Path) -> Grid:
    """The grid of a reader that has read its header, whatever its version makes of the header's frame."""
    itk = grid_from_sitk(reader)
    own = nrrd_grid(path) if path.suffix.lower() in (".nrrd", ".nhdr") else None
    return itk if own is None else own


def _itk_reader(path: Path) -> Any:
    kind = _ITK_READERS.get(path.suffix.lower())
    if kind is None:
        known = ", ".join((*_NIFTI_SUFFIXES, ".hdr", *_ITK_READERS))
        raise VolumeError(f"'{path.name}' is of no known kind; choose a DICOM folder or a file ending in {known}.")
    reader = simpleitk().ImageFileReader()
    reader.SetFileName(str(path))
    reader.SetImageIO(kind)
    _CHECKS[kind](path)
    return reader


def _check_scalar_3d(reader: Any, path: Path) -> None:
    if reader.GetDimension() != 3:
        raise VolumeError(f"'{path.name}' has {reader.GetDimension()} dimensions; choose one single 3D volume.")
    if reader.GetNumberOfComponents() != 1:
        count = reader.GetNumberOfComponents()
        raise VolumeError(
            f"'{path.name}' holds {count} numbers a voxel (color, vector, complex or 4D); choose a scalar 3D volume."
        )


def _itk_refusal(path: Path, message: str) -> VolumeError:
    """The sentence for what ITK found wrong; its own text names C++ files and addresses."""
    for words, sentence in (
        (("spacing",), "has a voxel spacing that is zero or not a number; correct its spacing before loading it"),
        (("determinant",), "has axes that are not independent (a singular matrix); convert the series again"),
        (
            ("space vector", "space direction", "space origin"),
            "has missing or non-finite numbers in its orientation; convert it again",
        ),
    ):
        if any(word in message for word in words):
            return VolumeError(f"'{path.name}' {sentence}.")
    return VolumeError(f"'{path.name}' cannot be read: it is damaged, cut off or lacks its data file; copy it again.")


def _label_suffix(path: AnyPath) -> str:
    name = Path(path).name.lower()
    for suffix in LABEL_SUFFIXES:
        if name.endswith(suffix):
            return suffix
    raise OutputError(f"'{Path(path).name}' does not tell the format; end the name in {', '.join(LABEL_SUFFIXES)}.")


def _as_unsigned(mask: NDArray[Any], grid: Grid) -> NDArray[Any]:
    """As the smaller of uint8 and uint16 that holds its labels."""
    if mask.shape != grid.shape:
        raise OutputError(f"The mask has {mask.shape} voxels but its volume {grid.shape}; segment this volume again.")
    if np.can_cast(mask.dtype, np.uint8):
        return mask.astype(np.uint8, copy=False)
    most = mask.max()
    in_range = mask.min() >= 0 and most <= MOST_LABELS
    if not (in_range and (mask.dtype.kind in "iu" or np.array_equal(mask, np.rint(mask)))):
        raise OutputError(
            f"The label map has values that are not whole numbers from 0 to {MOST_LABELS}; renumber its labels."
        )
    return mask.astype(np.uint8 if most <= np.iinfo(np.uint8).max else np.uint16, copy=False)
