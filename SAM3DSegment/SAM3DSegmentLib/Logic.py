"""What the module does, without its panel: prompts in the scene become masks in a segmentation.

    logic = slicer.util.getModuleLogic("SAM3DSegment")
    segmentId = logic.segment(volumeNode, [(-81.5, 12.0, -243.0)])

The nodes in the scene are the state; the logic watches them and asks the model whenever what they say differs from what
it was asked last. So a point that was dragged in a view, deleted in the Markups module or moved by a script is all the
same, and clicks made while the model computes are answered together, as the newest set. MRML is touched on the main
thread only; the worker's answers come in through `poll`.
"""

import time
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleLogic

from SAM3DSegmentLib.AutomaticRun import AutomaticRun
from SAM3DSegmentLib.Comparison import Comparison
from SAM3DSegmentLib.Engine import Engine
from SAM3DSegmentLib.Exports import Exports
from SAM3DSegmentLib.FollowUp import FollowUp
from SAM3DSegmentLib.Learning import Learning
from SAM3DSegmentLib.Lesions import Lesions
from SAM3DSegmentLib.Listeners import Listener, Listeners
from SAM3DSegmentLib.Measuring import Measuring
from SAM3DSegmentLib.Models import Models
from SAM3DSegmentLib.ModelWarmer import ModelWarmer
from SAM3DSegmentLib.Options import Options
from SAM3DSegmentLib.Paths import makeCoreImportable
from SAM3DSegmentLib.PredictionController import PredictionController
from SAM3DSegmentLib.Prompts import Prompts
from SAM3DSegmentLib.Report import report
from SAM3DSegmentLib.SceneObserver import SceneObserver
from SAM3DSegmentLib.Segments import Segments
from SAM3DSegmentLib.Setup import Dependencies
from SAM3DSegmentLib.StudyReports import StudyReports
from SAM3DSegmentLib.TimeSeries import TimeSeries
from SAM3DSegmentLib.UndoRedo import UndoRedo
from SAM3DSegmentLib.Worker import Worker
from SAM3DSegmentLib.Workspace import Workspace


