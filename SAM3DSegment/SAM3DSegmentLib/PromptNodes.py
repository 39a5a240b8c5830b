"""The prompts of one segment as ordinary Markups nodes: a point list for each sign and a node for each box.

The nodes lie in one folder of the subject hierarchy and are saved with the scene. Nothing else remembers the prompts:
what the nodes say is what is segmented. The order in which prompts were placed counts, since an answer builds on the
ones before it; it is kept with each point (in its description, with how far from it the mask may
change) and each box (in an attribute).
"""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _

from SAM3DSegmentLib.Conversion import arrayFromMatrix, matrixFromArray
from SAM3DSegmentLib.SegmentState import PromptItem

if TYPE_CHECKING:
    from inference_core.prompts.prompt_set import PromptSet

KIND_ATTRIBUTE = "SAM3DSegment.Kind"
SEGMENT_ATTRIBUTE = "SAM3DSegment.SegmentID"
ORDER_ATTRIBUTE = "SAM3DSegment.Order"
SEGMENTATION_ROLE = "SAM3DSegment.Segmentation"
VOLUME_ROLE = "SAM3DSegment.Volume"
_ORDER_PREFIX = "SAM3DSegment "
_REACH = " within "
_COLORS = {"foreground": (0.1, 0.85, 0.2), "background": (0.95, 0.15, 0.1), "box": (1.0, 0.8, 0.1)}


