"""A and B in the panel: two boundaries and two models on the same prompts, what is shown of B, and which one stays."""

import numpy as np
import pytest
from support.panel_gestures import choose
from support.panel_scenes import FIRST, center_of, kinds_of, rest, voxels
from support.scenes import BrightnessModel

slicer = pytest.importorskip("slicer", reason="slicer-core exists for Python 3.11 on 64-bit Linux")

OTHER = "sam_med3d"


class ByName:
    """Opens a model of its own for each name; `opened` lists them."""

    def __init__(self, models):
        self.models, self.opened = models, []

    def __call__(self, name, **_how):
        self.opened.append(name)
        return self.models[name]


@pytest.fixture
def an_opener_by_name():
    """The other model draws a larger mask, as by a boundary of its own."""
    return ByName({"sam3d_lite": BrightnessModel(), OTHER: BrightnessModel(bias=2.0)})


@pytest.fixture
def a_compared_panel(a_panel, a_grid, an_opener_by_name, installed):
    """A click was answered; the section is open, and another model is on this computer."""
    from SAM3DSegmentLib.Engine import Engine

    installed(OTHER)
    a_panel.panel.logic.controller.engine = Engine(openModel=an_opener_by_name)
    a_panel.panel.logic.prompts.addClick(center_of(a_grid, FIRST))
    a_panel.panel.ui.compareSection.collapsed = False
    rest(a_panel)
    return a_panel


def compare(app, *, boundary=0.0, model=""):
    ui = app.panel.ui
    ui.compareModelSelector.setCurrentIndex(ui.compareModelSelector.findData(model))
    ui.compareBoundarySpinBox.setValue(boundary)
    app.pressButton(ui.compareButton)
    rest(app)


def shown(node, logic):
    """The segments of an overlay by their names, on the image's voxels."""
    segmentation = node.GetSegmentation()
    ids = list(segmentation.GetSegmentIDs())
    array = slicer.util.arrayFromSegmentBinaryLabelmap
    return {segmentation.GetSegment(key).GetName(): array(node, key, logic.volumeNode) > 0 for key in ids}


def answered_at(app, threshold):
    """What the segment holds at a boundary."""
    logic = app.panel.logic
    logic.options.setThreshold(threshold)
    rest(app)
    mask = voxels(logic)
    app.pressButton(app.panel.ui.undoButton)
    rest(app)
    return mask


def test_a_larger_boundary_is_shown_over_the_segment_with_dice_in_words_and_nothing_changes(a_compared_panel):
    app, logic = a_compared_panel, a_compared_panel.panel.logic
    a, b = voxels(logic), answered_at(a_compared_panel, -2.0)
    assert a.sum() < b.sum()
    compare(app, boundary=2.0)
    assert np.array_equal(voxels(logic), a)
    outline, differences = app.panel.compare.view.nodes
    assert differences is None
    assert np.array_equal(shown(outline, logic)["B"], b)
    assert not outline.GetDisplayNode().GetVisibility2DFill()
    dice = 2 * (a & b).sum() / (a.sum() + b.sum())
    assert f"Dice {dice:.2f}, " in app.panel.ui.compareLabel.text
    assert "0.00 ml only in A" in app.panel.ui.compareLabel.text
    assert "boundary +2.0" in app.panel.ui.compareLabel.text


def test_the_differences_are_filled_and_the_slider_hides_b_from_the_right_of_the_screen(a_compared_panel, a_grid):
    app, logic = a_compared_panel, a_compared_panel.panel.logic
    compare(app, boundary=2.0)
    whole = shown(app.panel.compare.view.nodes[0], logic)["B"]
    app.pressButton(app.panel.ui.differencesCheckBox)
    rest(app)
    parts = shown(app.panel.compare.view.nodes[1], logic)
    assert list(parts) == ["only B"]
    assert np.array_equal(parts["only B"], whole & ~voxels(logic))
    app.panel.ui.swipeSlider.setValue(50)
    rest(app)
    half = shown(app.panel.compare.view.nodes[0], logic)["B"]
    right = a_grid.to_ras(np.argwhere(whole.T))[:, 0]
    kept = a_grid.to_ras(np.argwhere(half.T))[:, 0]
    assert kept.max() == right.max(), "the patient's right, which is the screen's left, is still shown"
    assert kept.min() == pytest.approx(right.mean(), abs=1.5)
    assert not (half & ~whole).any()


