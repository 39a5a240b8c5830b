"""Pairs of images and label maps to evaluate on, found by patterns."""

from __future__ import annotations

import glob
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inference_core.errors import VolumeError
from inference_core.geometry.volume import Volume
from inference_core.io.files import read_labels, read_volume

# Half of the finest decimal that NIfTI's single-precision affines and DICOM's decimal strings keep apart.
_SAME_PLACE_MM = 1e-2


def matched_pairs(images: str, labels: str, *, second: str = "label map") -> list[tuple[Path, Path]]:
    """The images and label maps that two glob patterns find ("**" goes into sub-folders), paired in sorted order.

    `second` is what messages call the others.

    Raises:
        VolumeError: a pattern finds nothing, or they do not find equally many.
    """
    found_images, found_labels = found_by(images), found_by(labels)
    if len(found_images) != len(found_labels):
        raise VolumeError(
            f"There are {len(found_images)} images but {len(found_labels)} {second}s; "
            f"make the two patterns find one {second} for each image."
        )
    return list(zip(found_images, found_labels, strict=True))


def read_case(image: Path, labels: Path, *, label: int | None = None) -> tuple[Volume, NDArray[np.bool_]]:
    """The volume, and where its label map has a value (any but zero, if None) as a mask (i, j, k).

    Raises:
        VolumeError: a file cannot be read, the two are not on one grid, or the label is nowhere.
    """
    volume, truth = read_volume(image), read_labels(labels)
    if not volume.grid.matches(truth.grid, tolerance_mm=_SAME_PLACE_MM):
        raise VolumeError(f"'{labels.name}' is not on the grid of '{image.name}'; resample it onto the image first.")
    target = truth.array != 0 if label is None else truth.array == label
    if not target.any():
        missing = "any labeled voxel" if label is None else f"a voxel of label {label}"
        raise VolumeError(f"'{labels.name}' has not {missing}; choose a label that it has.")
    return volume, target


def found_by(pattern: str) -> list[Path]:
    """What a glob pattern finds, sorted.

    Raises:
        VolumeError: nothing.
    """
    # Path.glob refuses absolute patterns.
    paths = sorted(Path(name) for name in glob.glob(str(Path(pattern).expanduser()), recursive=True))  # noqa: PTH207
    if not paths:
        raise VolumeError(f"The pattern '{pattern}' finds nothing; check it, and quote it if the shell changes it.")
    return paths
