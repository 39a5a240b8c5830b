"""Undo and redo of the current segment: a step of its history, and the model where the step changed it."""

from collections.abc import Callable

from SAM3DSegmentLib.PredictionController import PredictionController
from SAM3DSegmentLib.Workspace import Workspace


class UndoRedo:
    """Goes to and fro in the current segment's history; what is being computed is stopped.

    onModelsStep(model, other): called where a step goes on from one model to another one, before its prompts are back.
    """

    def __init__(
        self, controller: PredictionController, workspace: Workspace, onModelsStep: Callable[[str, str], None]
    ) -> None:  # fmt: skip
        self._controller, self._workspace, self._onModelsStep = controller, workspace, onModelsStep

    @property
    def canUndo(self) -> bool:
        """Whether there is something to take back."""
        editor = self._workspace.current()
        return editor is not None and editor.history.canUndo

    @property
    def canRedo(self) -> bool:
        """Whether something was taken back."""
        editor = self._workspace.current()
        return editor is not None and editor.history.canRedo

    def undo(self) -> None:
        """Go back a step: its prompts, settings and mask, and the model where the step changed it."""
        self._step(back=True)

    def redo(self) -> None:
        """Bring back what was taken back last."""
        self._step(back=False)

    def _step(self, *, back: bool) -> None:
        editor = self._workspace.current()
        if editor is None:
            return
        self._controller.cancel()
        editor.absorbManualEdits()
        history, left = editor.history, editor.history.current
        if not (history.canUndo if back else history.canRedo):
            return
        entry = history.undo() if back else history.redo()
        models = (left if back else entry).models
        if models is not None:
            self._onModelsStep(*(reversed(models) if back else models))
        self._controller.bring(editor, entry)
