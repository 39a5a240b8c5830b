"""`measure`: volume, diameters and statistics of the segments in a mask file."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inference_core.cli.given_masks import labels_on
from inference_core.cli.pages import add_report_option, check_page, page_content, study_of
from inference_core.cli.parsing import add_json_option, add_series_options, count, text_file
from inference_core.cli.reporting import check_inputs_are_kept, check_outputs, staged, table, write_json

if TYPE_CHECKING:
    from inference_core.geometry.mask import Mask
    from inference_core.geometry.volume import Volume
    from inference_core.measures.measurements import Measurements

NAME = "measure"
SUMMARY = "measure the segments in a mask: volume, diameters, statistics"
DESCRIPTION = """Measure every label of a mask on its image: volume, the longest axial diameter and the longest
one across it in the same slice (RECIST 1.1; the short axis), the longest in 3D, and mean, SD,
median, min and max of the image's voxels. Diameters run between voxel centers."""
EXAMPLES = """examples:
  sam3dsegment measure ct_series/ tumor.seg.nrrd
  sam3dsegment measure mr.nii.gz lesions.nii.gz --label 2 --csv lesions.csv --json lesions.json --report lesions.pdf
"""
_TITLES = ("label", "ml", "axial mm", "across mm", "3D mm", "mean", "SD", "median", "min", "max", "unit")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("image", type=Path, metavar="IMAGE", help="a DICOM folder or an image file")
    parser.add_argument("mask", type=Path, metavar="MASK", help="a mask or label map of this image")
    parser.add_argument("--label", type=count, metavar="N", help="measure this value only (default every one but 0)")
    parser.add_argument("--unit", metavar="UNIT", help="the unit of the image's voxels (default HU for a CT in DICOM)")
    add_series_options(parser)
    parser.add_argument("--csv", type=text_file, metavar="FILE", help="write the table to a CSV file as well")
    add_report_option(parser, holds="with a picture of each segment")
    add_json_option(parser)


def run(options: argparse.Namespace) -> None:
    """Measure, write the files, and print a table.

    Raises:
        SAM3DError: something given cannot be used; nothing has been written then.
    """
    from inference_core.io.companions import files_read
    from inference_core.io.files import read_volume
    from inference_core.measures.measurements import measure

    check_outputs(options.csv, options.json, options.report)
    check_inputs_are_kept(
        (options.csv, options.json, options.report), [*files_read(options.image), *files_read(options.mask)]
    )
    check_page(options.report)
    volume = read_volume(options.image, series_uid=options.series, part=options.part)
    unit = options.unit
    if unit is None:
        unit = unit_of(options.image, series=options.series, part=options.part)
    masks = _masks_of(volume, options.mask, label=options.label)
    found = {value: measure(mask, volume, unit=unit) for value, mask in masks.items()}
    if options.csv is not None:
        _write_csv(options.csv, found)
    if options.json is not None:
        segments = [{"label": label} | numbers.as_json() for label, numbers in found.items()]
        files = {"image": str(options.image), "mask": str(options.mask)}
        write_json(options.json, files | {"series": volume.name, "segments": segments})
    if options.report is not None:
        _write_page(options, volume, masks, found)
    print(table([_TITLES, *(_cells(label, numbers) for label, numbers in found.items())]))


def _write_page(
    options: argparse.Namespace, volume: Volume, masks: Mapping[int, Mask], found: Mapping[int, Measurements]
) -> None:
    """The report of the labels."""
    import inference_core
    from inference_core.io.segment_names import segment_names

    names = segment_names(options.mask)
    called = {value: names.get(value, f"label {value}") for value in found}
    study = study_of(
        volume,
        {called[value]: mask for value, mask in masks.items()},
        {called[value]: measured for value, measured in found.items()},
        made_by=["Masks as they were given", f"SAM3DSegment {inference_core.__version__}"],
    )
    with staged(options.report, page_content(options.report, study)):
        pass


def unit_of(path: Path, *, series: str | None = None, part: int | None = None) -> str:
    """The unit of an image's voxels as far as its file says: HU for a CT in DICOM, else none."""
    from inference_core.io.dicom import find_source
    from inference_core.io.files import is_dicom_source

    return find_source(path, series_uid=series, part=part).unit if is_dicom_source(path) else ""


def _masks_of(volume: Volume, path: Path, *, label: int | None) -> dict[int, Mask]:
    """The mask of each label in a file, or of the one asked for.

    Raises:
        VolumeError: the mask cannot be read, lies beside the image, or does not hold the label.
    """
    from inference_core.errors import VolumeError
    from inference_core.geometry.mask import Mask

    labels = labels_on(path, volume)
    present = [value for value in _values(labels.array) if value != 0]
    if label is not None and label not in present:
        there = ", ".join(map(str, present)) or "none"
        raise VolumeError(f"'{path.name}' has no label {label}; it has {there}.")
    if not present:
        raise VolumeError(f"'{path.name}' is empty: it holds no voxel to measure; choose another mask.")
    wanted = present if label is None else [label]
    return {value: Mask.of(labels.array == value) for value in wanted}


def measurement_lines(report: dict[str, Any]) -> list[str]:
    """The numbers of one mask, as `Measurements.as_json` has them, to be printed below others."""
    names = ("longest_axial_diameter", "perpendicular_diameter", "longest_3d_diameter")
    axial, across, whole = (_mm(report[name]) for name in names)
    values = report["statistics"]
    unit = next((value["unit"] for value in values.values()), "")
    shown = ", ".join(f"{name} {value['value']:.5g}" for name, value in values.items())
    return [f"axes     {axial} axial, {across} across, {whole} in 3D", f"voxels   {shown} {unit}".rstrip()]


def _values(array: Any) -> list[int]:
    import numpy as np

    return [int(value) for value in np.unique(array)]


def _mm(length: dict[str, Any] | None) -> str:
    return "no length" if length is None else f"{length['value']:.1f} mm"


def _cells(label: int, numbers: Measurements) -> tuple[str, ...]:
    row = numbers.as_row()
    lengths = [f"{float(row[name]):.1f}" for name in ("longest_axial_mm", "perpendicular_mm", "longest_3d_mm")]
    values = [f"{float(row[name]):.5g}" if row[name] else "" for name in ("mean", "sd", "median", "min", "max")]
    return (str(label), f"{numbers.volume_ml:.3f}", *lengths, *values, row["unit"])


def _write_csv(path: Path, found: dict[int, Measurements]) -> None:
    from inference_core.measures.csv_text import csv_text
    from inference_core.measures.measurements import COLUMNS

    rows: list[dict[str, object]] = [{"label": label, **numbers.as_row()} for label, numbers in found.items()]
    with staged(path, csv_text(["label", *COLUMNS], rows).rstrip("\n")):
        pass
