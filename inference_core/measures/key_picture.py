"""One picture a lesion: the slice where its axes were measured, its outline, and both axes; numpy alone.

As a radiologist sees it: the patient's right on the left, anterior on top. H rows, W columns.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference_core.geometry.grid import Float, Grid
from inference_core.geometry.mask import Mask
from inference_core.geometry.volume import Volume
from inference_core.measures.diameters import AxialDiameters, Diameter
from inference_core.measures.measurements import check_on

Picture = NDArray[np.uint8]

_PIXELS = 320
_LEAST_MM, _FIELD_PER_LESION = 60.0, 2.4
_OUTLINE, _LONG, _SHORT, _BAR = (240, 150, 30), (255, 240, 80), (100, 240, 255), (255, 255, 255)
_BAR_MM = 10.0
_TOWARDS = {"left": (-1.0, 0.0, 0.0), "posterior": (0.0, -1.0, 0.0), "inferior": (0.0, 0.0, -1.0)}


@dataclass(frozen=True, eq=False)
class _Plane:
    """Pixels on a slice: each maps to one place along each of the slice's two voxel axes.

    across, down: the voxel axes of columns and rows; columns (W,) and rows (H,) the voxel coordinates along them.
    """

    axis: int
    index: int
    across: int
    down: int
    columns: Float
    rows: Float
    pixel_mm: float

    def pixel_of(self, ijk: Float) -> tuple[float, float]:
        """Row and column of a voxel place."""
        steps = self.rows[1] - self.rows[0], self.columns[1] - self.columns[0]
        return (ijk[self.down] - self.rows[0]) / steps[0], (ijk[self.across] - self.columns[0]) / steps[1]


def key_picture(
    mask: Mask, volume: Volume, axial: AxialDiameters, *, window: tuple[float, float] | None = None
) -> Picture:
    """The slice of a mask's longest axial diameter as (H, W, 3), with outline, axes and a bar of 10 mm.

    window: the gray values shown as black and as white; by default the 1st and the 99th percentile of what is shown.

    Raises:
        VolumeError: the mask reaches beyond the volume.
    """
    check_on(mask, volume)
    plane = _plane_around(mask, volume.grid, axial)
    gray = _gray(volume, plane, window)
    picture = np.repeat(gray[..., None], 3, axis=2)
    picture[_outline(_on_plane(mask.on(volume.grid.shape), plane))] = _OUTLINE
    for diameter, color in ((axial.perpendicular, _SHORT), (axial.longest, _LONG)):
        _draw(picture, diameter, volume.grid, plane=plane, color=color)
    bar = round(_BAR_MM / plane.pixel_mm)
    picture[-10:-7, 8 : 8 + bar] = _BAR
    return picture


def png_of(picture: Picture) -> bytes:
    """A picture (H, W, 3) as a PNG file."""
    height, width, _ = picture.shape
    rows = np.concatenate([np.zeros((height, 1), np.uint8), picture.reshape(height, -1)], axis=1)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), 9)), (b"IEND", b""))
    chunks = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _plane_around(mask: Mask, grid: Grid, axial: AxialDiameters) -> _Plane:
    """A square around the mask, wide enough to see where in the body it is."""
    axis = axial.slice_axis
    first, second = (other for other in range(3) if other != axis)
    # The voxel axis nearest to left-right runs across.
    left = np.abs(grid.directions.T @ _TOWARDS["left"])
    across, down = (first, second) if left[first] >= left[second] else (second, first)
    downwards = "posterior" if abs(grid.directions[1, down]) >= abs(grid.directions[2, down]) else "inferior"
    spacing, box = np.asarray(grid.spacing), mask.box
    edges = (box.stop - box.start) * spacing
    field = max(_LEAST_MM, _FIELD_PER_LESION * max(edges[across], edges[down]))
    offsets = (np.arange(_PIXELS) + 0.5) / _PIXELS * field - field / 2
    middle = (box.start + box.stop - 1) / 2
    found = []
    for voxel_axis, towards in ((across, "left"), (down, downwards)):
        sign = 1.0 if grid.directions[:, voxel_axis] @ _TOWARDS[towards] >= 0 else -1.0
        found.append(middle[voxel_axis] + sign * offsets / spacing[voxel_axis])
    return _Plane(axis, axial.slice_index, across, down, found[0], found[1], field / _PIXELS)


def _gray(volume: Volume, plane: _Plane, window: tuple[float, float] | None) -> Picture:
    values = np.asarray(_on_plane(volume.array, plane), dtype=np.float64)
    finite = values[np.isfinite(values)]
    low, high = window or (np.percentile(finite, (1, 99)) if finite.size else (0.0, 1.0))
    scaled = (np.nan_to_num(values, nan=low, posinf=high, neginf=low) - low) / max(high - low, 1e-9)
    return np.asarray(np.clip(scaled, 0, 1) * 255, dtype=np.uint8)


def _on_plane(array: NDArray[np.generic], plane: _Plane) -> NDArray[np.generic]:
    """The nearest voxels' values (H, W); 0 beyond the volume."""
    pixels = np.take(array, plane.index, axis=plane.axis)
    if plane.across < plane.down:
        pixels = pixels.T
    rows, columns = (np.rint(values).astype(int) for values in (plane.rows, plane.columns))
    inside = ((rows >= 0) & (rows < pixels.shape[0]))[:, None] & ((columns >= 0) & (columns < pixels.shape[1]))[None]
    taken = pixels[np.clip(rows, 0, pixels.shape[0] - 1)][:, np.clip(columns, 0, pixels.shape[1] - 1)]
    return np.where(inside, taken, np.zeros((), taken.dtype))


def _outline(inside: NDArray[np.generic]) -> NDArray[np.bool_]:
    padded = np.pad(inside != 0, 1)
    within = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return np.asarray(padded[1:-1, 1:-1] & ~within)


def _draw(picture: Picture, line: Diameter, grid: Grid, *, plane: _Plane, color: tuple[int, int, int]) -> None:
    start, end = (np.array(plane.pixel_of(grid.to_ijk(ras))) for ras in (line.start_ras, line.end_ras))
    count = int(np.abs(end - start).max()) + 2
    places = np.rint(start + np.linspace(0, 1, count)[:, None] * (end - start)).astype(int)
    places = places[((places >= 0) & (places < picture.shape[0])).all(axis=1)]
    picture[places[:, 0], places[:, 1]] = color
