"""What `segment` writes of one segment beside its mask: DICOM SEG, measurement reports and RTSTRUCT."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from inference_core.cli.pages import check_page, is_page, made_by, page_content, study_of
from inference_core.cli.parsing import UsageError
from inference_core.cli.reporting import staged
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
        "--report", type=Path, action="append", default=[], metavar="FILE",
        help="write the measurements: .sr.dcm is a DICOM report (SR, TID 1500), .html and .pdf are a page with a "
        "picture; may be repeated",
    )  # fmt: skip
    parser.add_argument("--rtstruct", type=Path, metavar="FILE.dcm", help="write the contours as a DICOM RTSTRUCT")
    parser.add_argument(
        "--finding",
        choices=tuple(FINDINGS),
        default=DEFAULT_FINDING,
        help=f"what DICOM exports call the target (default {DEFAULT_FINDING})",
    )


def is_dicom_seg(path: Path | None) -> bool:
    """Whether a mask is to be written as DICOM SEG, by its name."""
    return path is not None and path.name.lower().endswith(SEG_SUFFIX)


def exports_of(options: argparse.Namespace) -> list[Path]:
    """The DICOM files that are asked for, the SEG first."""
    seg = options.output if is_dicom_seg(options.output) else None
    return [path for path in (seg, *_structured(options), options.rtstruct) if path is not None]


def pages_of(options: argparse.Namespace) -> list[Path]:
    """The reports that are asked for as HTML or PDF."""
    return [path for path in options.report if is_page(path)]


def _structured(options: argparse.Namespace) -> list[Path]:
    return [path for path in options.report if not is_page(path)]


def check_exports(options: argparse.Namespace) -> DicomSource | None:
    """The series that exports refer to, None where none is asked for.

    Refused, before the work begins, are exports that cannot be made of this input or on this computer.

    Raises:
        UsageError: the input is not DICOM, which all of these refer to, or a report's name does not say what it is.
        OutputError: the series lacks what is referred to, or highdicom or what a PDF needs is not installed.
    """
    for page in pages_of(options):
        check_page(page, words=[options.name])
    unknown = next((path for path in _structured(options) if path.suffix.lower() != ".dcm"), None)
    if unknown is not None:
        raise UsageError(f"'{unknown}' is no report; give a name that ends in .sr.dcm, .html or .pdf.")
    wanted = exports_of(options)
    if not wanted:
        return None
    from inference_core.io.dicom import find_source
    from inference_core.io.dicom_export import highdicom, source_datasets
    from inference_core.io.files import is_dicom_source

    if not is_dicom_source(options.input):
        raise UsageError(
            f"'{options.input}' is not DICOM, and DICOM SEG, SR and RTSTRUCT refer to a DICOM series; give its folder, "
            "or write a .seg.nrrd or .nii.gz and a --report that ends in .html or .pdf."
        )
    if any(path is not options.rtstruct for path in wanted):
        highdicom()
    source = find_source(options.input, series_uid=options.series, part=options.part)
    source_datasets(source)
    return source


@contextmanager
def staged_pages(
    options: argparse.Namespace, mask: Mask, volume: Volume, *, unit: str, model: str, weights: Path
) -> Iterator[None]:
    """As `staged_exports`, the reports as HTML or PDF, with the segment as their only lesion.

    Raises:
        OutputError: one cannot be written; the block has not been run then.
    """
    from inference_core.measures.measurements import measure

    with ExitStack() as stack:
        if pages := pages_of(options):
            numbers = {options.name: measure(mask, volume, unit=unit)}
            kind = FINDINGS[options.finding][1].meaning
            report = study_of(volume, {options.name: mask}, numbers, made_by=made_by(model, weights), finding=kind)
            for path in pages:
                stack.enter_context(staged(path, page_content(path, report)))
        yield


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
    from inference_core.io.dicom_export import Algorithm, ExportedSegment
    from inference_core.models.weights import sha256_of

    segment = ExportedSegment(options.name, mask, Algorithm(model, sha256_of(weights)), finding=options.finding)
    with staged_segments(options, [segment], volume, source):
        yield


@contextmanager
def staged_segments(
    options: argparse.Namespace, segments: Sequence[ExportedSegment], volume: Volume, source: DicomSource
) -> Iterator[None]:
    """As `staged_exports`, of segments on a volume's voxels.

    Raises:
        OutputError: one cannot be written; the block has not been run then.
    """
    from inference_core.io.dicom_export import check_same_grid
    from inference_core.io.dicom_exports import staged_dicom_exports
    from inference_core.io.dicom_sr import ReportedLesion
    from inference_core.measures.measurements import measure
    from inference_core.measures.reported import reported

    check_same_grid(volume.grid, source)
    lesions = [
        ReportedLesion(
            segment, reported(measure(segment.mask, volume, unit=source.unit)) if _structured(options) else ()
        )
        for segment in segments
    ]
    with staged_dicom_exports(
        lesions, source, seg=options.output if is_dicom_seg(options.output) else None, reports=_structured(options),
        rtstruct=options.rtstruct,
    ):  # fmt: skip
        yield
