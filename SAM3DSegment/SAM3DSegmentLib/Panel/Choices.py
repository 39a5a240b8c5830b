"""A combo box of words that stand for values."""

from collections.abc import Sequence
from typing import Any


class Choices:
    """Fills a combo box with (words, value) pairs; nothing is called back for it."""

    def __init__(self, selector: Any, entries: Sequence[tuple[str, Any]] = ()) -> None:
        self._selector = selector
        self._entries: list[tuple[str, Any]] = []
        self.offer(entries)

    def offer(self, entries: Sequence[tuple[str, Any]]) -> None:
        """Offer these; what is chosen stays where its value is still there, else the first is."""
        if list(entries) == self._entries:
            return
        selector, chosen = self._selector, self.chosen
        self._entries = list(entries)
        blocked = selector.blockSignals(True)
        selector.clear()
        for words, value in self._entries:
            selector.addItem(words, value)
        self.show(chosen)
        selector.blockSignals(blocked)

    def show(self, value: Any) -> None:
        """Show a value as the chosen one; the first where it is not offered."""
        index = next((index for index, (_words, known) in enumerate(self._entries) if known == value), 0)
        if index != self._selector.currentIndex:
            self._selector.setCurrentIndex(index)

    @property
    def chosen(self) -> Any:
        """The value that is chosen; None while there is nothing to choose."""
        return self.at(self._selector.currentIndex)

    def at(self, index: int) -> Any:
        """The value of a row, as of the signal "activated(int)"."""
        return self._entries[index][1] if 0 <= index < len(self._entries) else None
