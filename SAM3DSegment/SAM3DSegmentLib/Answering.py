"""The logic's flow: from what the nodes say to a question, from its answer to voxels, a step of history and tags."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from SAM3DSegmentLib.Conversion import onSegmentGrid, volumeFromNode
from SAM3DSegmentLib.Engine import Request
from SAM3DSegmentLib.PromptNodes import PromptItem
from SAM3DSegmentLib.SegmentWork import SegmentWork
from SAM3DSegmentLib.Settings import Settings

if TYPE_CHECKING:
    from inference_core.engine.session import Prediction
    from inference_core.geometry.grid import Grid


@dataclass(frozen=True)
class _Asked:
    """A question that is out: whose it is, and what it was about, so that a stale answer is known."""

    work: SegmentWork
    items: tuple[PromptItem, ...]
    settings: Settings
    grid: "Grid"
    volumeKey: tuple[Any, ...]
    started: float


class Answering:
    """The part of the logic that asks and takes in answers; the state it works on is the logic's."""

    @staticmethod
    def _question(items: tuple[PromptItem, ...], settings: Settings) -> tuple[Any, ...]:
        return (tuple(item.prompt for item in items), settings.model, settings.windowMm, settings.maskOptions)

    def _ask(self) -> None:
        """Ask the model, if the current segment's prompts or settings are not those it was asked about last."""
        from inference_core.errors import SAM3DError

        work = self.currentWork()
        if work is None or self.volumeNode is None:
            return
        try:
            items = work.items()
            question = self._question(items, self.settings)
            if question == work.asked:
                return
            work.asked = question
            work.noticeEdits()
            if any(item.kind != "background" for item in items) or (items and work.situation.base.array.size):
                self._submit(work, items)
            else:
                # Nothing says where the target is: what was there before the first prompt comes back.
                self.worker.cancel()
                if work.situation.items:
                    self._accept(work, work.situation.base, items, self.settings, seconds=0.0, quality=None)
        except SAM3DError as error:
            self._failed(work, error)

    def _submit(self, work: SegmentWork, items: tuple[PromptItem, ...]) -> None:
        if not self.ensureDependencies():
            work.asked = None
            return
        volume = volumeFromNode(self.volumeNode)
        volumeKey = self._volumeKey(volume.grid)
        segmentKey = (self.segmentationNode.GetID(), work.segmentId)
        settings = self.settings
        request = Request(volume, volumeKey, segmentKey, settings, work.promptSet(items))
        asked = _Asked(work, items, settings, volume.grid, volumeKey, time.monotonic())
        self.startJob(
            lambda notify: self.engine.answer(request, notify),
            onDone=lambda prediction: self._answered(asked, prediction),
            onError=lambda error: self._failed(asked.work, error),
        )
        self.emit("state")

    def _volumeKey(self, grid: "Grid") -> tuple[Any, ...]:
        """What tells these voxels at this place from all others; changing them in place changes the time stamp."""
        return self.volumeNode.GetID(), self.volumeNode.GetImageData().GetMTime(), grid

    def _answered(self, asked: _Asked, prediction: "Prediction") -> None:
        """An answer has come; one about a volume, a segment or voxels that are gone since is dropped."""
        from inference_core.errors import SAM3DError

        work = asked.work
        if work not in self._works.values() or work.segment is None:
            return
        try:
            if self.volumeNode is None or asked.volumeKey != self._volumeKey(volumeFromNode(self.volumeNode).grid):
                work.asked = None
                self._dirty = self.volumeNode is not None
                return
            work.noticeEdits()
            mask = onSegmentGrid(prediction.mask, asked.grid, work.where)
            window = {"shape": list(prediction.window.shape), "spacing_mm": list(prediction.window.spacing)}
            seconds = time.monotonic() - asked.started
            self._accept(
                work, mask, asked.items, asked.settings, seconds=seconds, quality=prediction.quality, window=window
            )
        except SAM3DError as error:
            self._failed(work, error)

    def _accept(
        self,
        work: SegmentWork,
        mask: Any,
        items: tuple[PromptItem, ...],
        settings: Settings,
        *,
        seconds: float,
        quality: float | None,
        window: dict[str, Any] | None = None,
    ) -> None:
        changed = work.accept(mask, items, settings, volumeNode=self.volumeNode)
        work.keep(settings, window or {})
        voxels = int(work.mask.array.sum())
        self.emit("answered", seconds=seconds, voxels=voxels, quality=quality, changedVoxels=changed)
        if cautions := self.engine.takeCautions():
            self.emit("cautioned", message=" ".join(cautions))
        self.emit("state")

    def _failed(self, work: SegmentWork, error: Exception) -> None:
        """A prompt that cannot be used is taken back, all others stay; then say what went wrong."""
        from inference_core.errors import Cancelled, PromptError

        if isinstance(error, PromptError) and work.segment is not None:
            self._restore(work)
        elif not isinstance(error, (PromptError, Cancelled)):
            # Whatever is mended (a model chosen, a file repaired), the same prompts may be asked about again.
            work.asked = None
        self.tellFailure(error)

    def tellFailure(self, error: Exception) -> None:
        """Say what went wrong in a sentence and a report; being stopped by the user is no failure."""
        from inference_core.errors import Cancelled, SAM3DError

        if isinstance(error, Cancelled):
            self.emit("state")
            return
        self.lastError = f"{type(error).__name__}: {error}"
        known = isinstance(error, SAM3DError)
        message = str(error) if known else f"Something unexpected went wrong ({type(error).__name__}); copy the report."
        if self._raising and known:
            raise error
        self.emit("failed", message=message, report=self.report())
        self.emit("state")

    def _restore(self, work: SegmentWork) -> None:
        """Put the prompts back to those that were answered last."""
        self._restoring = True
        try:
            work.nodes.restore(work.situation.items)
        finally:
            self._restoring = False
        work.asked = self._question(work.items(), self.settings)

    def _travel(self, move: Callable[[SegmentWork], None], *, allowed: Callable[[SegmentWork], bool]) -> None:
        work = self.currentWork()
        if work is None:
            return
        self.cancel()
        if work.items() != work.situation.items:
            self._restore(work)
        elif allowed(work):
            self._restoring = True
            try:
                work.noticeEdits()
                move(work)
            finally:
                self._restoring = False
            self.settings = replace(self.settings, threshold=work.situation.threshold)
            work.asked = self._question(work.items(), self.settings)
            work.keep(self.settings, {})
        self.watchPrompts()
        self.emit("state")
