"""Lesions along a sequence of images: carried from time point to time point, answered anew, and measured at each.

The masks become a sequence of segmentations in the same browser, so that they follow the image when it is played.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import slicer
from slicer.i18n import tr as _

from SAM3DSegmentLib.Conversion import SegmentGrid, nodeToWorld, orientedImage, volumeFromNode
from SAM3DSegmentLib.FollowUp import earlierOf
from SAM3DSegmentLib.Listeners import Tell
from SAM3DSegmentLib.Measuring import Measuring, unitOf
from SAM3DSegmentLib.Options import Options
from SAM3DSegmentLib.PredictionController import PredictionController
from SAM3DSegmentLib.Segments import Segments
from SAM3DSegmentLib.Workspace import Workspace

if TYPE_CHECKING:
    from inference_core.followup.time_points import AtTime
    from inference_core.followup.visits import Earlier
    from inference_core.geometry.volume import Volume


class TimeSeries:
    """Follows the current segmentation's lesions; all calls come from the main thread.

    tell("exported", paths=) is told when the table is there.
    """

    def __init__(
        self, controller: PredictionController, workspace: Workspace, segments: Segments, *,
        measuring: Measuring, options: Options, tell: Tell,
    ) -> None:  # fmt: skip
        self._controller, self._workspace, self._segments = controller, workspace, segments
        self._measuring, self._options, self._tell = measuring, options, tell

    @property
    def isOffered(self) -> bool:
        """Whether the chosen image is one of a sequence of several."""
        return self._sequence() is not None

    def start(self, path: Path) -> None:
        """Follow all lesions, and write a row a lesion and time point to a CSV file.

        Raises:
            SAM3DError: there is no lesion or no sequence, or something is being computed.
            DependencyError: a package is missing.
        """
        from inference_core.errors import SAM3DError

        found = self._sequence()
        lesions = self._lesions()
        if found is None or not lesions or self._controller.busy:
            raise SAM3DError(_("Choose an image of a sequence and segment a lesion in it first."))
        browser, sequence = found
        self._controller.ensureDependencies()
        image, start = self._workspace.volumeNode, browser.GetSelectedItemNumber()
        volumes = _volumesOf(sequence, image)
        values = [sequence.GetNthIndexValue(n) for n in range(len(volumes))]
        engine, settings, unit = self._controller.engine, self._options.settings, unitOf(image)

        def run(notify: Any) -> "list[AtTime]":
            from inference_core.followup.time_points import track

            def tell(point: int, name: str) -> None:
                notify(_("Time point {n}...").format(n=point + 1), point / len(volumes))

            points = list(
                track(
                    lesions, volumes.__getitem__, lambda volume: engine.openSession(volume, settings, notify),
                    count=len(volumes), start=start, tell=tell,
                )
            )  # fmt: skip
            _write(path, points, values, unit)
            return points

        def onDone(points: "list[AtTime]") -> None:
            if image.GetScene() is not None and browser.GetScene() is not None:
                self._play(browser, sequence, points)
            self._tell("exported", paths=[path])

        self._controller.startJob(run, onDone=onDone, onError=self._controller.tellFailure)
        self._tell("state")

    def _sequence(self) -> tuple[Any, Any] | None:
        """The browser and the sequence that the chosen image is shown from, where it has several items."""
        image = self._workspace.volumeNode
        if image is None or not hasattr(slicer.modules, "sequences"):
            return None
        for browser in slicer.util.getNodesByClass("vtkMRMLSequenceBrowserNode", image.GetScene()):
            sequence = browser.GetSequenceNode(image)
            if sequence is not None and sequence.GetNumberOfDataNodes() > 1:
                return browser, sequence
        return None

    def _lesions(self) -> "list[Earlier]":
        """The segments that hold something, by their prompts where they have any, else by their longest axis."""
        node = self._workspace.segmentationNode
        if node is None or self._workspace.volumeNode is None:
            return []
        return list(earlierOf(self._measuring, node).values())

    def _play(self, browser: Any, sequence: Any, points: "Sequence[AtTime]") -> None:
        """The masks as a sequence of segmentations, shown with the image."""
        scene = browser.GetScene()
        played = scene.AddNewNodeByClass("vtkMRMLSequenceNode", scene.GenerateUniqueName(_("Lesions in time")))
        for name in ("IndexName", "IndexUnit", "IndexType"):
            getattr(played, f"Set{name}")(getattr(sequence, f"Get{name}")())
        colors = {name: self._colorOf(name) for name in {lesion.name for lesion in points[0].lesions}}
        parent = self._workspace.volumeNode.GetTransformNodeID()
        for found in points:
            node = _segmentationOf(found, colors, nodeToWorld(self._workspace.volumeNode))
            played.SetDataNodeAtValue(node, sequence.GetNthIndexValue(found.point))
        browser.AddSynchronizedSequenceNode(played)
        slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
        proxy = browser.GetProxyNode(played)
        proxy.SetAndObserveTransformNodeID(parent)
        if proxy.GetDisplayNode() is None:
            proxy.CreateDefaultDisplayNodes()

    def _colorOf(self, name: str) -> tuple[float, float, float]:
        segmentation = self._workspace.segmentationNode.GetSegmentation()
        segmentId = segmentation.GetSegmentIdBySegmentName(name)
        return tuple(segmentation.GetSegment(segmentId).GetColor()) if segmentId else (0.9, 0.6, 0.1)


def _volumesOf(sequence: Any, image: Any) -> "list[Volume]":
    """The images of a sequence where the shown one lies; their voxels are not copied."""
    from inference_core.geometry.grid import Grid
    from inference_core.geometry.volume import Volume

    toWorld, found = nodeToWorld(image), []
    for n in range(sequence.GetNumberOfDataNodes()):
        own = volumeFromNode(sequence.GetNthDataNode(n))
        found.append(Volume(own.array, Grid(own.grid.shape, toWorld @ own.grid.affine), own.name))
    return found


def _segmentationOf(found: "AtTime", colors: dict[str, Any], toWorld: Any) -> Any:
    """A segmentation with a segment a lesion, in the frame below the image's transforms."""
    import numpy as np

    node = slicer.vtkMRMLSegmentationNode()
    grid = found.volume.grid
    where = SegmentGrid(grid, np.linalg.inv(toWorld) @ grid.affine)
    representation = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
    node.GetSegmentation().SetSourceRepresentationName(representation)
    for lesion in found.lesions:
        segment = slicer.vtkSegment()
        segment.SetName(lesion.name)
        segment.SetColor(*colors[lesion.name])
        if lesion.mask.array.size:
            segment.AddRepresentation(representation, orientedImage(lesion.mask, where))
        node.GetSegmentation().AddSegment(segment, lesion.name)
    return node


def _write(path: Path, points: "Sequence[AtTime]", values: Sequence[str], unit: str) -> None:
    from inference_core.followup.time_table import rows_at, time_csv
    from inference_core.io.atomic import replacing

    rows = [row for found in points for row in rows_at(found, part=values[found.point], unit=unit)]
    with replacing(path) as temporary:
        temporary.write_text(time_csv(rows), encoding="utf-8")
