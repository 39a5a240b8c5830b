"""The panel's Advanced section: how the model computes and how far it looks."""

import numpy as np
import pytest
from support.panel_scenes import FIRST, center_of, click_with, rest

from SAM3DSegmentLib.Engine import Engine

slicer = pytest.importorskip("slicer", reason="slicer-core exists for Python 3.11 on 64-bit Linux")
QtWidgets = pytest.importorskip("PySide6.QtWidgets")


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


def test_a_window_is_chosen_and_the_prompts_are_answered_anew(an_open_section, a_grid, a_model):
    app, ui = an_open_section, an_open_section.panel.ui
    click_with(app, "foreground", center_of(a_grid, FIRST))
    assert len(a_model.encoded) > 1, "several widths are tried"
    assert [ui.windowSelector.itemText(n) for n in range(ui.windowSelector.count)][:2] == ["Automatic", "48 mm"]
    a_model.encoded.clear()
    choose(app, ui.windowSelector, "48 mm")
    assert max(np.multiply(a_model.encoded[0].spacing, a_model.encoded[0].shape)) == pytest.approx(48.0)
    choose(app, ui.windowSelector, "Automatic")
    assert app.panel.logic.options.windowMm is None


def test_the_window_is_saved_with_the_scene(an_open_section, tmp_path):
    app = an_open_section
    choose(app, app.panel.ui.windowSelector, "77 mm")
    path = tmp_path / "scene.mrb"
    assert slicer.util.saveScene(str(path))
    app.panel.parameters.choose(windowMm=0.0)
    rest(app)
    assert app.panel.ui.windowSelector.currentText == "Automatic"
    slicer.mrmlScene.Clear(0)
    slicer.util.loadScene(str(path))
    rest(app)
    assert app.panel.logic.options.windowMm == pytest.approx(76.8)
    assert app.panel.ui.windowSelector.currentText == "77 mm"


def test_a_model_of_whole_slices_has_no_window_to_choose(an_open_section):
    app = an_open_section
    app.panel.parameters.choose(model="sam")
    rest(app)
    assert not app.panel.ui.windowSelector.enabled
    app.panel.parameters.choose(model="sam3d_lite")
    rest(app)
    assert app.panel.ui.windowSelector.enabled


def precisions(app):
    selector = app.panel.ui.precisionSelector
    return [selector.itemText(n) for n in range(selector.count)]


@pytest.fixture
def halving(an_open_section, an_opener):
    """halving(can): the panel with an engine on a device that computes in bfloat16 itself, or does not."""

    def with_engine(can):
        an_open_section.panel.logic.controller.engine = Engine(an_opener, canHalve=lambda device: can)
        return an_open_section

    return with_engine


def test_a_precision_is_chosen_for_the_next_answer_and_kept_in_the_settings(halving, a_grid, an_opener):
    app = halving(True)
    ui = app.panel.ui
    click_with(app, "foreground", center_of(a_grid, FIRST))
    assert app.panel.logic.options.precision == "auto", "never by itself"
    choose(app, ui.precisionSelector, "Half (bfloat16)")
    click_with(app, "foreground", center_of(a_grid, FIRST))
    assert an_opener.loaded[-1] == ("sam3d_lite", "auto", "bfloat16")
    choose(app, ui.precisionSelector, "Automatic")
    click_with(app, "foreground", center_of(a_grid, FIRST + (0, 0, 2)))
    assert an_opener.loaded[-1] == ("sam3d_lite", "auto", "auto")


def test_half_the_digits_are_offered_only_on_what_computes_in_them(halving, a_grid):
    app = halving(False)
    click_with(app, "foreground", center_of(a_grid, FIRST))
    assert precisions(app) == ["Automatic", "Full (float32)"]
    app.panel.logic.options.setPrecision("bfloat16")
    rest(app)
    assert app.panel.ui.precisionSelector.currentText == "Half (bfloat16)", "what is chosen is not hidden"
