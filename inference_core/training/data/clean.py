"""A data set written anew, cleaned: nnU-Net raw, images as they are, labels after SAM-Med3D's four steps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from inference_core.errors import OutputError, VolumeError
from inference_core.geometry.volume import Volume
from inference_core.io.files import write_labels
from inference_core.training.data import prepared_splits
from inference_core.training.data.cases import Case, DataSet, Split
from inference_core.training.data.checks import Report
from inference_core.training.data.cleaning import CleaningRules, cleaned
from inference_core.training.data.splits import split_by_patient
from inference_core.training.data.writing import NIFTI, begin, copy_image, finish, places_of, write_image

Notify = Callable[[int, int, str], None]


def write_cleaned(
    data: DataSet, report: Report, out: Path, *, rules: CleaningRules, notify: Notify | None = None
) -> dict[str, str]:
    """Write the cases that can be used; those that cannot, or have no label left, are returned with the reason.

    A class that lies left and right keeps its value on the left and gets a new one on the right.

    Raises:
        OutputError: the folder holds something else, or cannot be written.
        VolumeError: no case is left, or the set's own split cannot be used.
    """
    highest = max([*data.classes, *report.paired], default=0)
    right = {value: highest + n for n, value in enumerate(report.paired, start=1)}
    if max(right.values(), default=highest) > 255:
        raise OutputError("The cleaned labels would have more than 255 classes; keep some pairs whole with --whole.")
    split = split_by_patient(data)
    begin(out, {"cleaned": data.name, "rules": vars(rules), "right": {str(k): v for k, v in right.items()}})
    left_out: dict[str, str] = {}
    for number, case in enumerate(data.cases):
        if notify is not None:
            notify(number, len(data.cases), case.name)
        reason = _write(case, report, out, rules=rules, right=right, test=case.name in split.test)
        if reason is not None:
            left_out[case.name] = reason
    if len(left_out) == len(data.cases):
        raise VolumeError("No case has a label left after cleaning; see what `data check` reports without --write.")
    _finish(data, out, right=right, split=prepared_splits.without(split, tuple(left_out)))
    return left_out


def _write(
    case: Case, report: Report, out: Path, *, rules: CleaningRules, right: dict[int, int], test: bool
) -> str | None:
    """Write a case, or say why not."""
    if case.name not in report.classes:
        return f"'{case.name}' has no label that can be used"
    places = places_of(case.name, out, tested=test, channels=len(case.images))
    if places.there:
        return None
    labels = case.read_labels()
    result = cleaned(labels, rules, split=right)
    if not result.any():
        return f"'{case.name}' has no label left"
    for channel, (path, place) in enumerate(zip(case.images, places.images, strict=True)):
        _write_image(case, channel, path, place)
    write_labels(places.label, result, labels.grid)
    return None


def _write_image(case: Case, channel: int, path: Path, place: Path) -> None:
    if path.is_file() and case.images.count(path) == 1 and path.name.lower().endswith((".nii", NIFTI)):
        copy_image(path, place)
        return
    volume: Volume = case.read(channel)
    write_image(place, volume.array, volume.grid)


def _finish(data: DataSet, out: Path, *, right: dict[int, int], split: Split) -> None:
    names = {value: f"{name} left" if value in right else name for value, name in data.classes.items()}
    names |= {new: f"{data.classes.get(old, f'label {old}')} right" for old, new in right.items()}
    patients = {case.name: case.patient for case in data.cases if split.of(case.name) is not None}
    finish(
        out, [split], name=data.name, channels=data.channels, classes=names,
        train_count=len(split.train) + len(split.validation), notes={**data.notes, "patients": patients},
    )  # fmt: skip
