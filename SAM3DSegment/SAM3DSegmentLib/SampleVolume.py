"""The sample: a synthetic abdominal CT with three tumors, made on this computer in a second or two."""

from typing import Any

import slicer
from slicer.i18n import tr as _

from SAM3DSegmentLib.Paths import makeCoreImportable, resourcePath

CATEGORY = "SAM3DSegment"
SAMPLE = "SAM3DSegmentPhantom"
# The middle of its largest liver tumor.
TUMOR_RAS = (84.3, 20.3, -179.5)
# Soft tissue: the liver's tumor is darker than the liver.
_WINDOW, _LEVEL = 350.0, 60.0


def loadSample() -> Any:
    """Make the phantom, show it at its largest liver tumor, and return its volume node."""
    makeCoreImportable()
    from inference_core.evaluation.phantom import make_phantom

    with slicer.util.WaitCursor():
        phantom = make_phantom()
        voxels = phantom.volume.array.transpose(2, 1, 0)
        node = slicer.util.addVolumeFromArray(
            voxels.copy(),
            ijkToRAS=phantom.volume.grid.affine,
            name=slicer.mrmlScene.GenerateUniqueName(_("Phantom CT")),
        )
    node.SetVoxelValueUnits(_hounsfield())
    display = node.GetDisplayNode()
    display.SetAutoWindowLevel(False)
    display.SetWindowLevel(_WINDOW, _LEVEL)
    slicer.util.setSliceViewerLayers(background=node, fit=True)
    slicer.vtkMRMLSliceNode.JumpAllSlices(slicer.mrmlScene, *TUMOR_RAS, slicer.vtkMRMLSliceNode.OffsetJumpSlice)
    return node


def _hounsfield() -> Any:
    """The unit of a CT's voxels, as Slicer's DICOM reader notes it."""
    units = slicer.vtkCodedEntry()
    units.SetValueSchemeMeaning("[hnsf'U]", "UCUM", "Hounsfield unit")
    return units


def _download(_source: Any) -> list[Any]:
    """As Sample Data calls it: the nodes there are then."""
    return [loadSample()]


def registerSample() -> None:
    """Offer the phantom in Slicer's Sample Data module, in a category of our own."""
    import SampleData

    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category=CATEGORY,
        sampleName=SAMPLE,
        thumbnailFileName=str(resourcePath("Icons/SAM3DSegmentPhantom.png")),
        # The phantom is made, not fetched; Sample Data wants one of each all the same.
        uris="",
        fileNames="",
        nodeNames=SAMPLE,
        customDownloader=_download,
    )
