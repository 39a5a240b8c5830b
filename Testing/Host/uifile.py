"""Loads .ui files with stand-ins for the custom widgets, and makes the connections that the file itself declares."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from PySide6 import QtCore, QtUiTools

from Host.standin import CLASSES


class UiLoader(QtUiTools.QUiLoader):
    """`qt.QUiLoader`: an unknown widget class is an error that names it."""

    def createWidget(self, className, parent=None, name=""):
        if className in CLASSES:
            widget = CLASSES[className](parent)
            widget.setObjectName(name)
            return widget
        widget = super().createWidget(className, parent, name)
        if widget is None:
            raise RuntimeError(f"the host has no stand-in for the widget class {className} ({name})")
        return widget

    def load(self, file, parent=None):
        """The connections are made here: Qt cannot, since C++ signatures do not exist on stand-ins."""
        root = ET.fromstring(bytes(file.readAll()).decode())
        connections = root.find("connections")
        if connections is not None:
            root.remove(connections)
        assigned = _takeEnumsOfStandIns(root)
        widget = super().load(_bufferOf(root), parent)
        if widget is None:
            raise RuntimeError(f"the .ui file cannot be loaded: {self.errorString()}")
        _setEnums(widget, assigned)
        _makeConnections(widget, connections if connections is not None else [])
        return widget


def _bufferOf(root):
    buffer = QtCore.QBuffer()
    buffer.setData(ET.tostring(root))
    buffer.open(QtCore.QIODevice.ReadOnly)
    return buffer


def _takeEnumsOfStandIns(root):
    """Qt reads enums through the C++ meta object, which a stand-in does not have: [(widget, property, value)]."""
    taken = []
    for widget in root.iter("widget"):
        if widget.get("class") not in CLASSES:
            continue
        for item in widget.findall("property"):
            value = item.find("enum")
            if value is not None and "::" in value.text and value.text.split("::")[0] in CLASSES:
                widget.remove(item)
                taken.append((widget.get("name"), item.get("name"), value.text))
    return taken


def _setEnums(root, assigned):
    for widgetName, propertyName, value in assigned:
        className, _, member = value.rpartition("::")
        setattr(_named(root, widgetName), propertyName, getattr(CLASSES[className], member))


def _makeConnections(root, connections):
    for connection in connections:
        sender, signal, receiver, slot = (connection.findtext(key) for key in ("sender", "signal", "receiver", "slot"))
        _named(root, sender).connect(signal, getattr(_named(root, receiver), slot.partition("(")[0]))


def _named(root, name):
    found = root if root.objectName == name else root.findChild(QtCore.QObject, name)
    if found is None:
        raise RuntimeError(f"the .ui file connects '{name}', which is not in it")
    return found
