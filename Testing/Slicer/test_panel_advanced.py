"""The panel's Advanced section: how the model computes and how far it looks."""

import pytest
from support.panel_scenes import FIRST, center_of, click_with, rest

slicer = pytest.importorskip("slicer", reason="slicer-core exists for Python 3.11 on 64-bit Linux")
QtWidgets = pytest.importorskip("PySide6.QtWidgets")


@pytest.fixture
def the_sessions(monkeypatch):
    """What each session was told when it was made."""
    from inference_core.engine import session

    told, real = [], session.Session
    monkeypatch.setattr(session, "Session", lambda *given, **named: told.append(named) or real(*given, **named))
    return told


@pytest.fixture
def an_open_section(a_panel):
    a_panel.panel.ui.advancedSection.collapsed = False
    rest(a_panel)
    return a_panel


def choose(app, selector, text):
    """As the user does: `activated` is not emitted by a choice that a program makes."""
    index = next(n for n in range(selector.count) if selector.itemText(n) == text)
    selector.setCurrentIndex(index)
    selector.activated.emit(index)
    rest(app)


def test_a_window_is_chosen_and_the_prompts_are_answered_anew(an_open_section, the_sessions, a_grid):
    app, ui = an_open_section, an_open_section.panel.ui
    click_with(app, "foreground", center_of(a_grid, FIRST))
    assert [told["window_mm"] for told in the_sessions] == [None]
    assert [ui.windowSelector.itemText(n) for n in range(ui.windowSelector.count)][:2] == ["Automatic", "48 mm"]
    choose(app, ui.windowSelector, "48 mm")
    assert [told["window_mm"] for told in the_sessions] == [None, 48.0]
    choose(app, ui.windowSelector, "Automatic")
    assert app.panel.logic.windowMm is None


def test_the_window_is_saved_with_the_scene(an_open_section, tmp_path):
    app = an_open_section
    choose(app, app.panel.ui.windowSelector, "77 mm")
    path = tmp_path / "scene.mrb"
    assert slicer.util.saveScene(str(path))
    app.panel.selections.choose(windowMm=0.0)
    rest(app)
    assert app.panel.ui.windowSelector.currentText == "Automatic"
    slicer.mrmlScene.Clear(0)
    slicer.util.loadScene(str(path))
    rest(app)
    assert app.panel.logic.windowMm == pytest.approx(76.8)
    assert app.panel.ui.windowSelector.currentText == "77 mm"


def test_a_model_of_whole_slices_has_no_window_to_choose(an_open_section):
    app = an_open_section
    app.panel.selections.choose(model="sam")
    rest(app)
    assert not app.panel.ui.windowSelector.enabled
    app.panel.selections.choose(model="sam3d_lite")
    rest(app)
    assert app.panel.ui.windowSelector.enabled


def test_a_precision_is_chosen_for_the_next_answer_and_kept_in_the_settings(an_open_section, a_grid, monkeypatch):
    from inference_core.models.blocks import precision

    monkeypatch.setattr(precision, "_chosen", ["auto"])
    app, ui = an_open_section, an_open_section.panel.ui
    choose(app, ui.precisionSelector, "Half (bfloat16)")
    click_with(app, "foreground", center_of(a_grid, FIRST))
    assert precision.precision_on("cpu") == "bfloat16"
    choose(app, ui.precisionSelector, "Automatic")
    click_with(app, "foreground", center_of(a_grid, FIRST + (0, 0, 2)))
    assert precision.precision_on("cpu") == "float32"
