"""Reports as pages: HTML or PDF, as the file's name says."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from inference_core.cli.parsing import Once, UsageError, text_file

if TYPE_CHECKING:
    from inference_core.geometry.mask import Mask
    from inference_core.geometry.volume import Volume
    from inference_core.measures.measurements import Measurements
    from inference_core.measures.report_page import StudyReport

_HTML, _PDF = (".html", ".htm"), ".pdf"


def add_report_option(parser: argparse.ArgumentParser, *, holds: str) -> None:
    """Add --report FILE."""
    parser.add_argument(
        "--report", type=text_file, action=Once, metavar="FILE", help=f"write a page {holds}: .html, .pdf"
    )


def is_page(path: Path) -> bool:
    """Whether a report is to be written as a page, by its name."""
    return path.suffix.lower() in (*_HTML, _PDF)


def check_page(path: Path | None, *, words: Iterable[str] = ()) -> None:
    """Refuse early a report whose name is not that of a page, or a PDF that cannot be made, or not with these words.

    Raises:
        UsageError: as said.
        OutputError: a package is missing, or a letter.
    """
    if path is None:
        return
    if not is_page(path):
        raise UsageError(f"'{path}' is no page; give a name that ends in .html or .pdf.")
    if path.suffix.lower() == _PDF:
        from inference_core.measures.report_pdf import check_pdf

        check_pdf(words)


def made_by(model: str, weights: Path) -> list[str]:
    """The model with its weights, and this package, a line each."""
    from inference_core import __version__
    from inference_core.models.weights import sha256_of

    return [f"Model: {model}, weights sha256 {sha256_of(weights)}", f"SAM3DSegment {__version__}"]


def study_of(
    volume: Volume,
    masks: Mapping[str, Mask],
    numbers: Mapping[str, Measurements],
    *,
    made_by: Sequence[str],
    finding: str = "",
) -> StudyReport:
    """The report of masks by their names; nothing says which of them are targets, so that none is."""
    from inference_core.measures.change import Lesion
    from inference_core.measures.lesion_table import Entry, LesionTable
    from inference_core.measures.report_page import StudyReport

    entries = (Entry(Lesion(name, measured, target=False), finding) for name, measured in numbers.items())
    return StudyReport(LesionTable(tuple(entries)), pictures_of(volume, masks, numbers), made_by)


def page_content(path: Path, report: StudyReport) -> str | bytes:
    """What the file holds.

    Raises:
        OutputError: a PDF cannot be made.
    """
    if path.suffix.lower() == _PDF:
        from inference_core.measures.report_pdf import pdf_page

        return pdf_page(report)
    from inference_core.measures.report_page import html_page

    return html_page(report).rstrip("\n")


def pictures_of(volume: Volume, masks: Mapping[str, Mask], found: Mapping[str, Measurements]) -> dict[str, bytes]:
    """A PNG of each mask with its axes, by its name; none of an empty one."""
    from inference_core.measures.key_picture import key_picture, png_of

    drawn = {name: numbers.axial for name, numbers in found.items() if numbers.axial is not None}
    return {name: png_of(key_picture(masks[name], volume, axial)) for name, axial in drawn.items()}
