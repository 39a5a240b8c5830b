"""Which key does what while the module is shown."""

from typing import Any

from slicer.i18n import tr as _

from SAM3DSegmentLib.Panel.Shortcuts import Shortcut


def shortcutsOf(panel: Any) -> list[Shortcut]:
    """The panel's keys, in the order in which they are listed."""
    tools, ui = panel.tools, panel.ui

    def toggleList() -> None:
        panel.cheatSheet.toggle()

    return [
        Shortcut(("A",), _("Foreground click (add)"), lambda: tools.toggle("foreground")),
        Shortcut(("S",), _("Background click (subtract)"), lambda: tools.toggle("background")),
        Shortcut(("X",), _("3D box"), lambda: tools.toggle("box")),
        Shortcut(("D",), _("Line across the target"), lambda: tools.toggle("line")),
        Shortcut(("C",), _("Scribble"), lambda: tools.toggle("scribble")),
        Shortcut(("Z",), _("Outline in one slice (lasso)"), lambda: tools.toggle("lasso")),
        Shortcut(("Ctrl+click",), _("While clicking or drawing: the other sign")),
        Shortcut(("N",), _("Next segment"), ui.nextButton.click),
        Shortcut((",",), _("Go to the lesion before"), lambda: panel.step(-1)),
        Shortcut((".",), _("Go to the lesion after"), lambda: panel.step(1)),
        Shortcut(("H",), _("Hold in a slice view: the image without masks")),
        Shortcut(("Q",), _("While comparing: A and B, A alone, B alone"), ui.turnButton.click),
        Shortcut(("Ctrl+Z",), _("Undo"), ui.undoButton.click),
        Shortcut(("Ctrl+Y", "Ctrl+Shift+Z"), _("Redo"), ui.redoButton.click),
        Shortcut(("Esc",), _("Stop what runs; else put the tool down"), panel.escape),
        Shortcut(("?",), _("This list over the views, or away with it"), toggleList),
        Shortcut(("Delete",), _("In a list: remove its current row (also Backspace)")),
    ]
