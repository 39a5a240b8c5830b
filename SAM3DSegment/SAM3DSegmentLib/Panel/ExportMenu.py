"""The menu of what the segmentation can be exported as; each kind asks for a name."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt
from slicer.i18n import tr as _

from SAM3DSegmentLib.Exports import ALL, DICOM_SUFFIXES, LABEL_SUFFIXES
from SAM3DSegmentLib.Panel.FileDialog import pathToSave

_STEM = "lesions"


class ExportMenu:
    """Hangs the menu on a button; guarded(call) says what is refused."""

    def __init__(self, button: Any, exports: Any, guarded: Callable[[Callable[[], Any]], Any]) -> None:
        self._exports, self._guarded = exports, guarded
        self._menu = qt.QMenu(button)
        for kind, text in _entries():
            if kind == LABEL_SUFFIXES[0]:
                self._menu.addSeparator()
            action = self._menu.addAction(text)
            action.connect("triggered(bool)", lambda _checked=False, kind=kind: self._export(kind))
        button.setMenu(self._menu)

    def _export(self, kind: str) -> None:
        if not self._guarded(lambda: self._exports.check(kind)):
            return
        suffix = DICOM_SUFFIXES.get(kind, kind) if kind != ALL else DICOM_SUFFIXES["seg"]
        path = pathToSave(_("Export the segmentation"), _STEM + suffix, f"*{suffix}")
        if path is not None:
            self._guarded(lambda: self._exports.start(kind, path))


def written(paths: list[Path]) -> str:
    """What is said when files are there."""
    return _("Written: {names}").format(names=", ".join(path.name for path in paths))


def _entries() -> list[tuple[str, str]]:
    return [
        (ALL, _("DICOM SEG, report and RTSTRUCT...")),
        ("seg", _("DICOM SEG...")),
        ("report", _("DICOM report (SR)...")),
        ("rtstruct", _("DICOM RTSTRUCT...")),
        *((suffix, _("Label map ({suffix})...").format(suffix=suffix)) for suffix in LABEL_SUFFIXES),
    ]
