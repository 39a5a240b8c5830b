"""`timeline`: lesions along the time points of a 4D image, or of several images, measured at each."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inference_core.cli.followup import check_one_patient, labels_of, masks_by_name
from inference_core.cli.loading import find_model, load, model_files
from inference_core.cli.measure import unit_of
from inference_core.cli.pages import add_report_option, check_page, made_by, page_content, study_of
from inference_core.cli.parsing import UsageError, add_json_option, add_model_options, count, text_file
from inference_core.cli.reporting import Progress, check_inputs_are_kept, check_outputs, json_text, say, staged, table
from inference_core.io.atomic import make_folder

if TYPE_CHECKING:
    from inference_core.followup.time_points import AtTime
    from inference_core.followup.visits import Earlier
    from inference_core.geometry.volume import Volume
    from inference_core.measures.report_page import StudyReport
    from inference_core.models.spec import ModelSpec

NAME = "timeline"
SUMMARY = "follow lesions along a 4D image or several images: volume and diameters at each time point"
DESCRIPTION = """Follow each lesion of a mask along the time points of one image (a 4D NIfTI file, a DICOM series of
several phases or time points), or of several images in their order in time. The mask lies on one of them;
from there each lesion is carried from point to point and segmented anew, and measured at each."""
EXAMPLES = """examples:
  sam3dsegment timeline perfusion.nii.gz --mask lesions.seg.nrrd --csv lesions.csv
  sam3dsegment timeline breathing_ct/ --mask phase5.seg.nrrd --at 5 --csv lesions.csv --report lesions.pdf
  sam3dsegment timeline jan/ mar/ jun/ --mask jan.seg.nrrd --align rigid --csv lesions.csv --json lesions.json
