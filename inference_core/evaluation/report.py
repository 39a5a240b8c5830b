"""The results of an evaluation as numbers to keep and lines to read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from inference_core.evaluation.summary import StartSummary, Summary, start_as_json, summarize, summarize_start
from inference_core.evaluation.summary import as_json as summary_as_json

if TYPE_CHECKING:
    from inference_core.evaluation.protocol import CaseResult


@dataclass(frozen=True)
class Case:
    """One evaluated case: the image's and the label map's path as given, and how it went.

    The images in one folder are taken for those of one patient.
    """

    image: str
    label: str
    result: CaseResult

    @property
    def patient(self) -> str:
        """What tells patients apart: the folder that holds the image, or the series."""
        return str(Path(self.image).parent)


def as_json(cases: Sequence[Case]) -> dict[str, Any]:
    """`cases` with their curves, `mean` after each click, and `summary`; those of no cases are empty.

    `start` is there where something was given before the clicks.
    """
    summary = summary_as_json(summary_of(cases)) if cases else {}
    start = start_of(cases)
    begun = {} if start is None else {"start": start_as_json(start)}
    return {"cases": [_case(case) for case in cases], "mean": means(cases), "summary": summary, **begun}


def summary_of(cases: Sequence[Case]) -> Summary:
    """Figures of merit over cases, of which there is at least one."""
    distances = [case.result.hausdorff95_mm for case in cases]
    return summarize(_rows(cases, "dice"), _rows(cases, "nsd"), distances, [case.patient for case in cases])


def start_of(cases: Sequence[Case]) -> StartSummary | None:
    """What the answers before the first click, and that click, come to; None where nothing was given before it."""
    begun = [(case, case.result.start) for case in cases if case.result.start is not None]
    if not begun:
        return None
    return summarize_start(
        [start.dice for _, start in begun],
        [start.nsd for _, start in begun],
        [case.result.scores[0].dice for case, _ in begun],
        [case.patient for case, _ in begun],
    )


def means(cases: Sequence[Case]) -> dict[str, list[float]]:
    """Mean Dice and NSD after each click."""
    return {name: np.mean(rows, axis=0).tolist() if (rows := _rows(cases, name)) else [] for name in ("dice", "nsd")}


def curve_line(values: Sequence[float]) -> str:
    """A curve as text, for example "0.61 0.78 0.84"."""
    return " ".join(f"{value:.2f}" for value in values)


def dice_curves(cases: Sequence[Case]) -> dict[str, list[float]]:
    """Dice after each click by the image's path, for a plot."""
    return {case.image: [score.dice for score in case.result.scores] for case in cases}


def _rows(cases: Sequence[Case], name: str) -> list[list[float]]:
    return [[getattr(score, name) for score in case.result.scores] for case in cases]


def _case(case: Case) -> dict[str, Any]:
    curves = {name: [getattr(score, name) for score in case.result.scores] for name in ("dice", "nsd", "seconds")}
    begun = case.result.start
    start = {} if begun is None else {"start": {"dice": begun.dice, "nsd": begun.nsd, "seconds": begun.seconds}}
    distance = case.result.hausdorff95_mm
    ending = {
        "hausdorff95_mm": distance if np.isfinite(distance) else None,
        "dice_between_orders": list(case.result.orders),
    }
    return {"image": case.image, "label": case.label, **curves, **ending, **start}
