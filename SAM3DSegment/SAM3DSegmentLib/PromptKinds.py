"""The kinds of prompts, and how each looks. A click lies in its sign's list; all others have a node each, a
text one without a place."""

from typing import Any

KIND_ATTRIBUTE = "SAM3DSegment.Kind"
CLICKS = ("foreground", "background")
# What is drawn with a tool of its own; with Control held, some are of the background.
DRAWN = ("line", "scribble", "lasso")
STROKES = ("line", "scribble", "backgroundScribble", "lasso", "backgroundLasso")
TEXT = "text"
BACKGROUND = frozenset({"background", "backgroundScribble", "backgroundLasso"})
OPPOSITE = {
    "foreground": "background",
    "background": "foreground",
    "scribble": "backgroundScribble",
    "backgroundScribble": "scribble",
    "lasso": "backgroundLasso",
    "backgroundLasso": "lasso",
}
NODE_CLASSES = {
    "foreground": "vtkMRMLMarkupsFiducialNode",
    "background": "vtkMRMLMarkupsFiducialNode",
    "box": "vtkMRMLMarkupsROINode",
    "line": "vtkMRMLMarkupsLineNode",
    "scribble": "vtkMRMLMarkupsCurveNode",
    "backgroundScribble": "vtkMRMLMarkupsCurveNode",
    "lasso": "vtkMRMLMarkupsClosedCurveNode",
    "backgroundLasso": "vtkMRMLMarkupsClosedCurveNode",
    TEXT: "vtkMRMLTextNode",
}
_GREEN, _RED, _YELLOW = (0.1, 0.85, 0.2), (0.95, 0.15, 0.1), (1.0, 0.8, 0.1)


def style(display: Any, kind: str) -> None:
    """Give a new node's display its kind's colors and glyphs."""
    color = _YELLOW if kind == "box" else _RED if kind in BACKGROUND else _GREEN
    # The same at rest, just placed and under the mouse: Slicer's own color for the latter is green.
    for setColor in (display.SetSelectedColor, display.SetColor, display.SetActiveColor):
        setColor(*color)
    if kind == "box":
        _styleBox(display)
        return
    display.SetPointLabelsVisibility(False)
    # Two shapes: red and green alone are the same to one man in twelve.
    display.SetGlyphTypeFromString("Square2D" if kind in BACKGROUND else "Sphere3D")
    display.SetGlyphScale(2.0 if kind in CLICKS else 1.2)
    if kind in STROKES:
        display.SetPropertiesLabelVisibility(False)
        display.SetLineThickness(0.25)


def _styleBox(display: Any) -> None:
    display.SetFillOpacity(0.08)
    display.SetPropertiesLabelVisibility(False)
    # Handles hide what is below them; the panel shows them where the box is being looked at.
    display.SetHandlesInteractive(False)
    for switch in ("SetTranslationHandleVisibility", "SetScaleHandleVisibility", "SetRotationHandleVisibility"):
        getattr(display, switch)(True)
