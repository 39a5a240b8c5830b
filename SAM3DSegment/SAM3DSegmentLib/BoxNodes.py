"""A box as Slicer's ROI node, and as a prompt."""

from typing import Any

import numpy as np
import slicer
import vtk

from SAM3DSegmentLib.SegmentState import PromptItem


def placeBox(node: Any, boxToWorld: np.ndarray, size: Any) -> None:
    """Place a box node by its axes and center in the world (4, 4) and its edges in mm."""
    parent = node.GetParentTransformNode()
    if parent is not None:
        matrix = vtk.vtkMatrix4x4()
        parent.GetMatrixTransformFromWorld(matrix)
        boxToWorld = slicer.util.arrayFromVTKMatrix(matrix) @ boxToWorld
    _set(node, boxToWorld, size)


def isPlaced(node: Any) -> bool:
    """Whether a box is there at all: drawn to its end, and not flat."""
    return (
        node.GetNumberOfDefinedControlPoints() > 0
        and node.GetControlPointPlacementComplete()
        and min(node.GetSize()) > 0
    )


def itemOf(node: Any, order: str) -> PromptItem | None:
    """The box as a prompt, in world RAS mm; None where it is not placed."""
    from inference_core.geometry.box import Box3D
    from inference_core.prompts.prompt_set import BoxPrompt

    if not isPlaced(node):
        return None
    world = slicer.util.arrayFromVTKMatrix(node.GetObjectToWorldMatrix())
    scale = np.linalg.norm(world[:3, :3], axis=0)
    size = np.asarray(node.GetSize()) * scale
    local = (*slicer.util.arrayFromVTKMatrix(node.GetObjectToNodeMatrix()).ravel(), *node.GetSize())
    box = Box3D(world[:3, 3], world[:3, :3] / scale, size)
    visible = bool(node.GetDisplayVisibility())
    return PromptItem(order, "box", tuple(world[:3, 3]), tuple(size), visible, local, BoxPrompt(box))


def restore(node: Any, item: PromptItem) -> None:
    """Make a node hold a box as it was, to the last bit."""
    _set(node, np.reshape(item.local[:16], (4, 4)), item.local[16:])


def move(node: Any, ras: Any) -> None:
    """Move the box's center to a point in world RAS mm."""
    node.SetCenterWorld(*map(float, ras))


def _set(node: Any, objectToNode: np.ndarray, size: Any) -> None:
    blocked = node.StartModify()
    node.SetSize(*map(float, size))
    node.SetAndObserveObjectToNodeMatrix(slicer.util.vtkMatrixFromArray(objectToNode))
    node.SetCenter(*map(float, objectToNode[:3, 3]))
    node.EndModify(blocked)
