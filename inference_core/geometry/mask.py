"""Masks: the part of a grid that holds one, and the algebra on it. Voxel indices are (i, j, k)."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Index = NDArray[np.int64]
Bools = NDArray[np.bool_]
Extent = tuple[tuple[int, int, int], tuple[int, int, int]]


@dataclass(frozen=True, eq=False)
class VoxelBox:
    """Voxels start <= ijk < stop."""

    start: Index
    stop: Index

    @classmethod
    def around(cls, voxel: tuple[int, ...]) -> VoxelBox:
        """One voxel."""
        return cls(np.asarray(voxel), np.asarray(voxel) + 1)

    @classmethod
    def whole(cls, shape: tuple[int, ...]) -> VoxelBox:
        """All voxels of a shape."""
        return cls(np.zeros(3, dtype=np.int64), np.asarray(shape, dtype=np.int64))

    @classmethod
    def over(cls, mask: NDArray[Any]) -> VoxelBox | None:
        """The smallest box that holds a mask's nonzero voxels; None if there are none."""
        used = [np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
        if not used[0].size:
            return None
        return cls(np.array([index[0] for index in used]), np.array([index[-1] + 1 for index in used]))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along each axis."""
        i, j, k = (int(n) for n in self.stop - self.start)
        return i, j, k

    @property
    def extent(self) -> Extent:
        """Start and stop as plain integers."""
        return _triple(self.start), _triple(self.stop)

    def within(self, other: VoxelBox) -> VoxelBox | None:
        """What two boxes share; None if nothing."""
        start, stop = np.maximum(self.start, other.start), np.minimum(self.stop, other.stop)
        return VoxelBox(start, stop) if (start < stop).all() else None

    def joined(self, other: VoxelBox) -> VoxelBox:
        """The smallest box that holds both."""
        return VoxelBox(np.minimum(self.start, other.start), np.maximum(self.stop, other.stop))

    def slices(self, origin: ArrayLike = 0) -> tuple[slice, ...]:
        """Where its voxels are in an array whose first voxel is at `origin`."""
        start, stop = self.start - np.asarray(origin), self.stop - np.asarray(origin)
        return tuple(slice(int(a), int(b)) for a, b in zip(start, stop, strict=True))

    def halves(self) -> tuple[VoxelBox, VoxelBox]:
        """Its halves along its longest axis."""
        axis = int(np.argmax(self.stop - self.start))
        end, middle = self.stop.copy(), self.start.copy()
        end[axis] = middle[axis] = (self.start[axis] + self.stop[axis]) // 2
        return VoxelBox(self.start, end), VoxelBox(middle, self.stop)


@dataclass(frozen=True, eq=False)
class Mask:
    """A mask on part of a grid: voxels start <= ijk < start + array.shape; all others are outside it.

    `of` makes the smallest one. Indices may be negative where the grid has no end, as a Slicer segmentation's.
    """

    start: tuple[int, int, int]
    array: Bools

    @classmethod
    def of(cls, voxels: Bools, start: ArrayLike = (0, 0, 0)) -> Mask:
        """The smallest mask that holds some voxels, of which the first lies at `start`."""
        used = VoxelBox.over(voxels)
        if used is None:
            return EMPTY
        return cls(_triple(np.asarray(start) + used.start), np.asfortranarray(voxels[used.slices()]))

    @property
    def stop(self) -> tuple[int, int, int]:
        """One past the last voxel along each axis."""
        return _triple(np.add(self.start, self.array.shape))

    @property
    def box(self) -> VoxelBox:
        """The voxels that `array` covers."""
        return VoxelBox(np.asarray(self.start), np.asarray(self.stop))

    @property
    def voxel_count(self) -> int:
        """How many voxels are in the mask."""
        return int(np.count_nonzero(self.array))

    def fits(self, shape: tuple[int, int, int]) -> bool:
        """Whether it lies within a grid of this shape."""
        return min(self.start) >= 0 and all(stop <= size for stop, size in zip(self.stop, shape, strict=True))

    def on(self, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
        """The whole mask as uint8 (i, j, k), in the memory order of image files (i fastest)."""
        whole = np.zeros(shape, dtype=np.uint8, order="F")
        whole[self.box.slices()] = self.array
        return whole

    def at(self, voxel: tuple[int, int, int]) -> bool:
        """Whether one voxel is in the mask."""
        local = tuple(v - a for v, a in zip(voxel, self.start, strict=True))
        inside = all(0 <= v < n for v, n in zip(local, self.array.shape, strict=True))
        return bool(inside and self.array[local])

    def crop(self, start: ArrayLike, stop: ArrayLike) -> Bools:
        """The voxels start <= ijk < stop as booleans, i fastest in memory; a copy."""
        wanted = VoxelBox(np.asarray(start), np.asarray(stop))
        whole = np.zeros(wanted.shape, dtype=bool, order="F")
        shared = wanted.within(self.box)
        if shared is not None:
            whole[shared.slices(wanted.start)] = self.array[shared.slices(self.start)]
        return whole

    def union(self, other: Mask) -> Mask:
        """The voxels of either."""
        return self._combined(other, np.logical_or)

    def minus(self, other: Mask) -> Mask:
        """The voxels that the other lacks."""
        return self._combined(other, np.greater)

    def changed_extent(self, after: Mask) -> Extent | None:
        """The smallest box of voxels, start and stop, outside which two masks agree; None if they are the same."""
        differs = self._combined(after, np.not_equal)
        return differs.box.extent if differs.array.size else None

    def pack(self) -> PackedMask:
        """The mask in a fraction of its size."""
        return PackedMask(self.start, _triple(self.array.shape), pack_bits(self.array))

    def _combined(self, other: Mask, rule: Callable[[Bools, Bools], Bools]) -> Mask:
        boxes = [mask.box for mask in (self, other) if mask.array.size]
        if not boxes:
            return EMPTY
        box = boxes[0].joined(boxes[-1])
        return Mask.of(rule(self.crop(box.start, box.stop), other.crop(box.start, box.stop)), box.start)


@dataclass(frozen=True)
class PackedMask:
    """A mask in a fraction of its size: where it starts, its shape, and its voxels as compressed bits."""

    start: tuple[int, int, int]
    shape: tuple[int, int, int]
    bits: bytes

    def unpack(self) -> Mask:
        """The mask again."""
        return Mask(self.start, unpack_bits(self.bits, self.shape))


def pack_bits(voxels: Bools) -> bytes:
    """Booleans (i, j, k) as compressed bits, i fastest."""
    return zlib.compress(np.packbits(voxels.ravel(order="F")).tobytes(), level=1)


def unpack_bits(bits: bytes, shape: tuple[int, ...]) -> Bools:
    """What `pack_bits` packed."""
    voxels = np.unpackbits(np.frombuffer(zlib.decompress(bits), dtype=np.uint8), count=int(np.prod(shape)))
    return voxels.view(np.bool_).reshape(shape, order="F")


def _triple(values: ArrayLike) -> tuple[int, int, int]:
    i, j, k = (int(value) for value in np.asarray(values))
    return i, j, k


EMPTY = Mask((0, 0, 0), np.zeros((0, 0, 0), dtype=bool))