@pytest.mark.parametrize(("words", "axis"), [("From right", 0), ("From front", 1), ("From top", 2)])
def test_b_is_swept_in_from_the_right_the_front_or_the_top(a_compared_panel, a_grid, words, axis):
    app, logic = a_compared_panel, a_compared_panel.panel.logic
    compare(app, boundary=2.0)
    whole = shown(app.panel.compare.view.nodes[0], logic)["B"]
    node = app.panel.compare.view.nodes[0]
    choose(app, app.panel.ui.swipeSelector, words)
    places = a_grid.to_ras(np.argwhere(whole.T))[:, axis]
    for percent in (80, 30, 0):
        app.panel.ui.swipeSlider.setValue(percent)
        rest(app)
        cut = shown(app.panel.compare.view.nodes[0], logic).get("B", np.zeros_like(whole))
        kept, gone = (a_grid.to_ras(np.argwhere(part.T))[:, axis] for part in (cut, whole & ~cut))
        assert not percent or kept.min() > gone.max()
        assert len(gone) > 0
        assert not percent or kept.min() == pytest.approx(places.max() - percent / 100 * np.ptp(places), abs=4.0)
    assert app.panel.compare.view.nodes[0] is node, "a moving slider makes no new nodes"
    app.panel.ui.swipeSlider.setValue(100)
    rest(app)
    assert np.array_equal(shown(node, logic)["B"], whole)


def test_keeping_b_is_one_step_of_the_history(a_compared_panel):
    app, logic = a_compared_panel, a_compared_panel.panel.logic
    a = voxels(logic)
    compare(app, boundary=2.0)
    b = shown(app.panel.compare.view.nodes[0], logic)["B"]
    app.pressButton(app.panel.ui.keepBButton)
    rest(app)
    assert np.array_equal(voxels(logic), b)
    assert logic.options.threshold == -2.0
    assert app.panel.compare.view.nodes == (None, None)
    app.pressButton(app.panel.ui.undoButton)
    rest(app)
    assert np.array_equal(voxels(logic), a)
    assert logic.options.threshold == 0.0
    app.pressButton(app.panel.ui.redoButton)
    rest(app)
    assert np.array_equal(voxels(logic), b)


def test_keeping_a_leaves_everything_as_it_was(a_compared_panel):
    app, logic = a_compared_panel, a_compared_panel.panel.logic
    a, steps = voxels(logic), logic.canUndo
    compare(app, boundary=2.0)
    app.pressButton(app.panel.ui.keepAButton)
    rest(app)
    assert np.array_equal(voxels(logic), a)
    assert logic.canUndo == steps
    assert app.panel.compare.view.nodes == (None, None)
    assert not app.panel.ui.keepBButton.enabled


def test_another_model_answers_the_same_prompts_and_goes_on_where_it_is_kept(
    a_compared_panel, an_opener_by_name, a_grid
):
    app, logic = a_compared_panel, a_compared_panel.panel.logic
    a = voxels(logic)
    compare(app, model=OTHER)
    b = shown(app.panel.compare.view.nodes[0], logic)["B"]
    assert b.sum() > a.sum()
    assert logic.options.modelName == "sam3d_lite"
    app.pressButton(app.panel.ui.keepBButton)
    rest(app)
    assert np.array_equal(voxels(logic), b)
    assert logic.options.modelName == OTHER
    assert an_opener_by_name.opened == ["sam3d_lite", OTHER], "nothing is loaded twice"
    logic.prompts.addClick(center_of(a_grid, FIRST + (1.0, 0, 0)))
    rest(app)
    assert len(kinds_of(app)) == 2
    assert voxels(logic).sum() >= b.sum()
    app.pressButton(app.panel.ui.undoButton)
    rest(app)
    assert chosen_model(app) == OTHER
    app.pressButton(app.panel.ui.undoButton)
    rest(app)
    assert np.array_equal(voxels(logic), a)
    assert chosen_model(app) == "sam3d_lite", "undo brings back the model, too"
    app.pressButton(app.panel.ui.redoButton)
    rest(app)
    assert np.array_equal(voxels(logic), b)
    assert chosen_model(app) == OTHER
    assert an_opener_by_name.opened == ["sam3d_lite", OTHER], "nothing is loaded twice"


def test_a_model_that_was_chosen_after_b_was_kept_stays_at_undo(a_compared_panel):
    app, logic = a_compared_panel, a_compared_panel.panel.logic
    compare(app, model=OTHER)
    app.pressButton(app.panel.ui.keepBButton)
    rest(app)
    app.panel.parameters.choose(model="ma_sam")
    app.pressButton(app.panel.ui.undoButton)
    assert logic.options.modelName == "ma_sam"


def chosen_model(app):
    """What the picker shows and the logic uses."""
    selector = app.panel.ui.modelSelector
    assert selector.itemData(selector.currentIndex) == app.panel.logic.options.modelName
    return app.panel.logic.options.modelName


def test_a_comparison_ends_with_the_first_change(a_compared_panel, a_grid):
    app, logic = a_compared_panel, a_compared_panel.panel.logic
    compare(app, boundary=2.0)
    logic.prompts.addClick(center_of(a_grid, FIRST + (2.0, 0, 0)))
    rest(app)
    assert logic.comparison.result is None
    assert app.panel.compare.view.nodes == (None, None)
    assert not app.panel.ui.compareLabel.visible


def test_what_would_be_the_same_is_refused(a_compared_panel):
    compare(a_compared_panel)
    assert "B would be the same as A" in a_compared_panel.panel.ui.messageLabel.text
    assert a_compared_panel.panel.compare.view.nodes == (None, None)


