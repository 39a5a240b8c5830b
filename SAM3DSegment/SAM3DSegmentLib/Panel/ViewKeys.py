"""A key that is held in a slice view: something is so for as long."""

from collections.abc import Callable
from typing import Any

import qt

from SAM3DSegmentLib.Panel.Views import sliceViews

# Held keys repeat: X11 tells of a release before each repeated press.
_REPEAT_MS = 80


class HeldKey:
    """Calls onHeld(True) when a key goes down in a slice view and onHeld(False) when it is up again."""

    def __init__(self, keySymbol: str, onHeld: Callable[[bool], None]) -> None:
        self._symbol, self._onHeld = keySymbol, onHeld
        self._observed: list[tuple[Any, int]] = []
        self._isHeld = False
        self._timer: Any = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(_REPEAT_MS)
        self._timer.connect("timeout()", self._letGo)

    def start(self) -> None:
        """Listen to the slice views there are."""
        self.stop()
        for view in sliceViews():
            interactor = view.interactor()
            for event, call in (
                ("KeyPressEvent", self._onPress), ("KeyReleaseEvent", self._onRelease), ("LeaveEvent", self._onLeave),
            ):  # fmt: skip
                self._observed.append((interactor, interactor.AddObserver(event, call)))

    def stop(self) -> None:
        """Listen no more."""
        for interactor, tag in self._observed:
            interactor.RemoveObserver(tag)
        self._observed = []
        self._letGo()

    def close(self) -> None:
        """Stop for good."""
        self.stop()
        self._timer.stop()
        self._timer.disconnect("timeout()", self._letGo)

    def _onPress(self, interactor: Any, *_: Any) -> None:
        if (interactor.GetKeySym() or "").lower() != self._symbol or interactor.GetControlKey():
            return
        self._timer.stop()
        if not self._isHeld:
            self._isHeld = True
            self._onHeld(True)

    def _onRelease(self, interactor: Any, *_: Any) -> None:
        if (interactor.GetKeySym() or "").lower() == self._symbol:
            self._timer.start()

    def _onLeave(self, *_: Any) -> None:
        self._letGo()

    def _letGo(self) -> None:
        if self._isHeld:
            self._isHeld = False
            self._onHeld(False)
