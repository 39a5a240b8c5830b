"""What is asked about a segment: the request to the model, and keys that tell questions and answers apart."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from SAM3DSegmentLib.Conversion import labelTime, volumeFromNode
from SAM3DSegmentLib.Engine import Request
from SAM3DSegmentLib.Options import Options
from SAM3DSegmentLib.SegmentEditor import SegmentEditor
from SAM3DSegmentLib.SegmentState import SegmentState
from SAM3DSegmentLib.Settings import SegmentSettings, Settings
from SAM3DSegmentLib.Workspace import Workspace

if TYPE_CHECKING:
    from inference_core.geometry.grid import Grid
    from inference_core.prompts.prompt_set import PromptSet


@dataclass(frozen=True, eq=False)
class Asked:
    """A question that is out: whose it is, and what it was about, so that a stale answer is known."""

    editor: SegmentEditor
    state: SegmentState
    settings: Settings
    grid: "Grid"
    volumeKey: Hashable
    started: float


class Questions:
    """Reads the workspace and the options; changes neither."""

    def __init__(self, workspace: Workspace, options: Options) -> None:
        self._workspace, self._options = workspace, options

    def of(self, state: SegmentState) -> Hashable:
        """All that an answer about a segment's state depends on, for comparing."""
        prompts = tuple(item.prompt for item in state.items)
        return prompts, self._options.modelName, state.settings.ofMask

    def answerKey(self, editor: SegmentEditor | None) -> Hashable:
        """What tells an answer, as the current segment holds it, from all others; None where another one is current."""
        if editor is None or editor is not self._workspace.current():
            return None
        node, segmentId = editor.segmentationNode, editor.segmentId
        return node.GetID(), segmentId, self.of(editor.state), labelTime(node, segmentId)

    def volumeKey(self, grid: "Grid") -> Hashable:
        """What tells these voxels at this place from all others; changing them in place changes the time stamp."""
        node = self._workspace.volumeNode
        return node.GetID(), node.GetImageData().GetMTime(), grid

    def requestAbout(self, editor: SegmentEditor) -> Request:
        """The question that a segment's state is.

        Raises:
            SAM3DError: the image or the prompts cannot be read.
        """
        return self.request(editor, editor.state.settings, editor.promptSet(editor.state.items))

    def request(self, editor: SegmentEditor | None, settings: SegmentSettings, prompts: "PromptSet") -> Request:
        """A question about the current image, for a segment or for one that is not there yet.

        Raises:
            SAM3DError: the image cannot be read.
        """
        volume = volumeFromNode(self._workspace.volumeNode)
        segmentKey = None if editor is None else (editor.segmentationNode.GetID(), editor.segmentId)
        return Request(volume, self.volumeKey(volume.grid), segmentKey, self._options.settings, settings, prompts)


def subjectOf(request: Request) -> Hashable:
    """What two requests have in common that have one answer; which segment it is for does not matter."""
    return request.volumeKey, request.settings, request.segmentSettings.ofMask, request.prompts
