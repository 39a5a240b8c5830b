"""Whatever is missing, fails or goes away, the panel says so and can be gone on with."""

import numpy as np
import pytest
from support.module_scenes import RADII, ball_of, dice
from support.panel_gestures import open_section
from support.panel_scenes import FIRST, center_of, click_with, kinds_of, rest, texts_of, voxels

slicer = pytest.importorskip("slicer", reason="slicer-core exists for Python 3.11 on 64-bit Linux")
QtWidgets = pytest.importorskip("PySide6.QtWidgets")
vtk = pytest.importorskip("vtk")


def choose_model(app, name):
    """As the user does: `activated` is not emitted by a choice that a program makes."""
    selector = app.panel.ui.modelSelector
    if selector.findData(name) < 0:  # it is behind "More models"
        selector.activated.emit(selector.count - 1)
        selector.hidePopup()
    selector.setCurrentIndex(selector.findData(name))
    selector.activated.emit(selector.currentIndex)
    rest(app)


def test_an_empty_scene_shows_what_to_do_and_nothing_else(an_app):
    ui = an_app.panel.ui
    rest(an_app)
    assert ui.welcomeFrame.visible
    assert ui.welcomeLabel.text.count(". ") + ui.welcomeLabel.text.endswith(".") == 2
    assert ui.sampleButton.visible
    assert not ui.workArea.visible
    assert not ui.messageFrame.visible
    assert an_app.dialogs.seen == []


def test_the_tumor_of_the_sample_is_segmented_by_one_click_with_the_real_model(an_app, monkeypatch):
    from inference_core.evaluation import phantom
    from SAM3DSegmentLib.SampleVolume import TUMOR_RAS

    made, make = [], phantom.make_phantom
    monkeypatch.setattr(phantom, "make_phantom", lambda: made.append(make()) or made[0])
    an_app.pressButton(an_app.panel.ui.sampleButton)
    rest(an_app)
    assert an_app.panel.ui.workArea.visible
    click_with(an_app, "foreground", TUMOR_RAS)
    truth = (made[0].labels.array == made[0].tumors[0].label).T
    assert dice(voxels(an_app.panel.logic), truth) > 0.8


def test_the_sample_is_offered_in_sample_data(an_app, monkeypatch):
    import SampleData

    from inference_core.evaluation import phantom

    small = phantom.make_phantom(shape=(64, 64, 24), spacing=(5.6, 5.6, 10.0))
    monkeypatch.setattr(phantom, "make_phantom", lambda: small)
    an_app.app.startupCompleted.emit()
    assert "SAM3DSegment" in slicer.modules.sampleDataSources
    node = SampleData.SampleDataLogic().downloadSample("SAM3DSegmentPhantom")
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(node), small.volume.array.T)
    np.testing.assert_allclose(slicer.util.arrayFromVTKMatrix(ijk_to_ras(node)), small.volume.grid.affine, atol=1e-6)


def ijk_to_ras(node):
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return matrix


def test_a_volume_loaded_later_is_taken_up_when_the_module_is_shown(an_app, a_stand_in, a_volume):
    manager = an_app.app.moduleManager()
    manager.leaveModule()
    an_app.show(a_volume)
    manager.selectModule("SAM3DSegment")
    assert an_app.panel.logic.volumeNode is a_volume
    assert an_app.panel.ui.workArea.visible


def test_a_volume_loaded_while_the_module_is_shown_is_taken_up(an_app, a_stand_in, a_volume):
    rest(an_app)
    assert an_app.panel.logic.volumeNode is a_volume
    assert an_app.panel.ui.volumeSelector.currentNode() is a_volume
    assert not an_app.panel.ui.welcomeFrame.visible


def test_tools_that_a_model_does_not_take_are_gray_and_say_why(a_panel, installed):
    installed("ma_sam_box")
    choose_model(a_panel, "ma_sam_box")
    ui = a_panel.panel.ui
    assert not ui.foregroundButton.enabled
    assert ui.foregroundButton.toolTip == "MA-SAM with a box takes no foreground clicks; choose another model for them."
    assert ui.boxButton.enabled


def test_a_model_that_is_not_installed_says_how_to_get_it(a_panel, installed):
    choose_model(a_panel, "sam_med3d")
    ui = a_panel.panel.ui
    assert "Not on this computer" in ui.modelSummary.text
    assert not ui.foregroundButton.enabled
    assert "not on this computer" in ui.foregroundButton.toolTip
    ui.aboutSection.collapsed = False
    a_panel.settle()
    assert ui.downloadModelButton.visible
    assert ui.installModelButton.visible
    assert "https://huggingface.co/" in ui.aboutLabel.text


