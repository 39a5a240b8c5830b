"""The sample's patient some months later, for pictures: the liver's tumor has lost its outermost millimeters."""

from __future__ import annotations

import numpy as np
import slicer

LOST_MM = 3.5
NAME = "Phantom CT, later"
_ASIDE_VOXELS = 24  # where along the rows there is liver to fill with


def addSecondVisit():
    """Add it to the scene, windowed as the sample is. Returns the volume node."""
    from scipy import ndimage

    from inference_core.evaluation.phantom import make_phantom

    phantom = make_phantom()
    voxels, tumor = phantom.volume.array.copy(), phantom.labels.array == 1
    depth = ndimage.distance_transform_edt(tumor, sampling=phantom.volume.grid.spacing)
    lost = tumor & (depth < LOST_MM)
    voxels[lost] = np.roll(voxels, -_ASIDE_VOXELS, axis=1)[lost]
    node = slicer.util.addVolumeFromArray(
        voxels.transpose(2, 1, 0).copy(), ijkToRAS=phantom.volume.grid.affine, name=NAME
    )
    display = node.GetDisplayNode()
    display.SetAutoWindowLevel(False)
    display.SetWindowLevel(350.0, 60.0)
    return node
