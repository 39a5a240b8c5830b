"""The prompts of one segment as ordinary nodes: a point list for each sign, a node for each box, stroke and text.

The nodes lie in one folder of the subject hierarchy and are saved with the scene. Nothing else remembers the prompts:
what the nodes say is what is segmented. The order in which prompts were placed counts, since an answer builds on the
ones before it; it is kept with each point (in its description, with how far from it the mask may
change) and each box and stroke (in an attribute).
"""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _

from SAM3DSegmentLib import BoxNodes, StrokeNodes, TextNodes
from SAM3DSegmentLib.BoxNodes import placeBox
from SAM3DSegmentLib.PromptKinds import CLICKS, KIND_ATTRIBUTE, NODE_CLASSES, OPPOSITE, STROKES, TEXT, style
from SAM3DSegmentLib.SegmentState import PromptItem
from SAM3DSegmentLib.StrokeNodes import kindOf, placeStroke

if TYPE_CHECKING:
    from inference_core.prompts.prompt_set import PromptSet

SEGMENT_ATTRIBUTE = "SAM3DSegment.SegmentID"
ORDER_ATTRIBUTE = "SAM3DSegment.Order"
SEGMENTATION_ROLE = "SAM3DSegment.Segmentation"
VOLUME_ROLE = "SAM3DSegment.Volume"
_ORDER_PREFIX = "SAM3DSegment "
_REACH = " within "


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
        """The segment's nodes that are in the scene."""
        scene = self.segmentationNode.GetScene()
        return [
            node for node in (_promptNodes(scene) if scene else [])
            if node.GetAttribute(SEGMENT_ATTRIBUTE) == self.segmentId
            and node.GetNodeReference(SEGMENTATION_ROLE) is self.segmentationNode
        ]  # fmt: skip

    def items(self) -> tuple[PromptItem, ...]:
        """All placed prompts in the order of placing; points still under the cursor are left out."""
        nodes = self.nodes()
        self._numberNew(nodes)
        items = [item for node in nodes for item in _itemsOf(node)]
        return tuple(sorted(items, key=lambda item: item.order))

    def placeNode(self, kind: str) -> Any:
        """The node to place a prompt of a kind into: the sign's point list, or a new box or stroke."""
        if kind not in CLICKS:
            return self._newNode(kind)
        found = next((node for node in self.nodes() if node.GetAttribute(KIND_ATTRIBUTE) == kind), None)
        return found if found is not None else self._newNode(kind)

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

    def addStroke(self, stroke: Any) -> None:
        """Place a line, scribble or lasso (the core's, in world RAS mm)."""
        placeStroke(self._newNode(kindOf(stroke)), stroke.points_ras)

    def addText(self, text: Any) -> None:
        """Note a text (the core's) that names the target."""
        self._newNode(TEXT).SetText(text.text)

    def place(self, prompts: "PromptSet") -> None:
        """Place all prompts of a set after those that are there, keeping their order and reaches."""
        from inference_core.prompts.prompt_set import BoxPrompt, Click
        from inference_core.prompts.text import TextPrompt

        usual = self.reachMm
        for prompt in prompts.prompts:
            self.reachMm = prompt.reach_mm if isinstance(prompt, Click) else None
            if isinstance(prompt, Click):
                self.addClick(prompt.ras, positive=prompt.positive)
            elif isinstance(prompt, TextPrompt):
                self.addText(prompt)
            elif isinstance(prompt, BoxPrompt):
                self.addBox(prompt.box)
            else:
                self.addStroke(prompt)
            self._numberNew(self.nodes())
        self.reachMm = usual

    def move(self, item: PromptItem, ras: Any) -> None:
        """Move a click, or the center of a box or stroke, to a point in world RAS mm."""
        node, index = self._find(item)
        if not item.isClick:
            _own(item.kind).move(node, ras)
        else:
            node.SetNthControlPointPositionWorld(index, *map(float, ras))

    def flip(self, item: PromptItem) -> None:
        """Turn the sign of a click, scribble or lasso round; its place in the order stays."""
        self.delete(item)
        self._restoreOne(replace(item, kind=OPPOSITE[item.kind]))

    def delete(self, item: PromptItem) -> None:
        """Remove a prompt, and with it the node of a box or stroke."""
        node, index = self._find(item)
        if not item.isClick:
            self.segmentationNode.GetScene().RemoveNode(node)
        else:
            node.RemoveNthControlPoint(index)

    def setVisible(self, item: PromptItem, visible: bool) -> None:
        """Show or hide a prompt in the views; a hidden prompt still counts, and a text is in none."""
        if item.kind == TEXT:
            return
        node, index = self._find(item)
        if not item.isClick:
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
        if not item.isClick:
            node.SetAttribute(ORDER_ATTRIBUTE, item.id)
            _own(item.kind).restore(node, item)
            if item.kind != TEXT:
                node.SetDisplayVisibility(item.visible)
            return
        blocked = node.StartModify()
        index = node.AddControlPoint(vtk.vtkVector3d(*item.local))
        node.SetNthControlPointDescription(index, _ORDER_PREFIX + _noted(item.id, item.reachMm))
        node.SetNthControlPointVisibility(index, item.visible)
        node.EndModify(blocked)

    def _numberNew(self, nodes: list[Any]) -> None:
        """Give prompts placed since the last look their number."""
        orders = [order for node in nodes for order in _ordersOf(node)]
        following = max(orders, default=0) + 1
        for node in nodes:
            if _hasOwnNode(node):
                if not node.GetAttribute(ORDER_ATTRIBUTE) and _own(node.GetAttribute(KIND_ATTRIBUTE)).isPlaced(node):
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
        name = f"{segment.GetName() if segment else self.segmentId} {_nameOf(kind)}"
        node = scene.AddNewNodeByClass(NODE_CLASSES[kind], scene.GenerateUniqueName(name))
        node.SetAttribute(SEGMENT_ATTRIBUTE, self.segmentId)
        node.SetAttribute(KIND_ATTRIBUTE, kind)
        node.SetNodeReferenceID(SEGMENTATION_ROLE, self.segmentationNode.GetID())
        if kind != TEXT:
            # They belong to the segment: where it is moved to, they go along.
            node.SetAndObserveTransformNodeID(self.segmentationNode.GetTransformNodeID())
            node.CreateDefaultDisplayNodes()
            style(node.GetDisplayNode(), kind)
        if kind in STROKES:
            StrokeNodes.prepare(node, kind)
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
    for node in _promptNodes(scene):
        if node.GetNodeReferenceID(SEGMENTATION_ROLE) == segmentationId:
            scene.RemoveNode(node)


