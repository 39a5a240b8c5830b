"""Where the cursor rests, the click that may come is answered ahead; nothing that is asked waits for it."""

import threading
import time

import pytest
from support.panel_scenes import FIRST, SECOND, beside, center_of, rest

slicer = pytest.importorskip("slicer", reason="slicer-core exists for Python 3.11 on 64-bit Linux")
QtCore = pytest.importorskip("PySide6.QtCore")


@pytest.fixture
def a_light_model(a_model):
    """The stand-in model, which is small enough to be asked ahead."""
    from dataclasses import replace

    a_model.spec = replace(a_model.spec, checkpoint=replace(a_model.spec.checkpoint, size_bytes=5_000_000))
    return a_model


@pytest.fixture
def in_hand(a_light_model, a_panel, monkeypatch):
    """Foreground in hand, the model loaded, the mains plugged in; encoded windows are counted from here on."""
    a_panel.panel.ui.aheadCheckBox.setChecked(True)
    a_panel.panel.clicks.power = type("Plugged", (), {"onBattery": False})()
    a_panel.panel.logic.warmer.prepare()
    rest(a_panel)
    a_panel.pressButton(a_panel.panel.ui.foregroundButton)
    rest(a_panel)
    a_light_model.encoded.clear()
    return a_panel


def hover(app, ras):
    app.showPoint(app.red, ras)
    app.hover(app.red, app.pixelOf(app.red, ras))


def linger(app, seconds=0.4):
    """The cursor rests, until what is worked out ahead is done."""
    app.waitUntil(lambda: False, seconds=seconds)
    assert app.waitUntil(lambda: not app.panel.logic.controller.isLookingAhead, seconds=20)


def test_a_click_on_a_rested_cursor_asks_the_model_nothing_more(in_hand, a_light_model, a_grid):
    place = center_of(a_grid, FIRST)
    hover(in_hand, place)
    linger(in_hand)
    encoded, decoded = len(a_light_model.encoded), a_light_model.decoded
    assert encoded > 0
    assert in_hand.panel.logic.segmentId is None
    in_hand.click(in_hand.red, place)
    rest(in_hand)
    assert (len(a_light_model.encoded), a_light_model.decoded) == (encoded, decoded)
    assert in_hand.panel.logic.workspace.current().mask.voxel_count > 0


def test_the_answer_is_the_one_without(in_hand, a_light_model, a_grid):
    place = center_of(a_grid, FIRST)
    in_hand.panel.ui.aheadCheckBox.setChecked(False)
    in_hand.click(in_hand.red, place)
    rest(in_hand)
    plain = in_hand.panel.logic.workspace.current().mask
    in_hand.panel.logic.segments.next()
    in_hand.panel.ui.aheadCheckBox.setChecked(True)
    in_hand.panel.logic.controller.engine.forget()
    hover(in_hand, beside(in_hand, place, 30.0))
    hover(in_hand, place)
    linger(in_hand)
    in_hand.click(in_hand.red, place)
    rest(in_hand)
    assert in_hand.panel.logic.workspace.current().mask.voxel_count == plain.voxel_count


@pytest.mark.parametrize("why", ["switched off", "on battery", "another tool", "a large model"])
def test_nothing_is_worked_out(in_hand, a_light_model, a_grid, why):
    panel = in_hand.panel
    if why == "switched off":
        panel.ui.aheadCheckBox.setChecked(False)
    elif why == "on battery":
        panel.clicks.power.onBattery = True
    elif why == "another tool":
        in_hand.pressButton(panel.ui.backgroundButton)
    else:
        from dataclasses import replace

        checkpoint = replace(a_light_model.spec.checkpoint, size_bytes=400_000_000)
        a_light_model.spec = replace(a_light_model.spec, checkpoint=checkpoint)
    hover(in_hand, center_of(a_grid, FIRST))
    linger(in_hand)
    assert a_light_model.encoded == []


def test_a_moving_cursor_asks_nothing(in_hand, a_light_model, a_grid):
    for step in range(8):
        hover(in_hand, center_of(a_grid, FIRST) if step % 2 else center_of(a_grid, SECOND))
        in_hand.waitUntil(lambda: False, seconds=0.03)
    in_hand.panel.tools.activate(None)
    linger(in_hand)
    assert a_light_model.encoded == []


def test_a_further_click_is_not_worked_out(in_hand, a_light_model, a_grid):
    in_hand.click(in_hand.red, center_of(a_grid, FIRST))
    rest(in_hand)
    encoded = len(a_light_model.encoded)
    hover(in_hand, beside(in_hand, center_of(a_grid, FIRST), 4.0, 2.0))
    linger(in_hand)
    assert len(a_light_model.encoded) == encoded


def test_what_nobody_asked_for_is_not_seen(in_hand, a_light_model, a_grid):
    logic, told = in_hand.panel.logic, []
    logic.addListener(lambda event, info: told.append(event))
    hover(in_hand, center_of(a_grid, FIRST))
    linger(in_hand)
    assert a_light_model.encoded
    assert not {"progress", "answered", "failed"} & set(told)
    assert not logic.busy


def test_a_click_elsewhere_does_not_wait_for_it(in_hand, a_light_model, a_grid):
    """The model takes ten seconds ahead, between two operations of torch: it is stopped there."""
    import torch

    entered, waitedFor, encode = threading.Event(), threading.Event(), a_light_model.encode

    def slowly(window):
        if not entered.is_set():
            entered.set()
            for _ in range(1000):
                time.sleep(0.01)
                torch.zeros(1).add(1)
            waitedFor.set()
        return encode(window)

    a_light_model.encode = slowly
    hover(in_hand, center_of(a_grid, FIRST))
    assert in_hand.waitUntil(entered.is_set, seconds=5)
    in_hand.click(in_hand.red, center_of(a_grid, SECOND))
    rest(in_hand)
    assert not waitedFor.is_set()
    assert in_hand.panel.logic.workspace.current().mask.voxel_count > 0


def test_the_choice_is_remembered(in_hand):
    import qt

    from SAM3DSegmentLib.Panel.AdvancedSection import _AHEAD_SETTING

    in_hand.panel.ui.aheadCheckBox.setChecked(False)
    assert str(qt.QSettings().value(_AHEAD_SETTING)).lower() == "false"
    in_hand.panel.ui.aheadCheckBox.setChecked(True)
