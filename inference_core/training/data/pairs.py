"""Images and labels that belong together by their places and names.

A folder a case, with image.* (or a DICOM series in dicom/) and label.*; files called *_image.* and *_label.*, in one
folder or in a folder a patient; two folders, images/ and labels/, in which names agree. Each of these may stand in
train/, validation/ and test/. A dataset.json beside them may say what channels and labels are called.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from inference_core.training.data.cases import TEST, TRAIN, VALIDATION, Case
from inference_core.training.data.listing import (
    Patients,
    folders_in,
    images_in,
    stem_of,
    without_channel,
)

_SPLIT_FOLDERS = {
    "train": TRAIN, "training": TRAIN, "val": VALIDATION, "valid": VALIDATION, "validation": VALIDATION,
    "test": TEST, "testing": TEST,
}  # fmt: skip
_IMAGE_FOLDERS = ("images", "image", "imagesTr", "img", "imgs")
_LABEL_FOLDERS = ("labels", "label", "labelsTr", "masks", "mask", "seg", "segmentations")
_DICOM = ("dicom", "DICOM")
_LABEL_WORDS = r"(?:label|labels|mask|seg|segmentation)"
_IMAGE_WORDS = r"(?:image|img)"
_NAMED_LABEL = re.compile(rf"(?i)(.+)[-_]{_LABEL_WORDS}")
_NAMED_IMAGE = re.compile(rf"(?i)(.+)[-_]{_IMAGE_WORDS}")


def pairs_in(folder: Path, patients: Patients) -> list[Case]:
    """The cases of the first of these layouts that a folder has; none where it has none of them."""
    for find in (_by_split, _by_case_folder, _by_two_folders, _by_names):
        found = list(find(folder, patients))
        if any(case.label is not None for case in found):
            return found
    return []


def _by_split(folder: Path, patients: Patients) -> Iterator[Case]:
    for below in folders_in(folder):
        split = _SPLIT_FOLDERS.get(below.name.lower())
        if split is not None:
            yield from (replace(case, split=split) for case in pairs_in(below, patients))


def _by_case_folder(folder: Path, patients: Patients) -> Iterator[Case]:
    """A sub-folder each: its image.*, image_0000.* and so on, or dicom/, and its label.*."""
    for below in folders_in(folder):
        files = images_in(below)
        images = tuple(path for path in files if without_channel(stem_of(path))[0] == "image")
        if not images:
            images = tuple(below / name for name in _DICOM if (below / name).is_dir())[:1]
        labels = [*(path for path in files if stem_of(path) == "label"), *sorted(below.glob("label.dcm"))]
        if images and (labels or stem_of(images[0]) != "dicom"):
            yield Case(below.name, patients(below.name), images, labels[0] if labels else None)


def _by_two_folders(folder: Path, patients: Patients) -> Iterator[Case]:
    images = next((folder / name for name in _IMAGE_FOLDERS if (folder / name).is_dir()), None)
    labels = next((folder / name for name in _LABEL_FOLDERS if (folder / name).is_dir()), None)
    if images is None or labels is None:
        return
    labeled = {_core(stem_of(path), _NAMED_LABEL): path for path in images_in(labels)}
    found: dict[str, list[Path]] = defaultdict(list)
    for path in images_in(images):
        stem = stem_of(path)
        base = without_channel(stem)[0]
        # Four digits at the end are a channel's only where the label does not have them too.
        of_channel = _core(stem, _NAMED_IMAGE) not in labeled and _core(base, _NAMED_IMAGE) in labeled
        found[base if of_channel else stem].append(path)
    for name, paths in found.items():
        yield Case(name, patients(name), tuple(paths), labeled.get(_core(name, _NAMED_IMAGE)))


def _by_names(folder: Path, patients: Patients) -> Iterator[Case]:
    """*_image.* with *_label.* in this folder, or in sub-folders that are a patient each."""
    yield from _named_pairs(folder, lambda name: (name, patients(name)))
    for below in folders_in(folder):
        yield from _named_pairs(below, lambda name, own=below.name: (f"{own}_{name}", patients(own)))  # type: ignore[misc]


def _named_pairs(folder: Path, named: Callable[[str], tuple[str, str]]) -> Iterator[Case]:
    files = images_in(folder)
    labeled = {found.group(1): path for path in files if (found := _NAMED_LABEL.fullmatch(stem_of(path)))}
    for path in files:
        found = _NAMED_IMAGE.fullmatch(stem_of(path))
        if found:
            yield Case(*named(found.group(1)), (path,), labeled.get(found.group(1)))


def _core(stem: str, words: re.Pattern[str]) -> str:
    """What an image's and its label's name have in common: of img0001, label0001 and 0001_image 0001."""
    found = words.fullmatch(stem)
    stem = found.group(1) if found else stem
    return re.sub(rf"(?i)^(?:{_LABEL_WORDS}|{_IMAGE_WORDS})[-_]?(?=\d)", "", stem)
