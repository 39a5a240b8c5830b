"""The table of lesions: numbers, RECIST roles and review, a row a lesion; a click on a row goes there.

Nothing is measured while the section is closed. While it is open, one lesion is measured at each refresh, and as many
more as take a few milliseconds, so that thirty of them do not hold up the panel.
"""

import time
from collections.abc import Callable
from typing import Any

import qt
from slicer.i18n import tr as _

from SAM3DSegmentLib.AxisLines import diametersOf
from SAM3DSegmentLib.Panel import Formatting
from SAM3DSegmentLib.Panel.ExportMenu import ExportMenu
from SAM3DSegmentLib.Panel.FileDialog import pathToSave
from SAM3DSegmentLib.Panel.ItemTable import Cell, ItemTable, Row
from SAM3DSegmentLib.Panel.ReportFile import writeReport
from SAM3DSegmentLib.Panel.SegmentList import reviewCell
from SAM3DSegmentLib.Panel.TableFile import writeTable
from SAM3DSegmentLib.Panel.Views import centerOn
from SAM3DSegmentLib.Panel.VisitRows import VisitRows

NAME, VOLUME, AXES, MEAN, ROLE, REVIEW, CHANGE, ORGAN = range(8)
_BUDGET_SECONDS = 0.03
_WAITING = "…"