def _promptNodes(scene: Any) -> list[Any]:
    nodes = [
        node for kind in ("vtkMRMLMarkupsNode", "vtkMRMLTextNode") for node in slicer.util.getNodesByClass(kind, scene)
    ]
    return [node for node in nodes if node.GetAttribute(KIND_ATTRIBUTE)]


def promptSetOf(items: tuple[PromptItem, ...]) -> "PromptSet":
    """The prompts of some items, in order, as the core's type."""
    from inference_core.prompts.prompt_set import PromptSet

    return PromptSet(tuple(item.prompt for item in items))


def _own(kind: str) -> Any:
    """What knows the nodes of a kind that has a node for each prompt."""
    return {"box": BoxNodes, TEXT: TextNodes}.get(kind, StrokeNodes)


def _hasOwnNode(node: Any) -> bool:
    return node.GetAttribute(KIND_ATTRIBUTE) not in CLICKS


def _nameOf(kind: str) -> str:
    return {
        "foreground": _("foreground"),
        "background": _("background"),
        "box": _("box"),
        "line": _("line"),
        "scribble": _("scribble"),
        "backgroundScribble": _("background scribble"),
        "lasso": _("lasso"),
        "backgroundLasso": _("background lasso"),
        TEXT: _("words"),
    }[kind]


def _itemsOf(node: Any) -> list[PromptItem]:
    if _hasOwnNode(node):
        own, order = _own(node.GetAttribute(KIND_ATTRIBUTE)), node.GetAttribute(ORDER_ATTRIBUTE)
        item = own.itemOf(node, order) if order else None
        return [item] if item is not None else []
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


def _ordersOf(node: Any) -> list[int]:
    if _hasOwnNode(node):
        orders = [_note(node)[0]]
    else:
        orders = [_note(node, index)[0] for index in range(node.GetNumberOfControlPoints())]
    return [int(order) for order in orders if order.isdigit()]


def _note(node: Any, index: int = -1) -> tuple[str, float | None]:
    """The order and the reach that a box or stroke, or a list's point, was given; ("", None) where it was not."""
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
    return bool(node.GetText() if node.GetAttribute(KIND_ATTRIBUTE) == TEXT else node.GetNumberOfDefinedControlPoints())


def _isPlaced(node: Any, index: int) -> bool:
    return node.GetNthControlPointPositionStatus(index) == slicer.vtkMRMLMarkupsNode.PositionDefined
