"""Who is told what happens in the logic: the panel, tests, scripts."""

from collections.abc import Callable
from typing import Any, Protocol

Listener = Callable[[str, dict[str, Any]], None]


class Tell(Protocol):
    """tell(event, name=value, ...): say that something happened."""

    def __call__(self, event: str, /, **info: Any) -> None:
        """Tell all listeners."""
        ...


class Listeners:
    """Those who want to hear of "state", "progress", "previewed", "answered", "cautioned" and "failed"."""

    def __init__(self) -> None:
        self._all: list[Listener] = []

    def add(self, listener: Listener) -> None:
        """Call listener(event, info) from now on."""
        self._all.append(listener)

    def remove(self, listener: Listener) -> None:
        """Call it no more."""
        self._all = [other for other in self._all if other != listener]

    def clear(self) -> None:
        """Call nobody any more."""
        self._all.clear()

    def tell(self, event: str, /, **info: Any) -> None:
        """Tell all listeners."""
        for listener in list(self._all):
            listener(event, info)
