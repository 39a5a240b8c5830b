"""A data set looked at before training: what would fail or mislead, case by case, and what cleaning would change."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from inference_core.errors import VolumeError
from inference_core.geometry.volume import Volume
from inference_core.training.data.cases import TEST, TRAIN, VALIDATION, Case, DataSet, OffGridError, Split
from inference_core.training.data.cleaning import ClassFinding, CleaningRules, findings_of, is_named_by_side
from inference_core.training.data.listing import stem_of
from inference_core.training.data.splits import split_by_patient

Notify = Callable[[int, int, str], None]

UNREADABLE, OFF_GRID, UNLABELED, EMPTY = "unreadable", "label off the grid", "image without a label", "empty label"
UNKNOWN, ABSENT, DUPLICATE = "value of no class", "class that never occurs", "duplicate across the split"
ONE_CLASS, SPLIT, SMALL = "one-class folder", "split", "too small"
RARE, SCATTERED, PAIRED = "almost all background", "more than five components", "left and right in one class"
PROBLEMS = (UNREADABLE, OFF_GRID, UNLABELED, EMPTY, UNKNOWN, ABSENT, DUPLICATE, ONE_CLASS, SPLIT)
CLEANED = (SMALL, RARE, SCATTERED, PAIRED)


@dataclass(frozen=True)
class Finding:
    """One thing that was found: its kind, where, and what in detail."""

    kind: str
    where: str
    detail: str


@dataclass(frozen=True)
class Report:
    """All that was found, the classes of each case that can be used, and those to be split into left and right."""

    cases: int
    findings: tuple[Finding, ...]
    classes: Mapping[str, tuple[ClassFinding, ...]] = field(default_factory=dict)
    paired: tuple[int, ...] = ()

    def of(self, kind: str) -> tuple[Finding, ...]:
        """The findings of one kind."""
        return tuple(found for found in self.findings if found.kind == kind)


def check(
    data: DataSet, *, rules: CleaningRules | None = None, whole: Iterable[str] = (), notify: Notify | None = None
) -> Report:
    """Read every case once and report. Classes named in `whole` are never taken for two sides in one.

    `notify` is told how many cases are done, of how many, and which comes next.
    """
    rules = rules or CleaningRules()
    findings: list[Finding] = []
    classes: dict[str, tuple[ClassFinding, ...]] = {}
    contents: dict[str, list[str]] = defaultdict(list)
    for number, case in enumerate(data.cases):
        if notify is not None:
            notify(number, len(data.cases), case.name)
        image = _read_image(case, findings)
        if image is not None:
            contents[content_of(image)].append(case.name)
        if case.label is None and case.split != TEST:
            findings.append(Finding(UNLABELED, case.name, f"'{case.name}' has no label"))
        labels = _read_labels(case, findings) if image is not None and case.label is not None else None
        if labels is not None:
            classes[case.name] = tuple(findings_of(labels, rules))
    for name, found in classes.items():
        findings += _on_classes(name, found, data.classes, rules)
    findings += _absent(classes, data.classes)
    findings += _duplicates(data, contents)
    findings += _one_class_folders(data, classes)
    paired = _paired(classes, data.classes, set(whole))
    findings += [_as_pair(value, classes, data.classes) for value in paired]
    return Report(len(data.cases), tuple(findings), classes, paired)


def require_trainable(sets: Sequence[tuple[DataSet, Split]], *, classes: Iterable[int] = ()) -> None:
    """Refuse what training would stumble on hours later; of the label maps no more are read than are needed.

    `classes` are the label values to learn, all that the sets name where there are none.

    Raises:
        VolumeError: an image is unlabeled, a label has another size than its image or lies elsewhere, or a class
            occurs in no case to train on.
    """
    for data, split in sets:
        bare = next((case for case in data.cases if case.label is None and case.split != TEST), None)
        if bare is not None:
            bare.check_label()
        for case in data.cases:  # a split of another run may name cases that are not in the set
            if split.of(case.name) in (TRAIN, VALIDATION):
                case.check_label()
    names = {value: label for data, _ in sets for value, label in data.classes.items()}
    absent = set(classes) or set(names)
    for data, split in sets:
        trained = set(split.train)  # who is judged on what was trained on is on both sides
        for case in data.cases:
            if absent and case.name in trained:
                absent -= set(np.unique(case.read_labels().array).tolist())
    if absent:
        label = names.get(min(absent), str(min(absent)))
        raise VolumeError(
            f"Class '{label}' occurs in no case to train on; leave it out of dataset.json or --classes, or add cases "
            "that have it."
        )


def content_of(volume: Volume) -> str:
    """A digest of an image's voxels: the same for a copy under another name, format, type or compression."""
    digest = hashlib.sha256(repr(volume.array.shape).encode())
    for k in range(volume.array.shape[2]):
        digest.update(np.ascontiguousarray(volume.array[:, :, k], dtype=np.float32).tobytes())
    return digest.hexdigest()


