"""When a question is asked, and what its answer becomes: voxels, a step of history and tags.

The engine and the worker are handed in. A question is asked whenever what the current segment's nodes and settings say
differs from what was asked last; answers come in through `poll`, on the main thread.
"""

import time
from collections.abc import Callable, Hashable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from slicer.i18n import tr as _

from SAM3DSegmentLib.Conversion import volumeFromNode
from SAM3DSegmentLib.Engine import Engine
from SAM3DSegmentLib.Listeners import Tell
from SAM3DSegmentLib.MadeBy import makerOf
from SAM3DSegmentLib.Options import Options
from SAM3DSegmentLib.Previews import Previews
from SAM3DSegmentLib.Questions import Asked, Questions, subjectOf
from SAM3DSegmentLib.SegmentEditor import NEVER, SegmentEditor
from SAM3DSegmentLib.Sentences import sentenceOf
from SAM3DSegmentLib.Settings import SegmentSettings, Settings
from SAM3DSegmentLib.Setup.Dependencies import DependencyError
from SAM3DSegmentLib.Worker import Job, Notify, Worker
from SAM3DSegmentLib.Workspace import Workspace

if TYPE_CHECKING:
    from inference_core.engine.session import Prediction
    from inference_core.geometry.grid import Grid
    from inference_core.geometry.mask import Mask
    from SAM3DSegmentLib.History import Entry


