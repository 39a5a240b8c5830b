"""Who is trained on and who is not: split by patient, by the set's own split where it has one."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np

from inference_core.errors import OptionError, VolumeError
from inference_core.training.data.cases import SPLITS, TEST, TRAIN, VALIDATION, Case, DataSet, Split

VISIT_PATTERN = (
    r"(.+?)[-_. ](?:pre|post|baseline|bl|follow-?up\d*|fu\d*|ses(?:sion)?-?\w+|visit-?\d+|v\d+|tp?\d+|timepoint-?\d+"
    r"|scan\d+|study\d+|day\d+|week\d+|month\d+|year\d+)(?:[-_. ][a-z].*)?"
)
"""What a case's name begins with before a word that tells visits of one patient apart: 01_pre and 01_post are 01.

What follows that word begins with a letter: in liver_post_01 the number is the patient's.
"""


def patient_of(name: str, pattern: str = VISIT_PATTERN) -> str:
    """Whose a case is, by its name: the first group of the pattern where it fits, in any case, else the whole name.

    Raises:
        OptionError: the pattern is no regular expression with a group.
    """
    try:
        expression = re.compile(pattern, re.IGNORECASE)
    except re.error as error:
        raise OptionError(f"The patient pattern '{pattern}' is no regular expression ({error}); correct it.") from error
    if not expression.groups:
        raise OptionError(f"The patient pattern '{pattern}' has no group; put the patient's part in parentheses.")
    found = expression.fullmatch(name)
    return (found.group(1) or name) if found else name


def split_by_patient(data: DataSet, *, share: float = 0.2, seed: int = 0, fold: int | None = None) -> Split:
    """Split a set's labeled cases so that no patient is on both sides; the same arguments give the same split.

    What the set itself says holds: its folds (the one asked for, else the first), then each case's `split`. A case of
    which it says nothing goes where its patient is, else to training. Where no case is named for validation, `share` of
    the patients to train on are, one at least where there are two. With `fold`, from 0, of a set without folds,
    round(1 / share) folds share out the patients. A case that the set's folds leave out is on no side.

    Raises:
        OptionError: the share or the fold makes no sense.
        VolumeError: the set's own split has a patient on two sides, or no labeled case is left to train on.
    """
    if not 0 < share < 1:
        raise OptionError(f"The share {share:g} for validation is not between 0 and 1; choose another.")
    cases = [case for case in data.cases if case.label is not None]
    if data.folds:
        chosen = _own_fold(data.folds, fold)
        sides = {case.name: chosen.of(case.name) or case.split for case in cases}
    else:
        known = {case.patient: case.split for case in cases if case.split is not None}
        sides = {case.name: case.split or known.get(case.patient, TRAIN) for case in cases}
    if VALIDATION not in sides.values():
        own = None if data.folds else fold
        sides |= _drawn([case for case in cases if sides[case.name] == TRAIN], share=share, seed=seed, fold=own)
    _check_patients(cases, sides)
    named = {side: tuple(case.name for case in cases if sides[case.name] == side) for side in SPLITS}
    if not named[TRAIN]:
        raise VolumeError(f"'{data.name}' has no labeled case to train on; check its split and its labels.")
    return Split(named[TRAIN], named[VALIDATION], named[TEST])


def _own_fold(folds: Sequence[Split], fold: int | None) -> Split:
    number = fold or 0
    if not 0 <= number < len(folds):
        raise OptionError(f"There is no fold {number}; the data set has the folds 0 to {len(folds) - 1}.")
    return folds[number]


def _drawn(cases: Sequence[Case], *, share: float, seed: int, fold: int | None) -> dict[str, str | None]:
    """Which of the cases to train on are validated on instead."""
    patients = sorted({case.patient for case in cases})
    order = [patients[n] for n in np.random.default_rng(seed).permutation(len(patients))]
    validated = set(_part(order, share=share, fold=fold))
    return {case.name: VALIDATION for case in cases if case.patient in validated}


def _part(patients: Sequence[str], *, share: float, fold: int | None) -> Sequence[str]:
    if len(patients) < 2:
        return ()
    if fold is not None:
        count = min(max(2, round(1 / share)), len(patients))
        if not 0 <= fold < count:
            raise OptionError(f"There is no fold {fold}; {len(patients)} patients make the folds 0 to {count - 1}.")
        return patients[fold::count]
    return patients[: min(max(1, round(share * len(patients))), len(patients) - 1)]


def _check_patients(cases: Iterable[Case], sides: dict[str, str | None]) -> None:
    found: dict[str, set[str]] = defaultdict(set)
    for case in cases:
        side = sides[case.name]
        if side is not None:
            found[case.patient].add(side)
    for patient, there in found.items():
        if len(there) > 1:
            raise VolumeError(
                f"Patient '{patient}' is in {' and '.join(sorted(there))} by the data set's own split; correct the "
                "split, or say with patient_pattern in dataset.json what tells patients apart."
            )
