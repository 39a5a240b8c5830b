"""Nodes that are only shown: they are not offered for editing, take no clicks and are never saved."""

from typing import Any


def addHidden(scene: Any, className: str, name: str) -> Any:
    """A new node of a class in the scene, with a display of its own."""
    node = scene.CreateNodeByClass(className)
    node.UnRegister(None)
    node.SetName(name)
    node.SetHideFromEditors(True)
    node.SetSaveWithScene(False)
    node.SetSelectable(False)
    scene.AddNode(node)
    node.CreateDefaultDisplayNodes()
    node.GetDisplayNode().SetSaveWithScene(False)
    return node


def removeHidden(node: Any) -> None:
    """Take a node and its display out of the scene, if they are still there."""
    scene, display = node.GetScene(), node.GetDisplayNode()
    if scene is not None:
        scene.RemoveNode(node)
        if display is not None and display.GetScene() is not None:
            scene.RemoveNode(display)
