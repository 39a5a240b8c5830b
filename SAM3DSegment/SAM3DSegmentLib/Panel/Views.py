"""What the slice views show and where they are."""

from typing import Any

import slicer

from SAM3DSegmentLib.Workspace import volumeOf

_AWAY_ATTRIBUTE = "SAM3DSegment.HiddenWithItsImage"
_OFFSET = slicer.vtkMRMLSliceNode.OffsetJumpSlice


def showVolume(node: Any) -> None:
    """Show an image in all slice views; where it lies elsewhere than the one before, fit the views to it."""
    slicer.util.setSliceViewerLayers(background=node, fit=not _overlap(node, _background()))
    showMasksOf(node)


def showMasksOf(volumeNode: Any) -> None:
    """Take the masks of other images out of the views, which would lie over this one as if they were its own.

    They are shown again when their image is chosen again; what the user has hidden stays hidden.
    """
    for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode"):
        display, image = node.GetDisplayNode(), volumeOf(node)
        if display is None or image is None:
            continue
        if image is not volumeNode and display.GetVisibility():
            display.SetAttribute(_AWAY_ATTRIBUTE, "1")
            display.SetVisibility(False)
        elif image is volumeNode and display.GetAttribute(_AWAY_ATTRIBUTE):
            display.RemoveAttribute(_AWAY_ATTRIBUTE)
            display.SetVisibility(True)


def backgroundOf(sliceNode: Any) -> Any:
    """The image that a slice view shows, or None."""
    logic = slicer.app.applicationLogic().GetSliceLogic(sliceNode)
    return logic.GetBackgroundLayer().GetVolumeNode() if logic is not None else None


def shows(sliceNode: Any, volumeNode: Any) -> bool:
    """Whether a slice view shows an image, beneath or above another."""
    logic = slicer.app.applicationLogic().GetSliceLogic(sliceNode)
    layers = (logic.GetBackgroundLayer(), logic.GetForegroundLayer()) if logic is not None else ()
    return any(layer is not None and layer.GetVolumeNode() is volumeNode for layer in layers)


def moveOthersTo(ras: Any, sliceNode: Any) -> None:
    """Move all slice views but one to the slice through a point in world RAS mm."""
    group = sliceNode.GetViewGroup()
    slicer.vtkMRMLSliceNode.JumpAllSlices(slicer.mrmlScene, *ras, _OFFSET, group, sliceNode)


def centerOn(ras: Any) -> None:
    """Show a point (world RAS mm) in the middle of all slice views."""
    node = slicer.vtkMRMLSliceNode
    node.JumpAllSlices(slicer.mrmlScene, *ras, node.CenteredJumpSlice)


def sliceViews() -> list[Any]:
    """The slice views of the layout as it is now."""
    layout = slicer.app.layoutManager()
    return [layout.sliceWidget(name).sliceView() for name in layout.sliceViewNames()] if layout is not None else []


def _background() -> Any:
    shown = (backgroundOf(view.mrmlSliceNode()) for view in sliceViews())
    return next((volume for volume in shown if volume is not None), None)


def _overlap(first: Any, second: Any) -> bool:
    """Whether two images share a place in the world; an image that is not there shares none."""
    if first is None or second is None:
        return False
    bounds = [[0.0] * 6, [0.0] * 6]
    first.GetRASBounds(bounds[0])
    second.GetRASBounds(bounds[1])
    a, b = bounds
    return all(max(a[n], b[n]) < min(a[n + 1], b[n + 1]) for n in (0, 2, 4))
