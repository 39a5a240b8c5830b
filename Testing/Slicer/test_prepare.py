"""The model is loaded as soon as there is an image to click on, so that the first click need not wait for it."""

from dataclasses import replace

import pytest
from support.module_scenes import FIRST, click, events
from support.panel_scenes import rest

slicer = pytest.importorskip("slicer")


def prepare(logic, **how):
    logic.warmer.prepare(**how)
    assert logic.waitUntilIdle(20)


def test_the_first_click_finds_its_model_loaded(a_started_logic, an_opener, a_grid):
    a_started_logic.waitUntilIdle(20)
    prepare(a_started_logic)
    assert an_opener.loaded == [("sam3d_lite", "auto", "auto")]
    assert a_started_logic.controller.engine.description
    click(a_started_logic, a_grid, FIRST)
    prepare(a_started_logic)
    assert len(an_opener.loaded) == 1
    assert len(events(a_started_logic, "answered")) == 1


def test_a_light_model_is_warmed_up_once(a_started_logic, an_opener, a_model):
    light = replace(a_model.spec.checkpoint, size_bytes=5_000_000)
    a_model.spec = replace(a_model.spec, checkpoint=light)
    prepare(a_started_logic)
    worked = a_model.decoded
    assert worked > 0
    a_started_logic.controller.engine.prepare(a_started_logic.options.settings, lambda stage, fraction: None)
    assert a_model.decoded == worked


def test_another_device_is_prepared_anew(a_started_logic, an_opener):
    prepare(a_started_logic)
    a_started_logic.options.setDevice("cpu")
    a_started_logic.waitUntilIdle(20)
    prepare(a_started_logic)
    assert an_opener.loaded == [("sam3d_lite", "auto", "auto"), ("sam3d_lite", "cpu", "auto")]


def test_a_failure_is_left_for_the_first_click_to_tell_and_not_tried_again_before(a_started_logic, an_opener, a_grid):
    from inference_core.errors import ModelError

    a_started_logic.waitUntilIdle(20)
    an_opener.fails = ModelError("The file is damaged; install it again.")
    prepare(a_started_logic)
    prepare(a_started_logic)
    assert len(an_opener.loaded) == 1
    assert not events(a_started_logic, "failed")
    click(a_started_logic, a_grid, FIRST)
    assert [info["message"] for info in events(a_started_logic, "failed")] == ["The file is damaged; install it again."]


def test_preparing_never_takes_the_place_of_a_question(a_started_logic, an_opener, a_grid):
    a_started_logic.prompts.addClick(a_grid.center_ras + FIRST, True)
    a_started_logic.warmer.prepare()
    assert a_started_logic.waitUntilIdle(20)
    assert len(events(a_started_logic, "answered")) == 1


def test_a_click_made_while_the_model_loads_is_answered(a_started_logic, an_opener, a_grid):
    a_started_logic.waitUntilIdle(20)
    an_opener.opened.clear()
    a_started_logic.warmer.prepare()
    a_started_logic.prompts.addClick(a_grid.center_ras + FIRST, True)
    a_started_logic.poll()
    an_opener.opened.set()
    assert a_started_logic.waitUntilIdle(20)
    assert len(events(a_started_logic, "answered")) == 1
    assert len(an_opener.loaded) == 1


def test_what_is_not_installed_is_not_prepared(a_started_logic, an_opener, installed):
    a_started_logic.options.setModel("sam_med3d")
    a_started_logic.waitUntilIdle(20)
    prepare(a_started_logic)
    assert an_opener.loaded == []


def test_advice_about_the_device_is_told_once(a_started_logic, an_opener):
    a_started_logic.waitUntilIdle(20)
    prepare(a_started_logic, advise=lambda: "The driver is too old.")
    a_started_logic.options.setDevice("cpu")
    a_started_logic.waitUntilIdle(20)
    prepare(a_started_logic, advise=lambda: "The driver is too old.")
    assert [info["message"] for info in events(a_started_logic, "cautioned")] == ["The driver is too old."]


def test_the_panel_prepares_once_there_is_an_image_and_names_the_device(a_stand_in, an_app, an_opener, request):
    rest(an_app)
    assert an_opener.loaded == []
    request.getfixturevalue("a_volume")
    rest(an_app)
    assert an_opener.loaded == [("sam3d_lite", "auto", "auto")]
    assert "CPU" in an_app.panel.ui.statusLabel.text
    assert not an_app.panel.ui.progressBar.visible


def test_the_panel_prepares_nothing_while_packages_are_missing(a_stand_in, an_app, an_opener, request, monkeypatch):
    from SAM3DSegmentLib.Setup import Dependencies

    monkeypatch.setattr(Dependencies, "missing", lambda *_: ["torch"])
    request.getfixturevalue("a_volume")
    rest(an_app)
    assert an_app.panel.logic.volumeNode is not None
    assert an_opener.loaded == []
    assert not an_app.dialogs.seen
