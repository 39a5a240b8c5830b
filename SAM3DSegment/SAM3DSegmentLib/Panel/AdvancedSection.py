"""What is seldom needed: device, precision and window, what becomes of other segments, and prompts as files."""

from collections.abc import Callable
from functools import partial
from typing import Any

import qt
from slicer.i18n import tr as _

from SAM3DSegmentLib.Panel import Switches
from SAM3DSegmentLib.Panel.FileDialog import pathToOpen, pathToSave

_DEVICE_SETTING = "SAM3DSegment/device"
_AHEAD_SETTING = "SAM3DSegment/looksAhead"
_FOLLOW_SETTING = "SAM3DSegment/viewsFollowClicks"
_PRECISION_SETTING = "SAM3DSegment/precision"


class AdvancedSection:
    """Device and precision are a matter of the computer and kept in Slicer's settings; the rest goes into the scene.

    `choose(name=value)` sets a value of the scene's parameter node.
    """

    def __init__(
        self, ui: Any, logic: Any, *, guarded: Callable[[Callable[[], Any]], Any], choose: Callable[..., None]
    ) -> None:
        self._ui, self._logic, self._guarded = ui, logic, guarded
        self._widths: list[float] | None = None
        for text, name in (
            (_("Automatic"), "auto"),
            (_("NVIDIA graphics card (CUDA)"), "cuda"),
            (_("Apple graphics (MPS)"), "mps"),
            (_("Processor (CPU)"), "cpu"),
        ):
            ui.deviceSelector.addItem(text, name)
        for text, name in (
            (_("Automatic"), "auto"),
            (_("Full (float32)"), "float32"),
            (_("Half (bfloat16)"), "bfloat16"),
        ):
            ui.precisionSelector.addItem(text, name)
        for text, mode in (
            (_("stay as they are"), "none"),
            (_("are cut where visible"), "visible"),
            (_("are cut"), "all"),
        ):
            ui.overwriteSelector.addItem(text, mode)
        logic.options.setDevice(qt.QSettings().value(_DEVICE_SETTING, "auto"))
        logic.options.setPrecision(qt.QSettings().value(_PRECISION_SETTING, "auto"))
        ui.deviceSelector.connect("activated(int)", self._onDevice)
        ui.precisionSelector.connect("activated(int)", self._onPrecision)
        ui.windowSelector.connect(
            "activated(int)", lambda index: choose(windowMm=float(ui.windowSelector.itemData(index)))
        )
        ui.overwriteSelector.connect(
            "activated(int)", lambda index: choose(overwriteMode=ui.overwriteSelector.itemData(index))
        )
        for checkBox, setting in ((ui.followCheckBox, _FOLLOW_SETTING), (ui.aheadCheckBox, _AHEAD_SETTING)):
            checkBox.setChecked(Switches.isOn(setting))
            checkBox.connect("toggled(bool)", partial(Switches.remember, setting))
        ui.exportButton.connect("clicked(bool)", self._export)
        ui.importButton.connect("clicked(bool)", self._import)

    def refresh(self) -> None:
        """Show what the logic holds now."""
        logic, ui = self._logic, self._ui
        ui.deviceSelector.setCurrentIndex(ui.deviceSelector.findData(logic.options.deviceName))
        ui.precisionSelector.setCurrentIndex(ui.precisionSelector.findData(logic.options.precision))
        self._offerWindows()
        ui.overwriteSelector.setCurrentIndex(ui.overwriteSelector.findData(logic.options.overwriteMode))
        ui.exportButton.setEnabled(bool(logic.prompts.items()))
        ui.importButton.setEnabled(logic.volumeNode is not None)

    def _onDevice(self, index: int) -> None:
        name = self._ui.deviceSelector.itemData(index)
        qt.QSettings().setValue(_DEVICE_SETTING, name)
        self._guarded(lambda: self._logic.options.setDevice(name))

    def _onPrecision(self, index: int) -> None:
        name = self._ui.precisionSelector.itemData(index)
        qt.QSettings().setValue(_PRECISION_SETTING, name)
        self._guarded(lambda: self._logic.options.setPrecision(name))

    def _offerWindows(self) -> None:
        """The widths of the chosen model, and the one of the scene that may come from another model."""
        selector, options = self._ui.windowSelector, self._logic.options
        now = options.windowMm or 0.0
        widths = sorted({*options.models.windows(options.modelName), *([now] if now else [])})
        if widths != self._widths:
            self._widths = widths
            selector.clear()
            selector.addItem(_("Automatic"), 0.0)
            for width in widths:
                selector.addItem(f"{width:.0f} mm", width)
            selector.setEnabled(bool(widths))
        index = ([0.0, *widths]).index(now)
        if selector.currentIndex != index:
            selector.setCurrentIndex(index)

    def _export(self) -> None:
        path = pathToSave(_("Export prompts"), "prompts.json", _("Prompts (*.json)"))
        if path is not None:
            self._guarded(lambda: self._logic.prompts.exportTo(path))

    def _import(self) -> None:
        path = pathToOpen(_("Import prompts"), _("Prompts (*.json)"))
        if path is not None:
            self._guarded(lambda: self._logic.prompts.importFrom(path))
