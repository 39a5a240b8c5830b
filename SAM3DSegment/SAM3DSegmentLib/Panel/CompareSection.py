"""Compares two models or two boundaries on the same prompts: which is B, how far they agree, and which one stays."""

from collections.abc import Callable
from typing import Any

from slicer.i18n import tr as _

from SAM3DSegmentLib.ComparisonView import BOTH, ONLY_A, ONLY_B, ComparisonView
from SAM3DSegmentLib.Panel.Choices import Choices
from SAM3DSegmentLib.Swipe import FROM_FRONT, FROM_RIGHT, FROM_TOP


class CompareSection:
    """Shows what the logic's comparison holds while the section is open."""

    def __init__(self, ui: Any, logic: Any, guarded: Callable[[Callable[[], Any]], Any], *,
                 refreshSoon: Callable[[], None]) -> None:  # fmt: skip
        self._ui, self._logic, self._guarded, self._refreshSoon = ui, logic, guarded, refreshSoon
        self._models = Choices(ui.compareModelSelector)
        self._ways = Choices(
            ui.swipeSelector,
            ((_("From right"), FROM_RIGHT), (_("From front"), FROM_FRONT), (_("From top"), FROM_TOP)),
        )
        self._which = BOTH
        self.view = ComparisonView()
        ui.compareSection.connect("contentsCollapsed(bool)", lambda _closed: refreshSoon())
        ui.compareButton.connect("clicked(bool)", self._start)
        ui.differencesCheckBox.connect("clicked(bool)", self._show)
        ui.swipeSlider.connect("valueChanged(int)", self._show)
        ui.swipeSelector.connect("activated(int)", self._show)
        ui.turnButton.connect("clicked(bool)", self._turn)
        ui.keepAButton.connect("clicked(bool)", lambda: guarded(logic.comparison.drop))
        ui.keepBButton.connect("clicked(bool)", lambda: guarded(logic.comparison.keepB))

    def refresh(self) -> None:
        """Show what is so now."""
        ui, logic = self._ui, self._logic
        self._show()
        if ui.compareSection.collapsed:
            return
        self._models.offer([(_("The same model"), ""), *((title, name) for name, title in logic.comparison.models())])
        result = logic.comparison.result
        ui.compareButton.setEnabled(bool(logic.prompts.items()) and not logic.busy)
        for widget in (ui.turnButton, ui.keepAButton):
            widget.setEnabled(result is not None)
        for widget in (ui.differencesCheckBox, ui.swipeSlider, ui.swipeSelector):
            widget.setEnabled(result is not None and self._which == BOTH)
        ui.keepBButton.setEnabled(result is not None and not logic.isLocked)
        ui.compareLabel.setVisible(result is not None)
        ui.compareLabel.setText(self._said(result) if result is not None else "")

    def close(self) -> None:
        """Leave the scene as it was."""
        self.view.follow(None, None)

    def showBoth(self, *_args: Any) -> None:
        """Both again, as where the panel is left."""
        self._which = BOTH
        self._show()

    def _start(self, *_args: Any) -> None:
        model = self._models.chosen or ""
        # To larger masks as the boundary's slider: a lower logit.
        self._guarded(lambda: self._logic.comparison.start(model, 0.0 - self._ui.compareBoundarySpinBox.value))
        self._refreshSoon()

    def _turn(self, *_args: Any) -> None:
        """From both to A alone, to B alone, and to both again."""
        self._which = (BOTH, ONLY_A, ONLY_B)[(self._which + 1) % 3]
        self.refresh()

    def _show(self, *_args: Any) -> None:
        ui, logic = self._ui, self._logic
        result = None if ui.compareSection.collapsed else logic.comparison.result
        editor = logic.workspace.current() if result is not None else None
        if result is None:
            self._which = BOTH
        ui.turnButton.setText((_("Shown: A and B"), _("Shown: A"), _("Shown: B"))[self._which])
        self.view.follow(
            result, editor,
            which=self._which, differences=bool(ui.differencesCheckBox.checked), percent=ui.swipeSlider.value,
            axis=self._ways.chosen,
        )  # fmt: skip

    def _said(self, result: Any) -> str:
        title = self._logic.options.models.spec(result.made.model).title
        made = _("B: {model}, boundary {boundary}").format(model=title, boundary=f"{0.0 - result.threshold:+.1f}")
        return f"{made}\n{sentenceAbout(result.agreement)}"


def sentenceAbout(found: Any) -> str:
    """Dice in words, and what it comes from; translated, as the core's own sentence is not."""
    return _("Dice {dice}, {words}: {onlyA} ml only in A, {onlyB} ml only in B, {both} ml in both.").format(
        dice=f"{found.dice:.2f}", words=_words(found.kind), onlyA=f"{found.ml_only_a:.2f}",
        onlyB=f"{found.ml_only_b:.2f}", both=f"{found.ml_both:.2f}",
    )  # fmt: skip


def _words(kind: Any) -> str:
    return {
        "the same": _("the same"),
        "nearly the same": _("nearly the same"),
        "much alike": _("much alike"),
        "alike but for the border": _("alike but for the border"),
        "different": _("different"),
    }[kind]
