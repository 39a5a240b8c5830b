"""nnU-Net raw, the native layout: dataset.json, imagesTr/case_0000.nii.gz (a file a channel), labelsTr/case.nii.gz.

Read: version 2 (channel_names, labels by name, file_ending, the optional table `dataset`), version 1 (modality, labels
by number), imagesTs with labelsTs as the test set, and splits_final.json, nnU-Net's own list of folds, where it lies
beside dataset.json. Source: nnU-Net's documentation/dataset_format.md.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

from inference_core.errors import VolumeError
from inference_core.training.data.cases import TEST, Case, DataSet, Split
from inference_core.training.data.listing import (
    DATASET_JSON,
    Patients,
    channels_of,
    classes_of,
    dataset_json,
    images_in,
    read_json,
    stem_of,
    values_in,
    without_channel,
)

SPLITS_JSON = "splits_final.json"
_FOLDERS = (("imagesTr", "labelsTr", None), ("imagesTs", "labelsTs", TEST))
_KNOWN = {"channel_names", "modality", "labels", "file_ending", "numTraining", "numTest", "name", "dataset", "training"}


def is_nnunet(folder: Path) -> bool:
    """Whether a folder is nnU-Net raw, of either version.

    Four digits at the end of a name may be a case's own, as in amos_0001: a channel's are not in the label's name.
    """
    if not (folder / DATASET_JSON).is_file() or not (folder / "imagesTr").is_dir():
        return False
    if "channel_names" in dataset_json(folder):
        return True
    stems = [stem_of(path) for path in images_in(folder / "imagesTr")]
    labels = {stem_of(path) for path in images_in(folder / "labelsTr")}
    return any(without_channel(stem)[0] in labels and stem not in labels for stem in stems)


def read_nnunet(folder: Path, pattern: str | None = None) -> DataSet:
    """Read the cases of a folder.

    Raises:
        VolumeError: a case lacks a channel, or dataset.json or splits_final.json cannot be understood.
    """
    content = dataset_json(folder)
    patients, channels = Patients.of(content, pattern), channels_of(content)
    cases: list[Case] = []
    for images, labels, split in _FOLDERS:
        found = _files_by_case(folder / images)
        wanted = len(channels) or max((len(files) for files in found.values()), default=1)
        labeled = {stem_of(path): path for path in images_in(folder / labels)}
        for name, files in found.items():
            _check_channels(name, files, wanted)
            paths = tuple(files[n] for n in range(wanted))
            cases.append(Case(name, patients(name), paths, labeled.pop(name, None), split))
        _check_images_there(labeled, folder / images)
    classes = classes_of(content) or values_in(cases)
    notes = {key: value for key, value in content.items() if key not in _KNOWN}
    name = str(content.get("name", folder.name))
    return DataSet(name, tuple(cases), classes, channels or ("image",), _folds(folder, cases), notes)


def _files_by_case(folder: Path) -> dict[str, dict[int, Path]]:
    found: dict[str, dict[int, Path]] = defaultdict(dict)
    for path in images_in(folder):
        name, channel = without_channel(stem_of(path))
        found[name][channel] = path
    return found


def _check_channels(name: str, files: dict[int, Path], wanted: int) -> None:
    missing = [n for n in range(wanted) if n not in files]
    if missing:
        raise VolumeError(f"Case '{name}' lacks its channel file '{name}_{missing[0]:04d}'; add it or remove the case.")
    if len(files) > wanted:
        raise VolumeError(f"Case '{name}' has {len(files)} channels but dataset.json names {wanted}; correct either.")


def _check_images_there(left: dict[str, Path], folder: Path) -> None:
    if left:
        name = next(iter(left))
        raise VolumeError(f"Label '{name}' has no image '{name}_0000' in '{folder.name}'; add it or remove the label.")


def _folds(folder: Path, cases: list[Case]) -> tuple[Split, ...]:
    path = folder / SPLITS_JSON
    if not path.is_file():
        return ()
    content = read_json(path)
    test = tuple(case.name for case in cases if case.split == TEST)
    try:
        return tuple(_fold(entry, test) for entry in content)
    except (TypeError, KeyError, AttributeError) as error:
        raise VolumeError(
            f"'{SPLITS_JSON}' is no list of folds with 'train' and 'val'; correct or remove it."
        ) from error


def _fold(entry: dict[str, Any], test: tuple[str, ...]) -> Split:
    train, validation = (tuple(map(str, entry[key])) for key in ("train", "val"))
    own = tuple(map(str, entry.get("test", ())))
    return Split(train, validation, (*own, *(name for name in test if name not in own)))
