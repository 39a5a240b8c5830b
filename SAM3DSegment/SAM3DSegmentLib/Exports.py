"""Out of the scene: the current segmentation as DICOM objects that refer to the image's series, or as a label map.

A segmentation is of one image, and so of one patient. What is read from the scene is read on the main thread; the
worker writes the files, all or none.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from slicer.i18n import tr as _

from SAM3DSegmentLib.Conversion import asInFile
from SAM3DSegmentLib.DicomFiles import filesOf
from SAM3DSegmentLib.FollowUp import patientIdOf
from SAM3DSegmentLib.Listeners import Tell
from SAM3DSegmentLib.MadeBy import algorithmOf, findingOf
from SAM3DSegmentLib.Measuring import Held, Measuring, unitOf
from SAM3DSegmentLib.PredictionController import PredictionController
from SAM3DSegmentLib.Segments import Segments
from SAM3DSegmentLib.Setup import ExportPackages
from SAM3DSegmentLib.Workspace import Workspace
from SAM3DSegmentLib.WriteBack import tagOf

if TYPE_CHECKING:
    from inference_core.geometry.volume import Volume
    from inference_core.io.dicom_export import ExportedSegment

# Of each kind the end of the file's name; of all three at once, the report refers to the SEG.
ALL = "dicom"
DICOM_SUFFIXES = {"seg": ".seg.dcm", "report": ".sr.dcm", "rtstruct": ".rt.dcm"}
LABEL_SUFFIXES = (".seg.nrrd", ".nrrd", ".nii.gz")
TRACKING_TAG = "SAM3DSegment.TrackingUID"


@dataclass(frozen=True, eq=False)
class _Content:
    """The image and its segments, as they were when the export was asked for; `segments` have no voxels yet."""

    volume: "Volume"
    unit: str
    segments: "dict[str, ExportedSegment]"
    held: Held
    files: list[Path]
    patientId: str

    def placed(self) -> "tuple[list[ExportedSegment], str]":
        """The segments on the image's voxels, and what is to be said of them.

        Raises:
            OutputError: none lies there.
        """
        from inference_core.errors import OutputError

        there = self.held.onImage()
        if not any(mask.array.size for mask in there.masks.values()):
            raise OutputError(_("No segment lies on the image's voxels; export it with the image that it is of."))
        return [replace(self.segments[key], mask=mask) for key, mask in there.masks.items()], there.note


class Exports:
    """Writes the current segmentation out; all calls come from the main thread, tell("exported", paths=) ends each."""

    def __init__(
        self, controller: PredictionController, workspace: Workspace, segments: Segments, *,
        measuring: Measuring, tell: Tell,
    ) -> None:  # fmt: skip
        self._controller, self._workspace, self._segments = controller, workspace, segments
        self._measuring, self._tell = measuring, tell

    def check(self, kind: str) -> None:
        """Refuse an export before a name is asked for: a key of `DICOM_SUFFIXES`, `ALL`, or one of `LABEL_SUFFIXES`.

        Raises:
            SAM3DError: there is nothing to export, or DICOM is asked for and the image came from none.
            DependencyError: a package is missing and was not installed.
        """
        self._checked(kind)

    def start(self, kind: str, path: Path) -> None:
        """Write a kind of file, under this name with the kind's suffix; of all three, each with its own.

        Raises:
            SAM3DError: it cannot be exported, or something is being computed.
            DependencyError: a package is missing and was not installed.
        """
        from inference_core.errors import OutputError

        image, files = self._checked(kind)
        if self._controller.busy:
            raise OutputError(_("Wait until the last answer is there, then export."))
        content, places = self._content(image, files), _placesOf(kind, path)
        # Of the name that was chosen, the file dialog has asked.
        if there := [place.name for place in places.values() if place != path and place.exists()]:
            raise OutputError(_("'{name}' is there already; choose another name.").format(name=there[0]))

        def run(notify: Any) -> str:
            notify("exporting", 0.0)
            segments, note = content.placed()
            if kind in LABEL_SUFFIXES:
                _writeLabels(places[kind], content.volume, segments)
            else:
                _writeDicom(places, content, segments)
            return note

        def onDone(note: str) -> None:
            self._tell("exported", paths=list(places.values()))
            if note:
                self._tell("cautioned", message=note)

        self._controller.startJob(run, onDone=onDone, onError=self._controller.tellFailure)
        self._tell("state")

    def _checked(self, kind: str) -> tuple[Any, list[Path]]:
        """The image, and the files of its series, none for a label map; refused as `check` says."""
        from inference_core.errors import OutputError

        node = self._workspace.segmentationNode
        image = self._measuring.imageOf(node) if node is not None else None
        if image is None or not self._segments.ids():
            raise OutputError(_("There is no segment to export; segment something first."))
        if kind in LABEL_SUFFIXES:
            return image, []
        files = filesOf(image)
        if not files:
            raise OutputError(
                _(
                    "DICOM SEG, report and RTSTRUCT refer to the DICOM series of an image, and this one was not loaded "
                    "from Slicer's DICOM database; export a label map, or save the table and the page."
                )
            )
        ExportPackages.ensureInstalled(withHighdicom=kind != "rtstruct")
        return image, files

    def _content(self, image: Any, files: list[Path]) -> _Content:
        from inference_core.errors import OutputError
        from inference_core.geometry.mask import EMPTY
        from inference_core.io.dicom_export import ExportedSegment

        held, made = self._measuring.held(segmentIds=self._segments.ids()), {}
        if not any(mask.array.size for mask, _grid in held.masks.values()):
            raise OutputError(_("There is no segment to export; segment something first."))
        for segmentId in held.masks:
            segment = self._segments.get(segmentId)
            blank = ExportedSegment(segment.GetName(), EMPTY, algorithmOf(segment), findingOf(segment))
            made[segmentId] = _tracked(blank, segment)
        volume = asInFile(image) if files else held.volume
        return _Content(volume, unitOf(image), made, held, files, patientIdOf(image))


def _placesOf(kind: str, path: Path) -> dict[str, Path]:
    """The files by their kinds: the name that was chosen, with its suffix replaced."""
    suffixes = (*DICOM_SUFFIXES.values(), *LABEL_SUFFIXES, ".dcm", ".nii", ".nrrd")
    stem = next((path.name[: -len(suffix)] for suffix in suffixes if path.name.endswith(suffix)), path.name)
    kinds = DICOM_SUFFIXES if kind == ALL else {kind: DICOM_SUFFIXES.get(kind, kind)}
    return {each: path.with_name(stem + suffix) for each, suffix in kinds.items()}


def _tracked(made: "ExportedSegment", segment: Any) -> "ExportedSegment":
    """With the lesion's own tracking UID, by which SEG and report, today's and tomorrow's, speak of the same one."""
    known = tagOf(segment, TRACKING_TAG)
    if known:
        return replace(made, tracking_uid=known)
    segment.SetTag(TRACKING_TAG, made.tracking_uid)
    return made


