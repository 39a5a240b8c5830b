"""Models that need no prompt: each class that they find becomes a segment."""

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from SAM3DSegmentLib.Conversion import onSegmentGrid, segmentGrid, volumeFromNode
from SAM3DSegmentLib.Engine import Request
from SAM3DSegmentLib.Settings import Settings
from SAM3DSegmentLib.WriteBack import isLocked, writeSegment

if TYPE_CHECKING:
    from inference_core.engine.automatic import Labeled


class AutomaticCommand:
    """The part of the logic that runs automatic models."""

    settings: Settings

    def runAutomatic(self, quick: bool = False) -> None:
        """Find all classes of the chosen model; each becomes a segment of its name, as soon as `poll` hears of them.

        `quick` looks at a fifth of the stacks. Segments of these names are written anew, locked ones are left alone.

        Raises:
            ModelError: the chosen model needs prompts.
            SAM3DError: there is no volume, or its geometry cannot be trusted.
        """
        from inference_core.errors import ModelError
        from inference_core.models.registry import get_spec
        from inference_core.prompts.prompt_set import PromptSet

        spec = get_spec(self.settings.model)
        if not spec.automatic:
            raise ModelError(f"{spec.title} needs a click or a box; place one, or choose an automatic model.")
        node = self.ensureSegmentation()
        if not self.ensureDependencies():
            return
        volume = volumeFromNode(self.volumeNode)
        key = self._volumeKey(volume.grid)
        settings = self.settings
        request = Request(volume, key, (), settings, PromptSet())
        started = time.monotonic()
        self.startJob(
            lambda notify: self.engine.classes(request, notify, quick=quick),
            onDone=lambda found: self._foundClasses(found, node, key, started),
            onError=self.tellFailure,
        )
        self.emit("state")

    def _foundClasses(self, found: "Labeled", node: Any, volumeKey: tuple[Any, ...], started: float) -> None:
        if node.GetScene() is None or self.volumeNode is None or volumeKey[0] != self.volumeNode.GetID():
            return
        written = 0
        for number, name in enumerate(found.classes, start=1):
            written += self._writeClass(found.labels.array == number, found, node, name)
        self.emit("answered", seconds=time.monotonic() - started, voxels=written, quality=None, changedVoxels=written)
        self.emit("state")

    def _writeClass(self, array: np.ndarray, found: "Labeled", node: Any, name: str) -> int:
        """Write one class into the segment of its name; nothing where it was not found or its segment is locked."""
        from inference_core.geometry.mask import Mask

        segmentation = node.GetSegmentation()
        segmentId = segmentation.GetSegmentIdBySegmentName(name)
        if not array.any() or (segmentId and isLocked(node, segmentId)):
            return 0
        if not segmentId:
            segmentId = self.nextSegment(name)
        where = segmentGrid(node)
        mask = onSegmentGrid(Mask.of(array), found.labels.grid, where)
        return int(writeSegment(node, segmentId, after=mask, where=where, volumeNode=self.volumeNode).array.sum())
