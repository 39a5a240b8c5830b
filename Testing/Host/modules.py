"""Loads a scripted module as Slicer does: imports the file, makes its module object, and its widget when shown."""

from __future__ import annotations

import importlib.util
import sys
import types
from pathlib import Path
from typing import ClassVar

import slicer
from PySide6 import QtCore, QtWidgets

from Host.standin import standIn

slicer.moduleNames = sys.modules["slicer.moduleNames"] = types.ModuleType("slicer.moduleNames")


@standIn(slicer)
class qSlicerScriptedLoadableModule(QtCore.QObject):
    """The `parent` that a module's class writes its title, help and so on into."""

    def __init__(self, path):
        super().__init__()
        self._path = path
        self._python = None
        self._widget = None

    # A module may set these, and only these.
    title = categories = dependencies = contributors = helpText = acknowledgementText = None
    hidden, icon, index, associatedNodeTypes, extension = False, None, -1, (), None
    name = property(lambda self: self._path.stem)
    path = property(lambda self: str(self._path))

    def widgetRepresentation(self):
        """The module's panel; made, and set up, at the first call."""
        if self._widget is None:
            self._widget = qSlicerScriptedLoadableModuleWidget(self)
        return self._widget

    def logic(self):
        return None


@standIn(slicer)
class qSlicerScriptedLoadableModuleWidget(slicer.qMRMLWidget):
    """The Qt parent of a module's widget; passes Slicer's enter and exit on to it."""

    def __init__(self, module):
        super().__init__()
        self._isEntered = False
        self.setLayout(QtWidgets.QVBoxLayout())
        self.layout().setContentsMargins(0, 0, 0, 0)
        self.setMRMLScene(slicer.mrmlScene)
        self._module = module
        self.reload()

    isEntered = property(lambda self: self._isEntered)

    def reload(self):
        """Make the module's widget object anew and set it up; as in Slicer, it is not entered again."""
        self._self = getattr(sys.modules[self._module.name], f"{self._module.name}Widget")(self)
        setattr(slicer.modules, f"{self._module.name}Widget", self._self)
        self._self.setup()

    def self(self):
        return self._self

    def enter(self):
        if not self._isEntered:
            self._isEntered = True
            _callIfDefined(self._self, "enter")

    def exit(self):
        if self._isEntered:
            self._isEntered = False
            _callIfDefined(self._self, "exit")


class ModuleManager(QtCore.QObject):
    """`slicer.app.moduleManager()`; `loadModule`, `selectModule` and `unloadModule` are the host's own."""

    moduleAboutToBeUnloaded = QtCore.Signal(str)
    moduleLoaded = QtCore.Signal(str)
    SIGNALS: ClassVar = {
        "moduleAboutToBeUnloaded(QString)": "moduleAboutToBeUnloaded",
        "moduleLoaded(QString)": "moduleLoaded",
    }

    def __init__(self):
        super().__init__()
        self._current = None

    def module(self, name):
        return getattr(slicer.modules, name.lower(), None)

    def factoryManager(self):
        return self

    def loadedModuleNames(self):
        return [name for name in vars(slicer.moduleNames) if not name.startswith("_")]

    def loadModule(self, path):
        """Import the module's file and make its module object; the widget comes when it is selected."""
        path = Path(path).resolve()
        python = _importFile(path)
        module = qSlicerScriptedLoadableModule(path)
        setattr(slicer.modules, path.stem.lower(), module)
        setattr(slicer.moduleNames, path.stem, path.stem)
        module._python = getattr(python, path.stem)(module)
        setattr(slicer.modules, f"{path.stem}Instance", module._python)
        self.moduleLoaded.emit(path.stem)
        return module

    def selectModule(self, name):
        """Show the module's panel, as the module selector does; returns the module's own widget object.

        None for a module that the host does not have: as in Slicer, the one that was shown is left.
        """
        self.leaveModule()
        if not isinstance(self.module(name), qSlicerScriptedLoadableModule):
            return None
        self._current = self.module(name).widgetRepresentation()
        slicer.app.mainWindow().showPanel(self._current)
        self._current.show()
        self._current.enter()
        slicer.app.processEvents()
        return self._current.self()

    def leaveModule(self):
        """The panel is hidden, as when another module is chosen."""
        if self._current is not None:
            self._current.exit()
            self._current.hide()
            self._current = None

    def unloadModule(self, name):
        """Reload or quit: the widget cleans up and is deleted."""
        module = self.module(name)
        widget, module._widget = module._widget, None
        self.leaveModule()
        self.moduleAboutToBeUnloaded.emit(name)
        if widget is not None:
            widget.setParent(None)
            widget.deleteLater()
        slicer.app.processEvents()


def _importFile(path):
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    python = sys.modules[path.stem] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(python)
    return python


def _callIfDefined(widget, name):
    method = getattr(widget, name, None)
    if method is not None:
        method()
