"""Keeps three holders of the same choices in step: the controls, the scene's parameter node, and the logic."""

from collections.abc import Callable
from functools import partial
from typing import Any

import slicer
import vtk
from slicer.util import VTKObservationMixin

from SAM3DSegmentLib.Panel.ParameterNode import sceneParameterNode


class ParameterSync(VTKObservationMixin):
    """Controls <-> parameter node by Slicer's own wrapper; parameter node <-> logic by push() and pull().

    Only what was changed since the last of them is pushed, so that choosing an image does not choose the segmentation
    of another one again. onVolume(node) is called where the user, not the scene, chose an image.
    """

    def __init__(
        self, ui: Any, logic: Any, guarded: Callable[[Callable[[], Any]], Any], *, onVolume: Callable[[Any], None]
    ) -> None:
        VTKObservationMixin.__init__(self)
        self._ui, self._logic, self._guarded, self._onVolume = ui, logic, guarded, onVolume
        self._node: Any = None
        self._connection: Any = None
        self._busy = False
        self._known: dict[str, Any] = {}
        self._mayOffer = True

    def connect(self) -> None:
        """Take up the scene's parameter node; what it says goes to the controls and to the logic."""
        self.disconnect()
        self._node = sceneParameterNode()
        self._busy = True
        self._connection = self._node.connectGui(self._ui)
        self._busy = False
        self.addObserver(self._node, vtk.vtkCommand.ModifiedEvent, self.push)
        self._known = {}
        self.push()
        self.offerSoon()
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

    def offerSoon(self) -> None:
        """An image may be chosen for the user, who has none: the module was opened, or an image came."""
        self._mayOffer = True

    def offerVolume(self) -> None:
        """Where no image is chosen and one may be, choose the one that the user looks at."""
        if self._node is None or self._node.volume is not None or not self._mayOffer:
            return
        shown = shownVolume()
        if shown is not None:
            self._node.volume = shown

    def push(self, *_: Any) -> None:
        """What was changed in the parameter node becomes the logic's."""
        if self._busy or self._node is None:
            return
        self._busy = True
        try:
            segment = self._logic.segmentId
            self._pushNodes()
            self._pushSettings(ofSegment=segment == self._logic.segmentId and bool(self._known))
        finally:
            self._busy = False
        self.pull()

    def pull(self) -> None:
        """What the logic has decided on its own (a segmentation made on demand, undo) becomes the parameter node's."""
        if self._busy or self._node is None:
            return
        self._busy = True
        try:
            held = self._held()
            for name, value in held.items():
                if getattr(self._node, name) != value:
                    setattr(self._node, name, value)
            self._known = held
        finally:
            self._busy = False

    def _held(self) -> dict[str, Any]:
        """What the logic holds, by the parameter node's names."""
        logic, options = self._logic, self._logic.options
        radius = options.localRadiusMm
        return {
            "volume": logic.volumeNode,
            "segmentation": logic.segmentationNode,
            "segmentId": logic.segmentId or "",
            "model": options.modelName,
            "windowMm": options.windowMm or 0.0,
            "changeOnlyNearby": radius is not None,
            "localRadiusMm": self._node.localRadiusMm if radius is None else radius,
            "smoothingMm": options.smoothingMm,
            "keepClickedPieces": options.keepClickedPieces,
            "othersAreBackground": options.othersAreBackground,
            "overwriteMode": options.overwriteMode,
        }

    def _isChanged(self, name: str) -> bool:
        return name not in self._known or getattr(self._node, name) != self._known[name]

    def _pushNodes(self) -> None:
        logic, node = self._logic, self._node
        isNew = self._isChanged("volume") and node.volume is not logic.volumeNode
        if isNew:
            self._mayOffer = False
            self._guarded(lambda: logic.setVolume(node.volume))
        if self._isChanged("segmentation") and node.segmentation is not logic.segmentationNode:
            self._guarded(lambda: logic.setSegmentation(node.segmentation))
        if (
            self._isChanged("segmentId")
            and node.segmentId != logic.segmentId
            and node.segmentId in logic.segments.ids()
        ):
            self._guarded(lambda: logic.setSegment(node.segmentId))
        if isNew and node.volume is not None and self._known:
            self._onVolume(node.volume)

    def _pushSettings(self, *, ofSegment: bool) -> None:
        """The current segment's own settings are the segment's, where another was just chosen."""
        options, node = self._logic.options, self._node
        radius = node.localRadiusMm if node.changeOnlyNearby else None
        chosen: list[tuple[Any, Any, Callable[[Any], None]]] = [
            (options.modelName, node.model or options.modelName, options.setModel),
            (options.othersAreBackground, node.othersAreBackground, options.setOthersAreBackground),
            (options.overwriteMode, node.overwriteMode, options.setOverwriteMode),
        ]
        if ofSegment or self._logic.segmentId is None:
            chosen += [
                (options.windowMm, node.windowMm or None, options.setWindow),
                (options.localRadiusMm, radius, options.setLocalRadius),
                (options.smoothingMm, node.smoothingMm, options.setSmoothing),
                (options.keepClickedPieces, node.keepClickedPieces, options.setKeepClickedPieces),
            ]
        for now, wanted, choose in chosen:
            if now != wanted:
                self._guarded(partial(choose, wanted))


def shownVolume() -> Any:
    """The image that the user looks at; else the first one there is; else None."""
    views = slicer.app.layoutManager()
    for name in views.sliceViewNames() if views is not None else []:
        shown = views.sliceWidget(name).sliceLogic().GetSliceCompositeNode().GetBackgroundVolumeID()
        node = slicer.mrmlScene.GetNodeByID(shown) if shown else None
        if node is not None and isImage(node):
            return node
    volumes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
    return next((node for node in volumes if isImage(node)), None)


def isImage(node: Any) -> bool:
    """Not a label map, nor one that is still being loaded."""
    return node.GetClassName() == "vtkMRMLScalarVolumeNode" and node.GetImageData() is not None
