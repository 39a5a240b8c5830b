"""What all layouts share: files by name, what a dataset.json says, and cases named so that no two are alike."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from inference_core.errors import OptionError, VolumeError
from inference_core.io.nifti import nifti_parts
from inference_core.training.data.cases import Case
from inference_core.training.data.splits import VISIT_PATTERN, patient_of

SUFFIXES = (".nii.gz", ".nii", ".seg.nrrd", ".nrrd", ".nhdr", ".mha", ".mhd")
DATASET_JSON = "dataset.json"
_CHANNEL = re.compile(r"(.+)_(\d{4})")


@dataclass(frozen=True)
class Patients:
    """How a case's name tells its patient: by a pattern whose first group is the patient, or by a table of both."""

    pattern: str = VISIT_PATTERN
    table: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, content: dict[str, Any], pattern: str | None = None) -> Patients:
        """As asked for, else as a dataset.json's `patient_pattern` and `patients` say, else by the words for visits."""
        table = content.get("patients", {})
        known = {str(name): str(patient) for name, patient in table.items()} if isinstance(table, dict) else {}
        return cls(pattern or str(content.get("patient_pattern", VISIT_PATTERN)), {} if pattern else known)

    def __call__(self, name: str) -> str:
        return self.table.get(name) or patient_of(name, self.pattern)


def is_image(path: Path) -> bool:
    """Whether a file's name is an image's, and no hidden file's such as macOS leaves behind."""
    return path.name.lower().endswith(SUFFIXES) and not path.name.startswith(".")


def stem_of(path: Path) -> str:
    """A file's name without an image's suffix."""
    name = path.name
    suffix = next((suffix for suffix in SUFFIXES if name.lower().endswith(suffix)), "")
    return name[: len(name) - len(suffix)] if suffix else path.stem


def images_in(folder: Path) -> list[Path]:
    """The image files of a folder, by name."""
    return sorted(path for path in folder.iterdir() if is_image(path)) if folder.is_dir() else []


def folders_in(folder: Path) -> list[Path]:
    """The sub-folders of a folder, by name."""
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def without_channel(stem: str) -> tuple[str, int]:
    """A case's name and the number of a channel: of liver_0003_0001 liver_0003 and 1, of liver the name and 0."""
    found = _CHANNEL.fullmatch(stem)
    return (found.group(1), int(found.group(2))) if found else (stem, 0)


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        VolumeError: it cannot be read.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise VolumeError(
            f"'{path.name}' in '{path.parent}' is no readable JSON file; correct or remove it."
        ) from error


def dataset_json(folder: Path) -> dict[str, Any]:
    """What a folder's dataset.json says; nothing where there is none.

    Raises:
        VolumeError: it cannot be read.
    """
    path = folder / DATASET_JSON
    content = read_json(path) if path.is_file() else {}
    if not isinstance(content, dict):
        raise VolumeError(f"'{path.name}' in '{folder}' is a list, no table of labels and channels; correct it.")
    return content


def classes_of(content: dict[str, Any]) -> dict[int, str]:
    """The class of each label value but 0: {"liver": 1} as nnU-Net writes it, {"1": "liver"} as the Decathlon does.

    A region of nnU-Net's, {"whole tumor": [1, 2]}, names those of its values that no smaller region holds.
    """
    found: dict[int, str] = {}
    table = content.get("labels", {})
    if not isinstance(table, dict):
        return {}
    regions: list[tuple[list[int], str]] = []
    for key, value in table.items():
        try:
            if isinstance(value, str):
                regions.append(([int(key)], value))
            else:
                regions.append(([int(one) for one in (value if isinstance(value, list) else [value])], str(key)))
        except (TypeError, ValueError) as error:
            raise VolumeError(
                f"dataset.json has a label '{key}' that is no name of a whole number; correct it."
            ) from error
    for values, name in sorted(regions, key=lambda region: len(region[0])):
        for one in values:
            if one > 0 and name != "ignore":
                found.setdefault(one, name)
    return dict(sorted(found.items()))


def channels_of(content: dict[str, Any]) -> tuple[str, ...]:
    """The names of the channels, in order; none where nothing is said.

    Raises:
        VolumeError: they have no numbers.
    """
    table = content.get("channel_names") or content.get("modality") or {}
    if not isinstance(table, dict):
        return ()
    try:
        return tuple(str(table[key]) for key in sorted(table, key=int))
    except ValueError as error:
        raise VolumeError("dataset.json names channels by something other than 0, 1, ...; correct it.") from error


def channel_paths(image: Path, channels: int) -> tuple[Path, ...]:
    """A case's one file, once for each channel that it holds."""
    if channels < 2 or not image.name.lower().endswith((".nii", ".nii.gz")):
        return (image,)
    return (image,) * nifti_parts(image)


def values_in(cases: Sequence[Case]) -> dict[int, str]:
    """Every value but 0 of every label map, for sets that do not say what classes they have.

    Raises:
        VolumeError: a label map cannot be read.
    """
    from inference_core.io.files import read_labels

    found: set[int] = set()
    for case in cases:
        if case.label is not None and not case.segments:
            found.update(np.unique(read_labels(case.label, single_slice=True).array).tolist())
    return {int(value): f"label {value}" for value in sorted(found) if value > 0}


def named_apart(cases: Iterable[Case], folder: Path, patients: Patients) -> tuple[Case, ...]:
    """Cases of which those with one name take their place in the folder into it; a patient by each name.

    Raises:
        VolumeError: two are still of one name.
    """
    cases = list(cases)
    counts = Counter(case.name for case in cases)
    renamed = []
    for case in cases:
        if counts[case.name] > 1:
            place = case.images[0].parent
            parents = place.relative_to(folder).parts if place.is_relative_to(folder) else (place.name,)
            name = "_".join((*parents, case.name))
            renamed.append(replace(case, name=name, patient=patients(name)))
        else:
            renamed.append(case)
    twice = [name for name, count in Counter(case.name for case in renamed).items() if count > 1]
    if twice:
        raise VolumeError(f"Two cases are called '{twice[0]}'; rename one of them.")
    return tuple(renamed)


def check_pattern(pattern: str | None) -> None:
    """Refuse a pattern that tells no patient.

    Raises:
        OptionError: as said.
    """
    if pattern is not None and not pattern.strip():
        raise OptionError("The patient pattern is empty; give a regular expression with the patient in parentheses.")
    if pattern is not None:
        patient_of("", pattern)
