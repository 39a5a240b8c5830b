"""Stand-ins for Slicer's widgets that know the scene: the root of a panel and the node selector."""

from __future__ import annotations

from typing import ClassVar

import shiboken6
import slicer
from PySide6 import QtCore, QtWidgets

from Host.standin import qtProperty, standIn


class Observers:
    """VTK observers of a widget; a widget that Qt has deleted is not called any more."""

    def __init__(self, widget):
        self._widget = widget
        self._tags = []

    def add(self, subject, event, function):
        tag = subject.AddObserver(event, lambda *_: shiboken6.isValid(self._widget) and function())
        self._tags.append((subject, tag))

    def clear(self):
        for subject, tag in self._tags:
            subject.RemoveObserver(tag)
        self._tags = []


@standIn(slicer)
class qMRMLWidget(QtWidgets.QWidget):
    """The root of a panel: hands the scene on to its children through the connections of the .ui file."""

    mrmlSceneChanged = QtCore.Signal(object)
    SIGNALS: ClassVar = {"mrmlSceneChanged(vtkMRMLScene*)": "mrmlSceneChanged"}

    def __init__(self, parent=None):
        super().__init__(parent)
        self._scene = None

    def setMRMLScene(self, scene):
        if scene is not self._scene:
            self._scene = scene
            self.mrmlSceneChanged.emit(scene)

    def mrmlScene(self):
        return self._scene


@standIn(slicer)
class qMRMLNodeComboBox(QtWidgets.QWidget):
    """Choose a node of the given classes, none, or make a new one."""

    currentNodeChanged = QtCore.Signal(object)
    currentNodeIDChanged = QtCore.Signal(str)
    nodeAddedByUser = QtCore.Signal(object)
    nodeActivated = QtCore.Signal(object)
    hasCurrentNodeChanged = QtCore.Signal(bool)
    SIGNALS: ClassVar = {
        "currentNodeChanged(vtkMRMLNode*)": "currentNodeChanged",
        "currentNodeChanged(bool)": "hasCurrentNodeChanged",
        "currentNodeIDChanged(QString)": "currentNodeIDChanged",
        "nodeAddedByUser(vtkMRMLNode*)": "nodeAddedByUser",
        "nodeActivated(vtkMRMLNode*)": "nodeActivated",
    }

    def __init__(self, parent=None):
        super().__init__(parent)
        self._scene = None
        self._current = None
        self._items = []
        self._attributes = []
        self._observers = Observers(self)
        self._nodeObservers = Observers(self)
        self._box = QtWidgets.QComboBox()
        self._box.setSizeAdjustPolicy(QtWidgets.QComboBox.AdjustToMinimumContentsLengthWithIcon)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._box)
        self.setFocusProxy(self._box)
        self._box.activated.connect(self._onActivated)

    nodeTypes = qtProperty("QStringList", [], "_refresh")
    noneEnabled = qtProperty(bool, False, "_refresh")
    addEnabled = qtProperty(bool, True, "_refresh")
    removeEnabled = qtProperty(bool, True)
    editEnabled = qtProperty(bool, False)
    renameEnabled = qtProperty(bool, False)
    showHidden = qtProperty(bool, False, "_refresh")
    showChildNodeTypes = qtProperty(bool, True, "_refresh")
    selectNodeUponCreation = qtProperty(bool, True)
    baseName = qtProperty(str, "")
    noneDisplay = qtProperty(str, "None", "_refresh")

    def setMRMLScene(self, scene):
        self._observers.clear()
        self._scene = scene
        if scene is not None:
            for event in (scene.NodeAddedEvent, scene.NodeRemovedEvent, scene.EndCloseEvent, scene.EndImportEvent):
                self._observers.add(scene, event, self._refresh)
        self._refresh()

    def mrmlScene(self):
        return self._scene

    def currentNode(self):
        return self._current

    def setCurrentNode(self, node):
        if isinstance(node, str):
            node = self._scene.GetNodeByID(node)
        self._refresh()
        self._choose(node if node in self._items else None)

    setCurrentNodeID = setCurrentNode
    currentNodeID = QtCore.Property(
        str, lambda self: self._current.GetID() if self._current else "", lambda self, value: self.setCurrentNode(value)
    )

    def addAttribute(self, nodeType, name, value=None):
        self._attributes.append((nodeType, name, value))
        self._refresh()

    def addNode(self, nodeType=None):
        nodeType = nodeType or self.nodeTypes[0]
        name = self._scene.GenerateUniqueName(self.baseName or nodeType[7:-4])
        node = self._scene.AddNewNodeByClass(nodeType, name)
        if self.selectNodeUponCreation:
            self.setCurrentNode(node)
        self.nodeAddedByUser.emit(node)
        return node

    def nodeCount(self):
        return len(self._nodes())

    def _nodes(self):
        if self._scene is None or self._scene.IsClosing():
            return []
        found = []
        for nodeType in self.nodeTypes:
            nodes = slicer.util.getNodesByClass(nodeType, self._scene)
            found += [node for node in nodes if node not in found and self._isShown(node, nodeType)]
        return found

    def _isShown(self, node, nodeType):
        if node.GetHideFromEditors() and not self.showHidden:
            return False
        if not self.showChildNodeTypes and node.GetClassName() != nodeType:
            return False
        wanted = [(name, value) for ofType, name, value in self._attributes if ofType == nodeType]
        return all(node.GetAttribute(name) == value if value else node.GetAttribute(name) for name, value in wanted)

    def _refresh(self, *_):
        if self._scene is None:
            return
        nodes = self._nodes()
        self._items = ([None] if self.noneEnabled else []) + nodes + (list(self.nodeTypes) if self.addEnabled else [])
        current = self._current if self._current in nodes else None
        if current is None and nodes and not self.noneEnabled:
            current = nodes[0]
        self._observeNames(nodes)
        self._choose(current)

    def _observeNames(self, nodes):
        self._nodeObservers.clear()
        for node in nodes:
            self._nodeObservers.add(node, "ModifiedEvent", self._fillBox)

    def _fillBox(self):
        self._box.blockSignals(True)
        self._box.clear()
        for item in self._items:
            self._box.addItem(self._textOf(item))
        index = next((i for i, item in enumerate(self._items) if item is self._current), -1)
        self._box.setCurrentIndex(index)
        self._box.blockSignals(False)

    def _textOf(self, item):
        if item is None:
            return self.noneDisplay
        return f"Create new {item[7:-4]}" if isinstance(item, str) else item.GetName()

    def _choose(self, node):
        changed = node is not self._current
        self._current = node
        self._fillBox()
        if changed:
            self.currentNodeChanged.emit(node)
            self.hasCurrentNodeChanged.emit(node is not None)
            self.currentNodeIDChanged.emit(node.GetID() if node else "")

    def _onActivated(self, index):
        item = self._items[index]
        if isinstance(item, str):
            self.addNode(item)
        else:
            self._choose(item)
            self.nodeActivated.emit(item)
