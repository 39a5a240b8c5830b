"""`export`: masks that are there already, as DICOM that refers to their image's series."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from inference_core.cli.exports import (
    add_export_options,
    check_exports,
    exports_of,
    is_dicom_seg,
    pages_of,
    staged_segments,
)
from inference_core.cli.followup import masks_of, named_labels
from inference_core.cli.parsing import UsageError, add_series_options
from inference_core.cli.reporting import check_inputs_are_kept, check_outputs

if TYPE_CHECKING:
    from inference_core.geometry.mask import Mask
    from inference_core.io.dicom import DicomSource
    from inference_core.io.dicom_export import ExportedSegment

NAME = "export"
SUMMARY = "write masks as DICOM SEG, SR and RTSTRUCT, or onto the image's voxels"
DESCRIPTION = """Write the segments of a mask file as DICOM that refers to the image's series, all files or none.
A mask on other voxels, finer, coarser or turned, is brought onto the image's own first, which is said."""
EXAMPLES = """examples:
  sam3dsegment export ct_series/ organs.seg.nrrd --output organs.seg.dcm --report organs.sr.dcm --finding organ
  sam3dsegment export ct_series/ lesions.nii.gz --rtstruct lesions.rt.dcm --made-by ma_sam
  sam3dsegment export mr.nii.gz from_elsewhere.nrrd --output on_its_voxels.seg.nrrd
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("input", type=Path, metavar="IMAGE", help="a DICOM folder or an image file")
    parser.add_argument("mask", type=Path, metavar="MASK", help="a mask or label map of this image")
    parser.add_argument(
        "--output", type=Path, metavar="OUT", help="the masks: .seg.dcm, .seg.nrrd, .nrrd, .nii.gz, .nii"
    )
    add_export_options(parser)
    parser.add_argument(
        "--made-by", metavar="NAME", help="the model that made the masks (default: a person, so that they are MANUAL)"
    )
    add_series_options(parser)


def run(options: argparse.Namespace) -> None:
    """Write all files or none, and say which.

    Raises:
        SAM3DError: something given cannot be used; nothing has been written then.
    """
    from inference_core.io.files import read_volume, write_labels

    source = _checked(options)
    volume = read_volume(options.input, series_uid=options.series, part=options.part)
    labels, names = named_labels(options.mask, volume)
    with ExitStack() as stack:
        if source is not None:
            stack.enter_context(staged_segments(options, _segments(options, masks_of(labels, names)), volume, source))
        if options.output is not None and not is_dicom_seg(options.output):
            write_labels(options.output, labels.array, volume.grid, names=names)
    for path in _outputs(options):
        print(f"written  {path}")


def _outputs(options: argparse.Namespace) -> list[Path]:
    labels = [] if options.output is None or is_dicom_seg(options.output) else [options.output]
    return [*labels, *exports_of(options)]


def _checked(options: argparse.Namespace) -> DicomSource | None:
    from inference_core.io.companions import files_read
    from inference_core.io.files import check_labels_path

    if pages_of(options):
        raise UsageError("`export` writes DICOM; `measure --report` writes pages.")
    outputs = _outputs(options)
    if not outputs:
        raise UsageError("There is nothing to write; give --output, --report or --rtstruct.")
    if options.output is not None and not is_dicom_seg(options.output):
        check_labels_path(options.output)
    check_outputs(*outputs)
    check_inputs_are_kept(outputs, [*files_read(options.input), *files_read(options.mask)])
    return check_exports(options)


def _segments(options: argparse.Namespace, masks: dict[str, Mask]) -> list[ExportedSegment]:
    from inference_core.io.dicom_export import Algorithm, ExportedSegment

    made = Algorithm(options.made_by) if options.made_by else None
    return [ExportedSegment(name, mask, made, finding=options.finding) for name, mask in masks.items()]
