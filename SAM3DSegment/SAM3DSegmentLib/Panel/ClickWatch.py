"""What comes before and after a click in a view: whether it may be one, its answer ahead of time, a remark on it."""

from collections.abc import Callable
from typing import Any

from slicer.i18n import tr as _

from SAM3DSegmentLib import Remarks
from SAM3DSegmentLib.Panel.MessageArea import MessageArea
from SAM3DSegmentLib.Panel.ParameterSync import isImage
from SAM3DSegmentLib.Panel.SliceMouse import Pointer
from SAM3DSegmentLib.Panel.Views import backgroundOf, moveOthersTo, shows
from SAM3DSegmentLib.Setup.Power import Power


class ClickWatch:
    """choose(volume=...) changes the image that is worked on; onLookingAhead() is told when something is computed."""

    def __init__(
        self, ui: Any, logic: Any, message: MessageArea, *,
        choose: Callable[..., None], onLookingAhead: Callable[[], None],
    ) -> None:  # fmt: skip
        self._ui, self._logic, self._message = ui, logic, message
        self._choose, self._onLookingAhead = choose, onLookingAhead
        self.power = Power()

    def mayClick(self, pointer: Pointer) -> bool:
        """Whether the view shows the image that is segmented; a click elsewhere would be about what is not seen."""
        logic, shown = self._logic, backgroundOf(pointer.sliceNode)
        if shows(pointer.sliceNode, logic.volumeNode):
            return True
        name = shown.GetName() if shown is not None else ""
        text = _("This view shows '{shown}', but '{chosen}' is being segmented.").format(
            shown=name or _("no image"), chosen=logic.volumeNode.GetName()
        )
        action = (_("Use the shown one"), lambda: self._choose(volume=shown))
        self._message.show(
            text,
            action=action if shown is not None and isImage(shown) else None,
            holds=lambda: logic.volumeNode is not None and not shows(pointer.sliceNode, logic.volumeNode),
        )
        return False

    def lookAhead(self, pointer: Pointer) -> bool:
        """The cursor rests: answer the click that may come. False where something else runs first."""
        logic = self._logic
        if logic.busy:
            return False
        if self._ui.aheadCheckBox.checked and shows(pointer.sliceNode, logic.volumeNode) and not self.power.onBattery:
            logic.controller.lookAhead(pointer.ras)
            self._onLookingAhead()
        return True

    def onPlaced(self, pointer: Pointer) -> None:
        """A click was taken: the other views follow it, and what is odd about it is said."""
        if self._ui.followCheckBox.checked:
            moveOthersTo(pointer.ras, pointer.sliceNode)
        item = self._logic.prompts.items()[-1]
        remark = Remarks.aboutClick(self._logic.volumeNode, pointer.ras) if item.kind == "foreground" else ""
        if remark:
            self._message.show(remark, outlastsAnswers=True)
