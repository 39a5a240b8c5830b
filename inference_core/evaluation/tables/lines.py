"""A table's lines: measured, published, and the difference; as text, as rows of a CSV file, as JSON."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from inference_core.evaluation.tables.definitions import Measure, Setting, Table
from inference_core.evaluation.tables.published import Published, left_out, published, to_compare
from inference_core.evaluation.tables.scores import AVERAGE, Cell, Score, cells

CSV_TITLES = ("measure", "row", "method", "column", "value", "targets", "left out", "published", "of", "difference")


@dataclass(frozen=True, eq=False)
class Line:
    """What one model reached in one row by one measure, and what it is set against, if anything."""

    model: str
    setting: Setting
    measure: Measure
    cells: Mapping[str, Cell]
    against: Published | None

    def difference(self, column: str) -> float | None:
        """Measured less published, where both have the column; averages only where they are over the same columns."""
        if self.against is None or column not in self.against.values or not np.isfinite(self.cells[column].value):
            return None
        named = set(self.against.values) - {AVERAGE}
        if column == AVERAGE and named and named != set(self.cells) - {AVERAGE}:
            return None
        return self.cells[column].value - self.against.values[column]


def lines_of(table: Table, scores: Sequence[Score], notes: Mapping[str, Any]) -> list[Line]:
    """A line for each measure, row and model that has scores; `notes` are the prepared set's (dataset.json)."""
    known = [line for line in published(table.name) if line.is_of(notes)]
    models = list(dict.fromkeys(score.model for score in scores))
    found = []
    for measure in table.measures:
        for setting in table.settings:
            for model in models:
                own = [score for score in scores if (score.model, score.setting) == (model, setting.name)]
                against = to_compare(known, model=model, setting=setting.name, measure=measure.name)
                found += [Line(model, setting, measure, cells(table, own, measure), against)] if own else []
    return found


def rows_of(table: Table, lines: Sequence[Line], measure: Measure, notes: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """One measure's rows for people to read, the titles first: measured, its difference, then what was published."""
    own = [line for line in lines if line.measure == measure]
    columns = list(dict.fromkeys(column for line in own for column in line.cells if column != AVERAGE))
    columns += [AVERAGE] if len(columns) > 1 else []
    rows = [("row", "method", *columns)]
    for line in own:
        rows.append((line.setting.name, line.model, *(_number(line.cells[c].value) for c in columns)))
        if line.against is not None and any(line.difference(column) is not None for column in columns):
            title = f"less {line.against.method}"
            rows.append((line.setting.name, title, *(_number(line.difference(c), sign=True) for c in columns)))
    settings = {line.setting.name for line in own}
    told = [one for one in published(table.name) if one.measure == measure.name and one.is_of(notes)]
    for one in told:
        if one.setting in settings and any(column in one.values for column in columns):
            rows.append((one.setting, f"{one.method} (published)", *(_number(one.values.get(c)) for c in columns)))
    return rows


def remarks(table: Table, lines: Sequence[Line], notes: Mapping[str, Any]) -> list[str]:
    """What a reader of the table must know: sources, what is set beside nothing, what was left out of means."""
    told = published(table.name)
    shown = {(line.setting.name, line.measure.name) for line in lines}
    found = [f"Protocol: {table.said}."] if table.said else []
    found += _sources([one for one in told if one.is_of(notes)])
    other = [one for one in told if not one.is_of(notes) or (one.setting, one.measure) not in shown]
    found += [f"Published too, set beside nothing here: {_in_words(one)}." for one in other]
    for line in lines:
        if lost := line.cells[AVERAGE].left_out:
            found.append(f"{line.model}, {line.setting.name}: {lost} targets without a finite {line.measure.name}.")
    return [*found, *left_out(table.name)]


def csv_rows(lines: Sequence[Line]) -> Iterator[tuple[Any, ...]]:
    """A row for each number, under `CSV_TITLES`."""
    for line in lines:
        for column, cell in line.cells.items():
            told = line.against.values.get(column) if line.against is not None else None
            of = line.against.method if line.against is not None and told is not None else ""
            difference = line.difference(column)
            yield (
                line.measure.name, line.setting.name, line.model, column, _plain(cell.value), cell.count,
                cell.left_out, "" if told is None else told, of, "" if difference is None else _plain(difference),
            )  # fmt: skip


def as_json(table: Table, lines: Sequence[Line], scores: Sequence[Score]) -> dict[str, Any]:
    """All of it: means with their differences, what was published, and every target's own scores."""
    return {
        "table": table.name,
        "lines": [
            {
                "measure": line.measure.name, "tolerance_mm": line.measure.tolerance_mm, "row": line.setting.name,
                "model": line.model, "columns": {name: asdict(cell) for name, cell in line.cells.items()},
                "against": None if line.against is None else asdict(line.against),
                "difference": {name: line.difference(name) for name in line.cells},
            }
            for line in lines
        ],
        "published": [asdict(one) for one in published(table.name)],
        "not_read": list(left_out(table.name)),
        "scores": [asdict(score) for score in scores],
    }  # fmt: skip


def _sources(told: Sequence[Published]) -> list[str]:
    """Which methods' numbers are from where."""
    methods: dict[str, dict[str, None]] = defaultdict(dict)
    for one in told:
        methods[f"{one.source}, {one.table}"][one.method] = None
    return [f"Published numbers of {', '.join(names)}: {source}." for source, names in methods.items()]


def _in_words(one: Published) -> str:
    values = ", ".join(f"{column} {value:g}" for column, value in one.values.items())
    only = "" if one.recipe is None else f" ({one.recipe})"
    return f"{one.method}{only}, {one.setting}, {one.measure}: {values} ({one.source}, {one.table})"


def _number(value: float | None, *, sign: bool = False) -> str:
    if value is None or not np.isfinite(value):
        return "-"
    return f"{value:+.2f}" if sign else f"{value:.2f}"


def _plain(value: float) -> float | str:
    return round(value, 4) if np.isfinite(value) else ""
