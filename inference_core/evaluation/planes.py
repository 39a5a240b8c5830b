"""Planes through a volume as a radiologist hangs them, cut along the patient's axes whatever the grid's.

The patient's right is on the left of the picture, and front (axial, from the feet) or head (coronal, sagittal) is up;
sagittal planes look from the patient's left, front on the left.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inference_core.geometry.box import Box3D
from inference_core.geometry.grid import Float, Grid, apply_affine, corners_ijk
from inference_core.geometry.sampling import sample_window
from inference_core.geometry.volume import Volume

Float32 = NDArray[np.float32]

# name: direction of picture columns, direction of picture rows (down), letters at left, right, top, bottom.
_DIRECTIONS = {
    "axial": ((-1, 0, 0), (0, -1, 0), "RLAP"),
    "coronal": ((-1, 0, 0), (0, 0, -1), "RLSI"),
    "sagittal": ((0, -1, 0), (0, 0, -1), "APSI"),
}
NAMES = tuple(_DIRECTIONS)


@dataclass(frozen=True, eq=False)
class Plane:
    """A rectangle of a plane: name; letters at its left, right, top and bottom; grid (columns, rows, 1) in RAS mm."""

    name: str
    letters: str
    grid: Grid

    @classmethod
    def through(cls, name: str, center_ras: ArrayLike, *, volume: Grid, field_mm: float | None = None) -> Plane:
        """The plane through a point: a square of `field_mm` around it, or all that the volume shows of the plane."""
        right, down, letters = _DIRECTIONS[name]
        axes = np.array([right, down, np.cross(right, down)], dtype=np.float64).T
        reach = (volume.to_ras(corners_ijk(volume.shape)) - np.asarray(center_ras)) @ axes
        low, high = reach.min(axis=0)[:2], reach.max(axis=0)[:2]
        if field_mm is not None:
            low, high = np.full(2, -field_mm / 2), np.full(2, field_mm / 2)
        # Half the finest spacing keeps contours smooth; more than 900 pixels would not be seen.
        step = max(min(volume.spacing) / 2, float((high - low).max()) / 900)
        columns, rows = np.maximum(np.round((high - low) / step).astype(int), 1)
        affine = np.eye(4)
        affine[:3, :3] = axes * step
        affine[:3, 3] = np.asarray(center_ras) + axes[:, :2] @ (low + step / 2)
        return cls(name, letters, Grid((int(columns), int(rows), 1), affine))

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """Left, right, bottom and top edge in mm from the center of the first pixel, rows growing downwards."""
        columns, rows, _ = self.grid.shape
        step = self.grid.spacing[0]
        return -step / 2, (columns - 0.5) * step, (rows - 0.5) * step, -step / 2

    def sample(self, volume: Volume) -> Float32:
        """The volume in this plane, (rows, columns) float32; NaN beyond the volume."""
        picture = sample_window(volume, self.grid, reflect=True)[:, :, 0]
        columns, rows, _ = self.grid.shape
        pixels = np.moveaxis(np.indices((columns, rows, 1)), 0, -1)[:, :, 0]
        ijk = volume.grid.to_ijk(self.grid.to_ras(pixels))
        inside = np.all((ijk >= -0.5) & (ijk <= np.asarray(volume.grid.shape) - 0.5), axis=-1)
        return np.where(inside, picture, np.float32(np.nan)).T.astype(np.float32)

    def locate(self, ras: ArrayLike) -> Float:
        """Points (..., 3) in RAS mm as (..., 3): mm right and down from the first pixel, and mm off the plane."""
        return np.asarray(self.grid.to_ijk(ras) * self.grid.spacing)

    def outline_of(self, box: Box3D) -> Float:
        """The corners (N, 2), in order, of the polygon in which a box meets the plane; N = 0 where it does not."""
        corners = self.locate(box.corners_ras)
        crossings = []
        for a in range(8):
            for b in (a | 1, a | 2, a | 4):
                start, end = corners[a], corners[b]
                if a != b and start[2] * end[2] <= 0 and start[2] != end[2]:
                    crossings.append(start + (end - start) * start[2] / (start[2] - end[2]))
        if len(crossings) < 3:
            return np.zeros((0, 2))
        points = np.array(crossings)[:, :2]
        middle = points - points.mean(axis=0)
        return np.asarray(points[np.argsort(np.arctan2(middle[:, 1], middle[:, 0]))])


def window_of(volume: Volume) -> tuple[float, float]:
    """The intensities to show as black and white: soft tissue for CT, and for the rest the 1st to 99.5th percentile."""
    i, j, k = (max(1, size // 96) for size in volume.array.shape)
    shown = volume.array[::i, ::j, ::k].astype(np.float32)
    darkest = np.nanmin(shown)
    if darkest < -500:
        return -140.0, 240.0
    # The darkest value is the background of most MR and PET and would swamp the percentiles.
    low, high = np.nanpercentile(shown[shown > darkest], (1, 99.5)) if (shown > darkest).any() else (darkest, darkest)
    return float(low), float(max(high, low + 1e-6))


def pixel_grid(plane: Plane) -> tuple[Float, Float]:
    """Positions of the columns and of the rows of a plane's pixels, in mm right and down from the first."""
    columns, rows, _ = plane.grid.shape
    ends = apply_affine(np.diag([*plane.grid.spacing, 1.0]), [[columns - 1, rows - 1, 0]])[0]
    return np.linspace(0, ends[0], columns), np.linspace(0, ends[1], rows)
