"""The panel's icons: drawings of Resources/Icons, and swatches of a segment's color."""

from functools import cache
from typing import Any

import qt

from SAM3DSegmentLib.Paths import resourcePath


@cache
def icon(name: str) -> Any:
    """The icon of a name such as "Visible"; an empty one where its file is missing, so that text still tells."""
    return qt.QIcon(str(resourcePath(f"Icons/{name}.svg")))


@cache
def swatch(color: tuple[float, float, float]) -> Any:
    """A square of a color (red, green, blue in 0..1)."""
    pixmap = qt.QPixmap(16, 16)
    pixmap.fill(qt.QColor.fromRgbF(*color))
    return qt.QIcon(pixmap)
