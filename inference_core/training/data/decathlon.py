"""Lists of images and labels in JSON: the Medical Segmentation Decathlon's dataset.json, and MONAI's lists with folds.

{"modality": {"0": "MRI"}, "labels": {"0": "background", "1": "edema"},
 "training": [{"image": "./imagesTr/a.nii.gz", "label": "./labelsTr/a.nii.gz", "fold": 0}], "validation": [...],
 "test": ["./imagesTs/b.nii.gz"]}; an image may be a list of files, one a channel, or one 4D file with them all. Paths
are relative to the list. Sources: medicaldecathlon.com, monai.data.load_decathlon_datalist and auto3dseg's data lists.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from inference_core.errors import VolumeError
from inference_core.training.data.cases import TEST, TRAIN, VALIDATION, Case, DataSet, Split
from inference_core.training.data.listing import (
    Patients,
    channel_paths,
    channels_of,
    classes_of,
    named_apart,
    read_json,
    stem_of,
    values_in,
    without_channel,
)

_SECTIONS = (("training", None), ("validation", VALIDATION), ("test", TEST), ("testing", TEST))
_KNOWN = {"modality", "channel_names", "labels", "name", "numTraining", "numTest", *(key for key, _ in _SECTIONS)}


def is_list(path: Path) -> bool:
    """Whether a JSON file lists the images to train on."""
    content = read_json(path)
    return isinstance(content, dict) and isinstance(content.get("training"), list)


def read_list(path: Path, pattern: str | None = None) -> DataSet:
    """Read the cases of a list.

    Raises:
        VolumeError: an entry names no image, or a file that is not there.
    """
    content = read_json(path)
    patients, channels = Patients.of(content, pattern), channels_of(content)
    entries = [(entry, split) for key, split in _SECTIONS for entry in _section(content, key, path)]
    found = [_case(entry, split, path.parent, patients, len(channels)) for entry, split in entries]
    cases = named_apart((case for case, _ in found), path.parent.absolute(), patients)
    if any(case.split == VALIDATION for case in cases):
        cases = tuple(replace(case, split=case.split or TRAIN) for case in cases)
    folds = _folds(cases, [fold for _, fold in found])
    notes = {key: value for key, value in content.items() if key not in _KNOWN}
    name = str(content.get("name") or path.absolute().parent.name)
    count = max((len(case.images) for case in cases), default=1)
    named = channels if len(channels) == count else tuple(f"channel {n}" for n in range(count))
    return DataSet(name, cases, classes_of(content) or values_in(cases), named, folds, notes)


def _section(content: dict[str, Any], key: str, path: Path) -> list[Any]:
    section = content.get(key, [])
    if not isinstance(section, list):
        raise VolumeError(f"'{key}' in '{path.name}' is no list of images and labels; correct it.")
    return section


def _case(entry: Any, split: str | None, folder: Path, patients: Patients, channels: int) -> tuple[Case, int | None]:
    fields = entry if isinstance(entry, dict) else {"image": entry}
    images = fields.get("image")
    listed = images if isinstance(images, list) else [images]
    paths = tuple(_there(folder, image) for image in listed if isinstance(image, str))
    if not paths or len(paths) < len(listed):
        raise VolumeError("An entry of the list names no 'image'; give each a file or a list of files.")
    label = fields.get("label")
    stem = stem_of(paths[0])
    name = stem if len(paths) == 1 else without_channel(stem)[0]
    case = Case(
        name,
        str(fields.get("patient") or patients(name)),
        channel_paths(paths[0], channels) if len(paths) == 1 else paths,
        _there(folder, label) if isinstance(label, str) else None,
        split,
    )
    fold = fields.get("fold")
    return case, fold if isinstance(fold, int) and split is None else None


def _there(folder: Path, relative: str) -> Path:
    path = (folder / relative).absolute()
    forms = (path, path.with_name(path.name + ".gz"))
    found = next((form for form in forms if form.exists()), None)
    if found is None:
        raise VolumeError(f"The list names '{relative}', which is not in '{folder}'; check the list's folder.")
    return found


def _folds(cases: Sequence[Case], numbers: Sequence[int | None]) -> tuple[Split, ...]:
    """One split a fold: validated on its own cases, trained on those of all others."""
    of_fold = [(case.name, number) for case, number in zip(cases, numbers, strict=True) if number is not None]
    if len({number for _, number in of_fold}) < 2:
        return ()
    test = tuple(case.name for case in cases if case.split == TEST)
    return tuple(
        Split(
            tuple(name for name, number in of_fold if number != fold),
            tuple(name for name, number in of_fold if number == fold),
            test,
        )
        for fold in sorted({number for _, number in of_fold})
    )
