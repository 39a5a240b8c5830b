"""How two visits are aligned: by registration, as they lie, or by one of the scene's transforms."""

from typing import Any

import slicer
from slicer.i18n import tr as _

from SAM3DSegmentLib.Panel.Choices import Choices


class AlignChoice:
    """Keeps a combo box of the ways and of the scene's transforms."""

    def __init__(self, selector: Any) -> None:
        self._choices = Choices(selector)
        self.refresh()

    def refresh(self) -> None:
        """Show the transforms that there are now; the choice stays where it is still there."""
        ways = [(_("Rigid"), "rigid"), (_("Affine"), "affine"), (_("As they lie"), "none")]
        nodes = [node for node in slicer.util.getNodesByClass("vtkMRMLTransformNode") if _isOffered(node)]
        self._choices.offer([*ways, *((node.GetName(), node.GetID()) for node in nodes)])

    @property
    def chosen(self) -> str:
        """ "rigid", "affine", "none", or the ID of a transform node."""
        return str(self._choices.chosen)


def _isOffered(node: Any) -> bool:
    return not node.GetHideFromEditors()
