"""What the module does, without its panel: prompts in the scene become masks in a segmentation.

    logic = slicer.util.getModuleLogic("SAM3DSegment")
    segmentId = logic.segment(volumeNode, [(-81.5, 12.0, -243.0)])

The nodes in the scene are the state; the logic watches them and asks the model whenever what they say differs from what
it was asked last. So a point that was dragged in a view, deleted in the Markups module or moved by a script is all the
same, and clicks made while the model computes are answered together, as the newest set. MRML is touched on the main
thread only; the worker's answers come in through `poll`.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from slicer.ScriptedLoadableModule import ScriptedLoadableModuleLogic

from SAM3DSegmentLib.Answering import Answering
from SAM3DSegmentLib.AutomaticCommand import AutomaticCommand
from SAM3DSegmentLib.Conversion import volumeFromNode
from SAM3DSegmentLib.Engine import Engine
from SAM3DSegmentLib.Paths import makeCoreImportable
from SAM3DSegmentLib.PrepareCommand import PrepareCommand
from SAM3DSegmentLib.PromptCommands import PromptCommands
from SAM3DSegmentLib.Report import report
from SAM3DSegmentLib.SegmentCommands import SegmentCommands, isSegmentation
from SAM3DSegmentLib.SegmentWork import SegmentWork
from SAM3DSegmentLib.Settings import Settings
from SAM3DSegmentLib.SettingsCommands import SettingsCommands
from SAM3DSegmentLib.Watcher import Watcher
from SAM3DSegmentLib.Worker import Job, Notify, Worker

Listener = Callable[[str, dict[str, Any]], None]


class SAM3DSegmentLogic(
    SegmentCommands,
    PromptCommands,
    SettingsCommands,
    PrepareCommand,
    AutomaticCommand,
    Answering,
    ScriptedLoadableModuleLogic,
):
    """The module's logic; see the file's docstring. All calls come from the main thread."""

    def __init__(self) -> None:
        ScriptedLoadableModuleLogic.__init__(self)
        makeCoreImportable()
        from inference_core.models.registry import DEFAULT_MODEL

        self.settings = Settings(DEFAULT_MODEL)
        self.volumeNode: Any = None
        self.segmentationNode: Any = None
        self.segmentId: str | None = None
        self.lastError = ""
        self.ensureDependencies: Callable[[], bool] = lambda: True
        self.engine, self.worker = Engine(), Worker()
        self._listeners: list[Listener] = []
        self._works: dict[tuple[str, str], SegmentWork] = {}
        self._dirty = False
        self._restoring = False
        self._raising = False
        self._watcher = Watcher(self)

    # What the panel and scripts choose

    def addListener(self, listener: Listener) -> None:
        """Call listener(event, info) on "state", "progress", "answered", "cautioned" and "failed"."""
        self._listeners.append(listener)

    def removeListener(self, listener: Listener) -> None:
        """Stop calling a listener."""
        self._listeners = [other for other in self._listeners if other != listener]

    def setVolume(self, node: Any) -> None:
        """Choose the volume to segment, or none; a running question about another one is dropped."""
        if node is self.volumeNode:
            return
        self.cancel()
        self.volumeNode = node
        self._watcher.watchVolume(node)
        self.volumeChanged()

    def setSegmentation(self, node: Any) -> None:
        """Choose the segmentation to write into, or none; its first segment becomes the current one."""
        if node is self.segmentationNode:
            return
        self.segmentationNode = node if isSegmentation(node) else None
        self._watcher.watchSegmentation(self.segmentationNode)
        ids = self.segmentIds()
        self.setSegment(ids[0] if ids else None)

    def setSegment(self, segmentId: str | None) -> None:
        """Choose the segment that prompts belong to, or none; its earlier prompts come back with it."""
        self.segmentId = segmentId if segmentId in self.segmentIds() else None
        self.watchPrompts()
        work = self.currentWork()
        if work is not None and work.situation.items:
            self.settings = replace(self.settings, threshold=work.situation.threshold)
        self._dirty = True
        self.emit("state")

    # The flow: poll -> _ask -> worker -> _answered

    @property
    def busy(self) -> bool:
        """Whether something is being computed, or is about to be."""
        return self.worker.busy or self._dirty

    def poll(self, waitSeconds: float = 0.0) -> None:
        """Take in what the worker has to say, then ask about what changed; call it often, on the main thread."""
        self.worker.poll(waitSeconds if self.worker.busy else 0.0)
        if self._dirty and not self._watcher.interacting:
            self._dirty = False
            self._ask()

    def waitUntilIdle(self, timeoutSeconds: float = 60.0) -> bool:
        """Poll until nothing is left to do; for the console and for tests. False when the time is up first."""
        end = time.monotonic() + timeoutSeconds
        while self.busy:
            if time.monotonic() > end:
                return False
            self.poll(0.02)
        return True

    def cancel(self) -> None:
        """Stop what is being computed; prompts and masks stay as they are."""
        self.worker.cancel()
        self._dirty = False

    def segment(self, volumeNode: Any, prompts: Any, segmentationNode: Any = None, segmentId: str | None = None) -> str:
        """Segment at once and wait for it; for the Python console and scripts. Returns the segment's id.

        `prompts` is a `PromptSet`, the path of a prompts.json, or a list of points in world RAS mm. The segmentation
        and the segment are made where none is given; prompts that the segment has already are replaced.

        Raises:
            SAM3DError: it cannot be done, with what to do about it.
        """
        self.setVolume(volumeNode)
        self.setSegmentation(segmentationNode)
        if segmentId is None:
            self.nextSegment()
        else:
            self.setSegment(segmentId)
        self.lastError = ""
        self._place(prompts)
        self._raising = True
        try:
            self.waitUntilIdle(timeoutSeconds=3600)
        finally:
            self._raising = False
        assert self.segmentId is not None
        return self.segmentId

    def undo(self) -> None:
        """Take back the newest answer with its prompts; or, where prompts were not answered yet, those prompts."""
        self._travel(lambda work: work.undo(volumeNode=self.volumeNode), allowed=lambda work: work.history.canUndo)

    def redo(self) -> None:
        """Bring back what was taken back last."""
        self._travel(lambda work: work.redo(volumeNode=self.volumeNode), allowed=lambda work: work.history.canRedo)

    @property
    def canUndo(self) -> bool:
        """Whether there is something to take back."""
        work = self.currentWork()
        return work is not None and (work.history.canUndo or work.items() != work.situation.items)

    @property
    def canRedo(self) -> bool:
        """Whether something was taken back."""
        work = self.currentWork()
        return work is not None and work.history.canRedo

    def report(self) -> str:
        """Versions, device, model, shapes and the last error, for a message to the developers; no patient data."""
        return report(self)

    def close(self) -> None:
        """Stop the worker and stop watching the scene."""
        self._watcher.close()
        self.worker.close()
        self._listeners.clear()
        self._works.clear()

    # What the watcher and the command classes call

    def emit(self, event: str, **info: Any) -> None:
        """Tell all listeners."""
        for listener in list(self._listeners):
            listener(event, info)

    def startJob(
        self, run: Callable[[Notify], Any], *, onDone: Callable[[Any], None], onError: Callable[[Exception], None]
    ) -> None:
        """Have the worker run something instead of what waits there; how far it comes is told as "progress"."""
        self.worker.submit(
            Job(
                run=run,
                onDone=onDone,
                onError=onError,
                onProgress=lambda stage, fraction: self.emit("progress", stage=stage, fraction=fraction),
            )
        )

    def currentWork(self) -> SegmentWork | None:
        """The current segment's work; None where there is no segment, or its geometry cannot be used."""
        from inference_core.errors import SAM3DError

        if self.segmentationNode is None or self.segmentId is None:
            return None
        try:
            return self._workOf(self.segmentId)
        except SAM3DError:
            return None

    def requireWork(self) -> SegmentWork:
        """The current segment's work; a segmentation and a segment are made where there are none.

        Raises:
            SAM3DError: there is no volume, or a geometry cannot be trusted.
        """
        from inference_core.errors import VolumeError

        if self.volumeNode is None:
            raise VolumeError("There is no volume; load or choose one first.")
        volumeFromNode(self.volumeNode)
        if self.segmentationNode is None or self.segmentId is None:
            self.nextSegment()
        assert self.segmentId is not None
        return self._workOf(self.segmentId)

    def promptsTouched(self) -> None:
        """Prompts were added, moved or removed: number the new ones now, ask about them at the next poll."""
        if self._restoring:
            return
        work = self.currentWork()
        if work is not None:
            work.items()
        self.watchPrompts()
        self._dirty = True
        self.emit("state")

    def watchPrompts(self) -> None:
        """Observe the nodes of the current segment's prompts."""
        work = self.currentWork()
        self._watcher.watchPrompts(work.nodes.nodes() if work is not None else [])

    def volumeChanged(self) -> None:
        """The volume's voxels or place are others now; the next question sees that by its key."""
        self.emit("state")

    def segmentGone(self, segmentId: str) -> None:
        """A segment was removed: drop its work, its prompts and any question about it."""
        for key in [key for key in self._works if key[1] == segmentId]:
            work = self._works.pop(key)
            work.nodes.removeNodes()
        if segmentId == self.segmentId:
            self.cancel()
            ids = self.segmentIds()
            self.setSegment(ids[-1] if ids else None)
        self.emit("state")

    def nodeGone(self, node: Any) -> None:
        """A node left the scene: let go of it."""
        if node is self.volumeNode:
            self.setVolume(None)
        if node is self.segmentationNode:
            self.cancel()
            self._works = {key: work for key, work in self._works.items() if work.segmentationNode is not node}
            self.setSegmentation(None)

    def sceneClosing(self) -> None:
        """Everything goes: drop all questions, works and nodes."""
        self.cancel()
        self._works.clear()
        self.setSegmentation(None)
        self.setVolume(None)

    def rememberAll(self) -> None:
        """Before the scene is saved: take the user's own edits into what the segments remember."""
        for work in self._works.values():
            if work.segment is not None and work.situation.items:
                work.noticeEdits()
                work.keep(self.settings, {})

    def _workOf(self, segmentId: str) -> SegmentWork:
        key = (self.segmentationNode.GetID(), segmentId)
        work = self._works.get(key)
        if work is None or not work.refreshGrid():
            self._restoring = True
            try:
                work = self._works[key] = SegmentWork(self.segmentationNode, segmentId)
            finally:
                self._restoring = False
            # What a saved scene holds was answered before it was saved.
            work.asked = self._question(work.items(), replace(self.settings, threshold=work.situation.threshold))
        return work

    def _place(self, prompts: Any) -> None:
        from inference_core.prompts.prompt_set import Click, PromptSet

        if isinstance(prompts, (str, Path)):
            self.importPrompts(prompts)
            return
        if not isinstance(prompts, PromptSet):
            prompts = PromptSet(tuple(Click(tuple(point)) for point in prompts))
        nodes = self.requireWork().nodes
        nodes.restore(())
        nodes.place(prompts)
        self.promptsTouched()
