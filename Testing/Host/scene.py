"""The part of Slicer that needs no Qt: the MRML scene, the application logic and the modules' logics of `slicer-core`.

`bootScene()` makes what the Slicer application makes before it loads modules, so that `slicer.util`, `slicer.modules`,
`slicer.app` and `slicer.mrmlScene` answer as a module's logic expects.
"""

from __future__ import annotations

import os
import sys
import tempfile
import types
from pathlib import Path

import slicer
import slicer.util
import vtk

from Host.hierarchy import keepHierarchy

OWN_PYTHON = Path(__file__).with_name("python")
TERMINOLOGIES = Path(__file__).with_name("terminologies")


class HeadlessApp:
    """`slicer.app` without Qt: what `slicer.util` and a logic ask of it."""

    def __init__(self, scene, applicationLogic):
        self._scene = scene
        self._applicationLogic = applicationLogic
        self.temporaryPath = tempfile.mkdtemp(prefix="slicer-host-")

    def mrmlScene(self):
        return self._scene

    def applicationLogic(self):
        return self._applicationLogic

    def pauseRender(self):
        self._applicationLogic.PauseRender()

    def resumeRender(self):
        self._applicationLogic.ResumeRender()

    def processEvents(self, *_):
        """There is no event loop to turn."""

    def translate(self, _context, text):
        return text

    def testingEnabled(self):
        return True


def bootScene():
    """Make the scene once a process; later calls return the same `vtkMRMLScene`."""
    if getattr(slicer, "mrmlScene", None) is not None:
        return slicer.mrmlScene
    addSlicersPython()
    scene = slicer.vtkMRMLScene()
    _addCrosshair(scene)
    applicationLogic = _applicationLogicOf(scene)
    slicer.mrmlScene = scene
    slicer.app = HeadlessApp(scene, applicationLogic)
    _letScenesBeRead(scene, applicationLogic, cache=slicer.app.temporaryPath)
    _registerModules(_moduleLogics(applicationLogic), scene, applicationLogic)
    keepHierarchy(scene)
    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene, True)
    return scene


def addSlicersPython():
    """What `slicer-core` lacks: the files that SLICER_PYTHON=.../Base/Python/slicer names, else the host's.

    Slicer's own ones import `qt` and `ctk`, also where there is no application.
    """
    folder = os.environ.get("SLICER_PYTHON") or str(OWN_PYTHON / "slicer")
    if folder not in slicer.__path__:
        slicer.__path__.append(folder)
        sys.path.append(str(OWN_PYTHON))  # SampleData
        if os.environ.get("SLICER_PYTHON"):
            _makeQtImportable()


def _makeQtImportable():
    from Host.qtmodule import installQt

    installQt()
    from Host import ctkwidgets, mrmlwidgets  # noqa: F401  registered by being imported
    from Host.namesonly import addNames

    addNames()


def clearScene():
    """Close the scene as File > Close scene does: views, colors and the selection stay, everything else goes."""
    slicer.mrmlScene.Clear(False)


def _addCrosshair(scene):
    crosshair = slicer.vtkMRMLCrosshairNode()
    crosshair.SetCrosshairName("default")
    scene.AddNode(crosshair)


def _applicationLogicOf(scene):
    logic = slicer.vtkSlicerApplicationLogic()
    logic.SetMRMLScene(scene)  # adds the selection and the interaction node
    logic.GetColorLogic().SetMRMLScene(scene)
    logic.GetColorLogic().AddDefaultColorNodes()
    logic.SetSliceLogics(vtk.vtkCollection())
    logic.SetViewLogics(vtk.vtkCollection())
    for kind in ("Slice", "ThreeD"):
        factory = getattr(slicer, f"vtkMRML{kind}ViewDisplayableManagerFactory")
        factory.GetInstance().SetMRMLApplicationLogic(logic)
    return logic


def _letScenesBeRead(scene, applicationLogic, *, cache):
    """Without a cache directory `vtkMRMLScene.ReadFromMRB` refuses every file."""
    remote = slicer.vtkMRMLRemoteIOLogic()
    remote.SetMRMLScene(scene)
    remote.GetCacheManager().SetRemoteCacheDirectory(cache)
    remote.AddDataIOToScene()
    applicationLogic.remoteLogic = remote  # kept alive as long as the application's logic


def _moduleLogics(applicationLogic):
    terminologies = slicer.vtkSlicerTerminologiesModuleLogic()
    terminologies.SetModuleShareDirectory(str(TERMINOLOGIES))
    return {
        "Colors": applicationLogic.GetColorLogic(),
        "Terminologies": terminologies,
        "Markups": slicer.vtkSlicerMarkupsLogic(),
        "Volumes": slicer.vtkSlicerVolumesLogic(),
        "Segmentations": slicer.vtkSlicerSegmentationsModuleLogic(),
        "SubjectHierarchy": slicer.vtkSlicerSubjectHierarchyModuleLogic(),
        "Models": slicer.vtkSlicerModelsLogic(),
        "Transforms": slicer.vtkSlicerTransformLogic(),
        "CropVolume": slicer.vtkSlicerCropVolumeLogic(),
        "Data": slicer.vtkSlicerDataModuleLogic(),  # takes the display nodes of removed nodes out of the scene
        "Sequences": slicer.vtkSlicerSequencesLogic(),
        "VolumeRendering": slicer.vtkSlicerVolumeRenderingLogic(),
    }


def _registerModules(logics, scene, applicationLogic):
    slicer.modules = sys.modules["slicer.modules"] = types.ModuleType("slicer.modules")
    for name, logic in logics.items():
        logic.SetMRMLScene(scene)
        logic.SetMRMLApplicationLogic(applicationLogic)
        applicationLogic.SetModuleLogic(name, logic)
        module = types.SimpleNamespace(name=name, logic=lambda logic=logic: logic)
        setattr(slicer.modules, name.lower(), module)
