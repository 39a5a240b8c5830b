"""How two visits are aligned: by registration, as they lie, or by one of the scene's linear transforms."""

from typing import Any

import slicer
from slicer.i18n import tr as _


class AlignChoice:
    """Keeps a combo box of the ways and of the scene's transforms."""

    def __init__(self, selector: Any) -> None:
        self._selector = selector
        self._shown: list[tuple[str, str]] = []
        for text, how in ((_("Rigid"), "rigid"), (_("Affine"), "affine"), (_("As they lie"), "none")):
            selector.addItem(text, how)
        self._ways = selector.count

    def refresh(self) -> None:
        """Show the transforms that there are now; the choice stays where it is still there."""
        nodes = [node for node in slicer.util.getNodesByClass("vtkMRMLTransformNode") if _isOffered(node)]
        offered = [(node.GetName(), node.GetID()) for node in nodes]
        if offered == self._shown:
            return
        selector, chosen = self._selector, self.chosen
        blocked = selector.blockSignals(True)
        while selector.count > self._ways:
            selector.removeItem(selector.count - 1)
        for name, nodeId in offered:
            selector.addItem(name, nodeId)
        selector.setCurrentIndex(max(0, selector.findData(chosen)))
        selector.blockSignals(blocked)
        self._shown = offered

    @property
    def chosen(self) -> str:
        """ "rigid", "affine", "none", or the ID of a transform node."""
        return str(self._selector.itemData(self._selector.currentIndex))


def _isOffered(node: Any) -> bool:
    return bool(node.IsLinear()) and not node.GetHideFromEditors()
