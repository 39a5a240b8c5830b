"""Keeps three holders of the same choices in step: the controls, the scene's parameter node, and the logic."""

from collections.abc import Callable
from typing import Any

import slicer
import vtk
from slicer.util import VTKObservationMixin

from SAM3DSegmentLib.Panel.ParameterNode import sceneParameterNode


class Selections(VTKObservationMixin):
    """Controls <-> parameter node by Slicer's own wrapper; parameter node <-> logic by push() and pull()."""

    def __init__(self, ui: Any, logic: Any, guarded: Callable[[Callable[[], Any]], Any]) -> None:
        VTKObservationMixin.__init__(self)
        self._ui, self._logic, self._guarded = ui, logic, guarded
        self._node: Any = None
        self._connection: Any = None
        self._busy = False

    def connect(self) -> None:
        """Take up the scene's parameter node; what it says goes to the controls and to the logic."""
        self.disconnect()
        self._node = sceneParameterNode()
        self._busy = True
        self._connection = self._node.connectGui(self._ui)
        self._busy = False
        self.addObserver(self._node, vtk.vtkCommand.ModifiedEvent, self.push)
        self.push()
        self.offerVolume()

    def disconnect(self) -> None:
        """Let go of the parameter node."""
        if self._node is not None:
            self.removeObserver(self._node, vtk.vtkCommand.ModifiedEvent, self.push)
            self._node.disconnectGui(self._connection)
            self._node = None

    def choose(self, **values: Any) -> None:
        """Set values of the parameter node, and so of controls and logic."""
        for name, value in values.items():
            setattr(self._node, name, value)

    def offerVolume(self) -> None:
        """Where no volume is chosen, choose the one that the user looks at."""
        if self._node is not None and self._node.volume is None:
            shown = _shownVolume()
            if shown is not None:
                self._node.volume = shown

    def push(self, *_: Any) -> None:
        """What the parameter node says becomes the logic's."""
        if self._busy or self._node is None:
            return
        self._busy = True
        try:
            self._pushNodes()
            self._pushSettings()
        finally:
            self._busy = False
        self.pull()

    def pull(self) -> None:
        """What the logic has decided on its own (a segmentation made on demand) becomes the parameter node's."""
        if self._busy or self._node is None:
            return
        logic, node = self._logic, self._node
        now = {
            "volume": logic.volumeNode,
            "segmentation": logic.segmentationNode,
            "segmentId": logic.segmentId or "",
            "model": logic.modelName,
        }
        self._busy = True
        try:
            for name, value in now.items():
                if getattr(node, name) != value:
                    setattr(node, name, value)
        finally:
            self._busy = False

    def _pushNodes(self) -> None:
        logic, node = self._logic, self._node
        if node.volume is not logic.volumeNode:
            self._guarded(lambda: logic.setVolume(node.volume))
        if node.segmentation is not logic.segmentationNode:
            self._guarded(lambda: logic.setSegmentation(node.segmentation))
        if node.segmentId and node.segmentId != logic.segmentId and node.segmentId in logic.segmentIds():
            self._guarded(lambda: logic.setSegment(node.segmentId))

    def _pushSettings(self) -> None:
        logic, node = self._logic, self._node
        radius = node.localRadiusMm if node.changeOnlyNearby else None
        for now, wanted, choose in (
            (logic.modelName, node.model or logic.modelName, logic.setModel),
            (logic.windowMm, node.windowMm or None, logic.setWindow),
            (logic.localRadiusMm, radius, logic.setLocalRadius),
            (logic.smoothingMm, node.smoothingMm, logic.setSmoothing),
            (logic.keepClickedPieces, node.keepClickedPieces, logic.setKeepClickedPieces),
            (logic.othersAreBackground, node.othersAreBackground, logic.setOthersAreBackground),
            (logic.overwriteMode, node.overwriteMode, logic.setOverwriteMode),
        ):
            if now != wanted:
                self._guarded(lambda choose=choose, wanted=wanted: choose(wanted))


def _shownVolume() -> Any:
    """The image that the user looks at; else the first one there is; else None."""
    views = slicer.app.layoutManager()
    for name in views.sliceViewNames() if views is not None else []:
        shown = views.sliceWidget(name).sliceLogic().GetSliceCompositeNode().GetBackgroundVolumeID()
        node = slicer.mrmlScene.GetNodeByID(shown) if shown else None
        if node is not None and _isImage(node):
            return node
    volumes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
    return next((node for node in volumes if _isImage(node)), None)


def _isImage(node: Any) -> bool:
    """Not a label map, nor one that is still being loaded."""
    return node.GetClassName() == "vtkMRMLScalarVolumeNode" and node.GetImageData() is not None
