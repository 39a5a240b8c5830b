"""Subject-hierarchy items appear by themselves, as the Qt plug-ins of Slicer make them.

Every visible storable node gets an item under the scene when it is added or imported, and loses it when it is removed.
Left out: the items of single segments, and re-parenting by transforms.
"""

from __future__ import annotations

import slicer
import vtk

PLUGINS = {
    "vtkMRMLMarkupsNode": "Markups",
    "vtkMRMLSegmentationNode": "Segmentations",
    "vtkMRMLVolumeNode": "Volumes",
    "vtkMRMLModelNode": "Models",
    "vtkMRMLTransformNode": "Transforms",
}


def keepHierarchy(scene):
    """Watch the scene for as long as it lives."""
    _observeNode(scene, scene.NodeAddedEvent, _onNodeAdded)
    _observeNode(scene, scene.NodeAboutToBeRemovedEvent, _onNodeAboutToBeRemoved)
    scene.AddObserver(scene.EndImportEvent, lambda *_: _addMissing(scene))
    scene.AddObserver(scene.EndCloseEvent, lambda *_: scene.GetSubjectHierarchyNode())
    scene.GetSubjectHierarchyNode()


def _observeNode(scene, event, callback):
    callback.CallDataType = vtk.VTK_OBJECT
    scene.AddObserver(event, callback)


def _onNodeAdded(scene, _event, node):
    if not scene.IsImporting():
        _addItem(scene, node)


def _onNodeAboutToBeRemoved(scene, _event, node):
    if scene.IsClosing() or node.IsA("vtkMRMLSubjectHierarchyNode"):
        return
    hierarchy = scene.GetSubjectHierarchyNode()
    item = hierarchy.GetItemByDataNode(node)
    if item:
        hierarchy.RemoveItem(item, False, False)


def _addMissing(scene):
    for node in slicer.util.getNodesByClass("vtkMRMLStorableNode", scene):
        _addItem(scene, node)


def _addItem(scene, node):
    plugin = next((name for className, name in PLUGINS.items() if node.IsA(className)), None)
    if plugin is None or node.GetHideFromEditors() or node.GetAttribute("SubjectHierarchy.ExcludeFromTree"):
        return
    hierarchy = scene.GetSubjectHierarchyNode()
    if not hierarchy.GetItemByDataNode(node):
        item = hierarchy.CreateItem(hierarchy.GetSceneItemID(), node)
        hierarchy.SetItemOwnerPluginName(item, plugin)
