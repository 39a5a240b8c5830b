"""How far a mask's surface is from its neighbor's.

The surface runs half-way between a voxel inside and its face neighbor outside, so that masks that touch are at no
distance.
"""

from __future__ import annotations

import numpy as np

from inference_core.geometry.grid import Float, Grid
from inference_core.geometry.mask import Mask
from inference_core.measures.diameters import Diameter
from inference_core.measures.point_pairs import nearest_pair


def surface_distance(mask: Mask, neighbor: Mask, grid: Grid) -> Diameter | None:
    """The shortest line between the surface points of two masks, both on one grid; None where one is empty.

    Of length 0 where they touch by a face or overlap: it then lies at the first voxel that they share, if any.
    """
    if not (mask.voxel_count and neighbor.voxel_count):
        return None
    shared = _shared_voxel(mask, neighbor)
    if shared is not None:
        at = grid.to_ras(shared)
        return Diameter.between(at, at)
    scale = np.asarray(grid.spacing)
    one, other = nearest_pair(surface_points(mask) * scale, surface_points(neighbor) * scale)
    return Diameter.between(grid.to_ras(one / scale), grid.to_ras(other / scale))


def surface_points(mask: Mask) -> Float:
    """The centers (n, 3) in ijk of all voxel faces with the mask on one side only."""
    found = []
    for axis in range(3):
        width = [(1, 1) if other == axis else (0, 0) for other in range(3)]
        faces = np.argwhere(np.diff(np.pad(mask.array, width), axis=axis)).astype(np.float64)
        faces[:, axis] -= 0.5
        found.append(faces)
    return np.concatenate(found) + np.asarray(mask.start)


def _shared_voxel(mask: Mask, neighbor: Mask) -> tuple[int, ...] | None:
    box = mask.box.within(neighbor.box)
    if box is None:
        return None
    both = np.argwhere(mask.array[box.slices(mask.start)] & neighbor.array[box.slices(neighbor.start)])
    return tuple(int(n) for n in both[0] + box.start) if len(both) else None
