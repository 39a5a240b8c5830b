"""What is worked on: the image, the segmentation, the current segment, and what is known of each segment touched.

Each image has a segmentation of its own, found again when the image is chosen again and made when it is needed.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from typing import Any, Protocol

import slicer
from slicer.i18n import tr as _

from SAM3DSegmentLib import Terminology
from SAM3DSegmentLib.Conversion import volumeFromNode
from SAM3DSegmentLib.Listeners import Tell
from SAM3DSegmentLib.PromptNodes import VOLUME_ROLE, removeOrphans
from SAM3DSegmentLib.SegmentEditor import SegmentEditor
from SAM3DSegmentLib.Settings import SegmentSettings

# Far apart in hue, so that neighboring lesions are told apart; after these Slicer's own generator goes on.
_COLORS = (
    (0.95, 0.60, 0.10), (0.20, 0.65, 0.95), (0.85, 0.35, 0.75), (0.45, 0.80, 0.25), (0.95, 0.85, 0.20),
    (0.30, 0.85, 0.75), (0.90, 0.30, 0.30), (0.60, 0.50, 0.95),
)  # fmt: skip


class Observing(Protocol):
    """Who listens to the nodes that are chosen."""

    def watchVolume(self, node: Any) -> None:
        """Observe a volume instead of the one before."""
        ...

    def watchSegmentation(self, node: Any) -> None:
        """Observe a segmentation instead of the one before."""
        ...

    def watchPrompts(self, nodes: list[Any]) -> None:
        """Observe these prompts instead of the ones before."""
        ...


class Workspace:
    """The three choices and the editors of segments; all calls come from the main thread."""

    def __init__(self, tell: Tell, observer: Observing) -> None:
        self._tell, self._observer = tell, observer
        self.volumeNode: Any = None
        self.segmentationNode: Any = None
        self.segmentId: str | None = None
        self.isRestoring = False
        self._editors: dict[tuple[str, str], SegmentEditor] = {}
        # What the first segment begins with; the ones after it begin afresh.
        self._first = SegmentSettings()

    # What is chosen

    def setVolume(self, node: Any) -> None:
        """Choose the image, or none, and with it the segmentation that belongs to it, if there is one."""
        if node is self.volumeNode:
            return
        self.volumeNode = node
        self._observer.watchVolume(node)
        if node is None or not self.belongsToVolume(self.segmentationNode):
            self.setSegmentation(self.segmentationOf(node) if node is not None else None)
        self._tell("state")

    def setSegmentation(self, node: Any) -> None:
        """Choose the segmentation to write into, or none; its first segment becomes the current one."""
        if node is self.segmentationNode:
            return
        self.segmentationNode = node if isSegmentation(node) else None
        self._adopt(self.segmentationNode)
        self._observer.watchSegmentation(self.segmentationNode)
        ids = self.segmentIds()
        self.setSegment(ids[0] if ids else None)

    def setSegment(self, segmentId: str | None) -> None:
        """Choose the segment that prompts belong to, or none; its prompts and settings come back with it."""
        self.segmentId = segmentId if segmentId in self.segmentIds() else None
        self.watchPrompts()
        self._tell("state")

    def _adopt(self, node: Any) -> None:
        """Give a segmentation that is empty and nobody's the voxels of the current image."""
        if node is None or self.volumeNode is None or volumeOf(node) is not None:
            return
        if node.GetSegmentation().GetNumberOfSegments() == 0:
            node.SetReferenceImageGeometryParameterFromVolumeNode(self.volumeNode)
            node.SetNodeReferenceID(VOLUME_ROLE, self.volumeNode.GetID())
            # Voxels are in the volume's own frame: moved together they stay together.
            node.SetAndObserveTransformNodeID(self.volumeNode.GetTransformNodeID())
            if node.GetDisplayNode() is None:
                node.CreateDefaultDisplayNodes()

    def segmentIds(self) -> list[str]:
        """The ids of the current segmentation's segments, in their order."""
        node = self.segmentationNode
        return list(node.GetSegmentation().GetSegmentIDs()) if node is not None else []

    def segmentationOf(self, volumeNode: Any) -> Any:
        """The newest segmentation that belongs to an image, or None."""
        nodes = slicer.util.getNodesByClass("vtkMRMLSegmentationNode", volumeNode.GetScene())
        return next((node for node in reversed(nodes) if volumeOf(node) is volumeNode), None)

    def belongsToVolume(self, segmentationNode: Any) -> bool:
        """Whether a segmentation is the current image's, or nobody's."""
        return segmentationNode is not None and volumeOf(segmentationNode) in (None, self.volumeNode)

    def ensureSegmentation(self) -> Any:
        """The current segmentation; made for the image where there is none.

        Raises:
            VolumeError: there is no image to make it for.
        """
        self.requireVolume()
        if self.segmentationNode is None:
            name = _("{volume} segmentation").format(volume=self.volumeNode.GetName())
            scene = self.volumeNode.GetScene()
            node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", scene.GenerateUniqueName(name))
            self.setSegmentation(node)
        return self.segmentationNode

    def requireVolume(self) -> Any:
        """The current image.

        Raises:
            VolumeError: there is none.
        """
        from inference_core.errors import VolumeError

        if self.volumeNode is None:
            raise VolumeError(_("There is no volume; load or choose one first."))
        return self.volumeNode

    # The current segment's editor

    def current(self) -> SegmentEditor | None:
        """The current segment's editor; None where there is no segment any more, or its geometry cannot be used."""
        from inference_core.errors import SAM3DError

        if self.segmentationNode is None or self.segmentId is None:
            return None
        if self.segmentationNode.GetSegmentation().GetSegment(self.segmentId) is None:
            return None
        try:
            return self.editorOf(self.segmentId)
        except SAM3DError:
            return None

    def require(self) -> SegmentEditor:
        """The current segment's editor, to place prompts with; a segmentation and a segment are made if need be.

        Raises:
            SAM3DError: there is no volume, a geometry cannot be trusted, or the segment's prompts lie on another image.
        """
        from inference_core.errors import PromptError

        volumeFromNode(self.requireVolume())
        if self.segmentId is None:
            self.nextSegment()
        assert self.segmentId is not None
        editor = self.editorOf(self.segmentId)
        if reason := self.foreignImage(editor):
            raise PromptError(reason)
        return editor

    def editorOf(self, segmentId: str) -> SegmentEditor:
        """The editor of a segment of the current segmentation.

        Raises:
            VolumeError: the segmentation's geometry cannot be used.
        """
        key = (self.segmentationNode.GetID(), segmentId)
        editor = self._editors.get(key)
        if editor is None or not editor.refreshGrid():
            first = self._first if not self._editors else None
            self._first = SegmentSettings()
            with self.restoring():
                editor = self._editors[key] = SegmentEditor(self.segmentationNode, segmentId, first)
        return editor

    def foreignImage(self, editor: SegmentEditor) -> str:
        """Why a segment must not be written from the current image; empty where it may be."""
        other = editor.nodes.volumeNode
        if other is None or other is self.volumeNode:
            return ""
        text = _("The clicks of this segment lie on '{volume}'; choose that image, or begin the next segment.")
        return text.format(volume=other.GetName())

    def claim(self, editor: SegmentEditor) -> None:
        """Note that prompts were placed on the current image, unless there are some on another."""
        if self.volumeNode is None or self.foreignImage(editor):
            return
        editor.nodes.placeOn(self.volumeNode)
        if volumeOf(editor.segmentationNode) is None:
            editor.segmentationNode.SetNodeReferenceID(VOLUME_ROLE, self.volumeNode.GetID())

    def nextSegment(self, name: str | None = None) -> str:
        """Add a segment with a name and a color of its own and make it the current one; returns its id.

        Raises:
            VolumeError: there is no image.
        """
        segmentation = self.ensureSegmentation().GetSegmentation()
        segments = [segmentation.GetSegment(segmentId) for segmentId in self.segmentIds()]
        names = {segment.GetName() for segment in segments}
        # The first number after the segments there are: a lesion that was renamed has had its number, too.
        numbered = (_("Lesion {number}").format(number=number) for number in count(len(segments) + 1))
        chosen = name or next(candidate for candidate in numbered if candidate not in names)
        used = {tuple(round(part, 2) for part in segment.GetColor()) for segment in segments}
        free = [color for color in _COLORS if color not in used]
        segmentId = str(segmentation.AddEmptySegment("", chosen, *free[:1]))
        segment = segmentation.GetSegment(segmentId)
        segment.SetTag(segment.GetTerminologyEntryTagName(), Terminology.LESION)
        self.setSegment(segmentId)
        return segmentId

    @contextmanager
    def restoring(self) -> Iterator[None]:
        """What happens to prompts meanwhile is not taken for the user's doing."""
        before, self.isRestoring = self.isRestoring, True
        try:
            yield
        finally:
            self.isRestoring = before

    def isKnown(self, editor: SegmentEditor) -> bool:
        """Whether an editor is still the one of its segment."""
        return editor in self._editors.values() and editor.segment is not None

    def editors(self) -> list[SegmentEditor]:
        """All editors whose segments there are."""
        return [editor for editor in self._editors.values() if editor.segment is not None]

    def watchPrompts(self) -> None:
        """Observe the nodes of the current segment's prompts."""
        editor = self.current()
        self._observer.watchPrompts(editor.nodes.nodes() if editor is not None else [])

    @property
    def segmentSettings(self) -> SegmentSettings:
        """The current segment's settings, or what the first one will have."""
        editor = self.current()
        return editor.state.settings if editor is not None else self._first

    def changeSegmentSettings(self, settings: SegmentSettings) -> None:
        """Give the current segment, or the first one there will be, other settings."""
        editor = self.current()
        if editor is None:
            self._first = replace(settings, threshold=0.0)
        else:
            editor.changeSettings(settings)

    # What goes away

    def forgetSegment(self, segmentId: str) -> None:
        """A segment was removed: its editor and its prompts go, too."""
        for key in [key for key in self._editors if key[1] == segmentId]:
            if self._editors[key].segment is None:
                self._editors.pop(key).nodes.removeNodes()
        if segmentId == self.segmentId:
            ids = self.segmentIds()
            self.setSegment(ids[-1] if ids else None)

    def forgetSegmentation(self, node: Any) -> None:
        """A segmentation left the scene: its editors and its prompts go, too."""
        if isinstance(node, slicer.vtkMRMLSegmentationNode):
            removeOrphans(node.GetID())
        self._editors = {key: e for key, e in self._editors.items() if e.segmentationNode is not node}
        if node is self.segmentationNode:
            self.setSegmentation(None)

    def clear(self) -> None:
        """Everything goes."""
        self._editors.clear()
        self.setSegmentation(None)
        self.setVolume(None)
        self._first = SegmentSettings()


def isSegmentation(node: Any) -> bool:
    """Whether a node is a segmentation that is in a scene."""
    return isinstance(node, slicer.vtkMRMLSegmentationNode) and node.GetScene() is not None


def volumeOf(segmentationNode: Any) -> Any:
    """The image that a segmentation belongs to: the one it was made for here, else the one it has its geometry from."""
    own = segmentationNode.GetNodeReference(VOLUME_ROLE)
    if own is not None:
        return own
    return segmentationNode.GetNodeReference(segmentationNode.GetReferenceImageGeometryReferenceRole())
