"""A page that is one file: a report of an evaluation, or a run's own."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from pathlib import Path

from inference_core.io.atomic import replacing

_STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:64rem;margin:2rem auto;padding:0 1rem;color:#222}
table{border-collapse:collapse;margin:1rem 0}td,th{border:1px solid #ccc;padding:.25rem .6rem;text-align:right}
td:first-child,th:first-child{text-align:left}img{max-width:100%}caption{text-align:left;font-weight:bold}
pre{background:#f6f6f6;padding:1rem;overflow:auto}"""


def write_html(path: Path, parts: Sequence[str], *, title: str) -> None:
    """Write a page whose body is these pieces of HTML, whole or not at all.

    Raises:
        OutputError: the file cannot be written.
    """
    head = f"<!doctype html><meta charset='utf-8'><title>{html.escape(title)}</title><style>{_STYLE}</style>"
    with replacing(path) as temporary:
        temporary.write_text(head + "\n".join(parts) + "\n", encoding="utf-8")


def embedded(png: bytes) -> str:
    """A PNG file as an image within the page."""
    return f"<p><img alt='' src='data:image/png;base64,{base64.b64encode(png).decode()}'></p>"
