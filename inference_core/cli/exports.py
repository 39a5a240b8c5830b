"""Masks for the hospital: DICOM SEG, measurement report and RTSTRUCT of one segment, as `segment` writes them."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inference_core.cli.parsing import UsageError
from inference_core.io.findings import DEFAULT_FINDING, FINDINGS

if TYPE_CHECKING:
    from inference_core.geometry.mask import Mask
    from inference_core.geometry.volume import Volume
    from inference_core.io.dicom import DicomSource
    from inference_core.io.dicom_export import ExportedSegment

SEG_SUFFIX = ".seg.dcm"


def add_export_options(parser: argparse.ArgumentParser) -> None:
    """Add --report, --rtstruct and --finding."""
    parser.add_argument(
        "--report", type=Path, metavar="FILE.sr.dcm", help="write the measurements as a DICOM report (SR, TID 1500)"
    )
    parser.add_argument("--rtstruct", type=Path, metavar="FILE.dcm", help="write the contours as a DICOM RTSTRUCT")
    parser.add_argument(
        "--finding",
        choices=tuple(FINDINGS),
        default=DEFAULT_FINDING,
        help=f"what DICOM exports call the target (default {DEFAULT_FINDING})",
    )


def is_dicom_seg(path: Path) -> bool:
    """Whether a mask is to be written as DICOM SEG, by its name."""
    return path.name.lower().endswith(SEG_SUFFIX)


def exports_of(options: argparse.Namespace) -> list[Path]:
    """The DICOM files that are asked for, the SEG first."""
    seg = options.output if is_dicom_seg(options.output) else None
    return [path for path in (seg, options.report, options.rtstruct) if path is not None]


def check_exports(options: argparse.Namespace) -> DicomSource | None:
    """The series that exports refer to, None where none is asked for.

    Refused, before the work begins, are exports that cannot be made of this input or on this computer.

    Raises:
        UsageError: the input is not DICOM, which all of these refer to.
        OutputError: the series lacks what is referred to, or highdicom is not installed.
    """
    wanted = exports_of(options)
    if not wanted:
        return None
    from inference_core.io.dicom import find_source
    from inference_core.io.dicom_export import highdicom, source_datasets
    from inference_core.io.files import is_dicom_source

    if not is_dicom_source(options.input):
        raise UsageError(
            f"'{options.input}' is not DICOM, and DICOM SEG, --report and --rtstruct refer to a DICOM series; give its "
            "folder, or write a .seg.nrrd or .nii.gz."
        )
    if any(path is not options.rtstruct for path in wanted):
        highdicom()
    source = find_source(options.input, series_uid=options.series, part=options.part)
    source_datasets(source)
    return source


@contextmanager
def staged_exports(
    options: argparse.Namespace,
    mask: Mask,
    volume: Volume,
    *,
    source: DicomSource | None,
    model: str,
    weights: Path,
) -> Iterator[None]:
    """Write what is asked for beside its names at once, and give it the names after the block, all or none.

    `source` is what `check_exports` found. The report refers to the SEG where both are.

    Raises:
        OutputError: one cannot be written; the block has not been run then.
    """
    if source is None:
        yield
        return
    from inference_core.io.atomic import replacing
    from inference_core.io.dicom_export import Algorithm, ExportedSegment, check_same_grid
    from inference_core.models.weights import sha256_of

    check_same_grid(volume.grid, source)
    segments = [ExportedSegment(options.name, mask, Algorithm(model, sha256_of(weights)), finding=options.finding)]
    with ExitStack() as stack:
        places = {path: stack.enter_context(replacing(path)) for path in exports_of(options)}
        segmentation = None
        if options.output in places:
            from inference_core.io.dicom_seg import write_dicom_seg

            segmentation = write_dicom_seg(places[options.output], segments, source)
        if options.report is not None:
            _write_report(places[options.report], segments, volume, source=source, segmentation=segmentation)
        if options.rtstruct is not None:
            from inference_core.io.rtstruct import write_rtstruct

            write_rtstruct(places[options.rtstruct], segments, source)
        yield


def _write_report(
    path: Path, segments: Sequence[ExportedSegment], volume: Volume, *, source: DicomSource, segmentation: Any
) -> None:
    from inference_core.io.dicom_sr import ReportedLesion, write_dicom_sr
    from inference_core.measures.measurements import measure
    from inference_core.measures.reported import reported

    lesions = [
        ReportedLesion(segment, reported(measure(segment.mask, volume, unit=source.unit))) for segment in segments
    ]
    write_dicom_sr(path, lesions, source, segmentation=segmentation)
