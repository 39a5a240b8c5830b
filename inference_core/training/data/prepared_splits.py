"""The sides of a prepared set's cases, by a paper's rule, as nnU-Net's splits_final.json has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from inference_core.training.data.cases import TEST, TRAIN, VALIDATION, Split
from inference_core.training.data.recipe import Counts, Listed, SplitRule
from inference_core.training.data.splits import patient_of


def folds_of(rule: SplitRule, published: Mapping[str, str | None], *, pattern: str, seed: int = 0) -> tuple[Split, ...]:
    """One split or more of the cases by name; none where neither the paper nor the publisher says anything.

    A patient is never on two sides: the sides are drawn for patients.
    """
    names = sorted(published)
    if isinstance(rule, Counts):
        return (_drawn(names, rule, pattern=pattern, seed=seed),)
    if isinstance(rule, Listed):
        return tuple(_listed(names, validation, test) for validation, test in rule.folds)
    sides = {side for side in published.values() if side is not None}
    if not sides - {TRAIN}:
        return ()
    return (_sided({name: side or TRAIN for name, side in published.items()}),)


def missing(rule: SplitRule, names: Sequence[str]) -> tuple[str, ...]:
    """Cases that the paper's list names and the set does not hold."""
    if not isinstance(rule, Listed):
        return ()
    listed = {name for fold in rule.folds for side in fold for name in side}
    return tuple(sorted(listed - set(names)))


def without(split: Split, names: Sequence[str]) -> Split:
    """A split without some cases."""
    left = set(names)
    return Split(*(tuple(n for n in getattr(split, side) if n not in left) for side in (TRAIN, VALIDATION, TEST)))


def as_json(split: Split) -> dict[str, list[str]]:
    """A fold as nnU-Net writes it, and its test cases."""
    return {"train": list(split.train), "val": list(split.validation), "test": list(split.test)}


def _listed(names: Sequence[str], validation: Sequence[str], test: Sequence[str]) -> Split:
    return _sided({name: TEST if name in test else VALIDATION if name in validation else TRAIN for name in names})


def _drawn(names: Sequence[str], counts: Counts, *, pattern: str, seed: int) -> Split:
    patients = sorted({patient_of(name, pattern) for name in names})
    order = [patients[n] for n in np.random.default_rng(seed).permutation(len(patients))]
    scale = len(patients) / (counts.train + counts.validation + counts.test)
    validated, tested = (_scaled(count, scale) for count in (counts.validation, counts.test))
    sides = dict.fromkeys(order, TRAIN)
    for patient in order[: min(tested, max(0, len(order) - 2))]:
        sides[patient] = TEST
    free = [patient for patient in order if sides[patient] == TRAIN]
    for patient in free[: min(validated, len(free) - 1)]:
        sides[patient] = VALIDATION
    return _sided({name: sides[patient_of(name, pattern)] for name in names})


def _scaled(count: int, scale: float) -> int:
    return max(1, round(count * scale)) if count else 0


def _sided(sides: Mapping[str, str]) -> Split:
    return Split(
        *(tuple(sorted(n for n, side in sides.items() if side == wanted)) for wanted in (TRAIN, VALIDATION, TEST))
    )