class LesionSection:
    """Shows the lesions of the logic's segmentation; goTo(segmentId) works on one and shows it.

    refreshSoon() asks for another refresh; guarded(call) says what is refused.
    budgetSeconds: how long a refresh goes on measuring further lesions.
    """

    def __init__(
        self, ui: Any, logic: Any, guarded: Callable[[Callable[[], Any]], Any], *,
        goTo: Callable[[str], None], refreshSoon: Callable[[], None],
    ) -> None:  # fmt: skip
        self._ui, self._logic, self._guarded = ui, logic, guarded
        self._goTo, self._refreshSoon = goTo, refreshSoon
        self.budgetSeconds = _BUDGET_SECONDS
        self._sortedBy, self._descending = -1, False
        self._changes: dict[str, tuple[str, str]] = {}
        table = ui.lesionsTable
        titles = (_("Lesion"), _("ml"), _("mm axial"), _("mean"), _("RECIST"), "", _("Change"), _("Organ"))
        table.setHorizontalHeaderLabels(list(titles))
        # The titles take the height of a row.
        self._items = ItemTable(table, stretched=ORGAN, onCell=self._onCell, rows=(7, 7), empty="")
        for column, widest in ((NAME, "Lesion 100"), (VOLUME, "88.8"), (AXES, "188.8 × 88.8"), (MEAN, "-1000")):
            self._items.fitColumn(column, widest)
        self._items.fitColumn(ROLE, "RECIST ")
        self._items.fitColumn(CHANGE, "+100 % ")
        self.visits = VisitRows(ui, logic, guarded)
        self._items.onCurrent = self._jump
        self._items.onEdited = lambda key, organ: guarded(lambda: self._logic.lesions.setOrgan(key, organ))
        table.horizontalHeader().connect("sectionClicked(int)", self._sortBy)
        ui.lesionsSection.connect("contentsCollapsed(bool)", lambda _closed: refreshSoon())
        ui.copyTableButton.connect("clicked(bool)", lambda: guarded(self._copy))
        ui.saveTableButton.connect("clicked(bool)", lambda: guarded(self._save))
        self.exports = ExportMenu(ui.exportMasksButton, logic.exports, guarded)
        ui.timeButton.connect("clicked(bool)", lambda: guarded(self._alongTime))
        ui.reportButton.connect("clicked(bool)", lambda: guarded(self._saveReport))

    def refresh(self) -> None:
        """Show what the logic holds now, and measure some of what is not measured yet."""
        if self._ui.lesionsSection.collapsed:
            return
        ids = self._logic.segments.ids()
        lesions = self._measured(ids)
        waiting = len(lesions) < len(ids)
        # Of all lesions or of none: a sum of some of them would be a wrong one.
        self._changes = {} if waiting else self.visits.refresh()
        rows = self._sorted(ids, lesions)
        self._items.show([self._row(segmentId, lesions) for segmentId in rows], current=self._logic.segmentId)
        self._ui.lesionSumLabel.setText(_WAITING if waiting else self._sum(lesions))
        ui = self._ui
        for button in (ui.copyTableButton, ui.saveTableButton, ui.reportButton, ui.exportMasksButton):
            button.setEnabled(any(lesion is None or lesion.present for lesion in lesions.values()))
        ui.timeButton.setVisible(self._logic.timeSeries.isOffered)
        ui.timeButton.setEnabled(ui.exportMasksButton.enabled and not self._logic.busy)
        if waiting:
            self._refreshSoon()

    def _measured(self, ids: list[str]) -> dict[str, Any]:
        """The lesions that are known, and as many more as there is time for; one at least, however slow it is here."""
        measuring, lesions = self._logic.measuring, self._logic.lesions
        frame, end, found = measuring.frame(), time.perf_counter() + self.budgetSeconds, {}
        mayMeasure = True
        for segmentId in ids:
            isKnown = measuring.isKnown(segmentId, frame=frame)
            if isKnown or mayMeasure:
                found[segmentId] = lesions.lesion(segmentId, frame=frame)
                mayMeasure = mayMeasure and (isKnown or time.perf_counter() < end)
        return found

    def _row(self, segmentId: str, lesions: dict[str, Any]) -> Row:
        logic, lesion = self._logic, lesions.get(segmentId)
        name, role = logic.segments.get(segmentId).GetName(), logic.lesions.role(segmentId)
        finding = logic.lesions.finding(segmentId)
        numbers = lesion.measurements if lesion is not None else None
        axial = numbers.axial if numbers is not None else None
        values = numbers.statistics if numbers is not None else None
        full = Formatting.measurementsInFull(numbers) if numbers is not None else ""
        blank = "" if segmentId in lesions else _WAITING
        axes = f"{axial.longest.mm:.1f} × {axial.perpendicular.mm:.1f}" if axial else blank
        changed, changeTip = self._changes.get(name, ("", _("Choose an earlier visit below")))
        roleTip = _("Click for the next one: non-target, target, target node. Five targets at most, two an organ.")
        organTip = _("Double-click to say in which organ it is: RECIST takes two targets an organ.")
        return Row(
            segmentId,
            (
                Cell(name, toolTip="\n".join(filter(None, (finding, full))), bold=segmentId == logic.segmentId),
                Cell(Formatting.milliliters(numbers.volume_ml) if numbers else blank, toolTip=full, alignRight=True),
                Cell(axes, toolTip=full, alignRight=True),
                Cell(Formatting.grayValue(values.mean) if values else blank, toolTip=full, alignRight=True),
                Cell(_roleWords()[role], toolTip=roleTip, bold=role != "non-target"),
                reviewCell(logic.segments.status(segmentId)),
                Cell(changed, toolTip=changeTip, alignRight=True),
                Cell(logic.lesions.organ(segmentId), toolTip=organTip, editable=True),
            ),
        )

    def _sum(self, lesions: dict[str, Any]) -> str:
        """What the targets sum up to, and what is to be looked at before that is used."""
        from inference_core.measures.lesion_table import Entry, LesionTable

        entries = tuple(Entry(lesion) for lesion in lesions.values() if lesion is not None and lesion.present)
        table = LesionTable(entries, is_baseline=self._logic.followUp.earlier is None)
        count = len(table.targets)
        if not count:
            return _("No targets: click in the RECIST column to make a lesion one.")
        text = _("Sum of diameters {mm} mm, targets: {count}").format(mm=f"{table.sum_mm:.1f}", count=count)
        return "\n".join([text, *table.cautions()])

    def _sorted(self, ids: list[str], lesions: dict[str, Any]) -> list[str]:
        """The segments in the order of the chosen column; what is not measured yet comes last."""
        logic, column = self._logic, self._sortedBy
        if column < 0:
            return list(ids)

        def worth(segmentId: str) -> Any:
            words = {NAME: logic.segments.get(segmentId).GetName().lower(), ORGAN: logic.lesions.organ(segmentId)}
            words |= {ROLE: logic.lesions.role(segmentId), REVIEW: logic.segments.status(segmentId)}
            return words[column] if column in words else _number(lesions[segmentId], column)

        known = [segmentId for segmentId in ids if lesions.get(segmentId) is not None]
        rest = [segmentId for segmentId in ids if segmentId not in known]
        return [*sorted(known, key=worth, reverse=self._descending), *rest]

    def _sortBy(self, column: int) -> None:
        """Up, down, and as they were made."""
        if column != self._sortedBy:
            self._sortedBy, self._descending = column, False
        elif not self._descending:
            self._descending = True
        else:
            self._sortedBy = -1
        self.refresh()

    def _onCell(self, segmentId: str, column: int) -> None:
        if column == ROLE:
            self._guarded(lambda: self._logic.lesions.nextRole(segmentId))
        elif column == REVIEW:
            self._guarded(lambda: self._logic.segments.goOnWithReview(segmentId))
        elif column != ORGAN:
            self._jump(segmentId)
        self.refresh()

    def _jump(self, segmentId: str) -> None:
        """Work on a lesion, and show it where its axes were measured; where it has none, its middle."""
        ends = diametersOf(self._logic.measuring.of(segmentId)).get("long")
        if ends is None:
            self._goTo(segmentId)
            return
        self._guarded(lambda: self._logic.setSegment(segmentId))
        centerOn([(a + b) / 2 for a, b in zip(ends.start_ras, ends.end_ras, strict=True)])

    def _copy(self) -> None:
        from inference_core.measures.change_table import TITLES, change_rows, conclusion

        text, change = self._logic.followUp.table().as_text(), self._logic.followUp.change()
        if change is not None:
            lines = ["\t".join(row) for row in (TITLES, *change_rows(change))]
            text += "\n".join(["", *lines, conclusion(change), ""])
        qt.QApplication.clipboard().setText(text)

    def _save(self) -> None:
        table, change = self._logic.followUp.table(), self._logic.followUp.change()
        path = pathToSave(_("Save the table"), "lesions.csv", _("Table (*.csv);;Numbers with units (*.json)"))
        if path is not None:
            writeTable(path, table, change)

    def _alongTime(self) -> None:
        path = pathToSave(_("Save the table"), "lesions_in_time.csv", _("Table (*.csv)"))
        if path is not None:
            self._logic.timeSeries.start(path)

    def _saveReport(self) -> None:
        page = self._logic.studyReports.page()
        path = pathToSave(_("Save the report"), "report.pdf", _("PDF (*.pdf);;Page (*.html)"))
        if path is not None:
            writeReport(path, page)


def _roleWords() -> dict[str, str]:
    """The roles, short enough for the column."""
    return {"non-target": "–", "target": _("target"), "target node": _("node")}


def _number(lesion: Any, column: int) -> float:
    numbers = lesion.measurements
    if column == VOLUME:
        return float(numbers.volume_ml)
    if column == AXES:
        return float(numbers.axial.longest.mm) if numbers.axial else 0.0
    return float(numbers.statistics.mean) if numbers.statistics else 0.0