class SAM3DSegmentLogic(ScriptedLoadableModuleLogic):
    """The module's logic, a façade; see the file's docstring. All calls come from the main thread.

    prompts, segments, options: what can be done with the current segment's prompts, with the list of segments, and with
    the settings. controller: asks the model. undoRedo: steps back and on. automatic: models without prompts.
    warmer: loads ahead. measuring, lesions: the numbers of segments, and the table of them. followUp, studyReports:
    earlier visits, pages. exports: files for the hospital. timeSeries: lesions along a sequence. comparison: A and B.
    learning: accepted masks, and the model that is adapted to them.
    The engine and the models are the project's own, unless others are handed in.
    """

    def __init__(self, parent: Any = None, *, engine: Engine | None = None, models: Models | None = None) -> None:
        ScriptedLoadableModuleLogic.__init__(self, parent)
        makeCoreImportable()
        self._listeners = Listeners()
        self.emit = tell = self._listeners.tell
        self._observer = SceneObserver(self)
        self.workspace = Workspace(tell, self._observer)
        self.options = Options(models or Models(), self.workspace)
        self.options.onChanged = self._settingsChanged
        self.segments = Segments(self.workspace, tell)
        self.measuring = Measuring(self.workspace)
        self.lesions = Lesions(self.workspace, self.segments, self.measuring, tell)
        self.prompts = Prompts(self.workspace, self.options, self.promptsTouched)
        self.controller = PredictionController(
            engine or Engine(), Worker(), self.workspace, self.options,
            tell=tell, ensureDependencies=Dependencies.ensureInstalled, report=self.report,
        )  # fmt: skip
        self.followUp = FollowUp(
            self.controller, self.workspace, self.segments,
            measuring=self.measuring, lesions=self.lesions, tell=tell, touched=self.promptsTouched,
        )  # fmt: skip
        self.addListener(self.followUp.onEvent)
        self.studyReports = StudyReports(self.workspace, self.segments, self.measuring, followUp=self.followUp)
        self.exports = Exports(self.controller, self.workspace, self.segments, measuring=self.measuring, tell=tell)
        self.timeSeries = TimeSeries(
            self.controller, self.workspace, self.segments, measuring=self.measuring, options=self.options, tell=tell
        )
        self.comparison = Comparison(self.controller, self.workspace, self.options, tell)
        self.undoRedo = UndoRedo(self.controller, self.workspace, self.comparison.goOn)
        self.learning = Learning(self.workspace, self.options)
        self.automatic = AutomaticRun(self.controller, self.workspace, self.options, tell)
        self.warmer = ModelWarmer(self.controller, self.options, tell)

    # What the panel and scripts choose

    @property
    def volumeNode(self) -> Any:
        """The image to segment, or None."""
        return self.workspace.volumeNode

    @property
    def segmentationNode(self) -> Any:
        """The segmentation that is written into, or None."""
        return self.workspace.segmentationNode

    @property
    def segmentId(self) -> str | None:
        """The current segment."""
        return self.workspace.segmentId

    @property
    def isLocked(self) -> bool:
        """Whether the current segment is protected from changes."""
        return self.segmentId is not None and self.segments.isLocked(self.segmentId)

    def addListener(self, listener: Listener) -> None:
        """Call listener(event, info) on what happens, such as "state", "previewed" and "answered" (`Listeners`)."""
        self._listeners.add(listener)

    def removeListener(self, listener: Listener) -> None:
        """Stop calling a listener."""
        self._listeners.remove(listener)

    def setVolume(self, node: Any) -> None:
        """Choose the image to segment, or none; a running question about another one is dropped."""
        if node is not self.volumeNode:
            self.cancel()
            self.workspace.setVolume(node)
            self.controller.askSoon()

    def setSegmentation(self, node: Any) -> None:
        """Choose the segmentation to write into, or none; its first segment becomes the current one."""
        self.workspace.setSegmentation(node)
        self.controller.askSoon()

    def setSegment(self, segmentId: str | None) -> None:
        """Choose the segment that prompts belong to, or none; its prompts and settings come back with it."""
        self.workspace.setSegment(segmentId)
        self.controller.askSoon()

    # The flow

    @property
    def busy(self) -> bool:
        """Whether something is being computed, or is about to be."""
        return self.controller.busy

    @property
    def isDragging(self) -> bool:
        """Whether the user is dragging a prompt right now, or drawing a box."""
        return self._observer.interacting

    @property
    def lastError(self) -> str:
        """The last failure, by its type and message; empty before the first."""
        return self.controller.lastError

    def poll(self, waitSeconds: float = 0.0) -> None:
        """Take in what the worker has to say, then ask about what changed; call it often, on the main thread."""
        self.controller.poll(waitSeconds, mayAsk=not self._observer.interacting)

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
        self.followUp.stop()
        self.controller.cancel()

    def segment(
        self, volumeNode: Any, prompts: Any, segmentationNode: Any = None, segmentId: str | None = None, *,
        timeoutSeconds: float = 3600.0,
    ) -> str:  # fmt: skip
        """Segment at once and wait for it; for the Python console and scripts. Returns the segment's id.

        `prompts` is a `PromptSet`, the path of a prompts.json, or a list of points in world RAS mm. Where no
        segmentation is given it is the image's own; where no segment is given it is a new one. Prompts that the segment
        has already are replaced.

        Raises:
            SAM3DError: it cannot be done, with what to do about it.
            DependencyError: a package is missing and was not installed.
            TimeoutError: there was no answer in time.
        """
        self.setVolume(volumeNode)
        if segmentationNode is not None:
            self.setSegmentation(segmentationNode)
        known = set(self.segments.ids())
        chosen = segmentId or self.segments.next()
        self.setSegment(chosen)
        try:
            self._segmentAndWait(prompts, timeoutSeconds)
        except Exception:
            if chosen not in known and chosen in self.segments.ids():
                self.segments.remove(chosen)
            raise
        return chosen

    def undo(self) -> None:
        """Take back the newest change of the segment: its prompts, settings and mask."""
        self.undoRedo.undo()

    def redo(self) -> None:
        """Bring back what was taken back last."""
        self.undoRedo.redo()

    @property
    def canUndo(self) -> bool:
        """Whether there is something to take back."""
        return self.undoRedo.canUndo

    @property
    def canRedo(self) -> bool:
        """Whether something was taken back."""
        return self.undoRedo.canRedo

    def report(self) -> str:
        """Versions, device, model, shapes and the last error, for a message to the developers; no patient data."""
        return report(self)

    def close(self) -> None:
        """Stop the worker and stop watching the scene."""
        self._observer.close()
        self.controller.worker.close()
        self._listeners.clear()
        self.workspace.clear()

    # What the scene's observer tells

    def promptsTouched(self) -> None:
        """Prompts were added, moved or removed: each is a step of the history; ask about them at the next poll."""
        if self.workspace.isRestoring:
            return
        if not self._observer.interacting and (editor := self.workspace.current()) is not None:
            if editor.takePrompts():
                self.workspace.claim(editor)
            self.workspace.watchPrompts()
        self.controller.askSoon()
        self.emit("state")

    def volumeChanged(self) -> None:
        """The volume's voxels or place are others now; the next question sees that by its key."""
        self.emit("state")

    def segmentChanged(self) -> None:
        """A segment was added, renamed or recolored."""
        self.emit("state")

    def segmentGone(self, segmentId: str) -> None:
        """A segment was removed: drop its editor, its prompts and any question about it."""
        if segmentId == self.segmentId:
            self.cancel()
        self.workspace.forgetSegment(segmentId)
        self._dropForgottenPreview()
        self.emit("state")

    def nodeGone(self, node: Any) -> None:
        """A node left the scene: let go of it."""
        isCurrent = node is self.volumeNode or node is self.segmentationNode
        if node is self.volumeNode:
            self.setVolume(None)
        if node is self.segmentationNode:
            self.cancel()
        self.workspace.forgetSegmentation(node)
        if self._dropForgottenPreview() or isCurrent:
            self.emit("state")

    def _dropForgottenPreview(self) -> bool:
        """Stop the question whose preview is of a segment that is gone, current or not; whether there was one."""
        preview = self.controller.previews.current
        if preview is None or self.workspace.isKnown(preview.editor):
            return False
        self.cancel()
        return True

    def sceneClosing(self) -> None:
        """Everything goes: drop all questions, editors and nodes."""
        self.cancel()
        self.workspace.clear()
        self.measuring.forget()

    def sceneSaving(self) -> None:
        """Take the user's own edits into what the segments remember."""
        for editor in self.workspace.editors():
            editor.absorbManualEdits()
            if editor.isWorthKeeping:
                editor.keep()

    def _settingsChanged(self) -> None:
        self.controller.askSoon()
        self.emit("state")

    def _segmentAndWait(self, prompts: Any, timeoutSeconds: float) -> None:
        self.controller.failure = None
        self._place(prompts)
        editor = self.workspace.require()
        if not editor.state.tellsWhere:
            from inference_core.errors import PromptError

            raise PromptError(_("Give at least one foreground click or a box; nothing says where the target is."))
        if not self.waitUntilIdle(timeoutSeconds):
            self.cancel()
            raise TimeoutError(_("There was no answer in {count} seconds.").format(count=f"{timeoutSeconds:g}"))
        if self.controller.failure is not None:
            raise self.controller.failure

    def _place(self, prompts: Any) -> None:
        from inference_core.prompts.prompt_set import Click, PromptSet

        if isinstance(prompts, (str, Path)):
            self.prompts.importFrom(prompts)
        elif isinstance(prompts, PromptSet):
            self.prompts.replaceBy(prompts)
        else:
            self.prompts.replaceBy(PromptSet(tuple(Click(tuple(point)) for point in prompts)))
