"""A and B: the current segment, and what another model or another boundary makes of the same prompts.

Nothing is written until B is kept, which is one step of the history. A comparison ends with the first change of what it
is about.
"""

from collections.abc import Hashable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from slicer.i18n import tr as _

from SAM3DSegmentLib.Engine import Engine
from SAM3DSegmentLib.History import Maker
from SAM3DSegmentLib.Listeners import Tell
from SAM3DSegmentLib.MadeBy import makerOf
from SAM3DSegmentLib.Options import Options
from SAM3DSegmentLib.PredictionController import PredictionController
from SAM3DSegmentLib.SegmentEditor import SegmentEditor
from SAM3DSegmentLib.Workspace import Workspace

if TYPE_CHECKING:
    from inference_core.geometry.grid import Grid
    from inference_core.geometry.mask import Mask
    from inference_core.measures.agreement import Agreement


@dataclass(frozen=True, eq=False)
class Compared:
    """B, in the segment's own indices, what made it, and how far it agrees with A."""

    b: "Mask"
    made: Maker
    threshold: float
    agreement: "Agreement"


class Comparison:
    """Asks for B and keeps it or lets it go; all calls come from the main thread."""

    def __init__(
        self, controller: PredictionController, workspace: Workspace, options: Options, tell: Tell
    ) -> None:  # fmt: skip
        self._controller, self._workspace, self._options, self._tell = controller, workspace, options, tell
        self._result: Compared | None = None
        self._about: Hashable = None
        # Of the other model, so that going to and fro loads nothing anew.
        self._engine: Engine | None = None

    @property
    def result(self) -> Compared | None:
        """What came of the last comparison; None before one, and once the segment or its prompts are others."""
        if self._result is not None and self._about != self._controller.questions.answerKey(self._workspace.current()):
            self._result = None
        return self._result

    def models(self) -> list[tuple[str, str]]:
        """Name and title of the models on this computer that answer prompts, without the chosen one."""
        known = self._options.models
        return [
            (spec.name, spec.title)
            for spec in known.all()
            if spec.name != self._options.modelName and not spec.automatic and known.isInstalled(spec.name)
        ]

    def start(self, model: str, threshold: float) -> None:
        """Ask for B: by a model, "" for the chosen one, cut at a logit.

        Raises:
            SAM3DError: there is nothing to compare, or B would be A.
            DependencyError: a package is missing.
        """
        from inference_core.errors import OptionError, PromptError

        editor = self._workspace.current()
        if editor is None or not editor.state.tellsWhere or self._controller.busy:
            raise PromptError(_("Segment something by prompts first; then it can be compared."))
        name = model or self._options.modelName
        if name == self._options.modelName and threshold == editor.state.settings.threshold:
            raise OptionError(_("B would be the same as A; choose another model or another boundary for it."))
        editor.absorbManualEdits()
        state, about = editor.state, self._controller.questions.answerKey(editor)
        settings = replace(self._options.settings, model=name)

        def onDone(mask: "Mask", grid: "Grid") -> None:
            if about == self._controller.questions.answerKey(editor):
                self._take(editor, editor.wanted(mask, grid, state, settings), makerOf(settings), threshold)

        self._controller.askBeside(
            self._engineFor(name), settings, replace(state.settings, threshold=threshold), onDone=onDone
        )  # fmt: skip

    def keepB(self) -> None:
        """Make B the segment's mask, and go on with its model and boundary.

        Raises:
            OutputError: the segment is locked.
        """
        result, editor = self.result, self._workspace.current()
        if result is None or editor is None:
            return
        state = editor.state
        kept = replace(state, settings=replace(state.settings, threshold=result.threshold))
        editor.hold(result.b, kept, made=result.made, volumeNode=self._workspace.volumeNode)
        model = self._options.modelName
        if result.made.model != model:
            editor.history.current.models = (model, result.made.model)
            self.goOn(model, result.made.model)
        editor.asked = self._controller.questions.of(editor.state)
        self.drop()

    def drop(self) -> None:
        """Keep A."""
        self._result = None
        self._tell("state")

    def goOn(self, model: str, other: str) -> None:
        """Go on with another model than a chosen one; where the user has chosen a third one since, it stays."""
        if self._options.modelName == model:
            self._controller.engine, self._engine = self._engineFor(other), self._controller.engine
            self._options.setModel(other)

    def _engineFor(self, model: str) -> Engine:
        if model == self._options.modelName:
            return self._controller.engine
        self._engine = self._engine or self._controller.engine.another()
        return self._engine

    def _take(self, editor: SegmentEditor, b: "Mask", made: Maker, threshold: float) -> None:
        from inference_core.measures.agreement import agreement

        found = agreement(editor.mask, b, editor.where.lattice)
        self._result, self._about = Compared(b, made, threshold, found), self._controller.questions.answerKey(editor)
        self._tell("state")
