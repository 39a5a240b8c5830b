"""Compares two models or two boundaries on the same prompts: which is B, how far they agree, and which one stays."""

from collections.abc import Callable
from typing import Any

from slicer.i18n import tr as _

from SAM3DSegmentLib.ComparisonView import ComparisonView


class CompareSection:
    """Shows what the logic's comparison holds while the section is open."""

    def __init__(self, ui: Any, logic: Any, guarded: Callable[[Callable[[], Any]], Any], *,
                 refreshSoon: Callable[[], None]) -> None:  # fmt: skip
        self._ui, self._logic, self._guarded, self._refreshSoon = ui, logic, guarded, refreshSoon
        self._offered: list[tuple[str, str]] | None = None
        self.view = ComparisonView()
        ui.compareSection.connect("contentsCollapsed(bool)", lambda _closed: refreshSoon())
        ui.compareButton.connect("clicked(bool)", self._start)
        ui.differencesCheckBox.connect("clicked(bool)", self._show)
        ui.swipeSlider.connect("valueChanged(int)", self._show)
        ui.keepAButton.connect("clicked(bool)", lambda: guarded(logic.comparison.drop))
        ui.keepBButton.connect("clicked(bool)", lambda: guarded(logic.comparison.keepB))

    def refresh(self) -> None:
        """Show what is so now."""
        ui, logic = self._ui, self._logic
        self._show()
        if ui.compareSection.collapsed:
            return
        self._offerModels()
        result = logic.comparison.result
        ui.compareButton.setEnabled(bool(logic.prompts.items()) and not logic.busy)
        for widget in (ui.differencesCheckBox, ui.swipeSlider, ui.keepAButton):
            widget.setEnabled(result is not None)
        ui.keepBButton.setEnabled(result is not None and not logic.isLocked)
        ui.compareLabel.setVisible(result is not None)
        ui.compareLabel.setText(self._said(result) if result is not None else "")

    def close(self) -> None:
        """Leave the scene as it was."""
        self.view.follow(None, None, differences=False, share=1.0)

    def _offerModels(self) -> None:
        offered = self._logic.comparison.models()
        if offered == self._offered:
            return
        selector = self._ui.compareModelSelector
        chosen = selector.itemData(selector.currentIndex) if selector.count else ""
        selector.clear()
        selector.addItem(_("The same model"), "")
        for name, title in offered:
            selector.addItem(title, name)
        selector.setCurrentIndex(max(0, selector.findData(chosen)))
        self._offered = offered

    def _start(self, *_args: Any) -> None:
        ui = self._ui
        model = ui.compareModelSelector.itemData(ui.compareModelSelector.currentIndex) or ""
        # To larger masks as the boundary's slider: a lower logit.
        self._guarded(lambda: self._logic.comparison.start(model, 0.0 - ui.compareBoundarySpinBox.value))
        self._refreshSoon()

    def _show(self, *_args: Any) -> None:
        ui, logic = self._ui, self._logic
        result = None if ui.compareSection.collapsed else logic.comparison.result
        editor = logic.workspace.current() if result is not None else None
        self.view.follow(
            result, editor, differences=bool(ui.differencesCheckBox.checked), share=ui.swipeSlider.value / 100
        )

    def _said(self, result: Any) -> str:
        title = self._logic.options.models.spec(result.model).title
        made = _("B: {model}, boundary {boundary}").format(model=title, boundary=f"{0.0 - result.threshold:+.1f}")
        return f"{made}\n{result.agreement.sentence()}"
