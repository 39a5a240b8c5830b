"""Notices where the cursor rests, so that what a click there would ask can be worked out ahead."""

from collections.abc import Callable
from typing import Any

import qt

from SAM3DSegmentLib.Panel.SliceMouse import Pointer

REST_MS = 150


class CursorRest:
    """Calls onRest(pointer) once the mouse has stayed for `REST_MS`, and onLeft() when it goes on from there.

    onRest says whether it could look; where it could not, it is called again after as long.
    """

    def __init__(self, onRest: Callable[[Pointer], bool], onLeft: Callable[[], None]) -> None:
        self._onRest, self._onLeft = onRest, onLeft
        self._pointer: Pointer | None = None
        self._timer: Any = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(REST_MS)
        self._timer.connect("timeout()", self._rested)

    def moved(self, pointer: Pointer) -> None:
        """The mouse is somewhere, with no button down."""
        if self._pointer is not None and pointer.ras == self._pointer.ras:
            return
        self.stop()
        self._pointer = pointer
        self._timer.start()

    def hold(self) -> None:
        """A button went down: no new rest begins, and what was begun goes on."""
        self._timer.stop()

    def stop(self) -> None:
        """The tool was put down, or the mouse has gone on."""
        self._timer.stop()
        if self._pointer is not None:
            self._pointer = None
            self._onLeft()

    def close(self) -> None:
        """Rest no more. Connected, the timer would hold the panel where Python's collector does not see it."""
        self.stop()
        self._timer.disconnect("timeout()", self._rested)

    def _rested(self) -> None:
        if self._pointer is not None and not self._onRest(self._pointer):
            self._timer.start()
