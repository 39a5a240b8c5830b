"""A volume: voxels on a grid, in the type they were stored in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference_core.errors import VolumeError, one_line
from inference_core.geometry.grid import Grid


@dataclass(frozen=True, eq=False)
class Volume:
    """A scalar array in (i, j, k) order on a grid.

    The array keeps its own type and memory layout: a 512x512x1000 int16 CT stays 0.5 GB. A name out of a file loses its
    control characters.

    Raises:
        VolumeError: the array is not three-dimensional and real, or does not have the grid's shape.
    """

    array: NDArray[Any]
    grid: Grid
    name: str = "volume"

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", one_line(self.name))
        if self.array.ndim != 3:
            raise VolumeError(
                "'{name}' has {ndim} dimensions; choose one single 3D volume of it.",
                name=self.name,
                ndim=self.array.ndim,
            )
        if not (np.issubdtype(self.array.dtype, np.number) or self.array.dtype == np.bool_):
            raise VolumeError("'{name}' holds no numbers; choose a scalar CT, MR or PET volume.", name=self.name)
        if np.issubdtype(self.array.dtype, np.complexfloating):
            raise VolumeError("'{name}' holds complex numbers; load its magnitude image instead.", name=self.name)
        if self.array.shape != self.grid.shape:
            raise VolumeError(
                "'{name}' has {shape} voxels but a grid of {shape2}.",
                name=self.name,
                shape=self.array.shape,
                shape2=self.grid.shape,
            )