class PromptNodes:
    """Reads and changes the prompts of one segment. New clicks change the mask within `reachMm` of them alone."""

    def __init__(self, segmentationNode: Any, segmentId: str) -> None:
        self.segmentationNode, self.segmentId = segmentationNode, segmentId
        self.reachMm: float | None = None

    @property
    def volumeNode(self) -> Any:
        """The image that the prompts were placed on, or None where there are none or it is gone."""
        nodes = [node.GetNodeReference(VOLUME_ROLE) for node in self.nodes() if _hasPrompts(node)]
        return next((node for node in nodes if node is not None), None)

    def placeOn(self, volumeNode: Any) -> None:
        """Note which image the prompts lie on."""
        for node in self.nodes():
            node.SetNodeReferenceID(VOLUME_ROLE, volumeNode.GetID())

    def nodes(self) -> list[Any]:
        """The segment's markups nodes that are in the scene."""
        found = []
        scene = self.segmentationNode.GetScene()
        for node in slicer.util.getNodesByClass("vtkMRMLMarkupsNode", scene) if scene else []:
            if node.GetAttribute(SEGMENT_ATTRIBUTE) != self.segmentId or not node.GetAttribute(KIND_ATTRIBUTE):
                continue
            if node.GetNodeReference(SEGMENTATION_ROLE) is self.segmentationNode:
                found.append(node)
        return found

    def items(self) -> tuple[PromptItem, ...]:
        """All placed prompts in the order of placing; points still under the cursor are left out."""
        nodes = self.nodes()
        self._numberNew(nodes)
        items = [item for node in nodes for item in _itemsOf(node)]
        return tuple(sorted(items, key=lambda item: item.order))

    def placeNode(self, kind: str) -> Any:
        """The node to place a prompt of a kind into: the sign's point list, or a new box."""
        found = next((node for node in self.nodes() if node.GetAttribute(KIND_ATTRIBUTE) == kind), None)
        return found if found is not None and kind != "box" else self._newNode(kind)

    def addClick(self, ras: Any, *, positive: bool) -> None:
        """Place a click at a point in world RAS mm."""
        self.placeNode("foreground" if positive else "background").AddControlPointWorld(
            vtk.vtkVector3d(*map(float, ras))
        )

    def addBox(self, box: Any) -> None:
        """Place a box (`Box3D`, in world RAS mm)."""
        boxToWorld = np.eye(4)
        boxToWorld[:3, :3], boxToWorld[:3, 3] = box.axes, box.center
        placeBox(self._newNode("box"), boxToWorld, box.size)

    def place(self, prompts: "PromptSet") -> None:
        """Place all prompts of a set after those that are there, keeping their order and reaches.

        A line, a scribble or a lasso is placed as the clicks that stand for it.
        """
        from inference_core.prompts.prompt_set import BoxPrompt, Click, is_background
        from inference_core.prompts.strokes import telling_points

        usual = self.reachMm
        for prompt in prompts.prompts:
            self.reachMm = prompt.reach_mm if isinstance(prompt, Click) else None
            if isinstance(prompt, Click):
                self.addClick(prompt.ras, positive=prompt.positive)
            elif isinstance(prompt, BoxPrompt):
                self.addBox(prompt.box)
            else:
                for point in telling_points(prompt):
                    self.addClick(point, positive=not is_background(prompt))
            self._numberNew(self.nodes())
        self.reachMm = usual

    def move(self, item: PromptItem, ras: Any) -> None:
        """Move a click, or a box's center, to a point in world RAS mm."""
        node, index = self._find(item)
        if item.kind == "box":
            node.SetCenterWorld(*map(float, ras))
        else:
            node.SetNthControlPointPositionWorld(index, *map(float, ras))

    def flip(self, item: PromptItem) -> None:
        """Turn the sign of a click round; its place in the order stays."""
        kind = "background" if item.kind == "foreground" else "foreground"
        self.delete(item)
        self._restoreOne(replace(item, kind=kind))

    def delete(self, item: PromptItem) -> None:
        """Remove a prompt, and a box's node with it."""
        node, index = self._find(item)
        if item.kind == "box":
            self.segmentationNode.GetScene().RemoveNode(node)
        else:
            node.RemoveNthControlPoint(index)

    def setVisible(self, item: PromptItem, visible: bool) -> None:
        """Show or hide a prompt in the views; a hidden prompt still counts."""
        node, index = self._find(item)
        if item.kind == "box":
            node.SetDisplayVisibility(visible)
        else:
            node.SetNthControlPointVisibility(index, visible)

    def restore(self, items: tuple[PromptItem, ...]) -> None:
        """Make the nodes hold exactly these prompts."""
        wanted = {(item.id, item.kind): item for item in items}
        present = {(item.id, item.kind): item for item in self.items()}
        for key, item in present.items():
            if key not in wanted or wanted[key].local != item.local:
                self.delete(item)
        for key, item in wanted.items():
            if key not in present or present[key].local != item.local:
                self._restoreOne(item)

    def removeNodes(self) -> None:
        """Take all of the segment's prompt nodes, and their folder, out of the scene."""
        scene = self.segmentationNode.GetScene()
        for node in self.nodes():
            scene.RemoveNode(node)
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
        folder = self._folder(hierarchy, create=False)
        if folder:
            hierarchy.RemoveItem(folder)

    def _find(self, item: PromptItem) -> tuple[Any, int]:
        for node in self.nodes():
            if node.GetAttribute(KIND_ATTRIBUTE) != item.kind:
                continue
            if not item.isClick and _note(node)[0] == item.id:
                return node, -1
            for index in range(node.GetNumberOfControlPoints() if item.isClick else 0):
                if _note(node, index)[0] == item.id:
                    return node, index
        raise KeyError(item.id)

    def _restoreOne(self, item: PromptItem) -> None:
        node = self.placeNode(item.kind)
        if item.kind == "box":
            node.SetAttribute(ORDER_ATTRIBUTE, item.id)
            _setBox(node, np.reshape(item.local[:16], (4, 4)), item.local[16:])
            node.SetDisplayVisibility(item.visible)
            return
        blocked = node.StartModify()
        index = node.AddControlPoint(vtk.vtkVector3d(*item.local))
        node.SetNthControlPointDescription(index, _ORDER_PREFIX + _noted(item.id, item.reachMm))
        node.SetNthControlPointVisibility(index, item.visible)
        node.EndModify(blocked)

    def _numberNew(self, nodes: list[Any]) -> None:
        """Give prompts placed since the last look their number, points before boxes where both are new."""
        orders = [order for node in nodes for order in _ordersOf(node)]
        following = max(orders, default=0) + 1
        for node in nodes:
            if node.GetAttribute(KIND_ATTRIBUTE) == "box":
                if not node.GetAttribute(ORDER_ATTRIBUTE) and _isPlacedBox(node):
                    node.SetAttribute(ORDER_ATTRIBUTE, str(following))
                    following += 1
                continue
            for index in range(node.GetNumberOfControlPoints()):
                described = node.GetNthControlPointDescription(index).startswith(_ORDER_PREFIX)
                if not described and _isPlaced(node, index):
                    node.SetNthControlPointDescription(index, _ORDER_PREFIX + _noted(str(following), self.reachMm))
                    following += 1

    def _newNode(self, kind: str) -> Any:
        scene = self.segmentationNode.GetScene()
        segment = self.segmentationNode.GetSegmentation().GetSegment(self.segmentId)
        names = {"foreground": _("foreground"), "background": _("background"), "box": _("box")}
        name = f"{segment.GetName() if segment else self.segmentId} {names[kind]}"
        class_ = "vtkMRMLMarkupsROINode" if kind == "box" else "vtkMRMLMarkupsFiducialNode"
        node = scene.AddNewNodeByClass(class_, scene.GenerateUniqueName(name))
        node.SetAttribute(SEGMENT_ATTRIBUTE, self.segmentId)
        node.SetAttribute(KIND_ATTRIBUTE, kind)
        node.SetNodeReferenceID(SEGMENTATION_ROLE, self.segmentationNode.GetID())
        # They belong to the segment: where it is moved to, they go along.
        node.SetAndObserveTransformNodeID(self.segmentationNode.GetTransformNodeID())
        node.CreateDefaultDisplayNodes()
        _style(node.GetDisplayNode(), kind)
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
        if hierarchy is not None:
            item = hierarchy.GetItemByDataNode(node) or hierarchy.CreateItem(hierarchy.GetSceneItemID(), node)
            hierarchy.SetItemParent(item, self._folder(hierarchy, create=True))
        return node

    def _folder(self, hierarchy: Any, *, create: bool) -> int:
        if hierarchy is None:
            return 0
        children = vtk.vtkIdList()
        hierarchy.GetItemChildren(hierarchy.GetSceneItemID(), children, True)
        owner = f"{self.segmentationNode.GetID()} {self.segmentId}"
        for index in range(children.GetNumberOfIds()):
            if hierarchy.GetItemAttribute(children.GetId(index), SEGMENT_ATTRIBUTE) == owner:
                return children.GetId(index)
        if not create:
            return 0
        segment = self.segmentationNode.GetSegmentation().GetSegment(self.segmentId)
        name = _("{segment} prompts").format(segment=segment.GetName() if segment else self.segmentId)
        folder = hierarchy.CreateFolderItem(hierarchy.GetSceneItemID(), name)
        hierarchy.SetItemAttribute(folder, SEGMENT_ATTRIBUTE, owner)
        return folder