def test_a_locked_segment_keeps_a(a_compared_panel):
    app, logic = a_compared_panel, a_compared_panel.panel.logic
    compare(app, boundary=2.0)
    logic.segments.setLocked(logic.segmentId, True)
    rest(app)
    assert not app.panel.ui.keepBButton.enabled


def test_all_words_for_how_far_a_and_b_agree_can_be_translated():
    from inference_core.geometry.mask import Mask
    from inference_core.measures.agreement import Agreement
    from SAM3DSegmentLib.Panel.CompareSection import sentenceAbout

    nothing = Mask.of(np.zeros((1, 1, 1), bool))
    for dice in (1.0, 0.96, 0.9, 0.75, 0.2):
        found = Agreement(nothing, nothing, nothing, 0.25, 1.0, 2.0, dice)
        assert sentenceAbout(found) == found.sentence()


def test_a_comparison_can_be_stopped(a_compared_panel, an_opener_by_name):
    import threading

    app, logic = a_compared_panel, a_compared_panel.panel.logic
    entered, release, other = threading.Event(), threading.Event(), an_opener_by_name.models[OTHER]
    encode = other.encode

    def slowly(window):
        entered.set()
        assert release.wait(30)
        return encode(window)

    other.encode = slowly
    ui = app.panel.ui
    ui.compareModelSelector.setCurrentIndex(ui.compareModelSelector.findData(OTHER))
    app.pressButton(ui.compareButton)
    assert app.waitUntil(entered.is_set, seconds=10)
    assert app.waitUntil(lambda: ui.stopButton.visible, seconds=5)
    app.pressButton(ui.stopButton)
    release.set()
    rest(app)
    assert logic.comparison.result is None
    assert not ui.messageFrame.visible


def test_a_closed_section_shows_nothing_in_the_views_and_nothing_of_it_is_saved(a_compared_panel, tmp_path):
    app = a_compared_panel
    compare(app, boundary=2.0)
    assert slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    assert not app.panel.compare.view.nodes[0].GetSaveWithScene()
    app.panel.ui.compareSection.collapsed = True
    rest(app)
    assert app.panel.compare.view.nodes == (None, None)


def test_a_key_shows_a_and_b_in_turn_and_leaves_everything_as_it_was(a_compared_panel, tmp_path):
    app, logic = a_compared_panel, a_compared_panel.panel.logic
    display, segmentId = logic.segmentationNode.GetDisplayNode(), logic.segmentId
    is_drawn = lambda: (display.GetSegmentVisibility2DFill(segmentId), display.GetSegmentVisibility2DOutline(segmentId))  # noqa: E731
    compare(app, boundary=2.0)
    b = shown(app.panel.compare.view.nodes[0], logic)["B"]
    seen = []
    for _ in range(4):
        node = app.panel.compare.view.nodes[0]
        seen.append((app.panel.ui.turnButton.text, node is not None, is_drawn()))
        if node is not None:
            assert np.array_equal(shown(node, logic)["B"], b)
        app.red.setFocus()
        app.press("Q")
        rest(app)
    assert seen == [
        ("Shown: A and B", True, (True, True)),
        ("Shown: A", False, (True, True)),
        ("Shown: B", True, (False, False)),
        ("Shown: A and B", True, (True, True)),
    ]
    app.press("Q")
    assert app.panel.ui.turnButton.text == "Shown: B"
    assert app.panel.compare.view.nodes[0].GetDisplayNode().GetVisibility2DFill()
    assert not app.panel.ui.swipeSlider.enabled
    assert slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    slicer.mrmlScene.Clear(False)
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    rest(app)
    display = logic.segmentationNode.GetDisplayNode()
    assert is_drawn() == (True, True), "what was not drawn when the scene was saved is drawn when it is opened"


@pytest.mark.parametrize("end", ["keep A", "keep B", "close the section", "leave the module", "unload"])
def test_a_segment_that_was_taken_out_of_the_views_is_back_however_the_comparison_ends(a_compared_panel, end):
    app, logic = a_compared_panel, a_compared_panel.panel.logic
    display, segmentId = logic.segmentationNode.GetDisplayNode(), logic.segmentId
    compare(app, boundary=2.0)
    for _ in range(2):
        app.pressButton(app.panel.ui.turnButton)
    assert not display.GetSegmentVisibility2DFill(segmentId)
    ways = {
        "keep A": lambda: app.pressButton(app.panel.ui.keepAButton),
        "keep B": lambda: app.pressButton(app.panel.ui.keepBButton),
        "close the section": lambda: setattr(app.panel.ui.compareSection, "collapsed", True),
        "leave the module": lambda: app.app.moduleManager().leaveModule(),
        "unload": app.closeModule,
    }
    ways[end]()
    if app.panel is not None:
        rest(app)
    assert display.GetSegmentVisibility2DFill(segmentId)
    assert display.GetSegmentVisibility2DOutline(segmentId)
