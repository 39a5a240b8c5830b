"""What is shown while an answer is worked out that takes a while: what it will be near to. No segment ever holds it."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from SAM3DSegmentLib.Listeners import Tell
from SAM3DSegmentLib.Questions import Asked
from SAM3DSegmentLib.SegmentEditor import SegmentEditor
from SAM3DSegmentLib.Worker import Worker
from SAM3DSegmentLib.Workspace import Workspace

if TYPE_CHECKING:
    from inference_core.engine.session import Prediction
    from inference_core.geometry.mask import Mask


@dataclass(frozen=True, eq=False)
class Preview:
    """What the answer to a question will be near to, in the segment's own indices."""

    editor: SegmentEditor
    mask: "Mask"


class Previews:
    """The preview of the newest question, from when it comes until that question is answered, stopped or fails.

    current: to be shown; None where there is none.
    """

    def __init__(self, worker: Worker, workspace: Workspace, tell: Tell) -> None:
        self._worker, self._workspace, self._tell = worker, workspace, tell
        self.current: Preview | None = None
        self._asked: Asked | None = None

    def expect(self, asked: Asked) -> "Callable[[Prediction], None]":
        """What the worker's thread calls with the preview of a question, which is the newest one from here on."""
        self._asked = asked
        return lambda answer: self._worker.leave(lambda: self._came(asked, answer))

    def end(self) -> None:
        """Show none, and none of the question that is out."""
        self.current = self._asked = None

    def hide(self) -> None:
        """Show none; that of the question that is out may still come."""
        self.current = None

    def _came(self, asked: Asked, answer: "Prediction") -> None:
        from inference_core.errors import SAM3DError

        editor = asked.editor
        if self._asked is not asked or not self._workspace.isKnown(editor) or editor.state is not asked.state:
            return
        try:
            mask = editor.wanted(answer.mask, asked.grid, asked.state, asked.settings)
        except SAM3DError:
            return  # the answer itself will say so
        self.current = Preview(editor, mask)
        self._tell("previewed", seconds=time.monotonic() - asked.started, voxels=mask.voxel_count)
