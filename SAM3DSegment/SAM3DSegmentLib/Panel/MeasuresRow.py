"""The current segment's measurements below the list of segments, and the buttons for its axes in the views."""

from typing import Any

import qt
from slicer.i18n import tr as _

from SAM3DSegmentLib.AxisLines import AxisLines, diametersOf, pinAxes
from SAM3DSegmentLib.Panel import Formatting, Switches

_AXES_SETTING = "SAM3DSegment/showAxes"


class MeasuresRow:
    """Says what the logic measured of the current segment, and draws its axes while that is wanted."""

    def __init__(self, ui: Any, logic: Any) -> None:
        self._ui, self._logic = ui, logic
        self.lines = AxisLines()
        ui.axesButton.setChecked(Switches.isOn(_AXES_SETTING))
        ui.axesButton.connect("clicked(bool)", self._setShown)
        ui.pinButton.connect("clicked(bool)", self._pin)
        # Two lines always: nothing below moves when there are numbers.
        ui.measuresLabel.setMinimumHeight(2 * qt.QFontMetrics(ui.measuresLabel.font).lineSpacing())

    def refresh(self) -> None:
        """Show what is so now; while a prompt is dragged, the numbers are those before it."""
        if self._logic.isDragging:
            return
        found = self._current()
        text = Formatting.measurements(found) if found is not None and found.voxels else _("Nothing to measure yet")
        self._ui.measuresLabel.setText(text)
        self._ui.measuresLabel.setToolTip(Formatting.measurementsInFull(found) if found is not None else "")
        self._ui.pinButton.setEnabled(bool(diametersOf(found)))
        self.lines.show(found if self._ui.axesButton.checked and self._isVisible() else None)

    def hide(self) -> None:
        """Take the axes out of the views, as where another module is shown."""
        self.lines.hide()

    def _current(self) -> Any:
        logic = self._logic
        return logic.measuring.of(logic.segmentId) if logic.segmentId is not None else None

    def _isVisible(self) -> bool:
        """Whether the current segment is shown: the axes of a hidden mask would measure what is not seen."""
        node = self._logic.segmentationNode
        display = node.GetDisplayNode() if node is not None else None
        if display is None or self._logic.segmentId is None:
            return False
        return bool(display.GetVisibility() and display.GetSegmentVisibility(self._logic.segmentId))

    def _setShown(self, shown: bool) -> None:
        Switches.remember(_AXES_SETTING, shown)
        self.refresh()

    def _pin(self, *_args: Any) -> None:
        found = self._current()
        if found is not None:
            pinAxes(found, self._logic.segments.get(self._logic.segmentId).GetName())