"""
_TITLES = ("point", "part", "lesion", "ml", "axial mm", "across mm", "look at")


@dataclass(frozen=True)
class _Point:
    """A time point: its image, and which part of it, from 1; None of an image without parts."""

    path: Path
    part: int | None
    label: str

    def read(self, series: str | None) -> Volume:
        from inference_core.io.files import read_volume

        return read_volume(self.path, part=self.part, series_uid=series)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help="one image with time points, or several")
    parser.add_argument("--mask", type=Path, required=True, metavar="MASK", help="the lesions at one time point")
    parser.add_argument("--at", type=count, default=1, metavar="N", help="which time point that is (default 1)")
    parser.add_argument("--series", metavar="UID", help="which series of a folder (default the largest)")
    parser.add_argument(
        "--align", choices=("none", "rigid", "affine"),
        help="how neighbors are aligned (default none for one image, rigid for several)",
    )  # fmt: skip
    parser.add_argument(
        "--csv", type=text_file, metavar="FILE", help="write a row a lesion and time point to a CSV file"
    )
    add_report_option(parser, holds="with the table and a picture a lesion")
    parser.add_argument(
        "--output-dir", type=Path, metavar="DIR", help="write the masks: 001.seg.nrrd, 002.seg.nrrd, ..."
    )
    add_model_options(parser)
    add_json_option(parser)


def run(options: argparse.Namespace) -> None:
    """Follow, write the files, and print a row a lesion and time point.

    Raises:
        SAM3DError: something given cannot be used; no table has been written then.
    """
    from inference_core.followup.time_table import rows_at, time_csv

    _check(options)
    spec, weights = find_model(options.model, options.weights)
    with Progress() as progress:
        points = _points(options)
        if options.output_dir is not None:
            make_folder(options.output_dir)
            masks = [_mask_of(options.output_dir, n) for n in range(len(points))]
            check_inputs_are_kept(masks, [options.mask, *options.images])
        rows, there = [], None
        for found in _tracked(options, points, spec, weights, progress=progress):
            point = points[found.point]
            rows += rows_at(found, part=point.label, unit=unit_of(point.path, series=options.series, part=point.part))
            there = found if found.point == options.at - 1 else there
            if options.output_dir is not None:
                _write_masks(options.output_dir, found)
    rows.sort(key=lambda row: row["time_point"])
    made = made_by(spec.name, weights)
    with ExitStack() as stack:
        stack.enter_context(staged(options.csv, time_csv(rows).rstrip("\n")))
        stack.enter_context(staged(options.json, json_text({"rows": rows, "made_by": made})))
        if options.report is not None and there is not None:
            study = _study(there, points[there.point], rows, options, made_by=made)
            stack.enter_context(staged(options.report, page_content(options.report, study)))
    for row in rows:
        if row["look_at"]:
            say(f"Time point {row['time_point']}: {row['look_at']}")
    print(table([_TITLES, *(_cells(row) for row in rows)]))


def _check(options: argparse.Namespace) -> None:
    from inference_core.io.companions import files_read

    check_outputs(options.csv, options.report, options.json)
    read = [path for image in options.images for path in files_read(image)]
    files = (options.csv, options.report, options.json)
    check_inputs_are_kept(files, [*read, options.mask, *model_files(options)])
    check_page(options.report)
    check_one_patient(options.images)
    if len(options.images) > 1 and options.series is not None:
        raise UsageError("--series is of one folder; leave it out, or give one image.")


def _points(options: argparse.Namespace) -> list[_Point]:
    """The time points, in their order.

    Raises:
        UsageError: there is one only, or --at is none of them.
    """
    from inference_core.io.files import parts_in

    points = []
    if len(options.images) > 1:
        points = [_Point(path, None, str(n)) for n, path in enumerate(options.images, start=1)]
    else:
        (path,) = options.images
        labels = parts_in(path, series_uid=options.series)
        points = [_Point(path, n, label) for n, label in enumerate(labels, start=1)]
    if len(points) < 2:
        raise UsageError(f"'{options.images[0]}' has one time point only; give a 4D image, or several images.")
    if options.at > len(points):
        raise UsageError(f"There are {len(points)} time points; give --at a number up to {len(points)}.")
    return points


def _tracked(
    options: argparse.Namespace, points: Sequence[_Point], spec: ModelSpec, weights: Path, *, progress: Progress
) -> Iterator[AtTime]:
    from inference_core.engine.session import Session
    from inference_core.followup.registration import NONE, RIGID
    from inference_core.followup.time_points import track

    lesions = _lesions(options, points[options.at - 1].read(options.series))
    progress.show(f"loading {spec.title}")
    model = load(spec, weights, options)
    return track(
        lesions,
        lambda n: points[n].read(options.series),
        lambda volume: Session(volume, model),
        count=len(points),
        start=options.at - 1,
        how=options.align or (NONE if len(options.images) == 1 else RIGID),
        tell=lambda n, name: progress.show(f"time point {n + 1} of {len(points)}: {name}"),
    )


def _lesions(options: argparse.Namespace, volume: Volume) -> list[Earlier]:
    from inference_core.followup.carrying import prompts_for
    from inference_core.followup.visits import Earlier

    masks = masks_by_name(options.mask, volume)
    return [Earlier(name, prompts_for(mask, volume.grid), mask) for name, mask in masks.items()]


def _mask_of(folder: Path, point: int) -> Path:
    return folder / f"{point + 1:03d}.seg.nrrd"


def _write_masks(folder: Path, found: AtTime) -> None:
    from inference_core.io.files import write_labels

    names = [lesion.name for lesion in found.lesions]
    masks = [lesion.mask for lesion in found.lesions]
    labels = labels_of(masks, found.volume.grid)
    write_labels(_mask_of(folder, found.point), labels, found.volume.grid, names=names)


def _study(
    found: AtTime, point: _Point, rows: Sequence[dict[str, Any]], options: argparse.Namespace, *, made_by: Sequence[str]
) -> StudyReport:
    """The lesions where they were given, and all time points below."""
    from inference_core.measures.measurements import measure

    unit = unit_of(point.path, series=options.series, part=point.part)
    masks = {lesion.name: lesion.mask for lesion in found.lesions}
    numbers = {name: measure(mask, found.volume, unit=unit) for name, mask in masks.items()}
    return replace(
        study_of(found.volume, masks, numbers, made_by=made_by),
        cautions=[f"Time point {row['time_point']}: {row['look_at']}" for row in rows if row["look_at"]],
        along_time=[_TITLES, *(_cells(row) for row in rows)],
    )


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    lengths = [row.get(name) or "" for name in ("volume_ml", "longest_axial_mm", "perpendicular_mm")]
    numbers = [f"{float(text):.2f}" if text else "" for text in lengths]
    return (str(row["time_point"]), row["part"], row["lesion"], *numbers, "yes" if row["look_at"] else "")
