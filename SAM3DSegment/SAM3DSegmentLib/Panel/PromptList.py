"""The list of the current segment's prompts: where each is, and what can be done with it."""

from collections.abc import Callable
from typing import Any

from slicer.i18n import tr as _

from SAM3DSegmentLib.Panel import Formatting
from SAM3DSegmentLib.Panel.Icons import icon
from SAM3DSegmentLib.Panel.ItemTable import Cell, ItemTable, Row
from SAM3DSegmentLib.Panel.Views import centerOn
from SAM3DSegmentLib.PromptKinds import OPPOSITE
from SAM3DSegmentLib.PromptKinds import TEXT as WORDS

SIGN, TEXT, VISIBLE, JUMP, FLIP, DELETE = range(6)


class PromptList:
    """Shows the prompts of the current segment, the newest last."""

    def __init__(self, table: Any, logic: Any, guarded: Callable[[Callable[[], Any]], Any]) -> None:
        self._logic, self._guarded = logic, guarded
        self._count = 0
        self.onChosen: Callable[[], None] = lambda: None
        empty = _("Press A and click on the target")
        self._items = ItemTable(table, stretched=TEXT, onCell=self._onCell, rows=(3, 12), empty=empty)
        for key in ("Delete", "Backspace"):  # a Mac's delete key is the latter
            self._items.addKey(key, self._deleteCurrent)
        self._items.onCurrent = self._choose

    @property
    def chosen(self) -> str | None:
        """The id of the prompt whose row is the current one."""
        return self._items.currentKey

    def refresh(self) -> None:
        """Show what the logic holds now; a prompt that has just been placed is scrolled to."""
        prompts = self._logic.prompts.items()
        self._items.show([_row(item) for item in prompts])
        if len(prompts) > self._count:
            self._items.scrollToEnd()
        self._count = len(prompts)

    def _choose(self, _promptId: str) -> None:
        self.onChosen()

    def _onCell(self, promptId: str, column: int) -> None:
        if column in (SIGN, TEXT) or (self._logic.isLocked and column in (FLIP, DELETE)):
            return
        change = {VISIBLE: self._toggle, JUMP: self._jump, FLIP: self._flip, DELETE: self._logic.prompts.delete}[column]
        self._guarded(lambda: change(promptId))

    def _item(self, promptId: str) -> Any:
        return next(item for item in self._logic.prompts.items() if item.id == promptId)

    def _toggle(self, promptId: str) -> None:
        self._logic.prompts.setVisible(promptId, not self._item(promptId).visible)

    def _flip(self, promptId: str) -> None:
        if self._item(promptId).kind in OPPOSITE:
            self._logic.prompts.flip(promptId)

    def _jump(self, promptId: str) -> None:
        """Show the prompt in the middle of all slice views."""
        place = self._logic.prompts.positionOf(promptId)
        if place is not None:
            centerOn(place)

    def _deleteCurrent(self) -> None:
        key = self._items.currentKey
        if key is not None and not self._logic.isLocked:
            self._guarded(lambda: self._logic.prompts.delete(key))


def _row(item: Any) -> Row:
    words, picture = _LOOKS[item.kind]()
    text, isText = _told(item), item.kind == WORDS
    where = f"{words}: {text}" if isText else _("{kind} at {position}").format(
        kind=words, position=Formatting.position(item.ras)
    )  # fmt: skip
    eye = ("Visible", _("Hide in the views")) if item.visible else ("Hidden", _("Hidden, but it counts; show it"))
    cells = (
        Cell(icon=icon(picture), toolTip=words, spoken=words),
        Cell(text, toolTip=where, spoken=where),
        Cell() if isText else _button(*eye),
        Cell() if isText else _button("Jump", _("Show it in the middle of the slice views")),
        _button("Flip", _("Turn foreground into background, or back")) if item.kind in OPPOSITE else Cell(),
        _button("Delete", _("Delete")),
    )
    return Row(item.id, cells)


def _told(item: Any) -> str:
    """Where a click is, how large a box, how long a line, what a text says."""
    if item.kind == WORDS:
        return str(item.prompt.text)
    if item.kind == "box":
        return Formatting.boxSize(item.size)
    if item.kind == "line":
        return Formatting.length(item.prompt.length_mm)
    return Formatting.position(item.ras)


# Words are translated when they are shown.
_LOOKS: dict[str, Callable[[], tuple[str, str]]] = {
    "foreground": lambda: (_("foreground click"), "Foreground"),
    "background": lambda: (_("background click"), "Background"),
    "box": lambda: (_("3D box"), "Box"),
    "line": lambda: (_("line across the target"), "Line"),
    "scribble": lambda: (_("foreground scribble"), "Scribble"),
    "backgroundScribble": lambda: (_("background scribble"), "BackgroundScribble"),
    "lasso": lambda: (_("outline of the target"), "Lasso"),
    "backgroundLasso": lambda: (_("outline of background"), "BackgroundLasso"),
    WORDS: lambda: (_("target in words"), "Words"),
}


def _button(picture: str, tip: str) -> Cell:
    return Cell(icon=icon(picture), toolTip=tip, spoken=tip)
