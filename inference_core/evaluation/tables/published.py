"""What the papers' tables say, from published.json: only numbers that were read in a source, which each one names."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("published.json")


@dataclass(frozen=True)
class Published:
    """One line of a published table: a method's means by column, in % or mm.

    `families` are what the models that it is the paper of are called, by how their names begin. It is of one prepared
    `recipe` or of any, and of classes as one paper has them (`prepared_as`), or of any.
    """

    method: str
    setting: str
    measure: str
    values: Mapping[str, float]
    source: str
    table: str
    families: tuple[str, ...] = ()
    recipe: str | None = None
    prepared_as: str | None = None

    def is_of(self, notes: Mapping[str, Any]) -> bool:
        """Whether it is about a prepared set, by what its dataset.json says."""
        return self.recipe in (None, notes.get("recipe")) and self.prepared_as in (None, notes.get("paper"))


def published(table: str) -> tuple[Published, ...]:
    """The lines of a table, the paper's own method first."""
    entries = _content()[table]["published"]
    return tuple(Published(**{**entry, "families": tuple(entry.get("families", ()))}) for entry in entries)


def left_out(table: str) -> tuple[str, ...]:
    """What of a table could not be read, a sentence each."""
    return tuple(_content()[table]["notes"])


def to_compare(lines: Sequence[Published], *, model: str, setting: str, measure: str) -> Published | None:
    """The line that a model's own is set against: that of its own paper, else that of the setting's first paper."""
    fitting = [line for line in lines if (line.setting, line.measure) == (setting, measure) and line.families]
    own = [line for line in fitting if any(model.startswith(family) for family in line.families)]
    return next(iter(own or fitting), None)


@cache
def _content() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return content
