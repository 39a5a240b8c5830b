"""`slicer.app.coreIOManager()`: what `slicer.util.loadVolume`, `saveNode`, `saveScene` and `loadScene` call."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import slicer
import vtk


class _Kind(NamedTuple):
    node: str
    storage: str
    suffixes: tuple[str, ...]


SEGMENTATION_SUFFIXES = (".seg.nrrd",)
VOLUME_SUFFIXES = (".nrrd", ".nii.gz", ".nii", ".mha", ".mhd", ".dcm")
MARKUPS_SUFFIXES = (".mrk.json", ".fcsv")
KINDS = {
    "SegmentationFile": _Kind("vtkMRMLSegmentationNode", "vtkMRMLSegmentationStorageNode", SEGMENTATION_SUFFIXES),
    "MarkupsFile": _Kind("vtkMRMLMarkupsFiducialNode", "vtkMRMLMarkupsFiducialStorageNode", MARKUPS_SUFFIXES),
    "VolumeFile": _Kind("vtkMRMLScalarVolumeNode", "vtkMRMLVolumeArchetypeStorageNode", VOLUME_SUFFIXES),
}
SCENE_SUFFIXES = (".mrb", ".mrml")


class CoreIOManager:
    """Reads and writes through Slicer's own storage nodes."""

    def fileType(self, fileName):
        if str(fileName).endswith(SCENE_SUFFIXES):
            return "SceneFile"
        matches = (kind for kind, about in KINDS.items() if str(fileName).endswith(about.suffixes))
        return next(matches, "VolumeFile")

    def loadNodes(self, fileType, properties, loadedNodes=None, _messages=None):
        fileName = str(properties["fileName"])
        if fileType == "SceneFile":
            return _readScene(fileName, clear=bool(properties.get("clear", False)))
        node = _readVolume(properties) if fileType == "VolumeFile" else _readNode(KINDS[fileType], properties)
        if node is None:
            return False
        if loadedNodes is not None:
            loadedNodes.AddItem(node)
        return True

    def saveNodes(self, _fileType, properties, _messages=None):
        fileName = str(properties["fileName"])
        if "nodeID" not in properties:
            scene = slicer.mrmlScene
            return bool(scene.WriteToMRB(fileName) if fileName.endswith(".mrb") else scene.Commit(fileName))
        node = slicer.mrmlScene.GetNodeByID(properties["nodeID"])
        node.AddDefaultStorageNode()
        storage = node.GetStorageNode()
        storage.SetFileName(fileName)
        storage.SetUseCompression(int(properties.get("useCompression", 1)))
        return bool(storage.WriteData(node))

    def fileWriterFileType(self, node):
        return next((kind for kind, about in KINDS.items() if node.IsA(about.node)), "NoFile")

    def extractKnownExtension(self, fileName, _node=None):
        suffixes = SEGMENTATION_SUFFIXES + MARKUPS_SUFFIXES + VOLUME_SUFFIXES
        return next((suffix for suffix in suffixes if str(fileName).endswith(suffix)), Path(fileName).suffix)

    def addDefaultStorageNodes(self):
        for node in slicer.util.getNodesByClass("vtkMRMLStorableNode"):
            node.AddDefaultStorageNode()


def _readScene(fileName, *, clear):
    scene = slicer.mrmlScene
    if fileName.endswith(".mrb"):
        return bool(scene.ReadFromMRB(fileName, clear))
    scene.SetURL(fileName)
    return bool(scene.Connect() if clear else scene.Import())


def _readVolume(properties):
    """Through the Volumes logic, which takes a DICOM series as the list of its files, sorted."""
    fileName = str(properties["fileName"])
    names = vtk.vtkStringArray()
    for name in properties.get("fileNames", ()):
        names.InsertNextValue(str(name))
    options = (1 if properties.get("labelmap") else 0) | (8 if properties.get("singleFile") else 0)
    logic = slicer.modules.volumes.logic()
    return logic.AddArchetypeVolume(fileName, _nameFor(properties), options, names)


def _readNode(kind, properties):
    scene = slicer.mrmlScene
    storage = scene.AddNewNodeByClass(kind.storage)
    storage.SetFileName(str(properties["fileName"]))
    node = scene.AddNewNodeByClass(kind.node, _nameFor(properties))
    if not storage.ReadData(node):
        scene.RemoveNode(node)
        scene.RemoveNode(storage)
        return None
    node.SetAndObserveStorageNodeID(storage.GetID())
    node.CreateDefaultDisplayNodes()
    return node


def _nameFor(properties):
    return properties.get("name") or Path(properties["fileName"]).name.partition(".")[0]
