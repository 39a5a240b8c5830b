"""Writing a prepared or cleaned data set as nnU-Net raw: images as they are, each file whole or not at all."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from inference_core.errors import OutputError, VolumeError
from inference_core.geometry.grid import SAME_GRID_MM, Grid
from inference_core.geometry.volume import Volume
from inference_core.io.atomic import make_folder, replacing
from inference_core.io.files import read_grid, read_volume
from inference_core.io.itk import simpleitk, sitk_from_array
from inference_core.io.nifti import nifti_parts
from inference_core.training.data import prepared_splits
from inference_core.training.data.cases import Split, by
from inference_core.training.data.listing import DATASET_JSON, read_json
from inference_core.training.data.nnunet import SPLITS_JSON

NIFTI = ".nii.gz"
STATE = "prepared.json"


@dataclass(frozen=True)
class Places:
    """Where a case's files are written."""

    images: tuple[Path, ...]
    label: Path

    @property
    def there(self) -> bool:
        """Whether all of them are, each of which is written whole or not at all."""
        return self.label.is_file() and all(image.is_file() for image in self.images)


def places_of(case: str, out: Path, *, tested: bool, channels: int) -> Places:
    """Where nnU-Net raw has a case: imagesTr and labelsTr, or imagesTs and labelsTs."""
    end = "Ts" if tested else "Tr"
    images = tuple(out / f"images{end}" / f"{case}_{channel:04d}{NIFTI}" for channel in range(channels))
    return Places(images, out / f"labels{end}" / f"{case}{NIFTI}")


def check_one_grid(images: Sequence[Path], labels: Sequence[Path]) -> Grid:
    """The grid of a case's first image, on which the others and the labels lie.

    Raises:
        VolumeError: one does not.
    """
    grid = read_grid(images[0])
    for path in (*images[1:], *labels):
        other = read_grid(path)
        if not other.matches(grid, tolerance_mm=SAME_GRID_MM):
            raise VolumeError(
                f"'{path.name}' ({by(other.shape)} voxels) does not lie on the voxels of '{images[0].name}' "
                f"({by(grid.shape)}); correct its header or resample it."
            )
    return grid


def copy_image(source: Path, place: Path) -> None:
    """Write an image as .nii.gz: a NIfTI file byte by byte, so that its header stays as it is.

    Raises:
        VolumeError: it cannot be read.
        OutputError: it cannot be written.
    """
    lower = source.name.lower()
    if lower.endswith((".nii", ".nii.gz")) and nifti_parts(source) == 1:
        with replacing(place) as temporary, source.open("rb") as reader:
            if lower.endswith(".gz"):
                with temporary.open("wb") as copy:
                    shutil.copyfileobj(reader, copy, 1 << 20)
            else:
                with gzip.open(temporary, "wb", compresslevel=4) as packed:
                    shutil.copyfileobj(reader, packed, 1 << 20)
        return
    volume = read_volume(source, single_slice=True)
    write_image(place, volume.array, volume.grid)


def write_image(place: Path, array: NDArray[Any], grid: Grid) -> None:
    """Write an array (i, j, k) of any scalar type as NIfTI, whole or not at all.

    Raises:
        OutputError: it cannot be written.
    """
    image = sitk_from_array(Volume(array, grid).array, grid)
    with replacing(place) as temporary:
        try:
            simpleitk().WriteImage(image, str(temporary), True)
        except RuntimeError as error:
            raise OutputError(f"'{place.name}' could not be written; free space or choose another folder.") from error


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def begin(out: Path, state: dict[str, Any]) -> None:
    """Make the folders of nnU-Net raw and note what they are to hold; a folder with the same note is gone on with.

    Raises:
        OutputError: the folder holds something else, or cannot be made.
    """
    path = out / STATE
    if path.is_file():
        if read_json(path) != state:
            raise OutputError(f"'{out}' was begun with another recipe, paper, seed or source; choose another folder.")
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise OutputError(f"'{out}' is there and holds something else; choose a new folder.")
    for name in ("imagesTr", "labelsTr", "imagesTs", "labelsTs"):
        make_folder(out / name)
    if not path.is_file():
        write_text(path, json.dumps(state, indent=1))


def finish(
    out: Path,
    folds: Sequence[Split],
    *,
    name: str,
    channels: Sequence[str],
    classes: Mapping[int, str],
    train_count: int,
    notes: Mapping[str, Any],
) -> None:
    """Write the splits, drop the test folders where they are empty, and write dataset.json.

    It comes last, so that a set that is not complete is not taken for one. `notes` are written beside what nnU-Net
    asks for.

    Raises:
        OutputError: the disk refuses it.
    """
    if folds:
        write_text(out / SPLITS_JSON, json.dumps([prepared_splits.as_json(fold) for fold in folds], indent=1))
    for folder in (out / "imagesTs", out / "labelsTs"):
        if not any(folder.iterdir()):
            folder.rmdir()
    content = {
        "channel_names": {str(n): channel for n, channel in enumerate(channels)},
        "labels": {"background": 0} | {label: value for value, label in classes.items()},
        "numTraining": train_count,
        "file_ending": NIFTI,
        "name": name,
    }
    write_text(out / DATASET_JSON, json.dumps({**notes, **content}, indent=1))
