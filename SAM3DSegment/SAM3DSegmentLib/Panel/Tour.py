"""A guided tour: says one step at a time, frames the widget concerned, and goes on when the user has done the step.

It only looks on. No key and no click is its own, nothing waits for it, and each step can be passed over.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import qt
from slicer.i18n import tr as _

_LOOK_MS = 200
_FRAME_PX = 3


@dataclass(frozen=True)
class Step:
    """What to do, where, and whether it was done.

    target() is the widget concerned, or None. state() is a value that tells whether something was done since the step
    began: isDone(before) gets the one of then.
    """

    text: str
    target: Callable[[], Any]
    isDone: Callable[[Any], bool]
    state: Callable[[], Any] = lambda: None


class Tour:
    """Shows steps in `ui.tourFrame` between start() and the last step; looks a few times a second while it does."""

    def __init__(self, ui: Any, steps: Sequence[Step]) -> None:
        self._ui, self._steps = ui, steps
        self._index: int | None = None
        self._before: Any = None
        self._framed: Any = None
        self._ring: Any = None
        self._timer: Any = qt.QTimer()
        self._timer.setInterval(_LOOK_MS)
        self._timer.connect("timeout()", self._look)
        ui.tourNextButton.connect("clicked(bool)", self._goOn)
        ui.tourSkipButton.connect("clicked(bool)", self.stop)
        ui.tourFrame.setVisible(False)

    @property
    def isRunning(self) -> bool:
        """Whether a step is shown, or would be if the panel were."""
        return self._index is not None

    def start(self, *_args: Any) -> None:
        """Begin with the first step."""
        self._show(0)

    def resume(self) -> None:
        """The panel is shown again."""
        if self.isRunning:
            self._timer.start()
            self._look()

    def pause(self) -> None:
        """The panel is not shown any more: nothing of another module is framed."""
        self._timer.stop()
        self._unframe()

    def stop(self, *_args: Any) -> None:
        """No step any more."""
        self.pause()
        self._index = None
        self._ui.tourFrame.setVisible(False)

    def close(self) -> None:
        """The panel is about to be destroyed."""
        self.stop()
        self._timer.disconnect("timeout()", self._look)

    def _show(self, index: int) -> None:
        if index >= len(self._steps):
            self.stop()
            return
        self._index = index
        step = self._steps[index]
        self._before = step.state()
        counted = _("Step {number} of {count}").format(number=index + 1, count=len(self._steps))
        self._ui.tourLabel.setText(f"<b>{counted}.</b> {step.text}")
        isLast = index == len(self._steps) - 1
        self._ui.tourNextButton.setText(_("Done") if isLast else _("Go on"))
        self._ui.tourSkipButton.setVisible(not isLast)
        self._ui.tourFrame.setVisible(True)
        self._timer.start()
        self._frame(step.target())

    def _goOn(self, *_args: Any) -> None:
        if self._index is not None:
            self._show(self._index + 1)

    def _look(self) -> None:
        if self._index is None:
            return
        step = self._steps[self._index]
        if step.isDone(self._before):
            self._goOn()
        else:
            self._frame(step.target())

    def _frame(self, target: Any) -> None:
        """Draw a frame into a widget, which follows it; one that is there is fitted to the widget's size."""
        if target is not self._framed:
            self._unframe()
            self._framed, self._ring = target, _ringIn(target) if target is not None else None
        if target is not None:
            self._ring.setGeometry(target.rect)

    def _unframe(self) -> None:
        ring, self._framed, self._ring = self._ring, None, None
        if ring is not None:
            ring.hide()
            ring.setParent(None)
            ring.deleteLater()


def _ringIn(target: Any) -> Any:
    """A frame in the palette's highlight color through which the mouse goes."""
    ring = qt.QFrame(target)
    ring.setObjectName("tourRing")
    ring.setAttribute(qt.Qt.WA_TransparentForMouseEvents, True)
    ring.setFrameShape(qt.QFrame.Box)
    ring.setFrameShadow(qt.QFrame.Plain)
    ring.setLineWidth(_FRAME_PX)
    ring.setForegroundRole(qt.QPalette.Highlight)
    ring.show()
    return ring
