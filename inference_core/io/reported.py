"""A measured number as a report holds it, whatever measured it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

Point = tuple[float, float, float]


class Quantity(Enum):
    """What was measured."""

    VOLUME = "volume"
    LONG_AXIS = "longest axial diameter"
    SHORT_AXIS = "longest diameter across it"
    DIAMETER_3D = "longest diameter in 3D"
    MEAN = "mean"
    SD = "standard deviation"
    MEDIAN = "median"
    MIN = "minimum"
    MAX = "maximum"


@dataclass(frozen=True)
class Reported:
    """A number with its unit ("ml", "mm", "HU" or "" for raw voxels) and, of a diameter, its ends in RAS mm.

    `slice_index` counts along the grid's third axis, where the diameter was measured in one of these slices.
    """

    quantity: Quantity
    value: float
    unit: str
    ends_ras: tuple[Point, Point] | None = None
    slice_index: int | None = None
