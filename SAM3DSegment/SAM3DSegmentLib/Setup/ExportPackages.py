"""What exports to DICOM need: highdicom, which Slicer has from 5.12 on, and which is installed on demand."""

from collections.abc import Callable

from slicer.i18n import tr as _

from SAM3DSegmentLib.Setup import Dependencies

PYDICOM: Dependencies.Versions = {"pydicom": (3, 0)}
HIGHDICOM: Dependencies.Versions = {"highdicom": (0, 27)}


def ensureInstalled(*, withHighdicom: bool, notify: Callable[[str], None] | None = None) -> None:
    """Make sure that DICOM can be written. Blocks where something is installed; main thread only.

    Slicer's own pydicom is never replaced: its DICOM module leans on it.

    Raises:
        DependencyError: Slicer's pydicom is too old, or highdicom is missing and was not installed.
    """
    if Dependencies.missing(PYDICOM):
        raise Dependencies.DependencyError(
            _("Exports to DICOM need pydicom 3, which Slicer has from 5.12 on; update Slicer, or export a label map.")
        )
    if withHighdicom:
        question = _(
            "To write DICOM SEG and reports, SAM3DSegment needs this Python package in Slicer: {packages}. It is "
            "fetched from the internet once, a few MB; no image is sent anywhere."
        )
        Dependencies.ensureInstalled(notify, wanted=HIGHDICOM, purpose=question)
