"""What of the panel is saved with the scene."""

from typing import Annotated, Any

import slicer
from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper

_NAME = "SAM3DSegment"


@parameterNodeWrapper
class SAM3DSegmentParameterNode:
    """The panel's choices; prompts and masks are nodes of their own.

    volume and segmentation as chosen in the selectors; segmentId the current segment; model a name of the registry,
    empty for the default one; windowMm how far to look around clicks, 0 for automatic; the rest as the controls of the
    same meaning.
    """

    volume: slicer.vtkMRMLScalarVolumeNode
    segmentation: slicer.vtkMRMLSegmentationNode
    segmentId: str = ""
    model: str = ""
    windowMm: Annotated[float, WithinRange(0, 10000)] = 0.0
    changeOnlyNearby: bool = False
    localRadiusMm: Annotated[float, WithinRange(1, 500)] = 20.0
    smoothingMm: Annotated[float, WithinRange(0, 10)] = 0.0
    keepClickedPieces: bool = True
    othersAreBackground: bool = False
    overwriteMode: str = "none"


def sceneParameterNode() -> Any:
    """The scene's one parameter node of this module, made where there is none, in its typed wrapping."""
    scene = slicer.mrmlScene
    node = scene.GetSingletonNode(_NAME, "vtkMRMLScriptedModuleNode")
    if node is None:
        node = scene.CreateNodeByClass("vtkMRMLScriptedModuleNode")
        node.UnRegister(None)
        node.SetSingletonTag(_NAME)
        node.SetModuleName(_NAME)
        node.SetName(scene.GenerateUniqueName(_NAME))
        node.SetAttribute("ModuleName", _NAME)
        node = scene.AddNode(node)
    wrapped: Any = SAM3DSegmentParameterNode  # the wrapper gives it a constructor
    return wrapped(node)
