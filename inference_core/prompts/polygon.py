"""A closed outline in a plane of any orientation: what lies in it. Frame and units are those of its points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference_core.geometry.grid import Float

_MOST_VERTICES = 64
_RASTER = 24
_LEAST_AREA = 1e-6
_DEEP = 0.9


@dataclass(frozen=True, eq=False)
class PlanarOutline:
    """The plane nearest to some points: its center (3,), unit axes (3, 3) in columns, the last its normal; the outline
    (n, 2) along the first two.
    """

    center: Float
    axes: Float
    outline: Float

    @classmethod
    def around(cls, points: Float) -> PlanarOutline:
        """The outline through points (n, 3), thinned to 64 vertices evenly spread: its cost is bounded."""
        center = points.mean(axis=0)
        axes = np.linalg.svd(points - center, full_matrices=True)[2].T
        flat = (points - center) @ axes[:, :2]
        return cls(center, axes, _thinned(flat))

    @property
    def has_area(self) -> bool:
        """Whether the points span a plane."""
        return bool(np.ptp(self.outline, axis=0).min() > _LEAST_AREA)

    def off_plane(self, places: Float) -> Float:
        """How far places (..., 3) lie from the plane, signed."""
        return np.asarray((places - self.center) @ self.axes[:, 2])

    def holds(self, places: Float) -> NDArray[np.bool_]:
        """Whether places (..., 3), seen along the normal, lie within the outline (even-odd rule)."""
        return within((places - self.center) @ self.axes[:, :2], self.outline)

    def deepest(self) -> Float:
        """A point (3,) within the outline about as far from it as can be, the most central of several."""
        low, high = self.outline.min(axis=0), self.outline.max(axis=0)
        shares = (np.arange(_RASTER) + 0.5) / _RASTER
        places = np.stack(np.meshgrid(*(low + (high - low) * shares[:, None]).T, indexing="ij"), axis=-1).reshape(-1, 2)
        inside = places[within(places, self.outline)]
        if not len(inside):
            return np.asarray(self.center)
        depth = _distance(inside, self.outline)
        deep = inside[depth >= _DEEP * depth.max()]
        chosen = np.linalg.norm(deep - deep.mean(axis=0), axis=1).argmin()
        return np.asarray(self.center + self.axes[:, :2] @ deep[chosen])


def within(places: Float, outline: Float) -> NDArray[np.bool_]:
    """Whether places (..., 2) lie within a closed outline (n, 2), by how often a ray crosses it."""
    x, y = places[..., 0], places[..., 1]
    inside = np.zeros(x.shape, dtype=bool)
    for (x0, y0), (x1, y1) in zip(outline, np.roll(outline, -1, axis=0), strict=True):
        crossed = (y0 > y) != (y1 > y)
        if crossed.any():
            inside ^= crossed & (x < x0 + (y - y0) / (y1 - y0 if y1 != y0 else 1.0) * (x1 - x0))
    return inside


def _distance(places: Float, outline: Float) -> Float:
    """From places (m, 2) to the nearest edge of a closed outline (n, 2)."""
    start, step = outline, np.roll(outline, -1, axis=0) - outline
    square = np.maximum((step**2).sum(axis=1), 1e-12)
    offset = places[:, None] - start
    share = np.clip((offset * step).sum(axis=2) / square, 0, 1)
    return np.asarray(np.linalg.norm(offset - share[..., None] * step, axis=2).min(axis=1))


def _thinned(outline: Float) -> Float:
    if len(outline) <= _MOST_VERTICES:
        return outline
    closed = np.concatenate([outline, outline[:1]])
    steps = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(closed, axis=0), axis=1))])
    places = np.arange(_MOST_VERTICES) / _MOST_VERTICES * steps[-1]
    return np.stack([np.interp(places, steps, closed[:, axis]) for axis in range(2)], axis=1)