def _read_image(case: Case, findings: list[Finding]) -> Volume | None:
    try:
        volumes = [case.read(channel) for channel in range(len(case.images))]
    except VolumeError as error:
        findings.append(Finding(UNREADABLE, case.name, str(error)))
        return None
    return volumes[0]


def _read_labels(case: Case, findings: list[Finding]) -> Volume | None:
    try:
        labels = case.read_labels()
    except VolumeError as error:
        kind = OFF_GRID if isinstance(error, OffGridError) else UNREADABLE
        findings.append(Finding(kind, case.name, str(error)))
        return None
    if not (labels.array > 0).any():
        findings.append(Finding(EMPTY, case.name, f"the label of '{case.name}' is empty"))
    return labels


def _on_classes(
    name: str, found: Sequence[ClassFinding], classes: Mapping[int, str], rules: CleaningRules
) -> list[Finding]:
    findings = []
    for one in found:
        label = classes.get(one.value, f"label {one.value}")
        if one.value not in classes:
            findings.append(Finding(UNKNOWN, name, f"'{name}' holds {one.value}, which dataset.json does not name"))
        if one.too_small:
            extent = " x ".join(f"{length:.0f}" for length in one.extent_mm)
            findings.append(Finding(SMALL, name, f"{label} of '{name}': {one.volume_mm3 / 1000:.2f} ml, {extent} mm"))
        if one.too_rare:
            findings.append(Finding(RARE, name, f"{label} of '{name}': {one.background:.5%} background"))
        if one.components > rules.most_components:
            findings.append(Finding(SCATTERED, name, f"{label} of '{name}': {one.components} components"))
    return findings


def _absent(classes: Mapping[str, Sequence[ClassFinding]], names: Mapping[int, str]) -> list[Finding]:
    present = {one.value for found in classes.values() for one in found}
    return [Finding(ABSENT, label, f"no label holds {label}") for value, label in names.items() if value not in present]


def _duplicates(data: DataSet, contents: Mapping[str, Sequence[str]]) -> list[Finding]:
    try:
        split = split_by_patient(data)
    except VolumeError as error:
        return [Finding(SPLIT, data.name, str(error))]
    findings = []
    for names in contents.values():
        sides = {name: split.of(name) for name in names}
        if len({side for side in sides.values() if side is not None}) > 1:
            said = " and ".join(f"'{name}' ({side})" for name, side in sides.items() if side is not None)
            findings.append(Finding(DUPLICATE, names[0], f"{said} are one image"))
    return findings


def _one_class_folders(data: DataSet, classes: Mapping[str, Sequence[ClassFinding]]) -> list[Finding]:
    """Folders of which every label holds the same one class, where the set has several."""
    by_folder: dict[Path, list[set[int]]] = defaultdict(list)
    for case in data.cases:
        if case.label is not None and case.name in classes:
            by_folder[_folder_of(case)].append({one.value for one in classes[case.name]})
    findings = []
    for folder, found in by_folder.items():
        together: set[int] = set().union(*found)
        if len(together) == 1 and len(data.classes) > 1 and len(found) > 1:
            label = data.classes.get(next(iter(together)), "one class")
            findings.append(Finding(ONE_CLASS, folder.name, f"every label in '{folder.name}' holds {label} alone"))
    return findings


def _folder_of(case: Case) -> Path:
    assert case.label is not None, "only labeled cases are asked"
    folder = case.label.parent
    alone = stem_of(case.label) == "label"  # a folder a case
    return folder.parent if alone or folder.name.startswith("label") else folder


def _paired(
    classes: Mapping[str, Sequence[ClassFinding]], names: Mapping[int, str], whole: set[str]
) -> tuple[int, ...]:
    """Classes that most of the labels show as a pair, and whose names do not say a side."""
    votes: dict[int, list[bool]] = defaultdict(list)
    for found in classes.values():
        for one in found:
            if not one.dropped:
                votes[one.value].append(one.pair)
    return tuple(
        value
        for value, pairs in sorted(votes.items())
        if 2 * sum(pairs) > len(pairs)
        and names.get(value, "") not in whole
        and not is_named_by_side(names.get(value, ""))
    )


def _as_pair(value: int, classes: Mapping[str, Sequence[ClassFinding]], names: Mapping[int, str]) -> Finding:
    count = sum(one.value == value and one.pair for found in classes.values() for one in found)
    label = names.get(value, f"label {value}")
    return Finding(PAIRED, label, f"{label} lies left and right of the middle in {count} cases")


def as_json(report: Report) -> dict[str, Any]:
    """The report for a JSON file: the findings by kind."""
    kinds = {kind: [vars(found) for found in report.of(kind)] for kind in (*PROBLEMS, *CLEANED)}
    return {"cases": report.cases, "findings": {kind: found for kind, found in kinds.items() if found}}