def removeOrphans(segmentationId: str) -> None:
    """Take the prompts of a segmentation that is gone out of the scene."""
    scene = slicer.mrmlScene
    for node in slicer.util.getNodesByClass("vtkMRMLMarkupsNode"):
        if node.GetAttribute(KIND_ATTRIBUTE) and node.GetNodeReferenceID(SEGMENTATION_ROLE) == segmentationId:
            scene.RemoveNode(node)


def placeBox(node: Any, boxToWorld: np.ndarray, size: Any) -> None:
    """Place a box node by its axes and center in the world (4, 4) and its edges in mm."""
    parent = node.GetParentTransformNode()
    if parent is not None:
        matrix = vtk.vtkMatrix4x4()
        parent.GetMatrixTransformFromWorld(matrix)
        boxToWorld = arrayFromMatrix(matrix) @ boxToWorld
    _setBox(node, boxToWorld, size)


def promptSetOf(items: tuple[PromptItem, ...]) -> "PromptSet":
    """The prompts of some items, in order, as the core's type."""
    from inference_core.prompts.prompt_set import PromptSet

    return PromptSet(tuple(item.prompt for item in items))


def _itemsOf(node: Any) -> list[PromptItem]:
    if node.GetAttribute(KIND_ATTRIBUTE) == "box":
        return [_boxItem(node)] if node.GetAttribute(ORDER_ATTRIBUTE) and _isPlacedBox(node) else []
    return [_clickItem(node, index) for index in range(node.GetNumberOfControlPoints()) if _isPlaced(node, index)]


