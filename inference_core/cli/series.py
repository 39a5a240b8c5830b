"""`series`: what a folder holds, as a table: every DICOM series, its size, and the parts to choose from."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inference_core.cli.parsing import add_json_option
from inference_core.cli.reporting import Progress, check_outputs, table, write_json

if TYPE_CHECKING:
    from inference_core.io.dicom_folder import SeriesInfo

NAME = "series"
SUMMARY = "list the DICOM series in a folder, and what each holds"
DESCRIPTION = """List every DICOM series in a folder and its sub-folders, as `segment --series UID --part N` takes them.
Nothing is listed that names the patient."""
EXAMPLES = """examples:
  sam3dsegment series cd/
  sam3dsegment series cd/ --json series.json
"""
_TITLES = ("series", "kind", "description", "size", "spacing mm", "parts")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="a folder, or a CD")
    add_json_option(parser)


def run(options: argparse.Namespace) -> None:
    """Print the table, and write the JSON file.

    Raises:
        VolumeError: the folder cannot be read, or holds no DICOM images.
    """
    from inference_core.errors import VolumeError
    from inference_core.io.dicom import list_series

    check_outputs(options.json)
    with Progress() as progress:
        found = list_series(
            options.folder,
            notify=lambda done, total: progress.show(f"looking at file {done} of {total}", stage="looking at files"),
        )
        if not found:
            raise VolumeError(f"'{options.folder}' holds no DICOM images; choose the folder with the series' files.")
        rows = [_entry(series) for series in found]
    if options.json is not None:
        write_json(options.json, {"folder": str(options.folder), "series": rows})
    print(table([_TITLES, *(_cells(row) for row in rows)]))


def _entry(series: SeriesInfo) -> dict[str, Any]:
    from inference_core.errors import VolumeError
    from inference_core.io.dicom_parts import described

    first = series.parts[0]
    trouble = "" if series.scalar else "in color"
    grid = None
    try:
        grid = first.stack().grid if series.scalar else None
    except VolumeError as error:
        trouble = str(error).split(";")[0].rstrip(".")
    return {
        "uid": series.uid,
        "modality": series.modality,
        "description": series.description,
        "size": list(grid.shape if grid is not None else (*series.size, len(first.frames))),
        "spacing_mm": None if grid is None else list(grid.spacing),
        "parts": [
            {"part": n, "value": part.label, "slices": len(part.frames)} for n, part in enumerate(series.parts, 1)
        ],
        "told_apart": described(series.parts) if len(series.parts) > 1 else "",
        "trouble": trouble,
    }


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    spacing = row["spacing_mm"]
    return (
        row["uid"],
        row["modality"],
        row["description"],
        " x ".join(str(n) for n in row["size"]),
        "" if spacing is None else " x ".join(f"{step:.4g}" for step in spacing),
        row["told_apart"] or row["trouble"] or "1",
    )
