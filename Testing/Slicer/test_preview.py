"""While many prompts are gone through again for one that was moved, a preview is shown; no segment ever holds it."""

import threading

import numpy as np
import pytest
from support.module_scenes import FIRST, RADII, click, events, voxels
from support.panel_scenes import beside, center_of, click_with, rest

slicer = pytest.importorskip("slicer", reason="slicer-core exists for Python 3.11 on 64-bit Linux")
COUNT = 6


@pytest.fixture
def a_gated_model(a_model):
    """The stand-in model, which after the first look of a question waits, if `gate` is closed, until it is opened."""
    gate = a_model.gate = threading.Event()
    gate.set()
    a_model.looks = 0
    decode = a_model.decode

    def gated(embedding, prompts, prior):
        a_model.looks += 1
        if a_model.looks > 1:
            assert gate.wait(30)
        return decode(embedding, prompts, prior)

    a_model.decode = gated
    yield a_model
    gate.set()


def close_the_gate(model):
    model.looks = 0
    model.gate.clear()


def nearby(number):
    return FIRST + 0.5 * RADII[0] * np.array([np.cos(number), np.sin(number), 0.3 * number % 1])


@pytest.fixture
def six_clicks(a_started_logic, a_gated_model, a_grid):
    """A logic whose segment has six clicks that are answered."""
    for number in range(COUNT):
        click(a_started_logic, a_grid, nearby(number))
    return a_started_logic


def move_the_first(logic, model, by=(1.0, 1.0, 0.0)):
    """Move the first click, and wait for the preview alone."""
    close_the_gate(model)
    (first, *_) = logic.prompts.items()
    logic.prompts.move(first.id, np.asarray(first.ras) + by)
    wait_for_the_preview(logic)


def wait_for_the_preview(logic):
    for _ in range(500):
        logic.poll(0.02)
        if logic.controller.previews.current is not None:
            return
    raise AssertionError("no preview came")


def test_the_segment_holds_the_last_answer_until_the_next_one_is_there(six_clicks, a_gated_model):
    before, steps = voxels(six_clicks), len(events(six_clicks, "answered"))
    move_the_first(six_clicks, a_gated_model)
    assert six_clicks.controller.previews.current.mask.voxel_count > 0
    assert six_clicks.busy
    assert np.array_equal(voxels(six_clicks), before)
    assert len(events(six_clicks, "answered")) == steps
    a_gated_model.gate.set()
    assert six_clicks.waitUntilIdle(20)
    assert six_clicks.controller.previews.current is None
    assert len(events(six_clicks, "answered")) == steps + 1


def test_deleting_an_early_click_is_previewed_and_undone_at_once(six_clicks, a_gated_model):
    before = voxels(six_clicks)
    close_the_gate(a_gated_model)
    six_clicks.prompts.delete(six_clicks.prompts.items()[0].id)
    wait_for_the_preview(six_clicks)
    assert np.array_equal(voxels(six_clicks), before)
    six_clicks.undo()
    assert six_clicks.controller.previews.current is None
    a_gated_model.gate.set()
    assert six_clicks.waitUntilIdle(20)
    assert len(six_clicks.prompts.items()) == COUNT
    assert np.array_equal(voxels(six_clicks), before)


def test_the_answer_is_the_one_without_a_preview(six_clicks, a_gated_model, a_grid):
    move_the_first(six_clicks, a_gated_model)
    a_gated_model.gate.set()
    assert six_clicks.waitUntilIdle(20)
    previewed = voxels(six_clicks)
    six_clicks.controller.engine.forget()
    (first, *_) = six_clicks.prompts.items()
    six_clicks.prompts.flip(first.id)
    assert six_clicks.waitUntilIdle(20)
    six_clicks.controller.engine.forget()
    six_clicks.prompts.flip(first.id)
    assert six_clicks.waitUntilIdle(20)
    assert np.array_equal(voxels(six_clicks), previewed)


@pytest.mark.parametrize("how", ["stop", "undo", "another image", "the segment goes"])
def test_a_preview_ends_with_its_question(six_clicks, a_gated_model, how):
    before = voxels(six_clicks)
    move_the_first(six_clicks, a_gated_model)
    if how == "stop":
        six_clicks.cancel()
    elif how == "undo":
        six_clicks.undo()
    elif how == "another image":
        six_clicks.setVolume(None)
    else:
        six_clicks.segments.remove(six_clicks.segmentId)
    assert six_clicks.controller.previews.current is None
    a_gated_model.gate.set()
    assert six_clicks.waitUntilIdle(20)
    assert six_clicks.controller.previews.current is None
    if how in ("stop", "undo"):
        assert np.array_equal(voxels(six_clicks), before)


