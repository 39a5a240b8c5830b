"""A synthetic patient with tumors in the scene, on a tilted grid, for the self-tests."""

import numpy as np
import slicer


def makePhantom():
    """The phantom; coarse, so that a first click takes seconds. Its tumors' voxels are known."""
    from inference_core.evaluation.phantom import make_phantom

    return make_phantom(shape=(128, 128, 64), spacing=(2.4, 2.4, 4.0), oblique_degrees=12.0)


def addPhantom(phantom):
    """A scalar volume node that holds the phantom's CT."""
    volume = phantom.volume
    array = np.ascontiguousarray(volume.array.T)  # Slicer's arrays run along k, j, i
    return slicer.util.addVolumeFromArray(array, ijkToRAS=volume.grid.affine, name="Phantom CT")


def maskOf(logic, segmentId):
    """The voxels of a segment on the volume's grid, (k, j, i), bool."""
    return slicer.util.arrayFromSegmentBinaryLabelmap(logic.segmentationNode, segmentId, logic.volumeNode) > 0


def tumorOf(phantom, tumor):
    """The voxels of one of the phantom's tumors, (k, j, i), bool."""
    return np.ascontiguousarray((phantom.labels.array == tumor.label).T)


def dice(mask, truth):
    """How well a mask covers the truth, 0..1."""
    return 2 * np.count_nonzero(mask & truth) / (np.count_nonzero(mask) + np.count_nonzero(truth))
