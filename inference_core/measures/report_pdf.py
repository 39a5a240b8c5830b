"""The report of a study as a PDF on A4, without a browser or Qt; what stands on it is what `report_page` says.

fpdf2 sets it, in DejaVu Sans, which comes with matplotlib: names of lesions are not always in Latin letters. Both are
in the extra `pdf`.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from importlib import import_module
from itertools import chain
from pathlib import Path
from typing import Any

from inference_core.errors import OutputError
from inference_core.measures.change_table import RULE, TITLES, change_rows, conclusion
from inference_core.measures.lesion_table import TEXT_TITLES
from inference_core.measures.report_page import (
    ALONG_TIME,
    DISCLAIMER,
    LEGEND,
    PICTURES_A_ROW,
    StudyReport,
    sentences,
    title_of,
)

_FAMILY, _FILES = "DejaVu", {"": "DejaVuSans.ttf", "B": "DejaVuSans-Bold.ttf"}
_MARGIN_MM, _GAP_MM, _LINE_MM = 15.0, 4.0, 4.5
_SMALL, _PLAIN, _HEADING, _TITLE = 7.5, 9, 12, 15
_LIGHT = (235, 235, 235)


def check_pdf(words: Iterable[str] = ()) -> None:
    """Refuse early where no PDF can be made, or where it could not show these words.

    Raises:
        OutputError: a package is missing, or a word has a letter that the font has not.
    """
    _check_packages()
    _check_letters(_blank(""), words)


def _check_packages() -> None:
    for package in ("fpdf", "matplotlib"):
        try:
            import_module(package)
        except ImportError as error:
            raise OutputError(
                "A PDF needs the packages fpdf2 and matplotlib; install them with `pip install 'sam3dsegment[pdf]'`, "
                "or give a name that ends in .html."
            ) from error


def pdf_page(report: StudyReport) -> bytes:
    """The report as a PDF file.

    Raises:
        OutputError: a package is missing, or a name has a letter that the font has not.
    """
    _check_packages()
    page = _blank(title_of(report))
    _check_letters(page, _words(report))
    _text(page, title_of(report), size=_TITLE, style="B")
    _text(page, DISCLAIMER, style="B")
    _table(page, TEXT_TITLES, report.table.text_rows())
    for sentence in sentences(report):
        _text(page, sentence)
    if report.change is not None:
        _text(page, "Change since the earlier visit", size=_HEADING, style="B")
        _table(page, TITLES, change_rows(report.change))
        _text(page, conclusion(report.change), style="B")
        _text(page, RULE, size=_SMALL)
    if report.along_time:
        _text(page, ALONG_TIME, size=_HEADING, style="B")
        _table(page, report.along_time[0], report.along_time[1:])
    _pictures(page, report)
    for line in report.made_by:
        _text(page, line, size=_SMALL)
    return bytes(page.output())


def _blank(title: str) -> Any:
    from fpdf import FPDF

    page = FPDF(format="A4")
    page.set_margin(_MARGIN_MM)
    page.set_auto_page_break(True, margin=_MARGIN_MM)
    page.set_title(title)
    page.set_lang("en")
    fonts = Path(import_module("matplotlib").get_data_path()) / "fonts" / "ttf"
    for style, name in _FILES.items():
        page.add_font(_FAMILY, style, fonts / name)
    page.add_page()
    page.set_font(_FAMILY, size=_PLAIN)
    return page


def _words(report: StudyReport) -> Iterator[str]:
    changes = () if report.change is None else change_rows(report.change)
    rows = chain(report.table.text_rows(), changes, report.along_time)
    return chain([report.heading], report.cautions, report.made_by, chain.from_iterable(rows))


def _check_letters(page: Any, words: Iterable[str]) -> None:
    """A name must not be printed with boxes for its letters."""
    known = page.fonts[_FAMILY.lower()].cmap
    lacking = next((letter for word in words for letter in word if ord(letter) not in known), None)
    if lacking is not None:
        raise OutputError(f"The PDF's font has no letter '{lacking}'; give the report a name that ends in .html.")


def _text(page: Any, text: str, *, size: float = _PLAIN, style: str = "") -> None:
    page.set_font(_FAMILY, style=style, size=size)
    page.multi_cell(0, _LINE_MM * size / _PLAIN, text, align="L", new_x="LMARGIN", new_y="NEXT")
    page.ln(1)


def _table(page: Any, titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns as wide as what they hold asks for, within the page; the titles again on each further page."""
    from fpdf.fonts import FontFace

    page.set_font(_FAMILY, size=_SMALL)
    widths = [max(_widest_word(page, row[column]) for row in (titles, *rows)) for column in range(len(titles))]
    heading = FontFace(emphasis="BOLD", fill_color=_LIGHT)
    with page.table(col_widths=widths, line_height=4, text_align="LEFT", headings_style=heading, padding=0.5) as table:
        for row in (titles, *rows):
            table.row([*row])
    page.ln(2)


def _widest_word(page: Any, cell: str) -> float:
    """What a column needs at least, so that no word is broken; a short cell stays on one line."""
    whole = page.get_string_width(cell)
    longest = max((page.get_string_width(word) for word in cell.split()), default=0.0)
    return float(max(longest, min(whole, 22.0)) * 1.1 + 2)


def _pictures(page: Any, report: StudyReport) -> None:
    """In rows, each lesion's name below its picture."""
    shown = [entry.lesion.name for entry in report.table.entries if entry.lesion.name in report.pictures]
    if not shown:
        return
    _text(page, "Pictures", size=_HEADING, style="B")
    edge = (page.epw - (PICTURES_A_ROW - 1) * _GAP_MM) / PICTURES_A_ROW
    for start in range(0, len(shown), PICTURES_A_ROW):
        _picture_row(page, report, shown[start : start + PICTURES_A_ROW], edge=edge)
    _text(page, LEGEND, size=_SMALL)


def _picture_row(page: Any, report: StudyReport, names: Sequence[str], *, edge: float) -> None:
    page.set_font(_FAMILY, size=_PLAIN)
    lines = [page.multi_cell(edge, _LINE_MM, name, dry_run=True, output="LINES") for name in names]
    height = edge + _LINE_MM * max(map(len, lines)) + _GAP_MM
    if page.will_page_break(height):
        page.add_page()
    top = page.get_y()
    for column, name in enumerate(names):
        left = page.l_margin + column * (edge + _GAP_MM)
        page.image(io.BytesIO(report.pictures[name]), x=left, y=top, w=edge, h=edge, alt_text=name)
        page.set_xy(left, top + edge)
        page.multi_cell(edge, _LINE_MM, name, align="L")
    page.set_xy(page.l_margin, top + height)
