"""SAM-Med3D's layout: a folder a class, in it one a data set, in that imagesTr and labelsTr with one binary label each.

adrenal/ct_WORD/imagesTr/x.nii.gz and adrenal/ct_WORD/labelsTr/x.nii.gz; the endings Val and Ts hold what is validated
and tested on. An image that has several classes lies once in each of their folders, and is one patient's in all.
Source: the README of SAM-Med3D, "Prepare Your Training Data".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from inference_core.training.data.cases import TEST, TRAIN, VALIDATION, Case, DataSet
from inference_core.training.data.listing import Patients, dataset_json, folders_in, images_in, stem_of

_ENDINGS = {"Tr": TRAIN, "Val": VALIDATION, "Ts": TEST}


def class_folders(folder: Path) -> list[Path]:
    """The sub-folders that are a class: they have a data set's folder with images and labels in it."""
    return [below for below in folders_in(folder) if any(_is_set(inner) for inner in folders_in(below))]


def read_per_class(folder: Path, pattern: str | None = None) -> DataSet:
    """Read the cases, one for each image of each class; the classes are numbered in the order of their names.

    Raises:
        VolumeError: dataset.json cannot be understood.
    """
    content = dataset_json(folder)
    patients = Patients.of(content, pattern)
    classes = dict(enumerate((below.name for below in class_folders(folder)), start=1))
    cases = [case for value, name in classes.items() for case in _cases(folder / name, value, patients)]
    if not any(case.split == VALIDATION for case in cases):
        cases = [replace(case, split=case.split if case.split == TEST else None) for case in cases]
    return DataSet(folder.absolute().name, tuple(cases), classes, ("image",))


def _is_set(folder: Path) -> bool:
    return any((folder / f"images{end}").is_dir() and (folder / f"labels{end}").is_dir() for end in _ENDINGS)


def _cases(class_folder: Path, value: int, patients: Patients) -> Iterator[Case]:
    for data_set in folders_in(class_folder):
        for end, split in _ENDINGS.items():
            labeled = {stem_of(path): path for path in images_in(data_set / f"labels{end}")}
            for image in images_in(data_set / f"images{end}"):
                stem = stem_of(image)
                name = f"{class_folder.name}_{data_set.name}_{stem}"
                patient = f"{data_set.name}_{patients(stem)}"
                yield Case(name, patient, (image,), labeled.get(stem), split, value=value)
