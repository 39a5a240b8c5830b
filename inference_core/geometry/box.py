"""An oriented box in patient millimeters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from inference_core.errors import PromptError
from inference_core.geometry.grid import Float, Grid, corners_ijk
from inference_core.geometry.numbers import FARTHEST_MM, finite_numbers

_SHORTEST_MM = 1e-3


@dataclass(frozen=True, eq=False)
class Box3D:
    """A box: center (3,) RAS mm, axes (3, 3) with the unit edge directions as columns, size (3,) edge lengths in mm.

    Raises:
        PromptError: a number is not finite or beyond any patient, an edge is shorter than a thousandth of a
            millimeter, or the axes are not orthonormal.
    """

    center: Float
    axes: Float
    size: Float

    def __post_init__(self) -> None:
        for field, shape in (("center", (3,)), ("axes", (3, 3)), ("size", (3,))):
            value = finite_numbers(getattr(self, field), shape)
            if value is None:
                raise PromptError("The box has coordinates that are not numbers; draw it again.")
            if np.abs(value).max() > FARTHEST_MM:
                raise PromptError("The box lies beyond any patient; draw it again.")
            value += 0.0  # -0.0 becomes 0.0: equal boxes hash alike
            value.setflags(write=False)
            object.__setattr__(self, field, value)
        if self.size.min() <= 0:
            raise PromptError("The box is empty or inverted; give each edge a length greater than zero.")
        if self.size.min() < _SHORTEST_MM:
            raise PromptError("The box has an edge shorter than 0.001 mm; draw it around the target.")
        if np.abs(self.axes.T @ self.axes - np.eye(3)).max() > 1e-4:
            raise PromptError("The box's axes are not at right angles; draw it again.")

    @classmethod
    def aligned(cls, center: ArrayLike, size: ArrayLike) -> Box3D:
        """A box along the patient's right, anterior and superior axes."""
        return cls(np.asarray(center), np.eye(3), np.asarray(size))

    @classmethod
    def in_voxels(cls, grid: Grid, *, center_ijk: ArrayLike, size_ijk: ArrayLike) -> Box3D:
        """A box along a grid's axes, its center (3,) in voxel indices and its size (3,) in voxels."""
        # A grid may be sheared a little more than a box: the nearest orthonormal axes, by polar decomposition.
        left, _, right = np.linalg.svd(grid.directions)
        return cls(grid.to_ras(center_ijk), left @ right, np.asarray(size_ijk) * np.asarray(grid.spacing))

    @property
    def corners_ras(self) -> Float:
        """The eight corners, (8, 3) in RAS mm."""
        signs = corners_ijk((1, 1, 1))
        return np.asarray(self.center + (signs * self.size) @ self.axes.T)

    def contains(self, ras: ArrayLike) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
        """Whether points (..., 3) in RAS mm lie in the box, faces included."""
        local = (np.asarray(ras, dtype=np.float64) - self.center) @ self.axes
        return np.asarray(np.all(np.abs(local) <= self.size / 2, axis=-1))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Box3D):
            return False
        return all(np.array_equal(getattr(self, name), getattr(other, name)) for name in ("center", "axes", "size"))

    def __hash__(self) -> int:
        return hash((self.center.tobytes(), self.axes.tobytes(), self.size.tobytes()))
