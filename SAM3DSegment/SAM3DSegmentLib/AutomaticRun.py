"""Models that need no prompt: each class that they find becomes a segment."""

import time
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

import numpy as np
from slicer.i18n import tr as _

from SAM3DSegmentLib.Conversion import onSegmentGrid, readSegment, segmentGrid, volumeFromNode
from SAM3DSegmentLib.History import Maker
from SAM3DSegmentLib.Listeners import Tell
from SAM3DSegmentLib.MadeBy import makerOf
from SAM3DSegmentLib.Options import Options
from SAM3DSegmentLib.PredictionController import PredictionController
from SAM3DSegmentLib.Workspace import Workspace
from SAM3DSegmentLib.WriteBack import isLocked, writeSegment

if TYPE_CHECKING:
    from inference_core.engine.automatic import Labeled


class AutomaticRun:
    """Runs automatic models on the workspace's image."""

    def __init__(self, controller: PredictionController, workspace: Workspace, options: Options, tell: Tell) -> None:
        self._controller, self._workspace, self._options, self._tell = controller, workspace, options, tell

    def start(self, quick: bool = False) -> None:
        """Find all classes of the chosen model; each becomes a segment of its name, as soon as `poll` hears of them.

        `quick` looks at a fifth of the stacks. Segments of these names are written anew, locked ones are left alone.

        Raises:
            ModelError: the chosen model needs prompts.
            SAM3DError: there is no volume, or its geometry cannot be trusted.
            DependencyError: a package is missing.
        """
        from inference_core.errors import ModelError

        spec = self._options.models.spec(self._options.modelName)
        if not spec.automatic:
            text = _("{title} needs a click or a box; place one, or choose an automatic model.")
            raise ModelError(text.format(title=spec.title))
        volume = volumeFromNode(self._workspace.requireVolume())
        self._controller.ensureDependencies()
        node = self._workspace.ensureSegmentation()
        key, settings, started = (
            self._controller.questions.volumeKey(volume.grid),
            self._options.settings,
            time.monotonic(),
        )
        self._controller.startJob(
            lambda notify: self._controller.engine.classes(volume, settings, notify, quick=quick),
            onDone=lambda found: self._foundClasses(found, node, key, makerOf(settings), started),
            onError=self._controller.tellFailure,
        )
        self._tell("state")

    def _foundClasses(self, found: "Labeled", node: Any, volumeKey: Hashable, made: Maker, started: float) -> None:
        volumeNode = self._workspace.volumeNode
        if node.GetScene() is None or node is not self._workspace.segmentationNode or volumeNode is None:
            return
        if self._controller.questions.volumeKey(volumeFromNode(volumeNode).grid) != volumeKey:
            return
        written = 0
        for number, name in enumerate(found.classes, start=1):
            written += self._writeClass(found.labels.array == number, found, node, name, made)
        seconds = time.monotonic() - started
        self._tell("answered", seconds=seconds, voxels=written, quality=None, changedVoxels=written)
        if cautions := self._controller.engine.takeCautions():
            self._tell("cautioned", message=" ".join(cautions))
        self._tell("state")

    def _writeClass(self, array: np.ndarray, found: "Labeled", node: Any, name: str, made: Maker) -> int:
        """Write one class into the segment of its name; nothing where it was not found or its segment is locked."""
        from inference_core.geometry.mask import Mask

        segmentId = node.GetSegmentation().GetSegmentIdBySegmentName(name)
        if not array.any() or (segmentId and isLocked(node, segmentId)):
            return 0
        segmentId = segmentId or self._workspace.nextSegment(name)
        where = segmentGrid(node)
        mask = onSegmentGrid(Mask.of(array), found.labels.grid, where)
        before = readSegment(node, segmentId)
        written = writeSegment(
            node, segmentId, before=before, after=mask, where=where, volumeNode=self._workspace.volumeNode
        )
        self._workspace.editorOf(segmentId).madeWithoutPrompts(made)
        return written.mask.voxel_count
