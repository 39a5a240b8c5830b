"""How masks and images are seen, what the panel remarks on, and which tool and settings are in hand."""

import numpy as np
import pytest
from support.panel_scenes import FIRST, SECOND, center_of, click_with, kinds_of, press_cell, rest, texts_of, voxels

slicer = pytest.importorskip("slicer", reason="slicer-core exists for Python 3.11 on 64-bit Linux")
QtCore = pytest.importorskip("PySide6.QtCore")
QtTest = pytest.importorskip("PySide6.QtTest")


@pytest.fixture
def a_lesion(a_panel, a_grid):
    click_with(a_panel, "foreground", center_of(a_grid, FIRST))
    return a_panel


def display_of(app):
    return app.panel.logic.segmentationNode.GetDisplayNode()


def test_show_3d_makes_surfaces_and_takes_them_away(a_lesion):
    segmentation = a_lesion.panel.logic.segmentationNode.GetSegmentation()
    a_lesion.pressButton(a_lesion.panel.ui.show3DButton)
    assert segmentation.ContainsRepresentation("Closed surface")
    assert display_of(a_lesion).GetVisibility3D()
    a_lesion.pressButton(a_lesion.panel.ui.show3DButton)
    assert not segmentation.ContainsRepresentation("Closed surface")


def test_opacity_and_outline_are_those_of_the_display(a_lesion):
    ui = a_lesion.panel.ui
    ui.opacitySlider.setValue(20)
    assert display_of(a_lesion).GetOpacity2DFill() == pytest.approx(0.2)
    a_lesion.pressButton(ui.outlineButton)
    assert not display_of(a_lesion).GetVisibility2DFill()
    display_of(a_lesion).SetOpacity2DFill(0.8)
    a_lesion.panel.pollTimer.refreshSoon()
    rest(a_lesion)
    assert ui.opacitySlider.value == 80


def test_the_mask_is_gone_while_h_is_held(a_lesion):
    a_lesion.hover(a_lesion.red, a_lesion.red.rect.center())
    a_lesion.red.setFocus()
    QtTest.QTest.keyPress(a_lesion.red, QtCore.Qt.Key_H)
    a_lesion.settle()
    assert not display_of(a_lesion).GetVisibility()
    QtTest.QTest.keyRelease(a_lesion.red, QtCore.Qt.Key_H)
    assert a_lesion.waitUntil(lambda: display_of(a_lesion).GetVisibility(), seconds=2)


def test_the_keys_of_the_panel_are_no_keys_of_slicers_slice_views(a_host):
    """Pressed in a slice view without the module, they change no node of the scene."""
    array = np.random.default_rng(0).random((9, 9, 9), dtype=np.float32)
    volumes = [slicer.util.addVolumeFromArray(array, name=name) for name in "ab"]
    a_host.show(volumes[0])
    slicer.util.setSliceViewerLayers(foreground=volumes[1])
    a_host.hover(a_host.red, a_host.red.rect.center())
    nodes = [slicer.mrmlScene.GetNthNode(n) for n in range(slicer.mrmlScene.GetNumberOfNodes())]
    for key in ("A", "S", "X", "N", "H", QtCore.Qt.Key_Comma, QtCore.Qt.Key_Period):
        times = [node.GetMTime() for node in nodes]
        a_host.press(key, widget=a_host.red)
        assert [node.GetMTime() for node in nodes] == times, key
    a_host.press("F", widget=a_host.red)
    assert [node.GetMTime() for node in nodes] != times, "Slicer's own key for the next slice is left to it"


def test_what_an_answer_changed_flashes_for_a_second_and_is_never_saved(a_lesion, a_grid, tmp_path):
    before, flash = voxels(a_lesion.panel.logic), a_lesion.panel.see.flash
    assert flash.node is None, "the first mask of a lesion is no change"
    a_lesion.click(a_lesion.red, center_of(a_grid, SECOND))
    assert a_lesion.waitUntil(lambda: flash.node is not None, seconds=20)
    added = (voxels(a_lesion.panel.logic) & ~before).sum()
    shown = slicer.util.arrayFromSegmentInternalBinaryLabelmap(
        flash.node, flash.node.GetSegmentation().GetNthSegmentID(0)
    )
    assert np.count_nonzero(shown) == added
    assert slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    assert a_lesion.waitUntil(lambda: flash.node is None, seconds=5)
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 1
    slicer.mrmlScene.Clear(False)
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 1


def test_the_flash_can_be_turned_off(a_lesion, a_grid):
    a_lesion.pressButton(a_lesion.panel.ui.flashButton)
    click_with(a_lesion, "foreground", center_of(a_grid, SECOND))
    assert a_lesion.panel.see.flash.node is None
    a_lesion.pressButton(a_lesion.panel.ui.flashButton)


