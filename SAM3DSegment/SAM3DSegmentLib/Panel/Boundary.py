"""The slider that moves the mask's boundary: it cuts the model's answer elsewhere and never asks the model again."""

from collections.abc import Callable
from typing import Any

from slicer.i18n import tr as _

# One step of the slider in logits. To the right is larger, which is a lower threshold.
_STEP = 0.1


class Boundary:
    """The slider, from smaller to larger; its middle is the model's own boundary."""

    def __init__(self, slider: Any, *, reset: Any, logic: Any, guarded: Callable[[Callable[[], Any]], Any]) -> None:
        self._slider, self._reset, self._logic, self._guarded = slider, reset, logic, guarded
        self._toolTip = slider.toolTip
        reset.connect("clicked(bool)", lambda: slider.setValue(0))
        slider.connect("valueChanged(int)", self._onMoved)

    def refresh(self) -> None:
        """Show the logic's threshold; there is nothing to move while the segment has no prompts."""
        blocked = self._slider.blockSignals(True)
        self._slider.setValue(round(-self._logic.options.threshold / _STEP))
        self._slider.blockSignals(blocked)
        self._reset.setEnabled(self._slider.value != 0)
        usable = bool(self._logic.prompts.items()) and not self._logic.isLocked
        self._slider.setEnabled(usable)
        self._slider.setToolTip(
            self._toolTip if usable else _("Place a click or a box first; then the boundary can be moved.")
        )

    def _onMoved(self, value: int) -> None:
        threshold = -value * _STEP
        self._guarded(lambda: self._logic.options.setThreshold(threshold))
