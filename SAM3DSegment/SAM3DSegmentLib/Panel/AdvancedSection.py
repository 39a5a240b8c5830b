"""What is seldom needed: the device, what becomes of other segments, and prompts as files."""

from collections.abc import Callable
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

_DEVICE_SETTING = "SAM3DSegment/device"


class AdvancedSection:
    """The device is a matter of the computer and kept in Slicer's settings, not in the scene."""

    def __init__(self, ui: Any, logic: Any, *, guarded: Callable[[Callable[[], Any]], Any], onOverwrite: Any) -> None:
        self._ui, self._logic, self._guarded = ui, logic, guarded
        for text, name in (
            (_("Automatic"), "auto"),
            (_("NVIDIA graphics card (CUDA)"), "cuda"),
            (_("Apple graphics (MPS)"), "mps"),
            (_("Processor (CPU)"), "cpu"),
        ):
            ui.deviceSelector.addItem(text, name)
        for text, mode in (
            (_("stay as they are"), "none"),
            (_("are cut where visible"), "visible"),
            (_("are cut"), "all"),
        ):
            ui.overwriteSelector.addItem(text, mode)
        logic.setDevice(qt.QSettings().value(_DEVICE_SETTING, "auto"))
        ui.deviceSelector.connect("activated(int)", self._onDevice)
        ui.overwriteSelector.connect("activated(int)", lambda index: onOverwrite(ui.overwriteSelector.itemData(index)))
        ui.exportButton.connect("clicked(bool)", self._export)
        ui.importButton.connect("clicked(bool)", self._import)

    def refresh(self) -> None:
        """Show what the logic holds now."""
        logic, ui = self._logic, self._ui
        ui.deviceSelector.setCurrentIndex(ui.deviceSelector.findData(logic.deviceName))
        ui.overwriteSelector.setCurrentIndex(ui.overwriteSelector.findData(logic.overwriteMode))
        ui.exportButton.setEnabled(bool(logic.promptItems()))
        ui.importButton.setEnabled(logic.volumeNode is not None)

    def _onDevice(self, index: int) -> None:
        name = self._ui.deviceSelector.itemData(index)
        qt.QSettings().setValue(_DEVICE_SETTING, name)
        self._guarded(lambda: self._logic.setDevice(name))

    def _export(self) -> None:
        path = qt.QFileDialog.getSaveFileName(
            slicer.util.mainWindow(), _("Export prompts"), "prompts.json", _("Prompts (*.json)")
        )
        if _chosen(path):
            self._guarded(lambda: self._logic.exportPrompts(_chosen(path)))

    def _import(self) -> None:
        path = qt.QFileDialog.getOpenFileName(slicer.util.mainWindow(), _("Import prompts"), "", _("Prompts (*.json)"))
        if _chosen(path):
            self._guarded(lambda: self._logic.importPrompts(_chosen(path)))


def _chosen(answer: Any) -> str:
    """The path out of a file dialog's answer, which is a string in PythonQt and a pair in other bindings."""
    return str(answer[0] if isinstance(answer, tuple) else answer)
