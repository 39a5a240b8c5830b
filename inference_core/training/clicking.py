"""Where people click: mostly in the middle of what they mean, often anywhere in it, at times near its border."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi

from inference_core.geometry.mask import VoxelBox
from inference_core.training.synthetic import Mask

_CENTRAL, _ANYWHERE = 0.5, 1 / 3
_DEEP, _SHALLOW = 0.75, 0.35
_SLIPS = 0.05


def clicked_cell(rng: np.random.Generator, region: Mask) -> NDArray[np.int64]:
    """A cell (3,) of a region (D, H, W) that is not empty: half the time a deep one, a third of the time any."""
    box = VoxelBox.over(region)
    assert box is not None, "the region holds something"
    part = region[box.slices()]
    depth = ndi.distance_transform_edt(np.pad(part, 1))[1:-1, 1:-1, 1:-1]
    kind = rng.random()
    if kind < _CENTRAL:
        chosen = depth >= _DEEP * depth.max()
    elif kind < _CENTRAL + _ANYWHERE:
        chosen = part
    else:
        chosen = part & (depth <= max(1.0, _SHALLOW * depth.max()))
    cells = np.argwhere(chosen)
    return np.asarray(cells[rng.integers(len(cells))] + box.start)


def slip(rng: np.random.Generator) -> NDArray[np.float64]:
    """By how many voxels (3,) a hand misses: now and then by one or two, else not at all."""
    return rng.uniform(-1.5, 1.5, 3) if rng.random() < _SLIPS else np.zeros(3)
