"""Slicer's light and dark palettes, number for number (`qSlicerStyle.cxx` of 2026-08), over Qt's Fusion style."""

from __future__ import annotations

from PySide6 import QtGui, QtWidgets

_LIGHT = {
    "Window": "#ffffff", "WindowText": "#000000", "Base": "#ffffff", "AlternateBase": "#e4e4fe",
    "ToolTipBase": "#ffffdc", "ToolTipText": "#000000", "Text": "#000000", "PlaceholderText": "#808080",
    "Button": "#fcfcfc", "ButtonText": "#000000", "BrightText": "#ff0000", "Light": "#c8c8c8", "Midlight": "#e6e6e6",
    "Dark": "#aaaaaa", "Mid": "#c8c8c8", "Shadow": "#5a5a5a", "Highlight": "#308cc6", "HighlightedText": "#ffffff",
    "Link": "#0000ff",
}  # fmt: skip
_LIGHT_DISABLED = {
    "WindowText": "#bebebe", "Base": "#ffffff", "Text": "#bebebe", "ButtonText": "#bebebe", "Highlight": "#919191",
    "HighlightedText": "#ffffff",
}  # fmt: skip
_DARK = {
    "Window": "#323232", "WindowText": "#ffffff", "Base": "#1e1e1e", "AlternateBase": "#323232",
    "ToolTipBase": "#ffffff", "ToolTipText": "#323232", "Text": "#ffffff", "PlaceholderText": "#c0c0c0",
    "Button": "#323232", "ButtonText": "#ffffff", "BrightText": "#ff4444", "Light": "#828284", "Midlight": "#5a5a5b",
    "Dark": "#232323", "Mid": "#2b2b2b", "Shadow": "#141414", "Highlight": "#3ca4ff", "HighlightedText": "#ffffff",
    "Link": "#3ca4ff",
}  # fmt: skip
_DARK_DISABLED = {
    "WindowText": "#6d6d6d", "Base": "#1e1e1e", "Text": "#6d6d6d", "ButtonText": "#b4b4b4", "Highlight": "#505050",
    "HighlightedText": "#6d6d6d",
}  # fmt: skip
_STYLES = {"light": (_LIGHT, _LIGHT_DISABLED), "dark": (_DARK, _DARK_DISABLED)}


def paletteOf(style):
    """The palette of Slicer's style "light" or "dark"."""
    palette = QtGui.QPalette()
    everywhere, disabled = _STYLES[style]
    for name, color in everywhere.items():
        palette.setColor(getattr(QtGui.QPalette, name), QtGui.QColor(color))
    for name, color in disabled.items():
        palette.setColor(QtGui.QPalette.Disabled, getattr(QtGui.QPalette, name), QtGui.QColor(color))
    return palette


class Look:
    """The application in a style of Slicer's and with its font scaled, until restore()."""

    def __init__(self, style="light", scale=1.0):
        application = QtWidgets.QApplication
        self._before = application.palette(), application.font(), application.style().objectName
        application.setStyle("Fusion")
        application.setPalette(paletteOf(style))
        font = QtGui.QFont(application.font())
        font.setPointSizeF(font.pointSizeF() * scale)
        application.setFont(font)

    def restore(self):
        palette, font, style = self._before
        QtWidgets.QApplication.setStyle(style)
        QtWidgets.QApplication.setPalette(palette)
        QtWidgets.QApplication.setFont(font)
