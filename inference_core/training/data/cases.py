"""The cases of a data set: where their images and labels are, and both read on one grid."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference_core.errors import VolumeError
from inference_core.geometry.grid import SAME_GRID_MM, Grid
from inference_core.geometry.volume import Volume
from inference_core.io.files import read_grid, read_labels, read_volume
from inference_core.io.segmentation_objects import is_segmentation_object, segments_of

TRAIN, VALIDATION, TEST = "train", "validation", "test"
SPLITS = (TRAIN, VALIDATION, TEST)


class OffGridError(VolumeError):
    """A label map lies on other voxels than its image."""


@dataclass(frozen=True)
class Case:
    """One labeled image of a data set.

    `name` is unique in the set; `patient` is whose image it is, by which a set is split. `images` are one a channel,
    all on one grid: files, or folders that hold a DICOM series; a 4D NIfTI file stands there once for each of its
    channels. `label` is a label map, DICOM SEG or RTSTRUCT, None where the image is unlabeled. `split` is "train",
    "validation" or "test" where the set itself says so.

    `series_uid` tells the image's series where a DICOM folder holds several. `segments` are the names of a SEG's or
    RTSTRUCT's segments in the order of the labels 1, 2, ... `value` is what every voxel above zero counts as, where a
    label map holds one class of several that have a file each.
    """

    name: str
    patient: str
    images: tuple[Path, ...]
    label: Path | None
    split: str | None = None
    series_uid: str | None = None
    segments: tuple[str, ...] = ()
    value: int | None = None

    def read(self, channel: int = 0) -> Volume:
        """The image of a channel, counted from 0.

        Raises:
            VolumeError: the file cannot be read, or lies on another grid than the first channel's.
        """
        path = self.images[channel]
        repeated = self.images.count(path) > 1
        part = self.images[: channel + 1].count(path) if repeated else None
        volume = read_volume(path, series_uid=self.series_uid, part=part, single_slice=True)
        if channel and not repeated and not volume.grid.matches(self.grid(), tolerance_mm=SAME_GRID_MM):
            raise VolumeError(
                f"Channel '{path.name}' of case '{self.name}' does not lie on the voxels of its first channel; "
                "resample it onto them, or leave the case out."
            )
        return Volume(volume.array, volume.grid, self.name)

    def grid(self) -> Grid:
        """The grid of the first channel, from its headers alone.

        Raises:
            VolumeError: the file cannot be read.
        """
        return read_grid(self.images[0], series_uid=self.series_uid)

    def read_labels(self) -> Volume:
        """The integer label map, on the image's voxels.

        Raises:
            VolumeError: there is none, it cannot be read, or it lies on other voxels than the image.
        """
        label, grid = self._labeled(), self.grid()
        if is_segmentation_object(label):
            return Volume(self._from_segments(label, grid), grid, self.name)
        labels = read_labels(label, single_slice=True)
        self._check_on_grid(labels.grid, grid, label)
        return Volume(self._as_value(labels.array), labels.grid, self.name)

    def check_label(self) -> None:
        """Refuse what `read_labels` would, as far as the headers tell.

        Raises:
            VolumeError: as `read_labels`.
        """
        label = self._labeled()
        if not is_segmentation_object(label):
            self._check_on_grid(read_grid(label), self.grid(), label)

    def _labeled(self) -> Path:
        if self.label is None:
            raise VolumeError(f"Case '{self.name}' has an image without a label; add its label or leave the case out.")
        return self.label

    def _check_on_grid(self, labels: Grid, image: Grid, path: Path) -> None:
        if labels.matches(image, tolerance_mm=SAME_GRID_MM):
            return
        if labels.shape != image.shape:
            why = f"has {by(labels.shape)} voxels but its image {by(image.shape)}"
        else:
            why = "has its image's size but lies elsewhere in the patient"
        raise OffGridError(
            f"Label '{path.name}' of case '{self.name}' {why}; resample it onto the image's voxels, or "
            "leave the case out."
        )

    def _as_value(self, array: NDArray[Any]) -> NDArray[Any]:
        if self.value is None:
            return array
        return np.where(array > 0, np.int32(self.value), np.int32(0))

    def _from_segments(self, path: Path, grid: Grid) -> NDArray[np.int32]:
        """Later segments win where segments overlap."""
        masks = segments_of(path, grid)
        names = self.segments or tuple(masks)
        labels = np.zeros(grid.shape, dtype=np.int32)
        for number, name in enumerate(names, start=1):
            if name in masks:
                labels[masks[name].on(grid.shape) > 0] = number
        return labels


@dataclass(frozen=True)
class Split:
    """The names of the cases to train on, to choose weights by, and to report on."""

    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...] = ()

    def of(self, name: str) -> str | None:
        """On which side a case is, if on any."""
        return self._sides.get(name)

    @cached_property
    def _sides(self) -> dict[str, str]:
        return {name: side for side in SPLITS for name in getattr(self, side)}


@dataclass(frozen=True)
class DataSet:
    """Cases of one data set and what their values mean.

    `classes` are the names of the label values but 0, `channels` those of a case's images. `folds` are the set's own
    splits where it has several, or one that names every case. `notes` is what its dataset.json says beyond these, such
    as the paper's intensity window.
    """

    name: str
    cases: tuple[Case, ...]
    classes: dict[int, str]
    channels: tuple[str, ...]
    folds: tuple[Split, ...] = ()
    notes: dict[str, Any] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Case:
        return self._by_name[name]

    @cached_property
    def _by_name(self) -> dict[str, Case]:
        return {case.name: case for case in self.cases}


def by(shape: tuple[int, ...]) -> str:
    """Sizes as people write them."""
    return " x ".join(map(str, shape))
