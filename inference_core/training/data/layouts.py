"""The one door to labeled data: which layout a folder or list has, and its cases."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from inference_core.errors import VolumeError
from inference_core.io.dicom_header import is_dicom
from inference_core.io.opening import check_readable
from inference_core.training.data.cases import Case, DataSet
from inference_core.training.data.decathlon import is_list, read_list
from inference_core.training.data.dicom_sets import read_dicom_set, with_segments
from inference_core.training.data.listing import (
    DATASET_JSON,
    Patients,
    channel_paths,
    channels_of,
    check_pattern,
    classes_of,
    dataset_json,
    is_image,
    named_apart,
    stem_of,
    values_in,
)
from inference_core.training.data.nnunet import is_nnunet, read_nnunet
from inference_core.training.data.pairs import pairs_in
from inference_core.training.data.per_class import class_folders, read_per_class


def read_data_set(
    folder_or_list: str | os.PathLike[str], *, patient_pattern: str | None = None, labeled: bool = True
) -> DataSet:
    """Read a data set in any layout that `Resources/Docs/data.md` lists; images are looked at where a layout needs it.

    `patient_pattern` is a regular expression whose first group is the patient in a case's name; it comes before what
    dataset.json says. Where labels are not asked for (`labeled`), a folder of no layout is read as its images.

    Raises:
        VolumeError: nothing is there, the layout is none of those, or a part of it is missing or damaged.
        OptionError: the pattern is no regular expression with a group.
    """
    path = Path(folder_or_list)
    check_pattern(patient_pattern)
    check_readable(path)
    found = _read_file(path, patient_pattern) if path.is_file() else _read_folder(path, patient_pattern, labeled)
    if not found.cases:
        raise VolumeError(f"'{path}' names no image; check that its files are where its layout expects them.")
    if labeled and all(case.label is None for case in found.cases):
        raise VolumeError(f"'{path}' has images but not one label; put the labels where its layout expects them.")
    return found


def _read_file(path: Path, pattern: str | None) -> DataSet:
    if path.suffix.lower() != ".json":
        raise VolumeError(f"'{path.name}' is no list of cases; give a folder, or a .json file that lists its images.")
    if path.name == DATASET_JSON and is_nnunet(path.parent):
        return read_nnunet(path.parent, pattern)
    if not is_list(path):
        raise VolumeError(f"'{path.name}' has no list 'training' of images and labels; give a folder or such a list.")
    return with_segments(read_list(path, pattern))


def _read_folder(folder: Path, pattern: str | None, labeled: bool) -> DataSet:
    if is_nnunet(folder):
        return read_nnunet(folder, pattern)
    if (folder / DATASET_JSON).is_file() and is_list(folder / DATASET_JSON):
        return with_segments(read_list(folder / DATASET_JSON, pattern))
    found = _read_pairs(folder, pattern)
    if found is not None:
        return found
    if class_folders(folder):
        return read_per_class(folder, pattern)
    archive = read_dicom_set(folder, pattern)
    if archive is not None:
        return archive
    if not labeled:
        return _read_images(folder, pattern)
    raise VolumeError(
        f"'{folder}' has no layout that is known: give nnU-Net raw, a list in dataset.json, or a folder a case with "
        "image.* and label.*."
    )


def _read_images(folder: Path, pattern: str | None) -> DataSet:
    """Every image file below a folder, and every folder that DICOM files lie in, as a case without a label."""
    patients = Patients.of(dataset_json(folder), pattern)
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    series = sorted({path.parent for path in files if not is_image(path) and is_dicom(path)})
    images = [*(path for path in files if is_image(path)), *series]
    named = [(stem_of(path) if path.is_file() else path.name, path) for path in images]
    cases = [Case(name, patients(name), (path,), None) for name, path in named]
    return DataSet(folder.absolute().name, named_apart(cases, folder, patients), {}, ("image",))


def _read_pairs(folder: Path, pattern: str | None) -> DataSet | None:
    content = dataset_json(folder)
    patients, channels = Patients.of(content, pattern), channels_of(content)
    found = pairs_in(folder, patients)
    if not found:
        return None
    cases = named_apart(found, folder, patients)
    cases = tuple(
        replace(case, images=channel_paths(case.images[0], len(channels))) if len(case.images) == 1 else case
        for case in cases
    )
    count = max(len(case.images) for case in cases)
    named = channels if len(channels) == count else ("image",) if count == 1 else tuple(map(str, range(count)))
    data = with_segments(DataSet(str(content.get("name", folder.absolute().name)), cases, classes_of(content), named))
    if data.classes:
        return data
    return replace(data, classes=values_in(data.cases))