@pytest.fixture
def a_ct(a_stand_in, a_grid):
    """A CT with one thing of soft tissue in air."""
    from support.scenes import spheres

    array = -1000 + 1040 * spheres(a_grid, [(a_grid.center_ras + FIRST, 9.0)])
    node = slicer.util.addVolumeFromArray(np.ascontiguousarray(array.T), ijkToRAS=a_grid.affine, name="CT")
    a_stand_in.show(node)
    a_stand_in.panel.parameters.choose(volume=node)
    rest(a_stand_in)
    return node


def choose(app, selector, text):
    index = next(n for n in range(selector.count) if selector.itemText(n) == text)
    selector.setCurrentIndex(index)
    selector.activated.emit(index)
    rest(app)


def test_a_window_preset_is_chosen_for_a_ct(an_app, a_ct):
    selector, display = an_app.panel.ui.presetSelector, a_ct.GetDisplayNode()
    choose(an_app, selector, "CT lung")
    assert (display.GetWindow(), display.GetLevel()) == (1500, -600)
    choose(an_app, selector, "Automatic")
    assert display.GetAutoWindowLevel()
    assert selector.currentText == "Window"


def test_other_images_have_no_presets_of_hounsfield_units(a_panel):
    selector = a_panel.panel.ui.presetSelector
    assert [selector.itemText(n) for n in range(selector.count)] == ["Window", "Automatic"]


def test_a_click_in_air_says_so_until_it_is_gone(an_app, a_ct, a_grid):
    click_with(an_app, "foreground", center_of(a_grid, FIRST))
    assert not an_app.panel.ui.messageFrame.visible
    click_with(an_app, "foreground", center_of(a_grid, FIRST + (0, 20, 0)))
    assert "on air (-1000 HU)" in an_app.panel.ui.messageLabel.text
    assert an_app.panel.ui.messageFrame.visible
    an_app.pressButton(an_app.panel.ui.undoButton)
    rest(an_app)
    assert not an_app.panel.ui.messageFrame.visible


def test_overlapping_lesions_say_so(a_lesion, a_grid):
    a_lesion.pressButton(a_lesion.panel.ui.nextButton)
    click_with(a_lesion, "foreground", center_of(a_grid, FIRST))
    assert "overlaps 'Lesion 1'" in a_lesion.panel.ui.messageLabel.text
    assert a_lesion.panel.ui.messageFrame.visible
    press_cell(a_lesion, a_lesion.panel.ui.segmentsTable, 0, 2)
    assert not a_lesion.panel.ui.messageFrame.visible


def test_the_controls_of_a_locked_segment_are_gray(a_lesion):
    ui = a_lesion.panel.ui
    press_cell(a_lesion, ui.segmentsTable, 0, 6)
    gray = (
        ui.boundarySlider,
        ui.clearButton,
        ui.undoButton,
        ui.boxFromMaskButton,
        ui.nearbyCheckBox,
        ui.smoothingSpinBox,
    )
    assert [widget.name for widget in gray if widget.enabled] == []
    press_cell(a_lesion, ui.promptsTable, 0, 5)
    assert kinds_of(a_lesion) == ["foreground"], "its prompts cannot be deleted"


@pytest.mark.parametrize("how", ["key", "button"])
def test_next_takes_up_the_tool_and_pressing_the_tool_keeps_it(a_panel, a_grid, how):
    ui, tools = a_panel.panel.ui, a_panel.panel.tools
    a_panel.red.setFocus()
    a_panel.press("N")
    assert tools.active == "foreground"
    assert ui.foregroundButton.checked
    a_panel.press("A") if how == "key" else a_panel.pressButton(ui.foregroundButton)
    assert tools.active == "foreground"
    assert ui.foregroundButton.checked
    a_panel.click(a_panel.red, center_of(a_grid, FIRST))
    rest(a_panel)
    assert kinds_of(a_panel) == ["foreground"]
    a_panel.press("A")
    assert tools.active is None
    assert not ui.foregroundButton.checked


def test_next_keeps_the_tool_that_is_in_hand(a_panel):
    a_panel.pressButton(a_panel.panel.ui.boxButton)
    a_panel.press("N")
    assert a_panel.panel.tools.active == "box"
    assert a_panel.panel.ui.boxButton.checked


