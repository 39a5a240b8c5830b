"""What became of the lesions between two visits: lesions paired by name, their change, and the RECIST 1.1 category.

The rule (Eisenhauer et al., Eur J Cancer 45:228, 2009, table 1 and section 4.3). The sum is that of the target
lesions' longest axial diameters, of lymph nodes that of their short axes; a lesion that vanished counts 0 mm, a node
its short axis even where that is normal.

- complete response: every target lesion vanished, and every target node has a short axis below 10 mm
- progressive disease: a new lesion (of lymph nodes one of 10 mm or more in short axis); or a sum at least 20 % and at
  least 5 mm above the smallest sum so far
- partial response: a sum at least 30 % below the baseline's
- stable disease: none of these

Non-target lesions are listed and do not count here: their progression is a reader's judgment (section 4.3.4).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from inference_core.errors import SAM3DError
from inference_core.measures.measurements import Measurements

MOST_TARGETS = 5
_NODE_MM = 10.0
_PROGRESS, _PROGRESS_MM, _RESPONSE = 0.20, 5.0, 0.30
_ROUNDING = 1e-9


class Response(Enum):
    """A category of RECIST 1.1."""

    COMPLETE = "complete response"
    PARTIAL = "partial response"
    STABLE = "stable disease"
    PROGRESSIVE = "progressive disease"


class Fate(Enum):
    """What became of one lesion."""

    MEASURED_TWICE = ""
    NEW = "new"
    VANISHED = "vanished"
    NOT_MEASURED = "not measured"


@dataclass(frozen=True)
class Lesion:
    """A lesion at one visit. An empty mask's measurements mean that it was looked for and is gone."""

    name: str
    measurements: Measurements
    target: bool = True
    node: bool = False
    organ: str = ""

    @property
    def present(self) -> bool:
        """Whether it has any voxel."""
        return self.measurements.voxels > 0

    @property
    def mm(self) -> float:
        """What counts of it: the longest axial diameter, of a node the short axis; 0 where it is gone."""
        axial = self.measurements.axial
        if axial is None:
            return 0.0
        return axial.perpendicular.mm if self.node else axial.longest.mm


@dataclass(frozen=True)
class LesionChange:
    """One lesion before and after; None where it was not there, or not measured at the later visit."""

    name: str
    before: Lesion | None
    after: Lesion | None
    measured: bool = True

    @property
    def fate(self) -> Fate:
        """New, vanished, measured at both visits, or not measured at the later one."""
        if not self.measured:
            return Fate.NOT_MEASURED
        if self.before is None:
            return Fate.NEW
        return Fate.MEASURED_TWICE if self.after is not None else Fate.VANISHED

    @property
    def mm(self) -> tuple[float, float]:
        """The diameter that counts, before and after."""
        return _before_and_after(self, lambda lesion: lesion.mm)

    @property
    def ml(self) -> tuple[float, float]:
        """The volume before and after."""
        return _before_and_after(self, lambda lesion: lesion.measurements.volume_ml)

    def as_json(self) -> dict[str, Any]:
        """The numbers with their units; a percentage is null where there was nothing before."""
        lesion = self.after or self.before
        assert lesion is not None, "a change is of a lesion at one visit at least"
        return {
            "name": self.name,
            "flag": self.fate.value,
            "target": lesion.target,
            "node": lesion.node,
            "diameter": _json_of(self.mm, "mm"),
            "volume": _json_of(self.ml, "ml"),
        }


@dataclass(frozen=True)
class Change:
    """The lesions of two visits, the sums of the target lesions' diameters, the category, and why it is that one."""

    lesions: tuple[LesionChange, ...]
    sum_mm: tuple[float, float]
    smallest_sum_mm: float
    response: Response | None
    reason: str

    def as_json(self) -> dict[str, Any]:
        """Everything, with units."""
        return {
            "lesions": [lesion.as_json() for lesion in self.lesions],
            "sum_of_diameters": _json_of(self.sum_mm, "mm") | {"smallest_so_far": self.smallest_sum_mm},
            "recist_1_1": {"category": None if self.response is None else self.response.value, "reason": self.reason},
        }


