"""What is seldom needed: device, precision and window, what becomes of other segments, and prompts as files."""

from collections.abc import Callable
from functools import partial
from typing import Any

import qt
from slicer.i18n import tr as _

from SAM3DSegmentLib.Panel import Switches
from SAM3DSegmentLib.Panel.Choices import Choices
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
        self._devices = Choices(
            ui.deviceSelector,
            ((_("Automatic"), "auto"), (_("NVIDIA graphics card (CUDA)"), "cuda"), (_("Apple graphics (MPS)"), "mps"),
             (_("Processor (CPU)"), "cpu")),
        )  # fmt: skip
        self._precisions = Choices(ui.precisionSelector)
        self._overwriting = Choices(
            ui.overwriteSelector,
            ((_("stay as they are"), "none"), (_("are cut where visible"), "visible"), (_("are cut"), "all")),
        )
        self._windows = Choices(ui.windowSelector)
        logic.options.setDevice(qt.QSettings().value(_DEVICE_SETTING, "auto"))
        logic.options.setPrecision(qt.QSettings().value(_PRECISION_SETTING, "auto"))
        ui.deviceSelector.connect("activated(int)", self._onDevice)
        ui.precisionSelector.connect("activated(int)", self._onPrecision)
        ui.windowSelector.connect("activated(int)", lambda index: choose(windowMm=self._windows.at(index)))
        ui.overwriteSelector.connect("activated(int)", lambda index: choose(overwriteMode=self._overwriting.at(index)))
        for checkBox, setting in ((ui.followCheckBox, _FOLLOW_SETTING), (ui.aheadCheckBox, _AHEAD_SETTING)):
            checkBox.setChecked(Switches.isOn(setting))
            checkBox.connect("toggled(bool)", partial(Switches.remember, setting))
        ui.exportButton.connect("clicked(bool)", self._export)
        ui.importButton.connect("clicked(bool)", self._import)

    def refresh(self) -> None:
        """Show what the logic holds now."""
        logic, ui = self._logic, self._ui
        self._devices.show(logic.options.deviceName)
        self._offerPrecisions()
        self._offerWindows()
        self._overwriting.show(logic.options.overwriteMode)
        ui.exportButton.setEnabled(bool(logic.prompts.items()))
        ui.importButton.setEnabled(logic.volumeNode is not None)

    def _onDevice(self, index: int) -> None:
        name = self._devices.at(index)
        qt.QSettings().setValue(_DEVICE_SETTING, name)
        self._guarded(lambda: self._logic.options.setDevice(name))

    def _onPrecision(self, index: int) -> None:
        name = self._precisions.at(index)
        qt.QSettings().setValue(_PRECISION_SETTING, name)
        self._guarded(lambda: self._logic.options.setPrecision(name))

    def _offerPrecisions(self) -> None:
        """Half the digits only where the model runs on what computes in them itself; or where they are chosen."""
        now = self._logic.options.precision
        offered = self._logic.controller.engine.halves or now == "bfloat16"
        half = [(_("Half (bfloat16)"), "bfloat16")] if offered else []
        self._precisions.offer([(_("Automatic"), "auto"), (_("Full (float32)"), "float32"), *half])
        self._precisions.show(now)

    def _offerWindows(self) -> None:
        """The widths of the chosen model, and the one of the scene that may come from another model."""
        options = self._logic.options
        now = options.windowMm or 0.0
        widths = sorted({*options.models.windows(options.modelName), *([now] if now else [])})
        self._windows.offer([(_("Automatic"), 0.0), *((f"{width:.0f} mm", width) for width in widths)])
        self._ui.windowSelector.setEnabled(bool(widths))
        self._windows.show(now)

    def _export(self) -> None:
        path = pathToSave(_("Export prompts"), "prompts.json", _("Prompts (*.json)"))
        if path is not None:
            self._guarded(lambda: self._logic.prompts.exportTo(path))

    def _import(self) -> None:
        path = pathToOpen(_("Import prompts"), _("Prompts (*.json)"))
        if path is not None:
            self._guarded(lambda: self._logic.prompts.importFrom(path))
