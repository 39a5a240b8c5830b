"""The five steps of the panel's tour, from an image to the table of lesions."""

from typing import Any

from slicer.i18n import tr as _

from SAM3DSegmentLib.Panel import Switches
from SAM3DSegmentLib.Panel.Tour import Step, Tour
from SAM3DSegmentLib.Panel.Views import sliceViews

# On until the module has been opened once.
_SETTING = "SAM3DSegment/showTour"
_FOREGROUND = ("foreground", "line", "scribble", "lasso", "box")


def showAtFirstOpening(tour: Tour) -> None:
    """Start the tour where the module has never been opened."""
    if Switches.isOn(_SETTING):
        Switches.remember(_SETTING, False)
        tour.start()


def firstSteps(panel: Any) -> list[Step]:
    """What the tour of a panel shows."""
    ui, logic = panel.ui, panel.logic

    def prompts() -> Any:
        """Of which segment, and what lies where."""
        return logic.segmentId, tuple(item.placing for item in logic.prompts.items())

    def isAnswered() -> bool:
        return bool(logic.prompts.items()) and not logic.busy

    def table() -> Any:
        return logic.segments.ids(), ui.lesionsSection.collapsed

    return [
        Step(
            _("Load an image or choose one that is loaded; or press <i>Try it on a sample</i>."),
            target=lambda: ui.volumeSelector if ui.welcomeFrame.isHidden() else ui.sampleButton,
            isDone=lambda _before: logic.volumeNode is not None,
        ),
        Step(
            _("Take up a tool: press <i>Foreground</i>, or the key A."),
            target=lambda: ui.foregroundButton,
            isDone=lambda _before: panel.tools.active in _FOREGROUND or isAnswered(),
        ),
        Step(
            _(
                "Click on the target in a slice view, and its mask appears. Before the first one, you may be asked "
                "whether to install PyTorch. Zoom, pan and scroll as always meanwhile."
            ),
            target=lambda: next(iter(sliceViews()), None),
            isDone=lambda _before: isAnswered(),
        ),
        Step(
            _(
                "Correct it: where the mask is too large, click with <i>Background</i> (S); where it is too small, "
                "click again. Or drag a click. Undo is Ctrl+Z."
            ),
            target=lambda: ui.backgroundButton,
            state=prompts,
            isDone=lambda before: prompts() != before and not logic.busy,
        ),
        Step(
            _(
                "Go on to the next lesion with <i>Next segment</i> (N). Below, <i>Lesions</i> has the table: "
                "measurements, targets, the change since an earlier visit. The key ? lists all keys."
            ),
            target=lambda: ui.nextButton,
            state=table,
            isDone=lambda before: table() != before,
        ),
    ]
