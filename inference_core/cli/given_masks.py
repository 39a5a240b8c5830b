"""Masks in a file that are given with an image: on its voxels as they are, or brought onto them, which is said."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from inference_core.cli.reporting import say

if TYPE_CHECKING:
    from inference_core.geometry.volume import Volume


def labels_on(path: Path, volume: Volume) -> Volume:
    """The labels of a mask or label map on a volume's voxels; that they lay on others is said on stderr.

    Raises:
        VolumeError: the file cannot be read, or what is in it lies beside the volume.
    """
    import numpy as np

    from inference_core.errors import VolumeError
    from inference_core.geometry.grid import SAME_GRID_MM
    from inference_core.geometry.mask import Mask
    from inference_core.geometry.regridding import regridded
    from inference_core.geometry.volume import Volume as VolumeOf
    from inference_core.io.files import read_labels
    from inference_core.io.segment_names import segment_names

    labels = read_labels(path)
    values = [int(value) for value in np.unique(labels.array) if value != 0]
    if not values or labels.grid.matches(volume.grid, tolerance_mm=SAME_GRID_MM):
        return labels
    known = segment_names(path)
    names = {str(value): known.get(value, f"label {value}") for value in values}
    masks = {str(value): (Mask.of(labels.array == value), labels.grid) for value in values}
    found = regridded(masks, volume.grid, on=volume.name, names=names)
    if not any(mask.array.size for mask in found.masks.values()):
        raise VolumeError(f"'{path.name}' lies beside '{volume.name}'; give the mask of this image.")
    array = np.zeros(volume.grid.shape, dtype=labels.array.dtype, order="F")
    for value, mask in found.masks.items():
        array[mask.box.slices()][mask.array] = int(value)
    if found.note:
        say(found.note)
    return VolumeOf(array, volume.grid, labels.name)
