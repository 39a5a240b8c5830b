"""Lesions along time points as a table: a row a lesion and time point, with all numbers of its measurements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from inference_core.followup.time_points import AtTime
from inference_core.measures.csv_text import csv_text
from inference_core.measures.measurements import COLUMNS, measure

TIME_COLUMNS = ("time_point", "part", "lesion", "measured", "look_at", *COLUMNS)


def rows_at(found: AtTime, *, part: str, unit: str = "") -> list[dict[str, Any]]:
    """The rows of one time point, counted from 1; `part` says what tells it apart, and `unit` is that of the voxels.

    Of a lesion that the image does not reach there are no numbers.
    """
    rows = []
    for lesion in found.lesions:
        about = {"time_point": found.point + 1, "part": part, "lesion": lesion.name}
        look_at = " ".join(filter(None, (lesion.doubt, found.caution)))
        numbers = measure(lesion.mask, found.volume, unit=unit).as_row() if lesion.measured else {}
        rows.append(about | {"measured": "yes" if lesion.measured else "no", "look_at": look_at} | numbers)
    return rows


def time_csv(rows: Sequence[dict[str, Any]]) -> str:
    """The rows in the order of time, under the columns `TIME_COLUMNS`, whose names tell their units."""
    in_time = sorted(rows, key=lambda row: row["time_point"])
    return csv_text(TIME_COLUMNS, in_time)
