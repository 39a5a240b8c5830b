"""The user's own transforms of the scene, linear or bent, as they carry points from the earlier visit to the later."""

from typing import TYPE_CHECKING, Any

import numpy as np
import vtk
from slicer.i18n import tr as _

from SAM3DSegmentLib.Conversion import transformToWorld

if TYPE_CHECKING:
    from inference_core.followup.registration import Alignment
    from inference_core.followup.warping import Warp
    from inference_core.geometry.grid import Grid


def givenBy(nodeId: str, image: Any, before: "Grid", after: "Grid") -> "Alignment":
    """What a transform node does to the earlier image, on whose grid and the later one's it is needed.

    Nothing where the image lies under it already: it is not moved twice.

    Raises:
        VolumeError: the node has left the scene, or flattens the image.
    """
    from inference_core.errors import VolumeError
    from inference_core.followup.registration import GIVEN, Alignment, check_invertible
    from inference_core.followup.warping import Bent, checked_both_ways, field_of

    node = image.GetScene().GetNodeByID(nodeId)
    if node is None:
        raise VolumeError(_("That transform is not in the scene any more; choose another way to align."))
    parent = image.GetParentTransformNode()
    while parent is not None and parent is not node:
        parent = parent.GetParentTransformNode()
    if parent is node:
        return Alignment(np.eye(4), GIVEN, 0.0)
    matrix = transformToWorld(node)
    if matrix is not None:
        check_invertible(matrix, node.GetName())
        return Alignment(matrix, GIVEN, 0.0)
    toWorld, fromWorld = vtk.vtkGeneralTransform(), vtk.vtkGeneralTransform()
    node.GetTransformToWorld(toWorld)
    node.GetTransformFromWorld(fromWorld)
    there = _warpOf(toWorld)
    # On the main thread: another one must not ask VTK's transforms while the scene changes them.
    field = field_of(there, [before, after])
    return Alignment(
        np.eye(4), GIVEN, 0.0, bent=Bent(checked_both_ways(there, _warpOf(fromWorld), node.GetName()), field)
    )


def _warpOf(transform: Any) -> "Warp":
    """The points' way through a `vtkAbstractTransform`, which is of RAS mm."""

    def warp(points: np.ndarray) -> np.ndarray:
        return np.array([transform.TransformPoint(tuple(point)) for point in points]).reshape(-1, 3)

    return warp
