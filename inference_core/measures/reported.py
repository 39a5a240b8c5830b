"""Measurements as the list of numbers that a report to the hospital holds."""

from __future__ import annotations

from inference_core.io.reported import Quantity, Reported
from inference_core.measures.diameters import Diameter
from inference_core.measures.measurements import Measurements


def reported(measurements: Measurements) -> tuple[Reported, ...]:
    """Volume, diameters and statistics, as far as there are any."""
    found = [Reported(Quantity.VOLUME, measurements.volume_ml, "ml")]
    axial = measurements.axial
    if axial is not None:
        at = axial.slice_index if axial.slice_axis == 2 else None
        found.append(_line(Quantity.LONG_AXIS, axial.longest, at))
        found.append(_line(Quantity.SHORT_AXIS, axial.perpendicular, at))
    if measurements.longest_3d is not None:
        found.append(_line(Quantity.DIAMETER_3D, measurements.longest_3d, None))
    values = measurements.statistics
    if values is not None:
        numbers = (values.mean, values.sd, values.median, values.min, values.max)
        kinds = (Quantity.MEAN, Quantity.SD, Quantity.MEDIAN, Quantity.MIN, Quantity.MAX)
        found += [Reported(kind, value, measurements.unit) for kind, value in zip(kinds, numbers, strict=True)]
    return tuple(found)


def _line(quantity: Quantity, diameter: Diameter, at: int | None) -> Reported:
    return Reported(quantity, diameter.mm, "mm", (diameter.start_ras, diameter.end_ras), at)
