"""Below the table of lesions: the earlier visit, how the images are aligned, and what became of its lesions."""

from collections.abc import Callable
from typing import Any

from slicer.i18n import tr as _

from SAM3DSegmentLib.Panel.AlignChoice import AlignChoice


class VisitRows:
    """Chooses the earlier visit and carries its lesions over; says the change, the RECIST category and its reason."""

    def __init__(self, ui: Any, logic: Any, guarded: Callable[[Callable[[], Any]], Any]) -> None:
        self._ui, self._logic, self._guarded = ui, logic, guarded
        self._align = AlignChoice(ui.alignSelector)
        ui.earlierSelector.connect("currentNodeChanged(vtkMRMLNode*)", self._choose)
        ui.followButton.connect("clicked(bool)", self._follow)

    def refresh(self) -> dict[str, tuple[str, str]]:
        """Show what is so now; returns each lesion's change, and all of its numbers, by its name."""
        from inference_core.errors import SAM3DError

        ui, followUp = self._ui, self._logic.followUp
        earlier = followUp.earlier
        self._align.refresh()
        if ui.earlierSelector.currentNode() is not earlier:
            blocked = ui.earlierSelector.blockSignals(True)
            ui.earlierSelector.setCurrentNode(earlier)
            ui.earlierSelector.blockSignals(blocked)
        ui.followButton.setEnabled(earlier is not None and not followUp.isRunning and not self._logic.busy)
        try:
            change = followUp.change()
        except SAM3DError as error:
            ui.changeLabel.setText(str(error))
            return {}
        ui.changeLabel.setVisible(change is not None)
        ui.changeLabel.setText(_said(change) if change is not None else "")
        return {} if change is None else {lesion.name: _cell(lesion) for lesion in change.lesions}

    def _choose(self, node: Any) -> None:
        followUp = self._logic.followUp
        if node is not followUp.earlier and not self._guarded(lambda: followUp.setEarlier(node)):
            self._ui.earlierSelector.setCurrentNode(followUp.earlier)

    def _follow(self, *_args: Any) -> None:
        self._guarded(lambda: self._logic.followUp.start(self._align.chosen))


def _said(change: Any) -> str:
    """The sum, the category with its reason, and who vanished, since these have no row."""
    from inference_core.measures.change import Fate
    from inference_core.measures.change_table import conclusion

    before, after = change.sum_mm
    lines = [_("Sum of diameters {before} mm, now {after} mm").format(before=f"{before:.1f}", after=f"{after:.1f}")]
    for fate, words in ((Fate.VANISHED, _("Vanished: {names}")), (Fate.NOT_MEASURED, _("Not measured: {names}"))):
        names = [lesion.name for lesion in change.lesions if lesion.fate is fate]
        lines += [words.format(names=", ".join(names))] if names else []
    return "\n".join([*lines, conclusion(change)])


def _cell(lesion: Any) -> tuple[str, str]:
    from inference_core.measures.change import Fate, percent

    (mm, mmNow), (ml, mlNow) = lesion.mm, lesion.ml
    if lesion.fate is Fate.NEW:
        return _("new"), _("Not at the earlier visit")
    share = percent(mm, mmNow)
    tip = _("{mm} mm before, {mmNow} mm now; {ml} ml before, {mlNow} ml now").format(
        mm=f"{mm:.1f}", mmNow=f"{mmNow:.1f}", ml=f"{ml:.2f}", mlNow=f"{mlNow:.2f}"
    )
    return ("" if share is None else f"{share:+.0f} %"), tip
