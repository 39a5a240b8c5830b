"""Linear interpolation between grids whose axes match, one axis after another: three small matrix products."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor

import numpy as np
from numpy.typing import ArrayLike, NDArray

Float = NDArray[np.float64]
Float32 = NDArray[np.float32]
Axes = tuple[int, int, int]
_STRAY = 1e-3
_MOST_MULTIPLICATIONS = 2**18


def matching_axes(step: Float, shape: tuple[int, int, int]) -> Axes | None:
    """For each axis of the source, the axis of the target that runs along it; None where one is turned to another.

    `step` (4, 4) maps target voxels to source voxels; over this shape they may stray by a thousandth of a source voxel.
    """
    i, j, k = (int(axis) for axis in np.abs(step[:3, :3]).argmax(axis=1))
    stray = np.abs(step[:3, :3]) * np.asarray(shape)
    stray[range(3), [i, j, k]] = 0
    return (i, j, k) if {i, j, k} == {0, 1, 2} and stray.sum(axis=1).max() < _STRAY else None


def interpolate_along(
    values: Float32, step: Float, shape: tuple[int, int, int], *, axes: Axes, outside: float
) -> Float32:
    """Values interpolated at step @ ijk for all voxels ijk of a shape; float32 (i, j, k), i fastest in memory.

    Up to half a voxel beyond the outermost source voxels their values hold; further out it is `outside`.
    """
    return SeparableSampling.of(values, step, shape, axes=axes).at((0, 0, 0), shape, outside=outside)


@dataclass(frozen=True, eq=False)
class SeparableSampling:
    """Values on a source grid, ready to be interpolated on any box of target voxels.

    places: for each axis of the source, where the target's voxels lie on it; axes: as `matching_axes` gives them.
    """

    values: Float32
    places: tuple[AxisSampling, ...]
    axes: Axes

    @classmethod
    def of(cls, values: Float32, step: Float, shape: tuple[int, int, int], *, axes: Axes) -> SeparableSampling:
        """For a target of this shape, of which `step` (4, 4) maps voxels to source voxels."""
        ats = [step[axis, other] * np.arange(shape[other]) + step[axis, 3] for axis, other in enumerate(axes)]
        return cls(values, tuple(AxisSampling.of(at, size) for at, size in zip(ats, values.shape, strict=True)), axes)

    def at(self, start: ArrayLike, stop: ArrayLike, *, outside: float) -> Float32:
        """The values on the target's voxels start <= ijk < stop, float32, i fastest in memory."""
        runs = self._runs(start, stop)
        slowest_first = [self.axes.index(other) for other in (2, 1, 0)]
        needed = self.values[self.cells(start, stop)].transpose(slowest_first)
        k, j, i = (self.places[axis].weights(*runs[axis]) for axis in slowest_first)
        along_i = _weighed(np.ascontiguousarray(needed), i, axis=2)
        laid = _weighed(_weighed(along_i, j, axis=1), k, axis=0).T
        for axis, other in enumerate(self.axes):
            if not self.places[axis].all_inside(*runs[axis]):
                beyond = ~self.places[axis].inside[slice(*runs[axis])]
                np.moveaxis(laid, other, 0)[beyond] = outside
        return np.asarray(laid, dtype=np.float32)

    def cells(self, start: ArrayLike, stop: ArrayLike) -> tuple[slice, ...]:
        """The source voxels that the target's voxels start <= ijk < stop are interpolated from."""
        return tuple(place.cells(*run) for place, run in zip(self.places, self._runs(start, stop), strict=True))

    def covers(self, start: ArrayLike, stop: ArrayLike) -> bool:
        """Whether the target's voxels start <= ijk < stop all lie inside the source."""
        return all(place.all_inside(*run) for place, run in zip(self.places, self._runs(start, stop), strict=True))

    def profiles(self, along: list[Float32]) -> list[Float32]:
        """A value for each source voxel along each axis, interpolated along the target's axes; 0 outside the source."""
        laid = [
            place.inside * (place.weights(0, len(place.at)) @ values[place.cells(0, len(place.at))])
            for place, values in zip(self.places, along, strict=True)
        ]
        return [laid[self.axes.index(other)] for other in range(3)]

    def _runs(self, start: ArrayLike, stop: ArrayLike) -> list[tuple[int, int]]:
        low, high = np.asarray(start), np.asarray(stop)
        return [(int(low[other]), int(high[other])) for other in self.axes]


@dataclass(frozen=True, eq=False)
class AxisSampling:
    """Where the voxels of one target axis lie on a source axis, in its voxels; held at its ends unless `inside`."""

    at: Float32
    inside: NDArray[np.bool_]

    @classmethod
    def of(cls, at: Float, size: int) -> AxisSampling:
        """For places that rise or fall steadily on an axis of this size; beyond its ends the outermost voxels hold."""
        return cls(np.clip(at, 0, size - 1).astype(np.float32), (at >= -0.5) & (at <= size - 0.5))

    def cells(self, first: int, last: int) -> slice:
        """The source voxels that the target's voxels first <= n < last are interpolated from."""
        low, high = sorted((float(self.at[first]), float(self.at[last - 1])))
        return slice(floor(low), ceil(high) + 1)

    def weights(self, first: int, last: int) -> Float32:
        """How much each of these source voxels counts for each of the target's: (last - first, cells)."""
        cells = self.cells(first, last)
        distance = np.abs(self.at[first:last, None] - np.arange(cells.start, cells.stop, dtype=np.float32))
        return np.asarray(np.maximum(1 - distance, 0), dtype=np.float32)

    def all_inside(self, first: int, last: int) -> bool:
        """Whether the target's voxels first <= n < last lie on the axis."""
        return bool(self.inside[first] and self.inside[last - 1])


def _weighed(values: Float32, weights: Float32, *, axis: int) -> Float32:
    """Values (three axes) with weights (new, old) applied along one axis.

    Done in products so small that OpenBLAS does not wake its threads: they wait for work by spinning, which was
    measured to take twenty times the product's own time on two busy cores.
    """
    shape = list(values.shape)
    shape[axis] = len(weights)
    result = np.empty(shape, dtype=np.float32)
    # The axis in question among the last two, where a product takes it.
    given, taken = (array.swapaxes(0, 1) if axis == 0 else array for array in (values, result))
    other = values.shape[1 if axis == 2 else 2]
    rows = max(1, _MOST_MULTIPLICATIONS // (weights.shape[1] * other))
    for first in range(0, len(weights), rows):
        some = weights[first : first + rows]
        if axis == 2:
            np.matmul(given, some.T, out=taken[..., first : first + rows])
        else:
            np.matmul(some, given, out=taken[:, first : first + rows])
    return result
