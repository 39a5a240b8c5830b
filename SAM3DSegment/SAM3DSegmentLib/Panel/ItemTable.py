"""A table whose rows have keys and whose cells are told apart by column; both lists of the panel are one.

Rows are changed in place, and only where something differs: a name being edited, the scroll position and the current
row outlast a refresh, and hundreds of mouse moves cost nothing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import qt

from SAM3DSegmentLib.Panel.Icons import isDark

_ICON_WIDTH = 26


@dataclass(frozen=True)
class Cell:
    """What a cell shows; `icon` is a QIcon. `spoken` is read by screen readers where there is no text."""

    text: str = ""
    icon: Any = None
    toolTip: str = ""
    editable: bool = False
    alignRight: bool = False
    spoken: str = ""
    bold: bool = False
    enabled: bool = True


@dataclass(frozen=True)
class Row:
    """A row; `key` says whose it is."""

    key: str
    cells: tuple[Cell, ...]


class ItemTable:
    """Shows rows in a QTableWidget; a click, or Enter or space on a cell, calls onCell(key, column), and a right click
    onMenu(key, point of the screen).

    rows: the table has room for so many of them at least and at most; between these it is as high as the panel lets it
    be, whatever is in it, so that nothing moves when a row comes. `empty` is said where there is none.
    """

    def __init__(
        self, table: Any, *, stretched: int, onCell: Callable[[str, int], None], rows: tuple[int, int], empty: str
    ) -> None:
        self._table, self._onCell, self._heights = table, onCell, rows
        self._placeholder = _placeholder(empty, table.columnCount, stretched)
        self._rows: list[Row] = []
        self._isDark: bool | None = None
        self.onCurrent: Callable[[str], None] = lambda key: None
        self.onEdited: Callable[[str, str], None] = lambda key, text: None
        self.onMenu: Callable[[str, Any], None] = lambda key, position: None
        header = table.horizontalHeader()
        header.setMinimumSectionSize(_ICON_WIDTH)
        for column in range(table.columnCount):
            header.setSectionResizeMode(column, qt.QHeaderView.Stretch if column == stretched else qt.QHeaderView.Fixed)
            table.setColumnWidth(column, _ICON_WIDTH)
        self.rowHeight = max(_ICON_WIDTH - 2, qt.QFontMetrics(table.font).height() + 6)
        table.verticalHeader().setDefaultSectionSize(self.rowHeight)
        table.connect("cellClicked(int,int)", self._onClicked)
        table.connect("currentCellChanged(int,int,int,int)", self._onCurrentChanged)
        table.connect("cellChanged(int,int)", self._onChanged)
        table.setContextMenuPolicy(qt.Qt.CustomContextMenu)
        table.connect("customContextMenuRequested(QPoint)", self._onMenuRequested)
        for key in ("Return", "Enter", "Space"):
            self.addKey(key, lambda: self._onClicked(table.currentRow(), table.currentColumn()))
        self._fit()

    def addKey(self, key: str, call: Callable[[], None]) -> None:
        """Call something when a key is pressed while the table, and no editor in it, has the keyboard."""
        shortcut = qt.QShortcut(qt.QKeySequence(key), self._table)
        shortcut.setContext(qt.Qt.WidgetShortcut)
        shortcut.connect("activated()", call)

    def fitColumn(self, column: int, widest: str) -> None:
        """Make a column as wide as a text needs where it is bold, which the current row is."""
        self._table.setColumnWidth(column, qt.QFontMetrics(_bold(self._table)).boundingRect(widest).width() + 12)

    def below(self, key: str, column: int) -> Any:
        """The point of the screen below a cell, where a menu of it may open."""
        row = next(index for index, row in enumerate(self._rows) if row.key == key)
        corner = self._table.visualItemRect(self._table.item(row, column)).bottomLeft()
        return self._table.viewport().mapToGlobal(corner)

    @property
    def currentKey(self) -> str | None:
        """The key of the row with the keyboard, if any."""
        row = self._table.currentRow()
        return (self._rows[row].key or None) if 0 <= row < len(self._rows) else None

    def show(self, rows: Sequence[Row], *, current: str | None = None) -> None:
        """Show these rows; `current`, where given, becomes the current one. Calls nothing back."""
        blocked = self._table.blockSignals(True)
        rows = rows or [self._placeholder]
        before, self._rows = self._rows, list(rows)
        known, self._isDark = before if self._isDark is isDark() else [], isDark()
        if len(before) != len(rows):
            self._table.setRowCount(len(rows))
        for index, row in enumerate(rows):
            old = known[index].cells if index < len(known) else ()
            for column, cell in enumerate(row.cells):
                if column >= len(old) or old[column] != cell:
                    self._showCell(index, column, cell)
        self._makeCurrent(current)
        self._table.blockSignals(blocked)

    def scrollToEnd(self) -> None:
        """Bring the last row into view."""
        self._table.scrollToBottom()

    def _makeCurrent(self, key: str | None) -> None:
        index = next((index for index, row in enumerate(self._rows) if row.key == key), None)
        if index is not None and index != self._table.currentRow():
            self._table.setCurrentCell(index, max(self._table.currentColumn(), 0))

    def _showCell(self, row: int, column: int, cell: Cell) -> None:
        item = self._table.item(row, column)
        if item is None:
            item = qt.QTableWidgetItem()
            self._table.setItem(row, column, item)
        item.setText(cell.text)
        item.setIcon(cell.icon if cell.icon is not None else qt.QIcon())
        item.setToolTip(cell.toolTip)
        item.setFont(_bold(self._table) if cell.bold else self._table.font)
        item.setData(qt.Qt.AccessibleTextRole, cell.spoken or cell.text)
        side = qt.Qt.AlignRight if cell.alignRight else qt.Qt.AlignLeft
        item.setTextAlignment(side | qt.Qt.AlignVCenter)
        flags = qt.Qt.ItemIsEnabled | qt.Qt.ItemIsSelectable if cell.enabled else qt.Qt.NoItemFlags
        item.setFlags(flags | qt.Qt.ItemIsEditable if cell.editable else flags)
        palette = self._table.palette
        item.setForeground(qt.QBrush(palette.color(qt.QPalette.Text) if cell.enabled else _gray(palette)))

    def _fit(self) -> None:
        """High enough for the least rows, and not higher than for the most; further ones are scrolled to."""
        least, most = (rows * self.rowHeight + 2 * self._table.frameWidth for rows in self._heights)
        # Its own wish, which is the same for any table, would make the panel scroll; a fixed height is a wish, too.
        vertical = qt.QSizePolicy.Fixed if least == most else qt.QSizePolicy.Ignored
        self._table.setSizePolicy(qt.QSizePolicy.Expanding, vertical)
        self._table.setMinimumHeight(least)
        self._table.setMaximumHeight(most)

    def _onClicked(self, row: int, column: int) -> None:
        if 0 <= row < len(self._rows) and column >= 0 and self._rows[row].key:
            self._onCell(self._rows[row].key, column)

    def _onMenuRequested(self, at: Any) -> None:
        """A right click, or the keyboard's menu key."""
        item = self._table.itemAt(at)
        if item is not None and self._rows[item.row()].key:
            self.onMenu(self._rows[item.row()].key, self._table.viewport().mapToGlobal(at))

    def _onCurrentChanged(self, row: int, _column: int, rowBefore: int, _columnBefore: int) -> None:
        if row != rowBefore and 0 <= row < len(self._rows) and self._rows[row].key:
            self.onCurrent(self._rows[row].key)

    def _onChanged(self, row: int, column: int) -> None:
        """The user has edited a cell; what is shown until the next refresh is what they typed."""
        if row >= len(self._rows):
            return
        text, edited = self._table.item(row, column).text(), self._rows[row]
        if text != edited.cells[column].text:
            cells = list(edited.cells)
            cells[column] = replace(cells[column], text=text)
            self._rows[row] = Row(edited.key, tuple(cells))
            self.onEdited(edited.key, text)


def _bold(table: Any) -> Any:
    font = qt.QFont(table.font)
    font.setBold(True)
    return font


def _gray(palette: Any) -> Any:
    """Between text and ground; the style's own gray of what is disabled is too faint in Slicer's light style."""
    text, ground = palette.color(qt.QPalette.Text), palette.color(qt.QPalette.Base)
    return qt.QColor(
        (text.red() + ground.red()) // 2, (text.green() + ground.green()) // 2, (text.blue() + ground.blue()) // 2
    )


def _placeholder(text: str, columns: int, stretched: int) -> Row:
    """A row without a key that says, in gray, what to do to get the first real one."""
    return Row("", tuple(Cell(text if column == stretched else "", enabled=False) for column in range(columns)))
