"""What a segment looks like and is: a menu with its color, its opacity and its terminology."""

from collections.abc import Callable
from functools import partial
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from SAM3DSegmentLib.Panel.TerminologyDialog import canChooseTerminology, chosenTerminology

_PERCENTS = (100, 75, 50, 25, 10)


class SegmentMenu:
    """Pops up over a segment's row; changed() is called after each change, guarded(call) says what is refused."""

    def __init__(
        self, table: Any, logic: Any, guarded: Callable[[Callable[[], Any]], Any], *, changed: Callable[[], None]
    ) -> None:
        self._table, self._logic, self._guarded, self._changed = table, logic, guarded, changed
        self._menu: Any = None

    def popUp(self, segmentId: str, position: Any) -> None:
        """Offer what can be changed of a segment; position is a point of the screen."""
        if self._menu is not None:
            self._menu.deleteLater()
        self._menu = menu = qt.QMenu(self._table)
        self._add(menu, _("Color..."), lambda: self._chooseColor(segmentId))
        self._addOpacities(menu.addMenu(_("Opacity")), segmentId)
        if canChooseTerminology():
            finding = self._logic.lesions.finding(segmentId) or _("none")
            text = _("Terminology ({finding})...").format(finding=finding)
            self._add(menu, text, lambda: self._chooseTerminology(segmentId))
        menu.popup(position)

    def _add(self, menu: Any, text: str, call: Callable[[], None]) -> Any:
        action = menu.addAction(text)
        action.connect("triggered(bool)", lambda _checked: call())
        return action

    def _addOpacities(self, menu: Any, segmentId: str) -> None:
        """Steps, of which the present one is ticked; in between, Slicer's *Segmentations* has a slider."""
        now = round(100 * self._display().GetSegmentOpacity3D(segmentId))
        for percent in _PERCENTS:
            text = _("{percent} %").format(percent=percent)
            action = self._add(menu, text, partial(self._setOpacity, segmentId, percent))
            action.setCheckable(True)
            action.setChecked(percent == now)

    def _display(self) -> Any:
        return self._logic.segmentationNode.GetDisplayNode()

    def _segment(self, segmentId: str) -> Any:
        """The segment, or None where it went while the menu was open."""
        return self._logic.segments.get(segmentId) if segmentId in self._logic.segments.ids() else None

    def _setOpacity(self, segmentId: str, percent: int) -> None:
        """Fill, outline and surface alike."""
        if self._segment(segmentId) is not None:
            self._display().SetSegmentOpacity(segmentId, percent / 100)
            self._changed()

    def _chooseColor(self, segmentId: str) -> None:
        segment = self._segment(segmentId)
        if segment is None:
            return
        title = _("Color of {name}").format(name=segment.GetName())
        color = qt.QColorDialog.getColor(qt.QColor.fromRgbF(*segment.GetColor()), slicer.util.mainWindow(), title)
        if color.isValid():
            segment.SetColor(color.redF(), color.greenF(), color.blueF())
            self._changed()

    def _chooseTerminology(self, segmentId: str) -> None:
        segment = self._segment(segmentId)
        if segment is None:
            return
        title = _("Terminology of {name}").format(name=segment.GetName())
        entry = chosenTerminology(self._logic.lesions.terminology(segmentId), title)
        if entry is not None and self._segment(segmentId) is not None:
            self._guarded(lambda: self._logic.lesions.setTerminology(segmentId, entry))
            self._changed()
