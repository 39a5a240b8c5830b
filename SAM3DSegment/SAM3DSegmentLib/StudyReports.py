"""The report of the current segmentation as a page: what the core's `report_page` needs, out of the scene."""

from typing import TYPE_CHECKING, Any

from slicer.i18n import tr as _

from SAM3DSegmentLib.FollowUp import FollowUp
from SAM3DSegmentLib.MadeBy import modelOf, weightsOf
from SAM3DSegmentLib.Measuring import Measuring
from SAM3DSegmentLib.Segments import Segments
from SAM3DSegmentLib.Workspace import Workspace

if TYPE_CHECKING:
    from inference_core.measures.lesion_table import LesionTable
    from inference_core.measures.report_page import StudyReport


class StudyReports:
    """Builds pages; nothing is written here."""

    def __init__(self, workspace: Workspace, segments: Segments, measuring: Measuring, *, followUp: FollowUp) -> None:
        self._workspace, self._segments, self._measuring = workspace, segments, measuring
        self._followUp = followUp

    def page(self, heading: str = "") -> str:
        """The report as HTML; whose study it is, is on it only as far as `heading` says.

        Raises:
            SAM3DError: there is no lesion to report, or lesions cannot be compared with the earlier visit's.
        """
        from inference_core.measures.report_page import html_page

        return html_page(self.report(heading))

    def report(self, heading: str = "") -> "StudyReport":
        """As `page`, before it is written out."""
        from inference_core.measures.report_page import StudyReport

        table, change = self._followUp.table(), self._followUp.change()
        return StudyReport(
            table, self._pictures(), self._madeBy(), change, heading=heading, cautions=_unreviewed(table)
        )  # fmt: skip

    def _pictures(self) -> dict[str, bytes]:
        """A PNG a lesion by its name, in the gray window that the image is shown in."""
        from inference_core.measures.diameters import axial_diameters
        from inference_core.measures.key_picture import key_picture, png_of

        there, found = self._measuring.onImage(segmentIds=self._segments.ids()), {}
        window = _windowOf(there.image)
        for segmentId, mask in there.masks.items():
            axial = axial_diameters(mask, there.volume.grid)
            if axial is not None:
                name = self._segments.get(segmentId).GetName()
                found[name] = png_of(key_picture(mask, there.volume, axial, window=window))
        return found

    def _madeBy(self) -> list[str]:
        import inference_core

        segments = [self._segments.get(segmentId) for segmentId in self._segments.ids()]
        made = sorted({(name, weightsOf(segment)) for segment in segments if (name := modelOf(segment))})
        text, unknown = _("Model: {name}, weights sha256 {sha256}"), _("not known")
        lines = [text.format(name=name, sha256=sha256 or unknown) for name, sha256 in made]
        return [*lines, f"SAM3DSegment {inference_core.__version__}"]


def _unreviewed(table: "LesionTable") -> list[str]:
    """Who has not been signed off, in a sentence."""
    names = [entry.lesion.name for entry in table.entries if entry.review != "completed"]
    return [_("The review is not completed of: {names}.").format(names=", ".join(names))] if names else []


def _windowOf(volumeNode: Any) -> tuple[float, float] | None:
    display = volumeNode.GetDisplayNode()
    if display is None or display.GetWindow() <= 0:
        return None
    return display.GetLevel() - display.GetWindow() / 2, display.GetLevel() + display.GetWindow() / 2