def test_a_stopped_question_can_be_asked_again(six_clicks, a_gated_model):
    answered = len(events(six_clicks, "answered"))
    move_the_first(six_clicks, a_gated_model)
    six_clicks.cancel()
    a_gated_model.gate.set()
    assert six_clicks.waitUntilIdle(20)
    (first, *_) = six_clicks.prompts.items()
    six_clicks.prompts.move(first.id, np.asarray(first.ras) + (0.0, 1.0, 0.0))
    assert six_clicks.waitUntilIdle(20)
    assert len(events(six_clicks, "answered")) == answered + 1


def test_a_click_dragged_by_the_mouse_is_previewed_in_the_views_and_said_to_be(a_panel, a_gated_model, a_grid):
    place, panel = center_of(a_grid, FIRST), a_panel.panel
    for number in range(COUNT):
        click_with(a_panel, "foreground", beside(a_panel, place, 4.0 * np.cos(number), 4.0 * np.sin(number)))
    editor = panel.logic.workspace.current()
    start, display = panel.logic.prompts.items()[0].ras, editor.segmentationNode.GetDisplayNode()
    close_the_gate(a_gated_model)
    a_panel.drag(a_panel.red, start, beside(a_panel, start, 2.0, 5.0))
    assert a_panel.waitUntil(lambda: panel.see.preview.node is not None, seconds=10)
    assert a_panel.waitUntil(lambda: "refining" in panel.ui.statusLabel.text, seconds=10)
    assert panel.ui.stopButton.visible
    assert not panel.see.preview.node.GetSaveWithScene()
    assert not display.GetSegmentVisibility2DFill(editor.segmentId)
    a_gated_model.gate.set()
    rest(a_panel)
    assert panel.see.preview.node is None
    assert display.GetSegmentVisibility2DFill(editor.segmentId)
    assert "refining" not in panel.ui.statusLabel.text


def test_a_preview_goes_with_the_panel(a_panel, a_gated_model, a_grid):
    place, panel = center_of(a_grid, FIRST), a_panel.panel
    for number in range(COUNT):
        click_with(a_panel, "foreground", beside(a_panel, place, 4.0 * np.cos(number), 4.0 * np.sin(number)))
    start, display = panel.logic.prompts.items()[0].ras, panel.logic.segmentationNode.GetDisplayNode()
    segmentId = panel.logic.segmentId
    close_the_gate(a_gated_model)
    a_panel.drag(a_panel.red, start, beside(a_panel, start, 2.0, 5.0))
    assert a_panel.waitUntil(lambda: panel.see.preview.node is not None, seconds=10)
    a_gated_model.gate.set()
    panel.see.close()
    assert panel.see.preview.node is None
    assert display.GetSegmentVisibility2DFill(segmentId)
    rest(a_panel)


def without(app, what):
    """Take away what a preview is about, as other modules do."""
    logic = app.panel.logic
    if what == "the image":
        slicer.mrmlScene.RemoveNode(logic.volumeNode)
    elif what == "the segmentation":
        slicer.mrmlScene.RemoveNode(logic.segmentationNode)
    elif what == "a segment that is not the current one":
        before = logic.segmentId
        logic.segments.next()
        logic.segmentationNode.GetSegmentation().RemoveSegment(before)
    elif what == "the segment":
        logic.segmentationNode.GetSegmentation().RemoveSegment(logic.segmentId)
    else:
        logic.prompts.clear()


@pytest.mark.parametrize(
    "what", ["the image", "the segmentation", "the segment", "a segment that is not the current one", "the prompts"]
)
def test_a_preview_goes_with_what_it_is_about(a_panel, a_gated_model, a_grid, capfd, what):
    place, panel = center_of(a_grid, FIRST), a_panel.panel
    for number in range(COUNT):
        click_with(a_panel, "foreground", beside(a_panel, place, 4.0 * np.cos(number), 4.0 * np.sin(number)))
    start = panel.logic.prompts.items()[0].ras
    close_the_gate(a_gated_model)
    a_panel.drag(a_panel.red, start, beside(a_panel, start, 2.0, 5.0))
    assert a_panel.waitUntil(lambda: panel.see.preview.node is not None, seconds=10)
    without(a_panel, what)
    assert a_panel.waitUntil(lambda: panel.see.preview.node is None, seconds=5)
    a_gated_model.gate.set()
    rest(a_panel)
    assert panel.see.preview.node is None
    assert "Traceback" not in capfd.readouterr().err
