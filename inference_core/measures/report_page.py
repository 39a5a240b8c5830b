"""The report of a study as one HTML page: the table, one picture a lesion, the change since last time, what made it.

Everything is in the one file. No name of a patient, an image or a file is in it unless `heading` has one. The page
keeps to what Qt's rich text knows, so that Slicer prints the same page as PDF.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

from inference_core.measures.change import Change
from inference_core.measures.change_table import RULE, TITLES, change_rows, conclusion
from inference_core.measures.lesion_table import TEXT_TITLES, LesionTable

DISCLAIMER = "Not a medical device. Numbers are to be checked by a reader."
_STYLE = (
    "body{font-family:sans-serif;font-size:10pt;color:#222}table{border-collapse:collapse}"
    "th,td{border:1px solid #999;padding:2px 6px;text-align:left}h1{font-size:15pt}h2{font-size:12pt}"
)
LEGEND = "Outline, longest axial diameter (yellow) and the longest across it (cyan); the bar is 10 mm."
PICTURES_A_ROW = 3
ALONG_TIME = "Along time"


@dataclass(frozen=True)
class StudyReport:
    """What a page says. pictures: PNG files by the lesions' names. heading: whose study it is, where the user says.

    made_by: the model, its version and weights, a line each; cautions: what a reader has to look at, a sentence each.
    along_time: a row a lesion and time point below one of titles, where there are several.
    """

    table: LesionTable
    pictures: Mapping[str, bytes]
    made_by: Sequence[str]
    change: Change | None = None
    heading: str = ""
    cautions: Sequence[str] = field(default=())
    along_time: Sequence[Sequence[str]] = field(default=())


def title_of(report: StudyReport) -> str:
    """What stands on top."""
    return f"Lesions: {report.heading}" if report.heading else "Lesions"


def sentences(report: StudyReport) -> tuple[str, ...]:
    """What stands below the table: the sum of diameters, and what a reader has to look at."""
    return ": ".join(report.table.sum_cells()), *report.table.cautions(), *report.cautions


def html_page(report: StudyReport) -> str:
    """The page as text."""
    title = title_of(report)
    body = [
        f"<h1>{escape(title)}</h1>",
        f"<p><b>{DISCLAIMER}</b></p>",
        _table(TEXT_TITLES, report.table.text_rows()),
        *(f"<p>{escape(sentence)}</p>" for sentence in sentences(report)),
    ]
    if report.change is not None:
        body += ["<h2>Change since the earlier visit</h2>", _table(TITLES, change_rows(report.change))]
        body += [f"<p><b>{escape(conclusion(report.change))}</b></p>", f"<p>{escape(RULE)}</p>"]
    if report.along_time:
        body += [f"<h2>{ALONG_TIME}</h2>", _table(report.along_time[0], report.along_time[1:])]
    body += [_pictures(report), "<p>" + "<br/>".join(map(escape, report.made_by)) + "</p>"]
    head = f'<!DOCTYPE html><html><head><meta charset="utf-8"/><title>{escape(title)}</title><style>{_STYLE}</style>'
    return head + "</head><body>" + "\n".join(part for part in body if part) + "</body></html>\n"


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(title)}</th>" for title in titles)
    lines = ("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<table border="1" cellspacing="0" cellpadding="3"><tr>{head}</tr>{"".join(lines)}</table>'


def _pictures(report: StudyReport) -> str:
    shown = [entry.lesion.name for entry in report.table.entries if entry.lesion.name in report.pictures]
    rows = [shown[n : n + PICTURES_A_ROW] for n in range(0, len(shown), PICTURES_A_ROW)]
    cells = ("".join(f"<td>{_picture(name, report.pictures[name])}</td>" for name in row) for row in rows)
    lines = "".join(f"<tr>{row}</tr>" for row in cells)
    return f'<h2>Pictures</h2><table cellpadding="3">{lines}</table><p>{LEGEND}</p>' if lines else ""


def _picture(name: str, png: bytes) -> str:
    data = base64.b64encode(png).decode("ascii")
    said = escape(name, quote=True)
    return f'<img width="200" height="200" alt="{said}" src="data:image/png;base64,{data}"/><br/>{said}'
