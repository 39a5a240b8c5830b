"""Widgets that Slicer's own Python files name when they are imported, and that the module's panel does not use.

They do nothing, and a .ui file cannot have them. Needed with SLICER_PYTHON only.
"""

from __future__ import annotations

import ctk
import slicer
from PySide6 import QtWidgets

NAMES = {
    ctk: (
        "ctkCheckablePushButton", "ctkCheckBox", "ctkColorPickerButton", "ctkComboBox", "ctkDirectoryButton",
        "ctkDoubleRangeSlider", "ctkDoubleSlider", "ctkDoubleSpinBox", "ctkPathLineEdit", "ctkRangeWidget",
        "ctkSliderWidget",
    ),
    slicer: ("qMRMLRangeWidget", "qMRMLSliderWidget", "qMRMLSpinBox", "qSlicerWidget"),
}  # fmt: skip


def addNames():
    for namespace, names in NAMES.items():
        for name in names:
            if not hasattr(namespace, name):
                setattr(namespace, name, type(name, (QtWidgets.QWidget,), {"__module__": __name__}))
