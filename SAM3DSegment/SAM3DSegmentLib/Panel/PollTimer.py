"""The panel's clock: lets the logic deliver its results, and gathers many changes into one refresh."""

from collections.abc import Callable
from typing import Any

import qt

_INTERVAL_MS = 20
# Slicer's event loop holds Python's lock: the worker computes only while the main thread waits without it.
_WAIT_SECONDS = 0.015


class PollTimer:
    """Beats while needed() says so.

    poll(seconds) may wait that long at each beat; refresh() is called at the beat after a refreshSoon().
    """

    def __init__(
        self, poll: Callable[[float], None], refresh: Callable[[], None], *, needed: Callable[[], bool]
    ) -> None:
        self._poll, self._refresh, self._needed = poll, refresh, needed
        self._wanted = self._beating = False
        self._timer: Any = qt.QTimer()
        self._timer.setInterval(_INTERVAL_MS)
        self._timer.connect("timeout()", self._beat)

    def start(self) -> None:
        """Begin to beat, if it does not."""
        if not self._timer.active:
            self._timer.start()

    def refreshSoon(self) -> None:
        """Refresh at the next beat, once for all calls until then."""
        self._wanted = True
        self.start()

    @property
    def isBeating(self) -> bool:
        """Whether it runs; it sleeps where nothing is needed."""
        return bool(self._timer.active)

    @property
    def isDue(self) -> bool:
        """Whether a refresh waits for the next beat."""
        return self._wanted

    def close(self) -> None:
        """Beat no more. Connected, the timer would hold the panel where Python's collector does not see it."""
        self._timer.stop()
        self._timer.disconnect("timeout()", self._beat)

    def _beat(self) -> None:
        """A dialog that opens below turns the event loop, and this comes again: not twice at once."""
        if self._beating:
            return
        self._beating = True
        try:
            self._poll(_WAIT_SECONDS)
            if self._wanted:
                self._wanted = False
                self._refresh()
            if not self._wanted and not self._needed():
                self._timer.stop()
        finally:
            self._beating = False
