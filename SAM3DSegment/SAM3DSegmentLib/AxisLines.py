"""The axes of a measured segment as Markups lines, on the slice where they were measured.

The lines of the current segment follow its mask, take no clicks and are never saved. Pinned ones are ordinary lines of
Slicer: they stay where they are, can be edited, and are saved with the scene.
"""

from typing import TYPE_CHECKING, Any

import slicer
import vtk
from slicer.i18n import tr as _

from SAM3DSegmentLib.HiddenNodes import addHidden, removeHidden

if TYPE_CHECKING:
    from inference_core.measures.diameters import Diameter
    from inference_core.measures.measurements import Measurements

_COLORS = {"long": (1.0, 0.95, 0.3), "short": (0.4, 0.95, 1.0)}
_SHORTEST_MM = 1e-3  # a line without length is none


class AxisLines:
    """Shows the long and the short axis of one segment between show() and hide()."""

    def __init__(self) -> None:
        self._nodes: dict[str, Any] = {}
        self._shown: object = None

    @property
    def nodes(self) -> dict[str, Any]:
        """The lines that are shown, by "long" and "short"."""
        return {kind: node for kind, node in self._nodes.items() if node.GetScene() is not None}

    def show(self, measurements: "Measurements | None") -> None:
        """Show a segment's axes, or none where it has none; the same once more costs nothing."""
        if measurements is self._shown and (measurements is None or self.nodes):
            return
        self._shown = measurements
        diameters = diametersOf(measurements)
        for kind in _COLORS:
            if kind in diameters:
                node = self.nodes.get(kind) or self._newNode(kind)
                _place(node, diameters[kind])
            elif kind in self._nodes:
                removeHidden(self._nodes.pop(kind))

    def hide(self) -> None:
        """Show nothing."""
        self.show(None)

    def _newNode(self, kind: str) -> Any:
        node = addHidden(slicer.mrmlScene, "vtkMRMLMarkupsLineNode", f"SAM3DSegment {kind} axis")
        self._nodes[kind] = node
        _style(node, kind)
        node.SetLocked(True)
        return node


def pinAxes(measurements: "Measurements", name: str) -> list[Any]:
    """Leave a segment's axes in the scene as lines of their own, named after it; returns their nodes."""
    found = []
    words = {"long": _("{name} long axis"), "short": _("{name} short axis")}
    for kind, diameter in diametersOf(measurements).items():
        unique = slicer.mrmlScene.GenerateUniqueName(words[kind].format(name=name))
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsLineNode", unique)
        node.CreateDefaultDisplayNodes()
        _style(node, kind)
        _place(node, diameter)
        found.append(node)
    return found


def diametersOf(measurements: "Measurements | None") -> "dict[str, Diameter]":
    """The axial diameters that can be drawn, by "long" and "short"."""
    axial = measurements.axial if measurements is not None else None
    if axial is None:
        return {}
    both = {"long": axial.longest, "short": axial.perpendicular}
    return {kind: diameter for kind, diameter in both.items() if diameter.mm > _SHORTEST_MM}


def _place(node: Any, diameter: "Diameter") -> None:
    """Ends are in world RAS mm; the label says the length at the second one."""
    blocked = node.StartModify()
    node.RemoveAllControlPoints()
    for end, label in ((diameter.start_ras, ""), (diameter.end_ras, f"{diameter.mm:.1f} mm")):
        index = node.AddControlPointWorld(vtk.vtkVector3d(*end))
        node.SetNthControlPointLabel(index, label)
    node.EndModify(blocked)


def _style(node: Any, kind: str) -> None:
    display = node.GetDisplayNode()
    for setColor in (display.SetSelectedColor, display.SetColor, display.SetActiveColor):
        setColor(*_COLORS[kind])
    display.SetPropertiesLabelVisibility(False)
    display.SetPointLabelsVisibility(True)
    display.SetGlyphScale(1.0)
    display.SetTextScale(2.6)
    display.SetOccludedVisibility(False)
