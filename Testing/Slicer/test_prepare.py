"""The model is loaded as soon as there is an image to click on, so that the first click need not wait for it."""

import threading
from dataclasses import replace

import pytest
from support.module_scenes import FIRST, click, events
from support.panel_scenes import rest

slicer = pytest.importorskip("slicer")


@pytest.fixture
def a_loader(a_model, monkeypatch):
    """Counts what is loaded; `fails` is raised, and `opened` held shut keeps it loading."""

    class Loader:
        def __init__(self):
            self.loaded, self.fails, self.opened = [], None, threading.Event()

        def __call__(self, name, *, device):
            assert self.opened.wait(30)
            self.loaded.append((name, device))
            if self.fails is not None:
                raise self.fails
            return a_model

    loader = Loader()
    loader.opened.set()
    monkeypatch.setattr("inference_core.engine.open_model.open_model", loader)
    yield loader
    loader.opened.set()


def prepare(logic, **how):
    logic.prepare(**how)
    assert logic.waitUntilIdle(20)


def test_the_first_click_finds_its_model_loaded(a_started_logic, a_loader, a_grid):
    a_started_logic.waitUntilIdle(20)
    prepare(a_started_logic)
    assert a_loader.loaded == [("sam3d_lite", "auto")]
    assert a_started_logic.deviceDescription()
    click(a_started_logic, a_grid, FIRST)
    prepare(a_started_logic)
    assert len(a_loader.loaded) == 1
    assert len(events(a_started_logic, "answered")) == 1


def test_a_light_model_is_warmed_up_once(a_started_logic, a_loader, a_model, monkeypatch):
    light = replace(a_model.spec.checkpoint, size_bytes=5_000_000)
    monkeypatch.setattr(a_model, "spec", replace(a_model.spec, checkpoint=light))
    prepare(a_started_logic)
    worked = a_model.decoded
    assert worked > 0
    a_started_logic.engine.prepare(a_started_logic.settings, lambda stage, fraction: None)
    assert a_model.decoded == worked


def test_another_device_is_prepared_anew(a_started_logic, a_loader):
    prepare(a_started_logic)
    a_started_logic.setDevice("cpu")
    a_started_logic.waitUntilIdle(20)
    prepare(a_started_logic)
    assert a_loader.loaded == [("sam3d_lite", "auto"), ("sam3d_lite", "cpu")]


def test_a_failure_is_left_for_the_first_click_to_tell_and_not_tried_again_before(a_started_logic, a_loader, a_grid):
    from inference_core.errors import ModelError

    a_started_logic.waitUntilIdle(20)
    a_loader.fails = ModelError("The file is damaged; install it again.")
    prepare(a_started_logic)
    prepare(a_started_logic)
    assert len(a_loader.loaded) == 1
    assert not events(a_started_logic, "failed")
    click(a_started_logic, a_grid, FIRST)
    assert [info["message"] for info in events(a_started_logic, "failed")] == ["The file is damaged; install it again."]


def test_preparing_never_takes_the_place_of_a_question(a_started_logic, a_loader, a_grid):
    a_started_logic.addClick(a_grid.center_ras + FIRST, True)
    a_started_logic.prepare()
    assert a_started_logic.waitUntilIdle(20)
    assert len(events(a_started_logic, "answered")) == 1


def test_a_click_made_while_the_model_loads_is_answered(a_started_logic, a_loader, a_grid):
    a_started_logic.waitUntilIdle(20)
    a_loader.opened.clear()
    a_started_logic.prepare()
    a_started_logic.addClick(a_grid.center_ras + FIRST, True)
    a_started_logic.poll()
    a_loader.opened.set()
    assert a_started_logic.waitUntilIdle(20)
    assert len(events(a_started_logic, "answered")) == 1
    assert len(a_loader.loaded) == 1


def test_what_is_not_installed_is_not_prepared(a_started_logic, a_loader, monkeypatch):
    monkeypatch.setattr(type(a_started_logic), "isModelInstalled", lambda self, name: False)
    prepare(a_started_logic)
    assert a_loader.loaded == []


def test_advice_about_the_device_is_told_once(a_started_logic, a_loader):
    a_started_logic.waitUntilIdle(20)
    prepare(a_started_logic, advise=lambda: "The driver is too old.")
    a_started_logic.setDevice("cpu")
    a_started_logic.waitUntilIdle(20)
    prepare(a_started_logic, advise=lambda: "The driver is too old.")
    assert [info["message"] for info in events(a_started_logic, "cautioned")] == ["The driver is too old."]


def test_the_panel_prepares_once_there_is_an_image_and_names_the_device(an_app, a_loader, request):
    rest(an_app)
    assert a_loader.loaded == []
    request.getfixturevalue("a_volume")
    rest(an_app)
    assert a_loader.loaded == [("sam3d_lite", "auto")]
    assert "CPU" in an_app.panel.ui.statusLabel.text
    assert not an_app.panel.ui.progressBar.visible


def test_the_panel_prepares_nothing_while_packages_are_missing(an_app, a_loader, request, monkeypatch):
    monkeypatch.setattr("SAM3DSegmentLib.Setup.Dependencies.missing", lambda: ["torch"])
    request.getfixturevalue("a_volume")
    rest(an_app)
    assert an_app.panel.logic.volumeNode is not None
    assert a_loader.loaded == []
    assert not an_app.dialogs.seen
