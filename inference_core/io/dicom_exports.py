"""The three exports to DICOM of the same lesions: SEG, measurement report and RTSTRUCT, all or none of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from inference_core.io.atomic import replacing
from inference_core.io.dicom import DicomSource
from inference_core.io.dicom_seg import write_dicom_seg
from inference_core.io.dicom_sr import ReportedLesion, write_dicom_sr
from inference_core.io.rtstruct import write_rtstruct


@contextmanager
def staged_dicom_exports(
    lesions: Sequence[ReportedLesion],
    source: DicomSource,
    *,
    seg: Path | None = None,
    reports: Sequence[Path] = (),
    rtstruct: Path | None = None,
) -> Iterator[None]:
    """Write lesions beside these names at once, and give the files the names after the block: all or none.

    A report refers to the SEG where both are written. Masks lie on the source's grid.

    Raises:
        OutputError: one cannot be written, or highdicom is not installed; the block has not been run then.
    """
    segments = [lesion.segment for lesion in lesions]
    with ExitStack() as stack:
        segmentation = None
        if seg is not None:
            segmentation = write_dicom_seg(stack.enter_context(replacing(seg)), segments, source)
        for path in reports:
            write_dicom_sr(stack.enter_context(replacing(path)), lesions, source, segmentation=segmentation)
        if rtstruct is not None:
            write_rtstruct(stack.enter_context(replacing(rtstruct)), segments, source)
        yield
