"""Renders the module's icon, drawn in Resources/Icons/SAM3DSegment.svg, as the picture that Slicer's catalog shows.

QT_QPA_PLATFORM=offscreen python Testing/support/render_icon.py
"""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QSize
from PySide6.QtGui import QGuiApplication, QIcon, QImage

DRAWING = Path(__file__).resolve().parents[2] / "Resources" / "Icons" / "SAM3DSegment.svg"
PICTURE = DRAWING.with_suffix(".png")
SIZE = QSize(128, 128)


def rendered() -> QImage:
    """The drawing as an image; needs a QGuiApplication."""
    return QIcon(str(DRAWING)).pixmap(SIZE).toImage().convertToFormat(QImage.Format.Format_RGBA8888)


if __name__ == "__main__":
    application = QGuiApplication([])
    rendered().save(str(PICTURE))
