"""Figures of merit over many cases, as the field gives them, with confidence intervals over patients.

Areas under the curve are those of the CVPR 2025 interactive challenge (trapezoid over the clicks 1 to 5, so that a
curve that is 1 throughout has an area of 4). NoC is the number of clicks to a Dice (as many
as were made where it is never reached). A click harms where it lowers Dice by more than 0.02. A case fails that never
reaches the Dice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

AREA_CLICKS = 5
HARM = 0.02
_RESAMPLINGS = 2000

Curves = Sequence[Sequence[float]]


@dataclass(frozen=True)
class Estimate:
    """A mean over cases and its 95 % interval, by resampling patients."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Summary:
    """What a set of cases comes to.

    dice, nsd: after each click. dice_area, nsd_area: under the curve of the first five clicks. noc: clicks to a Dice of
    0.85 and 0.90; failed: the share of cases that never reach them. harmful: how many of how many further clicks lower
    Dice by more than 0.02, and the worst fall. hausdorff95_mm: after the last click, over cases where it is finite.
    """

    dice: tuple[Estimate, ...]
    nsd: tuple[Estimate, ...]
    dice_area: Estimate | None
    nsd_area: Estimate | None
    noc: dict[float, Estimate]
    failed: dict[float, float]
    harmful: int
    further_clicks: int
    worst_fall: float
    hausdorff95_mm: Estimate | None


@dataclass(frozen=True)
class StartSummary:
    """What answers before the first click come to, and that click.

    worse: in how many of the cases the first click lowers Dice at all; harmed: by more than 0.02; the worst fall.
    """

    dice: Estimate
    nsd: Estimate
    cases: int
    worse: int
    harmed: int
    worst_fall: float


def summarize(dice: Curves, nsd: Curves, hausdorff95: Sequence[float], patients: Sequence[str]) -> Summary:
    """Summarize the curves of some cases of some patients; all curves are of equally many clicks.

    Raises:
        ValueError: there is no case.
    """
    if not dice:
        raise ValueError("there is nothing to summarize")
    scores, surfaces = np.array(dice), np.array(nsd)
    estimate = _Resampling(patients).estimate
    steps = np.diff(scores, axis=1)
    enough = scores.shape[1] >= AREA_CLICKS
    finite = np.isfinite(hausdorff95)
    return Summary(
        dice=tuple(estimate(column) for column in scores.T),
        nsd=tuple(estimate(column) for column in surfaces.T),
        dice_area=estimate(area_under(scores)) if enough else None,
        nsd_area=estimate(area_under(surfaces)) if enough else None,
        noc={level: estimate(clicks_to(scores, level)) for level in (0.85, 0.90)},
        failed={level: float((scores.max(axis=1) < level).mean()) for level in (0.85, 0.90)},
        harmful=int((steps < -HARM).sum()),
        further_clicks=int(steps.size),
        worst_fall=float(min(0.0, steps.min())) if steps.size else 0.0,
        hausdorff95_mm=estimate(np.where(finite, hausdorff95, np.nan)) if finite.any() else None,
    )


def summarize_start(
    dice: Sequence[float], nsd: Sequence[float], first: Sequence[float], patients: Sequence[str]
) -> StartSummary:
    """Summarize the scores before the first click, and Dice after it (`first`), of one or more cases."""
    estimate, steps = _Resampling(patients).estimate, np.subtract(first, dice)
    return StartSummary(
        dice=estimate(np.asarray(dice, dtype=np.float64)),
        nsd=estimate(np.asarray(nsd, dtype=np.float64)),
        cases=len(dice),
        worse=int((steps < 0).sum()),
        harmed=int((steps < -HARM).sum()),
        worst_fall=float(min(0.0, steps.min())),
    )


def area_under(curves: NDArray[np.float64]) -> NDArray[np.float64]:
    """The area under each curve (cases, clicks) from the first click to the fifth, by trapezoids: 0..4."""
    first = curves[:, :AREA_CLICKS]
    return np.asarray((first[:, 1:] + first[:, :-1]).sum(axis=1) / 2)


def clicks_to(curves: NDArray[np.float64], level: float) -> NDArray[np.float64]:
    """How many clicks each curve (cases, clicks) takes to a Dice; as many as were made where it never gets there."""
    reached = curves >= level
    return np.where(reached.any(axis=1), reached.argmax(axis=1) + 1, curves.shape[1]).astype(np.float64)


class _Resampling:
    """Means over cases, their patients drawn again with replacement: images of one patient are not independent."""

    def __init__(self, patients: Sequence[str]) -> None:
        names = sorted(set(patients))
        members = [np.flatnonzero([patient == name for patient in patients]) for name in names]
        rng = np.random.default_rng(0)
        draws = rng.integers(0, len(names), (_RESAMPLINGS, len(names)))
        self._counts = np.zeros((_RESAMPLINGS, len(patients)))
        for number, member in enumerate(members):
            self._counts[:, member] = (draws == number).sum(axis=1)[:, None]

    def estimate(self, values: NDArray[np.float64]) -> Estimate:
        """The mean of a value a case, NaN left out, and its interval."""
        known = np.isfinite(values)
        counts, numbers = self._counts[:, known], values[known]
        total = counts.sum(axis=1)
        means = (counts @ numbers)[total > 0] / total[total > 0]
        low, high = np.quantile(means, [0.025, 0.975]) if len(means) else (np.nan, np.nan)
        return Estimate(float(numbers.mean()), float(low), float(high))


def as_json(summary: Summary) -> dict[str, object]:
    """A summary for a JSON file."""
    return {
        "mean_and_95_percent_interval": {
            "dice": [_plain(estimate) for estimate in summary.dice],
            "nsd": [_plain(estimate) for estimate in summary.nsd],
            "dice_area": _plain(summary.dice_area),
            "nsd_area": _plain(summary.nsd_area),
            "clicks_to_0.85": _plain(summary.noc[0.85]),
            "clicks_to_0.90": _plain(summary.noc[0.90]),
            "hausdorff95_mm": _plain(summary.hausdorff95_mm),
        },
        "never_reached_0.85": summary.failed[0.85],
        "never_reached_0.90": summary.failed[0.90],
        "harmful_clicks": summary.harmful,
        "further_clicks": summary.further_clicks,
        "worst_fall": summary.worst_fall,
    }


def start_as_json(summary: StartSummary) -> dict[str, object]:
    """A summary of starts for a JSON file."""
    return {
        "mean_and_95_percent_interval": {"dice": _plain(summary.dice), "nsd": _plain(summary.nsd)},
        "cases": summary.cases,
        "first_click_made_worse": summary.worse,
        "first_click_harmed": summary.harmed,
        "worst_fall": summary.worst_fall,
    }


def _plain(estimate: Estimate | None) -> list[float] | None:
    return None if estimate is None else [estimate.mean, estimate.low, estimate.high]
