"""One answer's measures, and their means by column as the papers take them: over cases first, then over columns."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference_core.evaluation.metrics import dice, hausdorff, hausdorff95, intersection_over_union, surface_dice
from inference_core.evaluation.tables.definitions import Columns, Measure, Table

Mask = NDArray[np.bool_]
Spacing = tuple[float, float, float]
AVERAGE = "average"


@dataclass(frozen=True)
class Score:
    """What one model reached in one row on one target of a case, by the measures' names; % or mm."""

    model: str
    setting: str
    case: str
    target: str
    values: Mapping[str, float]


@dataclass(frozen=True)
class Cell:
    """A mean over `count` targets, of which `left_out` more had no finite value; NaN where none had one."""

    value: float
    count: int
    left_out: int = 0


def measured(measures: Sequence[Measure], mask: Mask, truth: Mask, spacing: Spacing) -> dict[str, float]:
    """Measures of a mask (i, j, k), shares in percent, distances in mm (infinite where one of the two is empty)."""
    return {measure.name: _measured(measure, mask, truth, spacing) for measure in measures}


def cells(table: Table, scores: Iterable[Score], measure: Measure) -> dict[str, Cell]:
    """The table's columns, in the order in which they come, and the average over them."""
    found: dict[str, list[float]] = defaultdict(list)
    for score in scores:
        found[column_of(table, score)].append(score.values[measure.name])
    columns = {column: _cell(values) for column, values in found.items()}
    known = [cell.value for cell in columns.values() if np.isfinite(cell.value)]
    whole = float(np.mean(known)) if known else float("nan")
    counts = (sum(cell.count for cell in columns.values()), sum(cell.left_out for cell in columns.values()))
    return {**columns, AVERAGE: Cell(whole, *counts)}


def column_of(table: Table, score: Score) -> str:
    """The column that a target of a case counts in."""
    if table.columns is Columns.SITES:
        return score.case.partition("_")[0]
    return score.case if table.columns is Columns.CASES else score.target


def _cell(values: Sequence[float]) -> Cell:
    known = [value for value in values if np.isfinite(value)]
    return Cell(float(np.mean(known)) if known else float("nan"), len(known), len(values) - len(known))


def _measured(measure: Measure, mask: Mask, truth: Mask, spacing: Spacing) -> float:
    if measure.name == "HD":
        return hausdorff(mask, truth, spacing=spacing)
    if measure.name == "HD95":
        return hausdorff95(mask, truth, spacing=spacing)
    if measure.tolerance_mm is not None:
        return 100 * surface_dice(mask, truth, spacing=spacing, tolerance_mm=measure.tolerance_mm)
    return 100 * (intersection_over_union if measure.name == "IoU" else dice)(mask, truth)
