"""Builds the modules `qt` and `PythonQt` that Slicer's Python code imports."""

from __future__ import annotations

import sys
import types

from PySide6 import QtCore

from Host.pythonqt import QT_MODULES, behaveAsPythonQt
from Host.uifile import UiLoader


def installQt():
    """Make `import qt` give PySide6 with PythonQt's behavior. Returns the module."""
    if "qt" in sys.modules:
        return sys.modules["qt"]
    qt = types.ModuleType("qt", "Qt as Slicer's Python sees it")
    for module in QT_MODULES:
        vars(qt).update({name: getattr(module, name) for name in dir(module) if not name.startswith("_")})
    qt.qVersion = QtCore.qVersion
    qt.QUiLoader = UiLoader
    behaveAsPythonQt()
    sys.modules["qt"] = qt
    _installPythonQt(qt)
    return qt


def _installPythonQt(qt):
    package = sys.modules["PythonQt"] = types.ModuleType("PythonQt")
    for module in QT_MODULES:
        name = module.__name__.rpartition(".")[2]
        setattr(package, name, qt)
        sys.modules[f"PythonQt.{name}"] = qt