def test_a_model_chosen_but_not_installed_is_explained_without_a_terminal(a_panel, a_grid, installed):
    from SAM3DSegmentLib.Engine import Engine

    click_with(a_panel, "foreground", center_of(a_grid, FIRST))
    a_panel.panel.logic.controller.engine = Engine()
    choose_model(a_panel, "sam_med3d")
    assert "About this model" in a_panel.panel.ui.messageLabel.text
    assert "python" not in a_panel.panel.ui.messageLabel.text


def test_an_automatic_model_has_a_button_of_its_own(a_panel, installed):
    installed("ma_sam")
    assert not a_panel.panel.ui.automaticButton.visible
    automatic = next(spec.name for spec in a_panel.panel.logic.options.models.all() if spec.automatic)
    choose_model(a_panel, automatic)
    assert a_panel.panel.ui.automaticButton.visible


def test_a_failure_is_said_in_the_panel_and_its_report_copied(a_panel, a_grid, a_model):
    def broken(window):
        raise RuntimeError("cannot read '/scans/Jane Doe.nrrd'")

    works, a_model.encode = a_model.encode, broken
    click_with(a_panel, "foreground", center_of(a_grid, FIRST))
    ui = a_panel.panel.ui
    assert ui.messageFrame.visible
    assert "RuntimeError" in ui.messageLabel.text
    assert a_panel.dialogs.seen == []
    a_panel.pressButton(ui.copyReportButton)
    copied = QtWidgets.QApplication.clipboard().text()
    assert copied.startswith(ui.messageLabel.text)
    assert "SAM3DSegment " in copied
    assert "Secret Name" not in copied
    assert "Jane" not in copied
    assert ui.copyReportButton.text == "Copied"
    a_model.encode = works
    a_panel.click(a_panel.red, center_of(a_grid, FIRST))
    rest(a_panel)
    assert not ui.messageFrame.visible, "an answer is the end of the trouble"


def test_a_caution_of_the_model_is_shown_with_its_answer(a_panel, a_grid, a_model):
    a_panel.panel.logic.controller.engine.takeCautions = lambda: ["The file lacks a part."]
    click_with(a_panel, "foreground", center_of(a_grid, FIRST))
    assert a_panel.panel.ui.messageFrame.visible
    assert a_panel.panel.ui.messageLabel.text == "The file lacks a part."
    assert voxels(a_panel.panel.logic).any()


def test_a_refused_click_is_explained_and_taken_back(a_panel, a_grid):
    logic, ui = a_panel.panel.logic, a_panel.panel.ui
    logic.prompts.addClick(a_grid.center_ras + (500, 0, 0))
    rest(a_panel)
    assert "outside" in ui.messageLabel.text
    assert kinds_of(a_panel) == []
    a_panel.pressButton(ui.dismissButton)
    assert not ui.messageFrame.visible


def test_a_box_from_an_empty_mask_is_refused_with_a_sentence(a_panel):
    a_panel.pressButton(a_panel.panel.ui.nextButton)
    rest(a_panel)
    a_panel.pressButton(a_panel.panel.ui.boxFromMaskButton)
    assert "empty" in a_panel.panel.ui.messageLabel.text


def test_without_torch_the_tool_asks_and_stays_up_when_declined(a_panel, monkeypatch):
    from SAM3DSegmentLib.Setup import Dependencies

    monkeypatch.setattr(Dependencies, "missing", lambda *_: ["torch"])
    a_panel.pressButton(a_panel.panel.ui.foregroundButton)
    assert not a_panel.panel.ui.foregroundButton.checked
    assert a_panel.panel.ui.messageFrame.visible
    assert "torch" in a_panel.panel.ui.messageLabel.text
    interaction = a_panel.app.applicationLogic().GetInteractionNode()
    assert interaction.GetCurrentInteractionMode() == interaction.ViewTransform


def test_a_closed_scene_is_like_a_new_one(a_panel, a_grid):
    click_with(a_panel, "foreground", center_of(a_grid, FIRST))
    slicer.mrmlScene.Clear(False)
    rest(a_panel)
    ui = a_panel.panel.ui
    assert ui.welcomeFrame.visible
    assert not ui.workArea.visible
    assert ui.volumeSelector.currentNode() is None
    assert a_panel.panel.tools.active is None


