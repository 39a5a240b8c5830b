"""The numbers of one mask on one volume: how large, how long, how bright."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from inference_core.errors import VolumeError
from inference_core.geometry.grid import Grid
from inference_core.geometry.mask import Mask
from inference_core.geometry.volume import Volume
from inference_core.measures.diameters import AxialDiameters, Diameter, axial_diameters, longest_diameter

COLUMNS = (
    "voxels", "volume_ml", "longest_axial_mm", "perpendicular_mm", "longest_3d_mm",
    "mean", "sd", "median", "min", "max", "unit",
)  # fmt: skip


@dataclass(frozen=True)
class Statistics:
    """Of the finite voxels in a mask; sd is that of a sample (over n - 1), as ITK's and Slicer's."""

    mean: float
    sd: float
    median: float
    min: float
    max: float


@dataclass(frozen=True)
class Measurements:
    """Of an empty mask only the volume, 0; `unit` is that of the statistics, "" where the voxels' unit is not known."""

    voxels: int
    volume_ml: float
    axial: AxialDiameters | None
    longest_3d: Diameter | None
    statistics: Statistics | None
    unit: str = ""

    def as_json(self) -> dict[str, Any]:
        """Every number with its unit; the diameters with their ends in RAS mm."""
        axial = self.axial
        values = {} if self.statistics is None else asdict(self.statistics)
        return {
            "voxels": self.voxels,
            "volume": {"value": self.volume_ml, "unit": "ml"},
            "longest_axial_diameter": _length(None if axial is None else axial.longest),
            "perpendicular_diameter": _length(None if axial is None else axial.perpendicular),
            "axial_slice": None if axial is None else {"axis": axial.slice_axis, "index": axial.slice_index},
            "longest_3d_diameter": _length(self.longest_3d),
            "statistics": {name: {"value": value, "unit": self.unit} for name, value in values.items()},
        }

    def as_row(self) -> dict[str, str]:
        """A row of a table (CSV) with the columns `COLUMNS`; what is not there is empty."""
        axial = self.axial
        lengths = [axial.longest if axial else None, axial.perpendicular if axial else None, self.longest_3d]
        numbers: list[float | None] = [self.volume_ml, *(None if length is None else length.mm for length in lengths)]
        numbers += [None] * 5 if self.statistics is None else asdict(self.statistics).values()
        cells = [str(self.voxels), *map(_cell, numbers), self.unit]
        return dict(zip(COLUMNS, cells, strict=True))


def measure(mask: Mask, volume: Volume, *, unit: str = "") -> Measurements:
    """Measure a mask that lies on a volume's voxels; `unit` is that of its voxels, such as "HU".

    Raises:
        VolumeError: the mask reaches beyond the volume.
    """
    check_on(mask, volume)
    return Measurements(
        voxels=mask.voxel_count,
        volume_ml=volume_ml(mask, volume.grid),
        axial=axial_diameters(mask, volume.grid),
        longest_3d=longest_diameter(mask, volume.grid),
        statistics=statistics(mask, volume),
        unit=unit,
    )


def volume_ml(mask: Mask, grid: Grid) -> float:
    """The volume of a mask's voxels in milliliters."""
    return mask.voxel_count * grid.voxel_volume_mm3 / 1000


def statistics(mask: Mask, volume: Volume) -> Statistics | None:
    """Of the volume's finite voxels in a mask; None where there are none.

    Raises:
        VolumeError: the mask reaches beyond the volume.
    """
    check_on(mask, volume)
    values = volume.array[mask.box.slices()][mask.array].astype(np.float64)
    values = values[np.isfinite(values)]
    if not values.size:
        return None
    return Statistics(
        mean=float(values.mean()),
        sd=float(values.std(ddof=1)) if values.size > 1 else 0.0,
        median=float(np.median(values)),
        min=float(values.min()),
        max=float(values.max()),
    )


def check_on(mask: Mask, volume: Volume) -> None:
    """Make sure that a mask lies on an image.

    Raises:
        VolumeError: it reaches beyond the volume.
    """
    if not mask.fits(volume.grid.shape):
        raise VolumeError("The mask reaches beyond '{name}'; measure it on the image it was made on.", name=volume.name)


def _length(diameter: Diameter | None) -> dict[str, Any] | None:
    if diameter is None:
        return None
    return {"value": diameter.mm, "unit": "mm", "ends_ras": [list(diameter.start_ras), list(diameter.end_ras)]}


def _cell(number: float | None) -> str:
    return "" if number is None else f"{number:.6g}"
