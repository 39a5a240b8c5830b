"""The tools: they take clicks and strokes in the slice views and leave all else to Slicer."""

from collections.abc import Callable
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from SAM3DSegmentLib.Panel.CursorRest import CursorRest
from SAM3DSegmentLib.Panel.Gestures import BoxGesture, ClickGesture, StrokeGesture
from SAM3DSegmentLib.Panel.Icons import icon
from SAM3DSegmentLib.Panel.SliceMouse import Pointer, SliceMouse
from SAM3DSegmentLib.PromptKinds import DRAWN, OPPOSITE

_CURSORS = {"background": "BackgroundCursor", "box": "BoxCursor"}


class PlaceTools(VTKObservationMixin):
    """Buttons of which at most one is pressed; it stays pressed until the tool is put down, by whatever means.

    buttons: kind -> checkable button. guarded(call) returns whether the call went through, and tells the user if not.
    prepare() makes sure that a click can be answered, before one is made. mayClick(pointer) says whether the view under
    the mouse shows what is segmented, and tells the user if not; onPlaced(pointer) is told of each click.
    onRest(pointer) is told where the cursor rests with Foreground in hand (`CursorRest`), onLeft() when it goes on.
    """

    def __init__(
        self,
        buttons: dict[str, Any],
        logic: Any,
        guarded: Callable[[Callable[[], Any]], bool],
        *,
        prepare: Callable[[], None],
        mayClick: Callable[[Pointer], bool],
        onPlaced: Callable[[Pointer], None],
        onRest: Callable[[Pointer], bool],
        onLeft: Callable[[], None],
    ) -> None:
        VTKObservationMixin.__init__(self)
        self._buttons, self._logic, self._guarded = buttons, logic, guarded
        self._prepare, self._mayClick, self._onPlaced = prepare, mayClick, onPlaced
        self._toolTips = {kind: button.toolTip for kind, button in buttons.items()}
        self._mouse = SliceMouse()
        self._rest = CursorRest(lambda pointer: self.active != "foreground" or onRest(pointer), onLeft)
        self._click = ClickGesture(self._onClick, self._rest)
        self._box = BoxGesture(mayBegin=mayClick, makeNode=self._newBox, onDrawn=lambda: self.activate(None))
        self._stroke = StrokeGesture(
            isStraight=lambda: self.active == "line",
            mayBegin=mayClick,
            makeNode=self._newStroke,
            onDrawn=self._onStroke,
        )
        self.active: str | None = None
        self._tookUpItself = False
        for kind, button in buttons.items():
            button.connect("clicked(bool)", lambda _checked, kind=kind: self._onButton(kind))
        interaction = _interaction()
        self.addObserver(interaction, interaction.InteractionModeChangedEvent, self._onModeChanged)

    @property
    def obstacle(self) -> str:
        """Why no tool can be used now; empty where one can."""
        usable = list(self._usability().values())
        return "" if any(yes for yes, _reason in usable) else usable[0][1]

    def toggle(self, kind: str) -> None:
        """Take up a tool, or put it down if it is in hand; nothing where it cannot be used.

        A tool that came to hand by itself, with the next segment, is confirmed by the first press instead.
        """
        if self._usable(kind)[0]:
            isConfirmed = self._tookUpItself and self.active == kind
            self.activate(None if self.active == kind and not isConfirmed else kind)

    def takeUpForNext(self) -> None:
        """A new segment is there: keep the tool in hand, or take up Foreground."""
        if self.active is None and self._usable("foreground")[0]:
            self.activate("foreground")
            self._tookUpItself = self.active is not None

    def activate(self, kind: str | None) -> None:
        """Take up a tool, or none."""
        self._putDown()
        self._tookUpItself = False
        if kind is not None and self._guarded(self._prepare):
            self.active = kind
            interaction = _interaction()
            # Slicer's own placing would take the same clicks.
            if interaction.GetCurrentInteractionMode() == interaction.Place:
                interaction.SetCurrentInteractionMode(interaction.ViewTransform)
            gesture = self._box if kind == "box" else self._stroke if kind in DRAWN else self._click
            self._mouse.start(gesture, _cursor(kind))
        self._showPressed()

    def refresh(self) -> None:
        """Gray the tools that cannot be used now, with the reason as tool tip."""
        usability = self._usability()
        for kind, button in self._buttons.items():
            usable, reason = usability[kind]
            button.setEnabled(usable)
            button.setToolTip(self._toolTipOf(kind) if usable else reason)
        if self.active is not None and not usability[self.active][0]:
            self.activate(None)

    def close(self) -> None:
        """Put the tool down and stop watching."""
        self.activate(None)
        self._rest.close()
        self.removeObservers()

    def _usable(self, kind: str) -> tuple[bool, str]:
        return self._usability()[kind]

    def _usability(self) -> dict[str, tuple[bool, str]]:
        """For each tool whether it can be used now, and if not, why."""
        hindrance = self._hindrance()
        return {kind: (False, hindrance) if hindrance else self._logic.options.accepts(kind) for kind in self._buttons}

    def _hindrance(self) -> str:
        """Why no tool at all can be used now; empty where the model decides."""
        logic = self._logic
        if logic.volumeNode is None:
            return _("Load or choose an image first.")
        if not logic.options.isInstalled:
            return _("This model is not on this computer; see 'About this model', or choose another one.")
        if logic.isLocked:
            return _("The current segment is locked; unlock it, or go on to the next one.")
        editor = logic.workspace.current()
        return logic.workspace.foreignImage(editor) if editor is not None else ""

    def _toolTipOf(self, kind: str) -> str:
        """What a tool does, and whether the model is told of it by clicks only."""
        if kind not in DRAWN or self._logic.options.readsItself(kind):
            return self._toolTips[kind]
        return self._toolTips[kind] + " " + _("This model is told of it by clicks or a box.")

    def _putDown(self) -> None:
        self._mouse.stop()
        self._rest.stop()
        self._box.giveUp()
        self._stroke.giveUp()
        self.active = None

    def _onButton(self, kind: str) -> None:
        self.toggle(kind)
        self._showPressed()

    def _onClick(self, pointer: Pointer) -> None:
        kind = self.active or ""
        if pointer.control:
            kind = OPPOSITE[kind]
        if self._usable(kind)[0] and self._mayClick(pointer):
            isPositive = kind == "foreground"
            if self._guarded(lambda: self._logic.prompts.addClick(pointer.ras, positive=isPositive)):
                self._tookUpItself = False
                self._onPlaced(pointer)

    def _newBox(self) -> Any:
        return self._newNode("box")

    def _newStroke(self, pointer: Pointer) -> Any:
        kind = self.active or ""
        return self._newNode(OPPOSITE.get(kind, kind) if pointer.control else kind)

    def _newNode(self, kind: str) -> Any:
        nodes: list[Any] = []
        self._guarded(lambda: nodes.append(self._logic.prompts.placeNode(kind)))
        return nodes[0] if nodes else None

    def _onStroke(self, pointer: Pointer) -> None:
        self._tookUpItself = False
        self._logic.prompts.touched()
        self._onPlaced(pointer)

    def _onModeChanged(self, *_: Any) -> None:
        """The user has taken up something of Slicer's own for placing."""
        interaction = _interaction()
        if self.active is not None and interaction.GetCurrentInteractionMode() == interaction.Place:
            self.activate(None)

    def _showPressed(self) -> None:
        for kind, button in self._buttons.items():
            button.setChecked(kind == self.active)


def _interaction() -> Any:
    return slicer.app.applicationLogic().GetInteractionNode()


def _cursor(kind: str) -> Any:
    """A cross with the tool's sign beside it; its hot spot is the middle of the cross."""
    return qt.QCursor(icon(_CURSORS.get(kind, "ForegroundCursor")).pixmap(32, 32), 11, 11)
