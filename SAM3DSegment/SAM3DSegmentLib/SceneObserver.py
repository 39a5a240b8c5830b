"""Listens to the scene for the logic, and tells it what happened in the logic's own words."""

from typing import Any, Protocol

import slicer
import vtk
from slicer.util import VTKObservationMixin

_TOUCHING = ("PointPositionDefinedEvent", "PointRemovedEvent", "PointModifiedEvent")


class Handler(Protocol):
    """Who is told what happened."""

    def promptsTouched(self) -> None:
        """A prompt of the current segment was placed, moved or removed."""
        ...

    def volumeChanged(self) -> None:
        """The volume's voxels or place are others now."""
        ...

    def segmentGone(self, segmentId: str) -> None:
        """A segment of the current segmentation was removed."""
        ...

    def segmentChanged(self) -> None:
        """A segment was added, renamed or recolored."""
        ...

    def nodeGone(self, node: Any) -> None:
        """A node that is no prompt left the scene."""
        ...

    def sceneClosing(self) -> None:
        """Everything goes."""
        ...

    def sceneSaving(self) -> None:
        """The scene is about to be saved."""
        ...


class SceneObserver(VTKObservationMixin):
    """Observes the scene, the volume, the segmentation and the prompts of the current segment."""

    def __init__(self, handler: Handler) -> None:
        VTKObservationMixin.__init__(self)
        self._handler = handler
        self._prompts: list[Any] = []
        self._volume: Any = None
        self._segmentation: Any = None
        self._dragged: set[str] = set()
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.NodeRemovedEvent, self._onNodeRemoved)
        self.addObserver(scene, scene.StartCloseEvent, lambda *_: handler.sceneClosing())
        self.addObserver(scene, scene.StartSaveEvent, lambda *_: handler.sceneSaving())

    @property
    def interacting(self) -> bool:
        """Whether the user is dragging a prompt right now."""
        return bool(self._dragged)

    def watchVolume(self, node: Any) -> None:
        """Observe a volume instead of the one before."""
        events = (
            slicer.vtkMRMLVolumeNode.ImageDataModifiedEvent,
            slicer.vtkMRMLTransformableNode.TransformModifiedEvent,
        )
        self._exchange(self._volume, node, events, self._onVolumeChanged)
        self._volume = node

    def watchSegmentation(self, node: Any) -> None:
        """Observe a segmentation instead of the one before."""
        kinds = slicer.vtkSegmentation
        self._exchange(self._segmentation, node, (kinds.SegmentRemoved,), self._onSegmentRemoved)
        changes = (kinds.SegmentAdded, kinds.SegmentModified)
        self._exchange(self._segmentation, node, changes, self._onSegmentChanged)
        self._segmentation = node

    def watchPrompts(self, nodes: list[Any]) -> None:
        """Observe these prompts instead of the ones before."""
        for node in [node for node in self._prompts if node not in nodes]:
            self._watchPrompt(node, watch=False)
        for node in [node for node in nodes if node not in self._prompts]:
            self._watchPrompt(node, watch=True)
        self._prompts = list(nodes)

    def close(self) -> None:
        """Stop observing anything."""
        self.removeObservers()

    def _watchPrompt(self, node: Any, *, watch: bool) -> None:
        change = self.addObserver if watch else self._unobserve
        if node.IsA("vtkMRMLTextNode"):
            change(node, slicer.vtkMRMLTextNode.TextModifiedEvent, self._onPromptTouched)
            return
        events = [getattr(slicer.vtkMRMLMarkupsNode, name) for name in _TOUCHING]
        events += [slicer.vtkMRMLTransformableNode.TransformModifiedEvent]
        if node.IsA("vtkMRMLMarkupsROINode"):
            events.append(vtk.vtkCommand.ModifiedEvent)
        for event in events:
            change(node, event, self._onPromptTouched)
        change(node, slicer.vtkMRMLMarkupsNode.PointStartInteractionEvent, self._onDragStarted)
        change(node, slicer.vtkMRMLMarkupsNode.PointEndInteractionEvent, self._onDragEnded)
        self._dragged.discard(node.GetID())

    def _exchange(self, before: Any, after: Any, events: tuple[int, ...], call: Any) -> None:
        for node, change in ((before, self._unobserve), (after, self.addObserver)):
            for event in events if node is not None else ():
                change(node, event, call)

    def _unobserve(self, node: Any, event: int, call: Any) -> None:
        """Stop observing; a node that was deleted with its scene has taken its observers with it."""
        if self.hasObserver(node, event, call):
            self.removeObserver(node, event, call)

    def _onVolumeChanged(self, *_: Any) -> None:
        self._handler.volumeChanged()

    def _onPromptTouched(self, *_: Any) -> None:
        self._handler.promptsTouched()

    def _onDragStarted(self, node: Any, *_: Any) -> None:
        self._dragged.add(node.GetID())

    def _onDragEnded(self, node: Any, *_: Any) -> None:
        self._dragged.discard(node.GetID())
        self._handler.promptsTouched()

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _onNodeRemoved(self, _scene: Any, _event: Any, node: Any) -> None:
        if node in self._prompts:
            self._watchPrompt(node, watch=False)
            self._prompts.remove(node)
            self._handler.promptsTouched()
        else:
            self._handler.nodeGone(node)

    @vtk.calldata_type(vtk.VTK_STRING)
    def _onSegmentRemoved(self, _node: Any, _event: Any, segmentId: str) -> None:
        self._handler.segmentGone(segmentId)

    def _onSegmentChanged(self, *_: Any) -> None:
        self._handler.segmentChanged()