def test_keys_go_to_the_lesion_after_and_before_and_show_it(a_lesion, a_grid):
    a_lesion.press("N")
    a_lesion.click(a_lesion.red, center_of(a_grid, SECOND))
    rest(a_lesion)
    logic, ids = a_lesion.panel.logic, a_lesion.panel.logic.segments.ids()
    for key, segmentId, at in ((QtCore.Qt.Key_Period, ids[0], FIRST), (QtCore.Qt.Key_Comma, ids[1], SECOND)):
        a_lesion.press(key)
        rest(a_lesion)
        assert logic.segmentId == segmentId
        matrix = slicer.util.arrayFromVTKMatrix(a_lesion.green.mrmlSliceNode().GetSliceToRAS())
        assert np.linalg.norm(matrix[:3, 3] - (a_grid.center_ras + at)) < 3


def test_the_settings_of_a_lesion_come_back_with_it_in_the_panel(a_lesion, a_grid):
    ui = a_lesion.panel.ui
    ui.nearbyCheckBox.click()
    ui.smoothingSpinBox.value = 1.5
    ui.boundarySlider.value = 12
    rest(a_lesion)
    a_lesion.press("N")
    rest(a_lesion)
    assert (ui.nearbyCheckBox.checked, ui.smoothingSpinBox.value, ui.boundarySlider.value) == (False, 0.0, 0)
    press_cell(a_lesion, ui.segmentsTable, 0, 2)
    assert (ui.nearbyCheckBox.checked, ui.smoothingSpinBox.value, ui.boundarySlider.value) == (True, 1.5, 12)
    a_lesion.pressButton(ui.undoButton)
    rest(a_lesion)
    assert (ui.smoothingSpinBox.value, ui.boundarySlider.value) == (1.5, 0)
    assert texts_of(ui.segmentsTable, 2) == ["Lesion 1", "Lesion 2"]


@pytest.fixture
def an_unsure_lesion(a_stand_in, a_model, a_grid):
    """A ball with a soft edge, so that some voxels are near the boundary; the band is wanted."""
    places = a_grid.to_ras(np.stack(np.indices(a_grid.shape), axis=-1))
    far = np.linalg.norm(places - center_of(a_grid, FIRST), axis=-1)
    array = (1 / (1 + np.exp((far - 9.0) / 1.5))).astype(np.float32)
    volume = slicer.util.addVolumeFromArray(np.ascontiguousarray(array.T), ijkToRAS=a_grid.affine, name="soft")
    a_stand_in.show(volume)
    a_stand_in.panel.parameters.choose(volume=volume)
    rest(a_stand_in)
    click_with(a_stand_in, "foreground", center_of(a_grid, FIRST))
    asked = a_model.decoded
    a_stand_in.pressButton(a_stand_in.panel.ui.unsureButton)
    rest(a_stand_in)
    assert a_model.decoded == asked, "the model is not asked for it"
    yield a_stand_in
    a_stand_in.panel.ui.unsureButton.setChecked(False)


def band_of(app):
    node, logic = app.panel.see.unsure.node, app.panel.logic
    segmentId = node.GetSegmentation().GetNthSegmentID(0)
    return slicer.util.arrayFromSegmentBinaryLabelmap(node, segmentId, logic.volumeNode) > 0


def test_the_unsure_band_lies_along_the_boundary_and_is_never_saved(an_unsure_lesion, a_grid, tmp_path):
    band, mask = band_of(an_unsure_lesion), voxels(an_unsure_lesion.panel.logic)
    assert 0 < band.sum() < mask.sum()
    assert (band & mask).any()
    assert (band & ~mask).any()
    far = np.linalg.norm(a_grid.to_ras(np.argwhere(band.T)) - center_of(a_grid, FIRST), axis=-1)
    assert far.min() > 6.0
    assert slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    slicer.mrmlScene.Clear(False)
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 1


def test_the_unsure_band_follows_the_boundary_and_goes_when_it_is_not_wanted(an_unsure_lesion):
    before = band_of(an_unsure_lesion)
    an_unsure_lesion.panel.ui.boundarySlider.setValue(15)
    rest(an_unsure_lesion)
    assert an_unsure_lesion.waitUntil(lambda: an_unsure_lesion.panel.see.unsure.node is not None, seconds=5)
    assert not np.array_equal(band_of(an_unsure_lesion), before)
    an_unsure_lesion.pressButton(an_unsure_lesion.panel.ui.unsureButton)
    rest(an_unsure_lesion)
    assert an_unsure_lesion.panel.see.unsure.node is None


def test_the_unsure_band_is_that_of_the_current_segment(an_unsure_lesion):
    an_unsure_lesion.pressButton(an_unsure_lesion.panel.ui.nextButton)
    rest(an_unsure_lesion)
    assert an_unsure_lesion.panel.see.unsure.node is None
