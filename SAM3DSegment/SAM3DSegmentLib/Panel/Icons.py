"""The panel's icons: drawings of Resources/Icons, in colors that stand out in light and dark style, and swatches."""

from functools import cache
from pathlib import Path
from typing import Any

import qt
import slicer

from SAM3DSegmentLib.Paths import resourcePath

# The drawings' colors, and what stands for them on dark ground: no color differs from both grounds enough (3 to 1,
# WCAG 2.1), since buttons are lighter than dark ground and, pressed, darker than light ground.
_ON_DARK = {
    "#6c7886": "#aab4bf", "#2b7fd0": "#5aa9f0", "#ba7800": "#e0a000", "#2a923e": "#4cc066", "#d9483b": "#f27a6e",
    "#d946c8": "#f07fe3", "#fff": "#1e1e1e",
}  # fmt: skip


def icon(name: str) -> Any:
    """The icon of a name such as "Visible"; an empty one where its file is missing, so that text still tells."""
    return _icon(name, dark=isDark())


@cache
def swatch(color: tuple[float, float, float]) -> Any:
    """A square of a color (red, green, blue in 0..1)."""
    pixmap = qt.QPixmap(16, 16)
    pixmap.fill(qt.QColor.fromRgbF(*color))
    return qt.QIcon(pixmap)


@cache
def _icon(name: str, *, dark: bool) -> Any:
    path = resourcePath(f"Icons/{name}.svg")
    # Cursors have a rim in black and white and lie over images.
    isRecolored = dark and not name.endswith("Cursor") and path.is_file()
    return qt.QIcon(str(_onDark(path) if isRecolored else path))


def _onDark(path: Path) -> Path:
    """A drawing in the colors for dark ground, in Slicer's temporary folder: Qt reads it again for each size."""
    drawing = path.read_text(encoding="utf-8")
    for light, bright in _ON_DARK.items():
        drawing = drawing.replace(f'"{light}"', f'"{bright}"')
    from inference_core.io.atomic import replacing

    folder = Path(slicer.app.temporaryPath) / "SAM3DSegmentIcons"
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / path.name) as temporary:
        temporary.write_text(drawing, encoding="utf-8")
    return folder / path.name


@cache
def isDark() -> bool:
    """Whether Slicer's style is a dark one; remembered until `styleChanged`, since every icon asks for it."""
    window = slicer.util.mainWindow()
    return window is not None and window.palette.color(qt.QPalette.Window).lightness() < 128


def styleChanged() -> None:
    """Slicer's style may be another one: look again."""
    isDark.cache_clear()
