"""The change between two visits as a table: rows of cells, text and CSV, with the RECIST category and its rule."""

from __future__ import annotations

import csv
import io

from inference_core.measures.change import Change, Fate, LesionChange, percent
from inference_core.measures.lesion_table import Role

TITLES = ("lesion", "RECIST", "mm before", "mm after", "mm change", "ml before", "ml after", "ml change", "flag")
RULE = (
    "RECIST 1.1 (Eisenhauer 2009), of the target lesions' longest axial diameters, of nodes the short axis. Complete "
    "response: all targets vanished, nodes below 10 mm. Progressive disease: a new lesion, or a sum at least 20 % and "
    "5 mm above the smallest so far. Partial response: a sum at least 30 % below the baseline's. Stable disease: none "
    "of these. Non-targets do not count here."
)


def change_rows(change: Change) -> list[tuple[str, ...]]:
    """A row a lesion with the columns `TITLES`, and one of the sum."""
    rows = [_row(lesion) for lesion in change.lesions]
    return [*rows, ("sum of diameters", "", *_numbers(change.sum_mm, 1), "", "", "", "")]


def conclusion(change: Change) -> str:
    """The category and the part of the rule that made it, as one sentence."""
    category = "no category" if change.response is None else change.response.value
    return f"RECIST 1.1: {category}; {change.reason}."


def change_csv(change: Change) -> str:
    """The rows under their titles; lengths in mm, volumes in ml, the changes in percent beside them."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = ("before_mm", "after_mm", "change_percent_mm", "before_ml", "after_ml", "change_percent_ml")
    writer.writerow(("name", "role", *names, "flag"))
    for lesion in change.lesions:
        writer.writerow(
            (lesion.name, _role(lesion), *_plain(lesion, lesion.mm), *_plain(lesion, lesion.ml), lesion.fate.value)
        )
    before, after = change.sum_mm
    share = percent(before, after)
    writer.writerow(("sum of diameters", "", f"{before:.6g}", f"{after:.6g}", _short(share), "", "", "", ""))
    return text.getvalue()


def _row(lesion: LesionChange) -> tuple[str, ...]:
    unmeasured = lesion.fate is Fate.NOT_MEASURED
    mm, ml = _numbers(lesion.mm, 1), _numbers(lesion.ml, 2)
    if unmeasured:
        mm, ml = (mm[0], "", ""), (ml[0], "", "")
    return lesion.name, _role(lesion), *mm, *ml, lesion.fate.value


def _numbers(values: tuple[float, float], digits: int) -> tuple[str, str, str]:
    before, after = values
    share = percent(before, after)
    return f"{before:.{digits}f}", f"{after:.{digits}f}", "" if share is None else f"{share:+.0f} %"


def _plain(lesion: LesionChange, values: tuple[float, float]) -> tuple[str, str, str]:
    before, after = values
    if lesion.fate is Fate.NOT_MEASURED:
        return f"{before:.6g}", "", ""
    return f"{before:.6g}", f"{after:.6g}", _short(percent(before, after))


def _short(number: float | None) -> str:
    return "" if number is None else f"{number:.4g}"


def _role(lesion: LesionChange) -> str:
    """A new lesion has none at the baseline."""
    return "" if lesion.before is None else Role.of(lesion.before).value
