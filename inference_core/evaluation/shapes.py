"""Shapes to build a phantom from, given in the patient's millimeters and painted on a grid of any orientation.

Coordinates x, y, z run to the patient's right, front and head, from the middle of the body. A depth is a signed
distance in mm to a surface, approximate away from it, and positive inside.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inference_core.geometry.grid import Float, Grid, corners_ijk

Float32 = NDArray[np.float32]
Mask = NDArray[np.bool_]
Box = tuple[slice, slice, slice]
Point = tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class Canvas:
    """A grid being painted: `hu` float32 and `labels` uint8, and the x, y, z of every voxel, all (i, j, k)."""

    grid: Grid
    center_ras: Float
    hu: Float32
    labels: NDArray[np.uint8]
    x: Float32
    y: Float32
    z: Float32

    @classmethod
    def on(cls, grid: Grid, *, center_ras: ArrayLike) -> Canvas:
        """An empty canvas of air, with the middle of the body at a point in RAS mm."""
        i, j, k = np.ogrid[: grid.shape[0], : grid.shape[1], : grid.shape[2]]
        affine = grid.affine[:3].astype(np.float32)
        offset = (grid.affine[:3, 3] - np.asarray(center_ras)).astype(np.float32)
        x, y, z = (
            (row[0] * i.astype(np.float32) + row[1] * j.astype(np.float32) + row[2] * k.astype(np.float32) + start)
            for row, start in zip(affine, offset, strict=True)
        )
        hu = np.full(grid.shape, -1000.0, dtype=np.float32)
        return cls(grid, np.asarray(center_ras, dtype=np.float64), hu, np.zeros(grid.shape, dtype=np.uint8), x, y, z)

    def box(self, center: Point, reach: float | Point) -> Box:
        """The part of the grid within `reach` mm of a point along x, y, z, as slices along i, j, k; it may be empty."""
        half = np.broadcast_to(np.asarray(reach, dtype=np.float64), 3)
        corners = self.grid.to_ijk(self.center_ras + np.asarray(center) + half * 2 * corners_ijk((1, 1, 1)))
        low = np.clip(np.floor(corners.min(axis=0)), 0, self.grid.shape).astype(int)
        high = np.clip(np.ceil(corners.max(axis=0)) + 1, 0, self.grid.shape).astype(int)
        i, j, k = (slice(int(start), int(stop)) for start, stop in zip(low, high, strict=True))
        return i, j, k

    def paint(self, box: Box, mask: Mask, *, hu: float | Float32, label: int | None = None) -> None:
        """Set the HU, and the label if one is given, of the voxels of a mask over a box."""
        np.copyto(self.hu[box], np.asarray(hu, dtype=np.float32), where=mask)
        if label is not None:
            self.labels[box][mask] = label


@dataclass(frozen=True)
class Blob:
    """An ellipsoid with waves on its surface.

    center and radii in mm; lean, degrees by which its long axis tips to the patient's right going up; wave, amplitude
    in mm; wavelength in mm; seed of the waves.
    """

    center: Point
    radii: Point
    lean: float = 0.0
    wave: float = 0.0
    wavelength: float = 60.0
    seed: int = 0

    def box(self, canvas: Canvas) -> Box:
        """The part of the canvas that holds the blob."""
        return canvas.box(self.center, max(self.radii) + 2 * self.wave + 3)

    def depth(self, canvas: Canvas, box: Box) -> Float32:
        """Depth in mm of the voxels of a box."""
        axes = (canvas.x, canvas.y, canvas.z)
        x, y, z = (axis[box] - np.float32(origin) for axis, origin in zip(axes, self.center, strict=True))
        cosine, sine = np.cos(np.radians(self.lean)), np.sin(np.radians(self.lean))
        across, along = np.float32(cosine) * x - np.float32(sine) * z, np.float32(sine) * x + np.float32(cosine) * z
        q = np.sqrt((across / self.radii[0]) ** 2 + (y / self.radii[1]) ** 2 + (along / self.radii[2]) ** 2)
        depth = (1 - q) * np.float32(min(self.radii))
        if self.wave:
            depth += np.float32(self.wave) * waves(x, y, z, wavelength=self.wavelength, seed=self.seed)
        return np.asarray(depth, dtype=np.float32)


def waves(x: Float32, y: Float32, z: Float32, *, wavelength: float, seed: int) -> Float32:
    """A smooth random field in about -1..1: plane waves of random directions, lengths and phases."""
    rng = np.random.default_rng(seed)
    total = np.zeros(np.broadcast_shapes(x.shape, y.shape, z.shape), dtype=np.float32)
    for _ in range(4):
        direction = rng.normal(size=3)
        direction *= 2 * np.pi / (np.linalg.norm(direction) * wavelength * rng.uniform(0.7, 1.5))
        a, b, c = direction.astype(np.float32)
        total += np.sin(a * x + b * y + c * z + np.float32(rng.uniform(0, 2 * np.pi)))
    return np.asarray(total / 2, dtype=np.float32)


def tube(canvas: Canvas, box: Box, *, start: Point, end: Point, radii: tuple[float, float]) -> Float32:
    """Depth in mm in a straight tube whose radius changes evenly from start to end."""
    line = np.subtract(end, start).astype(np.float32)
    offsets = [
        axis[box] - np.float32(origin) for axis, origin in zip((canvas.x, canvas.y, canvas.z), start, strict=True)
    ]
    along = sum(offset * step for offset, step in zip(offsets, line, strict=True)) / np.float32(line @ line)
    along = np.clip(along, 0, 1)
    squared = sum((offset - along * step) ** 2 for offset, step in zip(offsets, line, strict=True))
    return np.asarray(radii[0] + (radii[1] - radii[0]) * along - np.sqrt(squared), dtype=np.float32)


def branches(
    start: Point, direction: Point, *, length: float, radius: float, seed: int
) -> list[tuple[Point, Point, float]]:
    """A tree of vessels: (start, end, radius at the start) of each segment, halving in three generations."""
    rng = np.random.default_rng(seed)
    front, segments = [(np.asarray(start), np.asarray(direction, dtype=float), length, radius)], []
    while front:
        origin, heading, reach, thickness = front.pop()
        end = origin + heading / np.linalg.norm(heading) * reach
        segments.append((_point(origin), _point(end), thickness))
        if thickness > 1.6:
            front += [
                (end, heading / np.linalg.norm(heading) + rng.normal(scale=0.6, size=3), reach * 0.75, thickness * 0.72)
                for _ in range(2)
            ]
    return segments


def blurred(array: Float32, sigmas_mm: Point, *, spacing: Point) -> Float32:
    """A Gaussian blur with widths in mm along i, j, k; beyond the array its outermost voxels are repeated."""
    for axis, (sigma, step) in enumerate(zip(sigmas_mm, spacing, strict=True)):
        array = np.moveaxis(_blurred_first(np.moveaxis(array, axis, 0), sigma / step), 0, axis)
    return np.ascontiguousarray(array)


def _blurred_first(array: Float32, sigma: float) -> Float32:
    """A Gaussian blur along the first axis, cut off at three deviations.

    By numpy alone, since Slicer's sample volume is made by it; summed in the order in which scipy's filter does it, so
    that the result is the same to the last bit.
    """
    radius = int(3.0 * sigma + 0.5)
    weights = np.exp(-0.5 / (sigma * sigma) * np.arange(-radius, radius + 1) ** 2)
    weights /= weights.sum()
    padded = np.pad(array, [(radius, radius), (0, 0), (0, 0)], mode="edge").astype(np.float64)
    shifted = [padded[offset : offset + len(array)] for offset in range(2 * radius + 1)]
    total = shifted[radius] * weights[radius]
    for offset in range(radius):
        total += (shifted[offset] + shifted[-1 - offset]) * weights[offset]
    return np.asarray(total, dtype=np.float32)


def _point(values: NDArray[np.float64]) -> Point:
    return float(values[0]), float(values[1]), float(values[2])
