"""The list of segments: which one is worked on, its name, color, volume, visibility and lock."""

from collections.abc import Callable
from typing import Any

import slicer
from slicer.i18n import tr as _

from SAM3DSegmentLib.Panel import Formatting
from SAM3DSegmentLib.Panel.Icons import icon, swatch
from SAM3DSegmentLib.Panel.ItemTable import Cell, ItemTable, Row
from SAM3DSegmentLib.Panel.SegmentMenu import SegmentMenu
from SAM3DSegmentLib.Panel.Views import centerOn

CURRENT, COLOR, NAME, VOLUME, STATUS, VISIBLE, LOCKED, REMOVE = range(8)


class SegmentList:
    """Shows the segments of the logic's segmentation; choosing a row makes its segment the current one.

    guarded(call) runs a change and shows what the user has to be told when it is refused.
    """

    def __init__(self, table: Any, logic: Any, guarded: Callable[[Callable[[], Any]], Any]) -> None:
        self._logic, self._guarded = logic, guarded
        self._volumes: dict[str, tuple[int, float]] = {}
        empty = _("Your first click makes one")
        self._items = ItemTable(table, stretched=NAME, onCell=self._onCell, rows=(2, 12), empty=empty)
        self._items.fitColumn(VOLUME, Formatting.volume(1234.5) + "0")
        self._items.onCurrent = self.goTo
        self._items.onEdited = lambda key, name: guarded(lambda: self._rename(key, name))
        self._menu = SegmentMenu(table, logic, guarded, changed=self.refresh)
        self._items.onMenu = self._menu.popUp
        for key in ("Delete", "Backspace"):  # a Mac's delete key is the latter
            self._items.addKey(key, self._removeCurrent)

    def goTo(self, segmentId: str) -> None:
        """Work on a segment, and show its middle in all slice views."""
        self._guarded(lambda: self._logic.setSegment(segmentId))
        middle = self._logic.segments.center(segmentId)
        if middle is not None:
            centerOn(middle)

    def refresh(self) -> None:
        """Show what the logic holds now."""
        node = self._logic.segmentationNode
        rows = [self._row(node, segmentId) for segmentId in node.GetSegmentation().GetSegmentIDs()] if node else []
        self._items.show(rows, current=self._logic.segmentId)

    def _row(self, node: Any, segmentId: str) -> Row:
        segment, display = node.GetSegmentation().GetSegment(segmentId), node.GetDisplayNode()
        name = segment.GetName()
        visible = display is None or display.GetSegmentVisibility(segmentId)
        locked = self._logic.segments.isLocked(segmentId)
        current = segmentId == self._logic.segmentId
        look = _("Color, opacity and terminology")
        currentTip = _("Clicks and boxes go to this segment") if current else _("Work on this segment")
        return Row(
            segmentId,
            (
                Cell(icon=icon("Current" if current else "Other"), toolTip=currentTip, spoken=currentTip),
                Cell(icon=swatch(segment.GetColor()), toolTip=look, spoken=look),
                Cell(name, toolTip=self._aboutName(segmentId, currentTip), editable=True, bold=current),
                Cell(Formatting.volume(self._milliliters(segment, segmentId)), toolTip=_("Volume"), alignRight=True),
                reviewCell(self._logic.segments.status(segmentId)),
                _switch(visible, on=("Visible", _("Hide in the views")), off=("Hidden", _("Show in the views"))),
                _switch(
                    locked,
                    on=("Locked", _("Locked: nothing here changes it. Click to unlock.")),
                    off=("Unlocked", _("Lock, so that nothing here changes it")),
                ),
                Cell(icon=icon("Delete"), toolTip=_("Remove the segment"), spoken=_("Remove the segment")),
            ),
        )

    def _aboutName(self, segmentId: str, currentTip: str) -> str:
        finding = self._logic.lesions.finding(segmentId)
        tip = f"{currentTip}. " + _("Double-click to rename it; right-click for color, opacity and terminology.")
        return f"{finding}\n{tip}" if finding else tip

    def _milliliters(self, segment: Any, segmentId: str) -> float:
        """Counting voxels takes a while in a large image: only after they have changed."""
        labels = segment.GetRepresentation(
            slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
        )
        stamp = labels.GetMTime() if labels is not None else 0
        known = self._volumes.get(segmentId)
        if known is None or known[0] != stamp:
            known = self._volumes[segmentId] = (stamp, self._logic.segments.volumeMl(segmentId))
        return known[1]

    def _onCell(self, segmentId: str, column: int) -> None:
        if column == COLOR:
            self._menu.popUp(segmentId, self._items.below(segmentId, column))
        elif column == STATUS:
            self._guarded(lambda: self._logic.segments.goOnWithReview(segmentId))
            self.refresh()
        elif column == VISIBLE:
            display = self._logic.segmentationNode.GetDisplayNode()
            display.SetSegmentVisibility(segmentId, not display.GetSegmentVisibility(segmentId))
            self.refresh()
        elif column == LOCKED:
            locked = self._logic.segments.isLocked(segmentId)
            self._guarded(lambda: self._logic.segments.setLocked(segmentId, not locked))
        elif column == REMOVE:
            self._remove(segmentId)

    def _rename(self, segmentId: str, name: str) -> None:
        """An editor that is open when the segment goes tells its text all the same."""
        if segmentId in self._logic.segments.ids():
            self._logic.segments.rename(segmentId, name)
            self.refresh()

    def _removeCurrent(self) -> None:
        if self._items.currentKey is not None:
            self._remove(self._items.currentKey)

    def _remove(self, segmentId: str) -> None:
        """Asks first where there is something to lose: undo does not reach over a segment's end."""
        segment = self._logic.segmentationNode.GetSegmentation().GetSegment(segmentId)
        if self._milliliters(segment, segmentId) > 0:
            question = _("Remove the segment '{name}' and its prompts? This cannot be undone.")
            if not slicer.util.confirmOkCancelDisplay(question.format(name=segment.GetName())):
                return
        self._guarded(lambda: self._logic.segments.remove(segmentId))


def reviewCell(status: str) -> Cell:
    """How far a review is, as a cell; a click on it is for the next one."""
    picture, words = {
        "not started": ("StatusNone", _("Review: not started")),
        "in progress": ("StatusOpen", _("Review: in progress")),
        "completed": ("StatusDone", _("Review: completed")),
        "flagged": ("StatusFlagged", _("Review: flagged")),
    }[status]
    return Cell(icon=icon(picture), toolTip=words + ". " + _("Click for the next one."), spoken=words)


def _switch(on_: bool, *, on: tuple[str, str], off: tuple[str, str]) -> Cell:
    name, tip = on if on_ else off
    return Cell(icon=icon(name), toolTip=tip, spoken=tip)
