"""Masks on a segmentation's grid put together: what of each answer counts where, and which edits a click takes back."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from inference_core.geometry.mask import Mask
    from SAM3DSegmentLib.Conversion import SegmentGrid
    from SAM3DSegmentLib.Engine import Layer


def composed(base: "Mask", layers: "Sequence[Layer]", where: "SegmentGrid") -> "Mask":
    """The topmost layer within its reach, below it the next one, and the base where none reaches.

    The layers' masks are on the segmentation's grid.
    """
    mask = base
    for layer in reversed(layers):
        mask = layer.mask if layer.reachMm is None else _within(layer, mask, where)
    return mask


def uncontradicted(edits: "Mask", voxels: Sequence[tuple[int, int, int]]) -> "Mask":
    """Edits without the connected pieces that some voxels lie in."""
    from inference_core.geometry.mask import Mask

    inside = [np.subtract(voxel, edits.start) for voxel in voxels if edits.at(voxel)]
    if not inside:
        return edits
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(np.ascontiguousarray(edits.array.T, dtype=np.uint8))
    pieces = sitk.GetArrayFromImage(sitk.ConnectedComponent(image, True)).T
    kept = edits.array & ~np.isin(pieces, [pieces[tuple(voxel)] for voxel in inside])
    return Mask.of(kept, edits.start)


def _within(layer: "Layer", below: "Mask", where: "SegmentGrid") -> "Mask":
    """The layer's mask in a ball around its center, the one below elsewhere."""
    from inference_core.geometry.mask import Mask

    boxes = [mask.box for mask in (layer.mask, below) if mask.array.size]
    if not boxes or layer.reachMm is None:
        return below
    box = boxes[0].joined(boxes[-1])
    region = where.lattice.cropped(box.start, box.stop)
    axes = np.ix_(*[np.arange(n, dtype=np.float32) for n in region.shape])
    center = region.to_ijk(layer.centerRas)
    squared = sum(((axes[a] - center[a]) * region.spacing[a]) ** 2 for a in range(3))
    near = squared <= layer.reachMm**2
    return Mask.of(np.where(near, layer.mask.crop(box.start, box.stop), below.crop(box.start, box.stop)), box.start)
