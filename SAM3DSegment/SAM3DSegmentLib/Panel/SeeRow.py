"""How the masks and the image are seen: 3D, opacity, outline, changes, and the window of gray values."""

from typing import Any

import qt
from slicer.i18n import tr as _

from SAM3DSegmentLib.ChangeFlash import ChangeFlash
from SAM3DSegmentLib.Panel import Switches
from SAM3DSegmentLib.Panel.Choices import Choices
from SAM3DSegmentLib.PreviewView import PreviewView
from SAM3DSegmentLib.UnsureBand import UnsureBand

_FLASH_SETTING = "SAM3DSegment/flashChanges"
_FLASH_MS = 1000
_CT_REACHES = -500.0


class SeeRow:
    """Changes the display nodes that Slicer's own modules change too, and shows what they say."""

    def __init__(self, ui: Any, logic: Any) -> None:
        self._ui, self._logic = ui, logic
        self._presets = Choices(ui.presetSelector)
        self._hidden: Any = None
        self.flash = ChangeFlash()
        self.preview = PreviewView()
        self._timer: Any = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(_FLASH_MS)
        self._timer.connect("timeout()", self.flash.hide)
        self.unsure = UnsureBand(logic)
        ui.unsureButton.connect("clicked(bool)", self._followUnsure)
        ui.flashButton.setChecked(Switches.isOn(_FLASH_SETTING))
        ui.show3DButton.connect("clicked(bool)", self._show3D)
        ui.opacitySlider.connect("valueChanged(int)", self._setOpacity)
        ui.outlineButton.connect("clicked(bool)", self._setOutlineOnly)
        ui.flashButton.connect("clicked(bool)", self._setFlashing)
        ui.presetSelector.connect("activated(int)", self._choosePreset)

    def refresh(self) -> None:
        """Show what the display nodes say."""
        ui, display = self._ui, self._display()
        for widget in (ui.show3DButton, ui.opacitySlider, ui.outlineButton):
            widget.setEnabled(display is not None)
        if display is not None and self._hidden is None:
            blocked = ui.opacitySlider.blockSignals(True)
            ui.opacitySlider.setValue(round(100 * display.GetOpacity2DFill()))
            ui.opacitySlider.blockSignals(blocked)
            ui.outlineButton.setChecked(not display.GetVisibility2DFill())
            ui.show3DButton.setChecked(self._is3DShown())
        self._offerPresets()
        self._followUnsure()

    def followPreview(self) -> None:
        """Show what the answer that is worked out will be near to, or the segment as it is."""
        self.preview.follow(self._logic.controller.previews.current)

    def flashChange(self, editor: Any, written: Any) -> None:
        """Show for a second what an answer changed, if that is wanted and there was a mask before."""
        if (
            self._ui.flashButton.checked
            and written.changedVoxels
            and written.mask.voxel_count != written.added.voxel_count
        ):
            self.flash.show(editor, written)
            self._timer.start()

    def peek(self, isHidden: bool) -> None:
        """Hide the masks while a key is held, and show them again as they were."""
        if isHidden and self._hidden is None and self._display() is not None:
            self._hidden = self._display()
            self._wasVisible = self._hidden.GetVisibility()
            self._hidden.SetVisibility(False)
        elif not isHidden and self._hidden is not None:
            display, self._hidden = self._hidden, None
            display.SetVisibility(self._wasVisible)

    def close(self) -> None:
        """Leave the scene as it was."""
        self.peek(False)
        self.preview.follow(None)
        self.unsure.follow(False)
        self._timer.stop()
        self._timer.disconnect("timeout()", self.flash.hide)
        self.flash.hide()

    def _display(self) -> Any:
        node = self._logic.segmentationNode
        return node.GetDisplayNode() if node is not None else None

    def _is3DShown(self) -> bool:
        node = self._logic.segmentationNode
        surface = "Closed surface"
        return bool(node.GetDisplayNode().GetVisibility3D() and node.GetSegmentation().ContainsRepresentation(surface))

    def _show3D(self, shown: bool) -> None:
        node = self._logic.segmentationNode
        if shown:
            node.CreateClosedSurfaceRepresentation()
            node.GetDisplayNode().SetVisibility3D(True)
        else:
            node.RemoveClosedSurfaceRepresentation()

    def _setOpacity(self, percent: int) -> None:
        if self._display() is not None:
            self._display().SetOpacity2DFill(percent / 100)

    def _setOutlineOnly(self, only: bool) -> None:
        self._display().SetVisibility2DFill(not only)

    def _setFlashing(self, wanted: bool) -> None:
        Switches.remember(_FLASH_SETTING, wanted)

    def _followUnsure(self, *_args: Any) -> None:
        self.unsure.follow(bool(self._ui.unsureButton.checked))

    def _offerPresets(self) -> None:
        """Of Hounsfield units where the image has them; automatic always."""
        volume = self._logic.volumeNode
        isCt = volume is not None and volume.GetImageData() is not None
        isCt = isCt and volume.GetImageData().GetScalarRange()[0] < _CT_REACHES
        self._ui.presetSelector.setEnabled(volume is not None)
        self._presets.offer([(_("Window"), ""), *(_presets() if isCt else _presets()[:1])])

    def _choosePreset(self, index: int) -> None:
        """The first row is the selector's own name."""
        text = self._presets.at(index)
        self._presets.show("")
        display = self._logic.volumeNode.GetDisplayNode() if self._logic.volumeNode is not None else None
        if display is None or not text:
            return
        if text == "auto":
            display.SetAutoWindowLevel(True)
            return
        width, level = map(float, text.split("/"))
        display.SetAutoWindowLevel(False)
        display.SetWindowLevel(width, level)


def _presets() -> list[tuple[str, str]]:
    """Names, and width/level in HU."""
    return [
        (_("Automatic"), "auto"),
        (_("CT soft tissue"), "400/40"),
        (_("CT lung"), "1500/-600"),
        (_("CT bone"), "2000/400"),
        (_("CT brain"), "80/40"),
    ]
