"""SAM3DSegment for 3D Slicer: click on a lesion or draw a 3D box around it, and correct the mask until it is right.

The classes that Slicer looks for in a module's file; the work is done in SAM3DSegmentLib.
"""

from typing import Any

import slicer
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import ScriptedLoadableModule, ScriptedLoadableModuleTest

from SAM3DSegmentLib.Logic import SAM3DSegmentLogic
from SAM3DSegmentLib.Panel.Icons import icon
from SAM3DSegmentLib.Panel.ParameterNode import SAM3DSegmentParameterNode
from SAM3DSegmentLib.Panel.Widget import SAM3DSegmentWidget

_DOCUMENTATION = "https://github.com/SAM3DSegment/SlicerSAM3DSegment"

__all__ = [
    "SAM3DSegment",
    "SAM3DSegmentLogic",
    "SAM3DSegmentParameterNode",
    "SAM3DSegmentTest",
    "SAM3DSegmentWidget",
]


class SAM3DSegment(ScriptedLoadableModule):
    """What Slicer shows of the module before it is opened."""

    def __init__(self, parent: Any) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("SAM3DSegment")
        parent.icon = icon("SAM3DSegment")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        parent.dependencies = ["Segmentations", "Markups", "SubjectHierarchy"]
        # As in CMakeLists.txt, which refuses to be published with it.
        parent.contributors = ["First Last (Organization)"]
        text = _(
            "Click on a lesion, or draw a 3D box around it, and its mask appears; add, drag or delete clicks until the "
            "mask is right. Press A and click in a slice view to begin. Images stay on this computer."
        )
        parent.helpText = f'{text} <a href="{_DOCUMENTATION}">{_("Documentation")}</a>'
        parent.acknowledgementText = _(
            "Built on published models, each under its own license and with its own publication: see 'About this "
            "model' in the panel, which also names and credits the data that the built-in model was trained on."
        )
        slicer.app.connect("startupCompleted()", _registerSample)


class SAM3DSegmentTest(ScriptedLoadableModuleTest):
    """What "Reload and Test" runs; the tests of every feature are in the project's Testing folder."""

    def runTest(self) -> None:
        """A click in the middle of the sample's liver tumor finds about its volume, which is 14 ml."""
        from SAM3DSegmentLib.SampleVolume import TUMOR_RAS, loadSample
        from SAM3DSegmentLib.Setup import Dependencies

        if not Dependencies.ready():
            self.skipTest(f"Missing in Slicer's Python: {', '.join(Dependencies.missing())}")
        slicer.mrmlScene.Clear(0)
        logic = SAM3DSegmentLogic()
        try:
            segmentId = logic.segment(loadSample(), [TUMOR_RAS])
            volume = logic.segments.volumeMl(segmentId)
            assert 9 < volume < 19, f"The mask has {volume:.1f} ml."
        finally:
            logic.close()
        self.delayDisplay(_("Test passed"))


def _registerSample() -> None:
    from SAM3DSegmentLib.SampleVolume import registerSample

    registerSample()
