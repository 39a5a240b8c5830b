"""The parts of a comparison's masks on one side of a plane that is swept through them across an axis of the patient."""

from collections.abc import Sequence
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from inference_core.geometry.mask import Mask

# The axes of RAS; a plane is swept from the larger coordinate on: from the right, the front, the top.
FROM_RIGHT, FROM_FRONT, FROM_TOP = range(3)


class Swipe:
    """Cuts masks that share a lattice; `extent` are those that the plane is swept through, from end to end.

    How far along the way each voxel lies is worked out once for a mask and an axis, not at every move.
    """

    def __init__(self, lattice: Any, extent: "Sequence[Mask]") -> None:
        self._lattice = lattice
        self._ends = _ends(lattice, [mask for mask in extent if mask.array.size])
        self._axis = FROM_RIGHT
        self._percents: dict[int, tuple[Mask, np.ndarray]] = {}

    def cut(self, mask: "Mask", axis: int, percent: int) -> "Mask":
        """The voxels within a share (0 to 100) of the way along an axis of RAS."""
        from inference_core.geometry.mask import Mask

        if not mask.array.size or percent >= 100:
            return mask
        return Mask.of(mask.array & (self._percentsOf(mask, axis) <= percent), mask.start)

    def _percentsOf(self, mask: "Mask", axis: int) -> np.ndarray:
        """The share of the way at which each voxel's center is passed, in whole percent, rounded up."""
        if axis != self._axis:
            self._axis = axis
            self._percents.clear()
        if id(mask) not in self._percents:
            # The mask is kept with them, so that no other one can have its id.
            self._percents[id(mask)] = mask, self._worked(mask, axis)
        return self._percents[id(mask)][1]

    def _worked(self, mask: "Mask", axis: int) -> np.ndarray:
        affine, (low, high) = self._lattice.affine, self._ends[:, axis]
        along = [affine[axis, n] * (np.arange(size) + mask.start[n]) for n, size in enumerate(mask.array.shape)]
        place = affine[axis, 3] + along[0][:, None, None] + along[1][None, :, None] + along[2][None, None, :]
        return np.clip(np.ceil(100 * (high - place) / max(high - low, 1e-9)), 0, 101).astype(np.uint8)


def _ends(lattice: Any, masks: "list[Mask]") -> np.ndarray:
    """The least and the greatest of R, A and S, (2, 3) in mm, of the voxels of masks, to their outer corners."""
    from inference_core.geometry.grid import corners_ijk

    if not masks:
        return np.zeros((2, 3))
    box = reduce(lambda first, second: first.joined(second), [mask.box for mask in masks])
    corners = lattice.to_ras(corners_ijk(box.shape) + box.start)
    return np.stack([corners.min(axis=0), corners.max(axis=0)])
