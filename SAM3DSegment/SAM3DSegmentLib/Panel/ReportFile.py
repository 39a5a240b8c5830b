"""The report's page in a file: HTML as it is, PDF by Qt."""

from pathlib import Path

import qt
from slicer.i18n import tr as _


def writeReport(path: Path, page: str) -> None:
    """Write a page, whole or not at all; as PDF where the name says so.

    Raises:
        OutputError: it cannot be written.
    """
    from inference_core.errors import OutputError
    from inference_core.io.atomic import replacing

    with replacing(path) as temporary:
        if path.suffix.lower() != ".pdf":
            temporary.write_text(page, encoding="utf-8")
            return
        _print(page, str(temporary))
        if not temporary.is_file() or not temporary.stat().st_size:
            raise OutputError(_("The PDF could not be written; save the page as .html and print it."))


def _print(page: str, path: str) -> None:
    """On A4. Qt prints the same subset of HTML that the page keeps to."""
    printer = qt.QPrinter()
    printer.setOutputFormat(qt.QPrinter.PdfFormat)
    printer.setOutputFileName(path)
    document = qt.QTextDocument()
    document.setHtml(page)
    # Bindings that go back to Python 2, where it was a word of the language, spell it with an underscore.
    (document.print if hasattr(document, "print") else document.print_)(printer)