class PredictionController:
    """Asks and takes in answers.

    ensureDependencies() makes sure that packages are there, or raises; report() is what is told with a failure.
    questions: what is asked, and the keys of it. previews: what is shown while an answer is worked out.
    """

    def __init__(
        self, engine: Engine, worker: Worker, workspace: Workspace, options: Options, *, tell: Tell,
        ensureDependencies: Callable[[], None], report: Callable[[], str],
    ) -> None:  # fmt: skip
        self.engine, self.worker = engine, worker
        self._workspace, self._options, self._tell = workspace, options, tell
        self.ensureDependencies, self._report = ensureDependencies, report
        self.lastError = ""
        self.failure: Exception | None = None
        self.questions, self.previews = Questions(workspace, options), Previews(worker, workspace, tell)
        self._dirty = False

    @property
    def busy(self) -> bool:
        """Whether something is being computed, or is about to be."""
        return self.worker.busy or self._dirty

    @property
    def isLookingAhead(self) -> bool:
        """Whether something is being computed that nobody asked for yet."""
        return self.worker.isAhead

    def stopLookingAhead(self) -> None:
        """The cursor has gone on."""
        self.worker.cancelAhead()

    def askSoon(self) -> None:
        """Something may have changed: look at the next poll."""
        self._dirty = self._workspace.segmentId is not None

    def poll(self, waitSeconds: float = 0.0, *, mayAsk: bool = True) -> None:
        """Take in what the worker has to say, then ask about what changed."""
        self.worker.poll(waitSeconds if self.worker.busy or self.worker.isAhead else 0.0)
        if self._dirty and mayAsk:
            self._dirty = False
            self._ask()

    def cancel(self) -> None:
        """Stop what is being computed; prompts and masks stay as they are."""
        self.worker.cancel()
        self._dirty = False
        self.previews.end()

    def lookAhead(self, ras: tuple[float, float, float]) -> None:
        """Have a foreground click at a point (world RAS mm) answered before it is made, as a segment's first prompt.

        Nothing where something was asked, or the segment has prompts: a further click is quick without.
        """
        from inference_core.prompts.prompt_set import Click, PromptSet

        editor = self._workspace.current()
        if self.busy or self._workspace.volumeNode is None or not self._options.isInstalled:
            return
        if editor is not None and (editor.state.items or editor.state.base.array.size):
            return
        settings = self._workspace.segmentSettings
        prompts = PromptSet((Click(ras, True, settings.localRadiusMm),))
        request = self.questions.request(editor, settings, prompts)
        job = Job(
            run=lambda notify: self.engine.lookAhead(request, notify),
            onDone=_ignore, onError=_ignore, onProgress=_ignore, ahead=True, subject=subjectOf(request),
        )  # fmt: skip
        self.worker.submit(job)

    def startJob(
        self,
        run: Callable[[Notify], Any],
        *,
        onDone: Callable[[Any], None],
        onError: Callable[[Exception], None],
        subject: Hashable = None,
    ) -> None:
        """Have the worker run something instead of what waits there; how far it comes is told as "progress"."""
        self.worker.submit(
            Job(
                run=run,
                onDone=onDone,
                onError=onError,
                onProgress=lambda stage, fraction: self._tell("progress", stage=stage, fraction=fraction),
                subject=subject,
            )
        )

    def tellFailure(self, error: Exception) -> None:
        """Say what went wrong in a sentence and a report; being stopped by the user is no failure."""
        from inference_core.errors import Cancelled, SAM3DError

        self.failure = error
        if not isinstance(error, Cancelled):
            self.lastError = f"{type(error).__name__}: {error}"
            known = isinstance(error, (SAM3DError, DependencyError))
            unknown = _("Something unexpected went wrong ({name}); copy the report.")
            message = sentenceOf(error) if known else unknown.format(name=type(error).__name__)
            self._tell("failed", message=message, report=self._report())
        self._tell("state")

    def bring(self, editor: SegmentEditor, entry: "Entry") -> None:
        """Bring back a step of a segment's history; what it led to is asked for where that was never answered."""
        with self._workspace.restoring():
            editor.bring(entry, volumeNode=self._workspace.volumeNode)
        editor.asked = self.questions.of(editor.state) if entry.answered else None
        self._dirty = not entry.answered
        self._workspace.watchPrompts()
        self._tell("state")

    # Asking

    def _ask(self) -> None:
        """Ask the model, if the current segment's prompts or settings are not those it was asked about last."""
        from inference_core.errors import SAM3DError

        editor = self._workspace.current()
        if editor is None or self._workspace.volumeNode is None or self._workspace.foreignImage(editor):
            return
        try:
            self._askAbout(editor)
        except (SAM3DError, DependencyError) as error:
            self._failed(editor, error)

    def _askAbout(self, editor: SegmentEditor) -> None:
        editor.takePrompts()
        question, before = self.questions.of(editor.state), editor.asked
        # What a saved scene holds was answered before it was saved.
        isAnswered = before is NEVER and editor.history.current.answered
        editor.asked = question
        if question == before or isAnswered:
            return
        editor.absorbManualEdits()
        if editor.state.tellsWhere:
            self._submit(editor)
            return
        # Nothing says where the target is: what was there before the first prompt comes back.
        self.cancel()
        grid = volumeFromNode(self._workspace.volumeNode).grid
        self._accept(Asked(editor, editor.state, self._options.settings, grid, (), time.monotonic()), answer=None)

    def _submit(self, editor: SegmentEditor) -> None:
        self.ensureDependencies()
        request = self.questions.requestAbout(editor)
        grid, key = request.volume.grid, request.volumeKey
        asked = Asked(editor, editor.state, request.settings, grid, key, time.monotonic())
        onPreview = self.previews.expect(asked)
        self.startJob(
            lambda notify: self.engine.answer(request, notify, onPreview=onPreview),
            onDone=lambda answer: self._answered(asked, answer),
            onError=lambda error: self._failed(asked.editor, error),
            subject=subjectOf(request),
        )
        self._tell("state")

    def askWhereUnsure(self, onDone: "Callable[[Mask, Grid], None]") -> None:
        """Have the band of unsure voxels of the current segment's last answer cut, on the image's grid."""
        from inference_core.errors import SAM3DError

        editor = self._workspace.current()
        if editor is None or self._workspace.volumeNode is None or self._workspace.foreignImage(editor):
            return
        try:
            request = self.questions.requestAbout(editor)
        except SAM3DError:
            return
        self.startJob(
            lambda notify: self.engine.unsureBand(request),
            onDone=lambda band: onDone(band, request.volume.grid),
            onError=self.tellFailure,
        )
        self._tell("state")

    def askBeside(
        self, engine: Engine, settings: Settings, ofSegment: SegmentSettings, *,
        onDone: "Callable[[Mask, Grid], None]",
    ) -> None:  # fmt: skip
        """Have the current segment's prompts answered by other settings, on the image's grid; nothing is written.

        Raises:
            SAM3DError: there is no segment or image, or they do not belong together.
            DependencyError: a package is missing.
        """
        editor = self._workspace.require()
        self.ensureDependencies()
        request = replace(self.questions.requestAbout(editor), settings=settings, segmentSettings=ofSegment)
        self.startJob(
            lambda notify: engine.answer(request, notify),
            onDone=lambda answer: onDone(answer.mask, request.volume.grid),
            onError=self.tellFailure,
        )
        self._tell("state")

    # Answers

    def _answered(self, asked: Asked, answer: "Prediction") -> None:
        """An answer has come; one about a volume, a segment or voxels that are gone since is dropped."""
        from inference_core.errors import SAM3DError

        self.previews.hide()
        editor, volumeNode = asked.editor, self._workspace.volumeNode
        if not self._workspace.isKnown(editor):
            return
        try:
            if volumeNode is None or asked.volumeKey != self.questions.volumeKey(volumeFromNode(volumeNode).grid):
                editor.asked = None
                self._dirty = volumeNode is not None
                return
            editor.absorbManualEdits()
            self._accept(asked, answer)
        except SAM3DError as error:
            self._failed(editor, error)

    def _accept(self, asked: Asked, answer: "Prediction | None") -> None:
        editor, mask = asked.editor, answer.mask if answer is not None else None
        made = None if answer is None else makerOf(asked.settings, _windowOf(answer))
        written = editor.accept(
            mask, asked.grid, asked.state, asked.settings, volumeNode=self._workspace.volumeNode, made=made
        )
        if written is None:
            return
        self._tell(
            "answered",
            seconds=time.monotonic() - asked.started,
            voxels=editor.mask.voxel_count,
            quality=answer.quality if answer is not None else None,
            changedVoxels=written.changedVoxels,
            editor=editor,
            written=written,
        )
        if cautions := (*self.engine.takeCautions(), *(answer.cautions if answer is not None else ())):
            self._tell("cautioned", message=" ".join(cautions))
        self._tell("state")

    def _failed(self, editor: SegmentEditor, error: Exception) -> None:
        """A prompt that cannot be used is taken back, all others stay; then say what went wrong."""
        from inference_core.errors import Cancelled, PromptError

        self.previews.hide()
        if isinstance(error, PromptError) and editor.segment is not None:
            self.bring(editor, editor.history.revert())
        elif not isinstance(error, Cancelled):
            # Whatever is mended (a model chosen, a file repaired), the same prompts may be asked about again.
            editor.asked = None
        self.tellFailure(error)


def _ignore(*_: Any) -> None:
    """Nobody asked, or nobody listens: nobody is told."""


def _windowOf(answer: "Prediction") -> dict[str, Any]:
    window = answer.window
    return {"shape": list(window.shape), "spacing_mm": list(window.spacing)}