def compare(
    before: Sequence[Lesion],
    after: Sequence[Lesion],
    *,
    smallest_sum_mm: float | None = None,
    not_measured: Collection[str] = (),
) -> Change:
    """The change from a baseline to a later visit; lesions of one name are one lesion.

    Of a lesion, what the baseline says decides whether it is a target and whether it is a node. `smallest_sum_mm` is
    the smallest sum of diameters at any visit so far, where there were others than the baseline. `not_measured` names
    lesions that could not be looked at later, as where the image does not reach them: they have not vanished.

    Raises:
        SAM3DError: two lesions of a visit have one name, or there are more than five targets.
    """
    first, second = _by_name(before), _by_name(after)
    changes = tuple(
        replace(_change_of(name, first, second), measured=name not in not_measured) for name in {**first, **second}
    )
    targets = [change for change in changes if change.before is not None and change.before.target]
    if len(targets) > MOST_TARGETS:
        raise SAM3DError(
            f"{len(targets)} lesions are targets, but RECIST 1.1 counts {MOST_TARGETS} at most, two an organ; make "
            "the others non-targets."
        )
    sums = sum(change.mm[0] for change in targets), sum(change.mm[1] for change in targets)
    smallest = sums[0] if smallest_sum_mm is None else min(smallest_sum_mm, sums[0])
    response, reason = _respond(changes, targets, sums, smallest=smallest)
    return Change(changes, sums, smallest, response, reason)


def percent(before: float, after: float) -> float | None:
    """The change in percent of what was before; None where there was nothing."""
    return (after - before) / before * 100 if before > 0 else None


def _by_name(lesions: Sequence[Lesion]) -> dict[str, Lesion]:
    names = [lesion.name for lesion in lesions]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise SAM3DError("Two lesions of one visit are called '{name}'; give each a name of its own.", name=twice)
    return {lesion.name: lesion for lesion in lesions if lesion.present}


def _change_of(name: str, first: Mapping[str, Lesion], second: Mapping[str, Lesion]) -> LesionChange:
    before, after = first.get(name), second.get(name)
    if before is not None and after is not None:
        after = replace(before, measurements=after.measurements)
    return LesionChange(name, before, after)


def _respond(
    changes: Sequence[LesionChange], targets: Sequence[LesionChange], sums: tuple[float, float], *, smallest: float
) -> tuple[Response | None, str]:
    """The category, and the part of the rule that made it."""
    new = [change.name for change in changes if change.fate is Fate.NEW and not _gone(change)]
    if new:
        return Response.PROGRESSIVE, f"a new lesion: {', '.join(new)}"
    missing = [change.name for change in targets if change.fate is Fate.NOT_MEASURED]
    if missing or not targets:
        there = f"not measured at the later visit: {', '.join(missing)}"
        return None, f"not evaluable, {there}" if missing else "there is no target lesion at the baseline"
    if all(_gone(change) for change in targets):
        return Response.COMPLETE, "every target lesion vanished, and every target node is below 10 mm in short axis"
    before, after = sums
    growth = after - smallest
    if growth >= _PROGRESS * smallest - _ROUNDING and growth >= _PROGRESS_MM - _ROUNDING:
        return Response.PROGRESSIVE, (
            f"the sum grew by {growth:.1f} mm ({_signed(smallest, after)}) from the smallest so far: "
            "at least 20 % and 5 mm"
        )
    if before - after >= _RESPONSE * before - _ROUNDING:
        return Response.PARTIAL, f"the sum fell by at least 30 % from the baseline's ({_signed(before, after)})"
    return Response.STABLE, (
        f"the sum changed by {_signed(before, after)} from the baseline's and {_signed(smallest, after)} from the "
        "smallest so far: neither -30 % nor +20 % with 5 mm"
    )


def _gone(change: LesionChange) -> bool:
    """Whether nothing of it is disease any more: no voxel or, of a node, a normal size."""
    return change.after is None or (change.after.node and change.after.mm < _NODE_MM)


def _before_and_after(change: LesionChange, number: Any) -> tuple[float, float]:
    before, after = (0.0 if lesion is None else float(number(lesion)) for lesion in (change.before, change.after))
    return before, after


def _json_of(numbers: tuple[float, float], unit: str) -> dict[str, Any]:
    before, after = numbers
    return {
        "before": before, "after": after, "difference": after - before, "unit": unit, "percent": percent(before, after)
    }  # fmt: skip


def _signed(before: float, after: float) -> str:
    share = percent(before, after)
    return "from nothing" if share is None else f"{share:+.0f} %"