def _writeDicom(places: dict[str, Path], content: _Content, segments: "list[ExportedSegment]") -> None:
    from inference_core.errors import OutputError
    from inference_core.geometry.mask import Mask
    from inference_core.geometry.volume import Volume
    from inference_core.io.dicom import source_among
    from inference_core.io.dicom_exports import staged_dicom_exports
    from inference_core.io.dicom_sr import ReportedLesion
    from inference_core.io.segment_names import patient_id
    from inference_core.measures.measurements import measure
    from inference_core.measures.reported import reported

    own = content.volume
    source = source_among(content.files, own.grid)
    theirs = patient_id(source.paths)
    if content.patientId and theirs and content.patientId != theirs:
        raise OutputError(
            _("The scene has the image under another patient than its DICOM files; load the series anew.")
        )
    volume = Volume(_reordered(source.grid, own.array, own), source.grid, own.name)
    lesions = []
    for segment in segments:
        mask = Mask.of(_reordered(source.grid, segment.mask.on(own.grid.shape).view(np.bool_), own))
        numbers = reported(measure(mask, volume, unit=content.unit)) if "report" in places else ()
        lesions.append(ReportedLesion(replace(segment, mask=mask), numbers))
    reports = [places["report"]] if "report" in places else []
    with staged_dicom_exports(lesions, source, seg=places.get("seg"), reports=reports, rtstruct=places.get("rtstruct")):
        pass


def _reordered(grid: Any, array: Any, own: "Volume") -> Any:
    from inference_core.geometry.voxel_order import in_order_of

    found = in_order_of(grid, array, own.grid)
    assert found is not None, "source_among has looked that they are the same voxels"
    return found


def _writeLabels(path: Path, volume: "Volume", segments: "list[ExportedSegment]") -> None:
    """A label map holds a voxel of one segment only."""
    from inference_core.errors import OutputError
    from inference_core.io.files import write_labels

    labels = np.zeros(volume.grid.shape, np.min_scalar_type(len(segments)), order="F")
    for value, segment in enumerate(segments, start=1):
        held = labels[segment.mask.box.slices()]
        if (held[segment.mask.array] != 0).any():
            raise OutputError(
                _("'{name}' overlaps another segment, which a label map cannot hold; use File > Save instead.").format(
                    name=segment.name
                )
            )
        held[segment.mask.array] = value
    write_labels(path, labels, volume.grid, names=[segment.name for segment in segments])
