"""The tools Foreground, Background and 3D box: each puts Slicer into its own mode for placing markups."""

from collections.abc import Callable
from typing import Any

import slicer
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from SAM3DSegmentLib.Panel.OppositeClick import OppositeClick
from SAM3DSegmentLib.PromptNodes import KIND_ATTRIBUTE


class PlaceTools(VTKObservationMixin):
    """Three buttons of which at most one is pressed; it stays pressed until place mode ends, by whatever means.

    buttons: kind -> checkable button. guarded(call) returns whether the call went through, and tells the user if not.
    prepare() makes sure that a click can be answered, before one is made; onDisturbed() has refresh() called soon.
    """

    def __init__(
        self,
        buttons: dict[str, Any],
        logic: Any,
        guarded: Callable[[Callable[[], Any]], bool],
        *,
        prepare: Callable[[], None],
        onDisturbed: Callable[[], None],
    ) -> None:
        VTKObservationMixin.__init__(self)
        self._buttons, self._logic, self._guarded = buttons, logic, guarded
        self._prepare, self._onDisturbed = prepare, onDisturbed
        self._toolTips = {kind: button.toolTip for kind, button in buttons.items()}
        self._opposite = OppositeClick(self._placeOpposite)
        self._node: Any = None
        self._segmentId: str | None = None
        self.active: str | None = None
        for kind, button in buttons.items():
            button.connect("clicked(bool)", lambda checked, kind=kind: self.activate(kind if checked else None))
        interaction, selection = _interaction(), _selection()
        self.addObserver(interaction, interaction.InteractionModeChangedEvent, self._onModeChanged)
        self.addObserver(selection, selection.ActivePlaceNodeIDChangedEvent, self._onModeChanged)

    @property
    def obstacle(self) -> str:
        """Why no tool can be used now; empty where one can."""
        usable = [self._usable(kind) for kind in self._buttons]
        return "" if any(yes for yes, _reason in usable) else usable[0][1]

    def toggle(self, kind: str) -> None:
        """Take up a tool, or put it down if it is in hand; nothing where it cannot be used."""
        if self._buttons[kind].enabled:
            self.activate(None if self.active == kind else kind)

    def activate(self, kind: str | None) -> None:
        """Take up a tool, or none."""
        self._putDown()
        if kind is not None and self._guarded(lambda: self._takeUp(kind)):
            self.active, self._segmentId = kind, self._logic.segmentId
        elif kind is not None:
            self._putDown()
        self._showPressed()

    def refresh(self) -> None:
        """Gray the tools that cannot be used now, with the reason as tool tip; follow a change of segment."""
        for kind, button in self._buttons.items():
            usable, reason = self._usable(kind)
            button.setEnabled(usable)
            button.setToolTip(self._toolTips[kind] if usable else reason)
        if self.active is None:
            return
        if not self._usable(self.active)[0] or not self._keptInHand():
            self.activate(None)
        elif self._logic.segmentId != self._segmentId:
            self.activate(self.active if self._logic.segmentId else None)

    def close(self) -> None:
        """Leave place mode and stop watching."""
        self.activate(None)
        self.removeObservers()

    def _usable(self, kind: str) -> tuple[bool, str]:
        logic = self._logic
        if logic.volumeNode is None:
            return False, _("Load or choose an image first.")
        if not logic.options.models.isInstalled(logic.options.modelName):
            return False, _("This model is not on this computer; see 'About this model', or choose another one.")
        if logic.segmentId and logic.segments.isLocked(logic.segmentId):
            return False, _("The current segment is locked; unlock it, or go on to the next one.")
        return logic.options.accepts(kind)

    def _takeUp(self, kind: str) -> None:
        self._prepare()
        node = self._logic.prompts.placeNode(kind)
        interaction = _interaction()
        self._node = node
        _makeActive(node)
        interaction.SetPlaceModePersistence(kind != "box")
        interaction.SetCurrentInteractionMode(interaction.Place)
        if kind != "box" and self._usable(_oppositeOf(kind))[0]:
            self._opposite.start()

    def _putDown(self) -> None:
        self._opposite.stop()
        self.active = None
        node, self._node = self._node, None
        interaction = _interaction()
        if node is None:
            return
        if _isPlacing(node):
            interaction.SetCurrentInteractionMode(interaction.ViewTransform)
        # A box that was not drawn would stay in the scene as an empty node.
        if node.IsA("vtkMRMLMarkupsROINode") and node.GetScene() and not node.GetNumberOfDefinedControlPoints():
            slicer.mrmlScene.RemoveNode(node)

    def _placeOpposite(self, ras: tuple[float, float, float]) -> None:
        self._guarded(lambda: self._logic.prompts.addClick(ras, positive=self.active == "background"))

    def _onModeChanged(self, *_: Any) -> None:
        if self.active is None or self._node is None:
            return
        interaction = _interaction()
        if interaction.GetCurrentInteractionMode() != interaction.Place:
            self._putDown()
            self._showPressed()
        elif not _isPlacing(self._node):
            self._onDisturbed()

    def _keptInHand(self) -> bool:
        """Slicer makes every new markups node the one to place; where it is a prompt of ours, the tool goes on."""
        if self._node.GetScene() is None:
            return False
        other = slicer.mrmlScene.GetNodeByID(_selection().GetActivePlaceNodeID() or "")
        if other is not self._node and (other is None or not other.GetAttribute(KIND_ATTRIBUTE)):
            return False
        _makeActive(self._node)
        return True

    def _showPressed(self) -> None:
        for kind, button in self._buttons.items():
            button.setChecked(kind == self.active)


def _oppositeOf(kind: str) -> str:
    return "background" if kind == "foreground" else "foreground"


def _interaction() -> Any:
    return slicer.app.applicationLogic().GetInteractionNode()


def _selection() -> Any:
    return slicer.app.applicationLogic().GetSelectionNode()


def _makeActive(node: Any) -> None:
    selection = _selection()
    selection.SetReferenceActivePlaceNodeClassName(node.GetClassName())
    selection.SetActivePlaceNodeID(node.GetID())


def _isPlacing(node: Any) -> bool:
    interaction = _interaction()
    isPlaceMode = interaction.GetCurrentInteractionMode() == interaction.Place
    return bool(isPlaceMode and _selection().GetActivePlaceNodeID() == node.GetID())