def _clickItem(node: Any, index: int) -> PromptItem:
    from inference_core.prompts.prompt_set import Click

    local, world = [0.0] * 3, [0.0] * 3
    node.GetNthControlPointPosition(index, local)
    node.GetNthControlPointPositionWorld(index, world)
    kind = node.GetAttribute(KIND_ATTRIBUTE)
    order, reach = _note(node, index)
    visible = bool(node.GetNthControlPointVisibility(index))
    ras = (world[0], world[1], world[2])
    click = Click(ras, kind == "foreground", reach)
    return PromptItem(order, kind, ras, None, visible, tuple(local), click, reach)


def _boxItem(node: Any) -> PromptItem:
    from inference_core.geometry.box import Box3D
    from inference_core.prompts.prompt_set import BoxPrompt

    world = arrayFromMatrix(node.GetObjectToWorldMatrix())
    scale = np.linalg.norm(world[:3, :3], axis=0)
    size = np.asarray(node.GetSize()) * scale
    local = (*arrayFromMatrix(node.GetObjectToNodeMatrix()).ravel(), *node.GetSize())
    box = Box3D(world[:3, 3], world[:3, :3] / scale, size)
    order, _ = _note(node)
    visible = bool(node.GetDisplayVisibility())
    return PromptItem(order, "box", tuple(world[:3, 3]), tuple(size), visible, local, BoxPrompt(box))


def _ordersOf(node: Any) -> list[int]:
    if node.GetAttribute(KIND_ATTRIBUTE) == "box":
        orders = [_note(node)[0]]
    else:
        orders = [_note(node, index)[0] for index in range(node.GetNumberOfControlPoints())]
    return [int(order) for order in orders if order.isdigit()]


def _note(node: Any, index: int = -1) -> tuple[str, float | None]:
    """The order and the reach that a box, or a list's point of an index, was given; ("", None) where it was not."""
    if index < 0:
        text = node.GetAttribute(ORDER_ATTRIBUTE) or ""
    else:
        description = node.GetNthControlPointDescription(index)
        text = description.removeprefix(_ORDER_PREFIX) if description.startswith(_ORDER_PREFIX) else ""
    order, _, reach = text.partition(_REACH)
    return order, float(reach) if reach else None


def _noted(order: str, reachMm: float | None) -> str:
    return order if reachMm is None else f"{order}{_REACH}{reachMm:g}"


def _hasPrompts(node: Any) -> bool:
    return bool(node.GetNumberOfDefinedControlPoints())


def _isPlaced(node: Any, index: int) -> bool:
    return node.GetNthControlPointPositionStatus(index) == slicer.vtkMRMLMarkupsNode.PositionDefined


def _isPlacedBox(node: Any) -> bool:
    """Whether a box is there at all: drawn to its end, and not flat."""
    return (
        node.GetNumberOfDefinedControlPoints() > 0
        and node.GetControlPointPlacementComplete()
        and min(node.GetSize()) > 0
    )


def _setBox(node: Any, objectToNode: np.ndarray, size: Any) -> None:
    blocked = node.StartModify()
    node.SetSize(*map(float, size))
    node.SetAndObserveObjectToNodeMatrix(matrixFromArray(objectToNode))
    node.SetCenter(*map(float, objectToNode[:3, 3]))
    node.EndModify(blocked)


def _style(display: Any, kind: str) -> None:
    # The same at rest, just placed and under the mouse: Slicer's own color for the latter is green.
    for setColor in (display.SetSelectedColor, display.SetColor, display.SetActiveColor):
        setColor(*_COLORS[kind])
    if kind == "box":
        display.SetFillOpacity(0.08)
        display.SetPropertiesLabelVisibility(False)
        # Handles hide what is below them; the panel shows them where the box is being looked at.
        display.SetHandlesInteractive(False)
        for switch in ("SetTranslationHandleVisibility", "SetScaleHandleVisibility", "SetRotationHandleVisibility"):
            getattr(display, switch)(True)
        return
    display.SetPointLabelsVisibility(False)
    # Two shapes: red and green alone are the same to one man in twelve.
    display.SetGlyphTypeFromString("Sphere3D" if kind == "foreground" else "Square2D")
    display.SetGlyphScale(2.0)
