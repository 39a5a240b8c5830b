"""The user's own edits of a mask, and which of them a click takes back."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from inference_core.geometry.mask import Mask


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
