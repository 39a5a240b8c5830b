"""A line, scribble or lasso as Slicer's markups line, curve or closed curve, and as a prompt."""

from typing import TYPE_CHECKING, Any

import numpy as np
import slicer
import vtk

from SAM3DSegmentLib.PromptKinds import BACKGROUND, KIND_ATTRIBUTE
from SAM3DSegmentLib.SegmentState import PromptItem

if TYPE_CHECKING:
    from inference_core.prompts.strokes import Stroke

_FEWEST = {"line": 2, "scribble": 1, "backgroundScribble": 1, "lasso": 3, "backgroundLasso": 3}


def prepare(node: Any, kind: str) -> None:
    """A new node's points are joined by straight lines: what is drawn is what is meant."""
    if kind != "line":
        node.SetCurveTypeToLinear()


def placeStroke(node: Any, points: Any) -> None:
    """Make a node run through points (n, 3) in world RAS mm."""
    blocked = node.StartModify()
    node.RemoveAllControlPoints()
    for point in np.asarray(points, dtype=float):
        node.AddControlPointWorld(vtk.vtkVector3d(*point))
    node.EndModify(blocked)


def extend(node: Any, point: Any) -> None:
    """Add a point in world RAS mm at the end of what is being drawn."""
    node.AddControlPointWorld(vtk.vtkVector3d(*map(float, point)))


def isPlaced(node: Any) -> bool:
    """Whether the stroke was drawn to its end and says anything."""
    return _isDrawn(node) and _strokeOf(node.GetAttribute(KIND_ATTRIBUTE), _points(node)) is not None


def itemOf(node: Any, order: str) -> PromptItem | None:
    """The stroke as a prompt, in world RAS mm; None where it is not placed."""
    if not _isDrawn(node):
        return None
    kind, points = node.GetAttribute(KIND_ATTRIBUTE), _points(node)
    stroke = _strokeOf(kind, points)
    if stroke is None:
        return None
    local = np.array([node.GetNthControlPointPosition(n) for n in range(node.GetNumberOfControlPoints())])
    center = points.mean(axis=0)
    visible = bool(node.GetDisplayVisibility())
    return PromptItem(order, kind, tuple(center), None, visible, tuple(local.ravel()), stroke)


def restore(node: Any, item: PromptItem) -> None:
    """Make a node hold a stroke as it was, to the last bit."""
    blocked = node.StartModify()
    node.RemoveAllControlPoints()
    for point in np.reshape(item.local, (-1, 3)):
        node.AddControlPoint(vtk.vtkVector3d(*point))
    node.EndModify(blocked)


def move(node: Any, ras: Any) -> None:
    """Move the middle of the stroke's points to a point in world RAS mm."""
    points = _points(node)
    blocked = node.StartModify()
    for number, point in enumerate(points + (np.asarray(ras, dtype=float) - points.mean(axis=0))):
        node.SetNthControlPointPositionWorld(number, *point)
    node.EndModify(blocked)


def kindOf(stroke: "Stroke") -> str:
    """The kind of a stroke of the core's."""
    from inference_core.prompts.strokes import Line, Scribble

    if isinstance(stroke, Line):
        return "line"
    if isinstance(stroke, Scribble):
        return "scribble" if stroke.positive else "backgroundScribble"
    return "lasso" if stroke.positive else "backgroundLasso"


def _isDrawn(node: Any) -> bool:
    """Whether there are enough points, and none still under the cursor."""
    count = node.GetNumberOfControlPoints()
    return bool(count >= _FEWEST[node.GetAttribute(KIND_ATTRIBUTE)] and node.GetNumberOfDefinedControlPoints() >= count)


def _points(node: Any) -> np.ndarray:
    """The control points (n, 3) in world RAS mm."""
    return np.asarray(slicer.util.arrayFromMarkupsControlPoints(node, world=True))


def _strokeOf(kind: str, points: np.ndarray) -> "Stroke | None":
    """The core's own type; None where the points make none, as a lasso without area."""
    from inference_core.errors import PromptError
    from inference_core.prompts.strokes import Lasso, Line, Scribble

    places = tuple((float(r), float(a), float(s)) for r, a, s in points)
    try:
        if kind == "line":
            return Line(places[0], places[-1])
        make = Scribble if kind in ("scribble", "backgroundScribble") else Lasso
        return make(places, kind not in BACKGROUND)
    except PromptError:
        return None
