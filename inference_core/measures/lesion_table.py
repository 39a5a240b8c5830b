"""The lesions of one image as a table: roles in RECIST 1.1 and their limits, the sum of diameters, text, CSV and JSON.

The limits (Eisenhauer et al., Eur J Cancer 45:228, 2009, sections 3.1 and 4.1): five target lesions at most, two an
organ at most; a tumor is measurable from 10 mm of its longest axial diameter on, a node from 15 mm of its short axis.
A table holds the lesions of one image, and so of one patient.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from inference_core.errors import SAM3DError
from inference_core.measures.change import MOST_TARGETS, Lesion
from inference_core.measures.csv_text import csv_text
from inference_core.measures.measurements import COLUMNS

MOST_AN_ORGAN = 2
MEASURABLE_MM, MEASURABLE_NODE_MM = 10.0, 15.0
TEXT_TITLES = ("Lesion", "RECIST", "Organ", "Finding", "Volume", "Axial", "3D", "Mean", "SD", "Review")
TABLE_COLUMNS = ("name", "role", "organ", "finding", "review", "recist_mm", *COLUMNS)


class Role(Enum):
    """What a lesion is to RECIST 1.1."""

    NON_TARGET = "non-target"
    TARGET = "target"
    TARGET_NODE = "target node"

    @classmethod
    def of(cls, lesion: Lesion) -> Role:
        """A lesion's role; a node that is no target is a non-target like others."""
        if not lesion.target:
            return cls.NON_TARGET
        return cls.TARGET_NODE if lesion.node else cls.TARGET


@dataclass(frozen=True)
class Entry:
    """A row: the lesion, what it is called in a terminology, and how far its review is."""

    lesion: Lesion
    finding: str = ""
    review: str = ""


@dataclass(frozen=True)
class LesionTable:
    """The lesions of one image, in their order; at a later visit targets are those that were chosen at the baseline."""

    entries: tuple[Entry, ...]
    is_baseline: bool = True

    @property
    def targets(self) -> tuple[Lesion, ...]:
        """The target lesions, nodes among them."""
        return tuple(entry.lesion for entry in self.entries if entry.lesion.target)

    @property
    def sum_mm(self) -> float:
        """The sum of the targets' diameters: the longest axial one, of a node the short axis."""
        return sum(lesion.mm for lesion in self.targets)

    def cautions(self) -> tuple[str, ...]:
        """What a reader has to look at before the sum is used, a sentence each."""
        # What was large enough at the baseline stays a target when it shrinks.
        found = [_too_small(lesion) for lesion in self.targets if self.is_baseline and not _measurable(lesion)]
        unknown = sum(1 for lesion in self.targets if not lesion.organ)
        if unknown > MOST_AN_ORGAN:
            found.append(
                f"The organ of {unknown} targets is not said: RECIST 1.1 takes {MOST_AN_ORGAN} an organ at most."
            )
        return tuple(found)

    def as_text(self) -> str:
        """Columns parted by tabs, for a report or a spreadsheet; lengths and volumes with their units."""
        return "".join("\t".join(row) + "\n" for row in (TEXT_TITLES, *self.text_rows(), self.sum_cells()))

    def text_rows(self) -> list[tuple[str, ...]]:
        """A row a lesion, for people: the cells below `TEXT_TITLES`."""
        return [_text_cells(entry) for entry in self.entries]

    def sum_cells(self) -> tuple[str, str]:
        """What the sum of diameters is of, and the sum."""
        count = len(self.targets)
        return f"Sum of diameters of {count} target{'' if count == 1 else 's'}", f"{self.sum_mm:.1f} mm"

    def as_csv(self) -> str:
        """A line a lesion with the columns `TABLE_COLUMNS`, whose names tell their units."""
        return csv_text(TABLE_COLUMNS, map(_csv_row, self.entries))

    def as_json(self) -> dict[str, Any]:
        """Every number with its unit."""
        return {
            "lesions": [_json_of(entry) for entry in self.entries],
            "sum_of_diameters": {"value": self.sum_mm, "unit": "mm", "targets": len(self.targets)},
            "cautions": list(self.cautions()),
            "note": "Not a medical device: numbers to be checked by a reader.",
        }


def check_targets(lesions: Sequence[Lesion]) -> None:
    """Make sure that the targets among some lesions are no more than RECIST 1.1 counts.

    Raises:
        SAM3DError: there are more than five, or more than two in one organ, as far as organs are said.
    """
    targets = [lesion for lesion in lesions if lesion.target]
    if len(targets) > MOST_TARGETS:
        raise SAM3DError(
            "RECIST 1.1 counts {most} target lesions at most; make another one a non-target first.", most=MOST_TARGETS
        )
    organs = Counter(lesion.organ.strip().lower() for lesion in targets if lesion.organ.strip())
    for organ, count in organs.items():
        if count > MOST_AN_ORGAN:
            raise SAM3DError(
                "RECIST 1.1 counts {most} target lesions an organ at most, and there are {count} of '{organ}'; make "
                "another one a non-target first.",
                most=MOST_AN_ORGAN,
                count=count,
                organ=organ,
            )


def _measurable(lesion: Lesion) -> bool:
    return lesion.mm >= (MEASURABLE_NODE_MM if lesion.node else MEASURABLE_MM)


def _too_small(lesion: Lesion) -> str:
    if lesion.node:
        return (
            f"'{lesion.name}' has a short axis of {lesion.mm:.1f} mm: RECIST 1.1 takes nodes of "
            f"{MEASURABLE_NODE_MM:.0f} mm or more for targets."
        )
    return (
        f"'{lesion.name}' measures {lesion.mm:.1f} mm: RECIST 1.1 takes lesions of {MEASURABLE_MM:.0f} mm or more for "
        "targets."
    )


def _text_cells(entry: Entry) -> tuple[str, ...]:
    lesion, numbers = entry.lesion, entry.lesion.measurements
    axial, whole, values = numbers.axial, numbers.longest_3d, numbers.statistics
    return (
        lesion.name,
        Role.of(lesion).value,
        lesion.organ,
        entry.finding,
        f"{numbers.volume_ml:.2f} ml",
        f"{axial.longest.mm:.1f} x {axial.perpendicular.mm:.1f} mm" if axial else "",
        f"{whole.mm:.1f} mm" if whole else "",
        f"{values.mean:.4g} {numbers.unit}".rstrip() if values else "",
        f"{values.sd:.3g} {numbers.unit}".rstrip() if values else "",
        entry.review,
    )


def _csv_row(entry: Entry) -> dict[str, str]:
    lesion = entry.lesion
    words = {"name": lesion.name, "role": Role.of(lesion).value, "organ": lesion.organ}
    words |= {"finding": entry.finding, "review": entry.review, "recist_mm": f"{lesion.mm:.6g}"}
    return words | lesion.measurements.as_row()


def _json_of(entry: Entry) -> dict[str, Any]:
    lesion = entry.lesion
    words = {"name": lesion.name, "role": Role.of(lesion).value, "organ": lesion.organ, "finding": entry.finding}
    recist = {"recist_diameter": {"value": lesion.mm, "unit": "mm"}}
    return words | {"review": entry.review} | recist | lesion.measurements.as_json()