def test_a_scene_closed_while_the_model_runs_gets_no_answer(a_panel, a_grid, a_slow_model):
    a_panel.pressButton(a_panel.panel.ui.foregroundButton)
    a_panel.click(a_panel.red, center_of(a_grid, FIRST))
    assert a_panel.waitUntil(a_slow_model.entered.is_set, seconds=20)
    slicer.mrmlScene.Clear(False)
    a_slow_model.release.set()
    rest(a_panel)
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0
    assert not a_panel.panel.ui.messageFrame.visible


def test_a_removed_volume_leaves_the_panel_ready_for_another(a_panel, a_grid, a_volume):
    click_with(a_panel, "foreground", center_of(a_grid, FIRST))
    slicer.mrmlScene.RemoveNode(a_volume)
    rest(a_panel)
    assert a_panel.panel.logic.volumeNode is None
    assert a_panel.panel.tools.active is None
    assert a_panel.panel.ui.welcomeFrame.visible


def test_a_removed_segmentation_is_made_anew_at_the_next_click(a_panel, a_grid):
    click_with(a_panel, "foreground", center_of(a_grid, FIRST))
    slicer.mrmlScene.RemoveNode(a_panel.panel.logic.segmentationNode)
    rest(a_panel)
    assert texts_of(a_panel.panel.ui.segmentsTable, 2) == []
    click_with(a_panel, "foreground", center_of(a_grid, FIRST))
    assert dice(voxels(a_panel.panel.logic), ball_of(a_grid, FIRST, RADII[0])) > 0.95


def test_choices_are_saved_with_the_scene(a_panel, a_grid, tmp_path):
    click_with(a_panel, "foreground", center_of(a_grid, FIRST))
    ui = a_panel.panel.ui
    ui.nearbyCheckBox.click()
    ui.nearbySpinBox.value = 35
    ui.smoothingSpinBox.value = 1.5
    rest(a_panel)
    path = str(tmp_path / "scene.mrb")
    assert slicer.util.saveScene(path)
    slicer.mrmlScene.Clear(False)
    rest(a_panel)
    slicer.util.loadScene(path)
    rest(a_panel)
    logic = a_panel.panel.logic
    assert (logic.options.localRadiusMm, logic.options.smoothingMm) == (35, 1.5)
    assert ui.volumeSelector.currentNode().GetName() == "Secret Name"
    assert texts_of(ui.segmentsTable, 2) == ["Lesion 1"]
    assert kinds_of(a_panel) == ["foreground"]


def test_two_panels_share_one_logic_and_show_the_same(a_panel, a_grid):
    module = a_panel.app.moduleManager().module("SAM3DSegment")
    second = slicer.qSlicerScriptedLoadableModuleWidget(module)
    second.enter()
    try:
        assert second.self().logic is a_panel.panel.logic
        click_with(a_panel, "foreground", center_of(a_grid, FIRST))
        assert texts_of(second.self().ui.promptsTable, 1) == texts_of(a_panel.panel.ui.promptsTable, 1)
        assert len(kinds_of(a_panel)) == 1
    finally:
        second.exit()
        second.self().cleanup()
    click_with(a_panel, "background", center_of(a_grid, FIRST))
    assert len(kinds_of(a_panel)) == 2


def test_a_reloaded_module_goes_on_where_it_was(a_panel, a_grid):
    click_with(a_panel, "foreground", center_of(a_grid, FIRST))
    a_panel.closeModule()
    a_panel.openModule()
    rest(a_panel)
    assert kinds_of(a_panel) == ["foreground"]
    assert a_panel.panel.ui.volumeSelector.currentNode().GetName() == "Secret Name"


def test_prompts_are_exported_and_imported(a_panel, a_grid, tmp_path, saved_as, monkeypatch):
    path = str(tmp_path / "prompts.json")
    saved_as(path)
    monkeypatch.setattr(QtWidgets.QFileDialog, "getOpenFileName", lambda *_: (path, ""))
    ui = a_panel.panel.ui
    click_with(a_panel, "foreground", center_of(a_grid, FIRST))
    open_section(a_panel, ui.advancedSection)
    a_panel.pressButton(ui.exportButton)
    a_panel.pressButton(ui.nextButton)
    rest(a_panel)
    a_panel.pressButton(ui.importButton)
    rest(a_panel)
    assert kinds_of(a_panel) == ["foreground"]
    assert len(texts_of(ui.segmentsTable, 2)) == 2
