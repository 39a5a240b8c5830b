"""Prompts in words: a field for weights that have learned words alone, answered, undone and saved like any prompt.

The model is a real Medical SAM Adapter of few weights with a freshly drawn projection of texts, read by a real CLIP
text tower of toy size.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from support.module_scenes import voxels
from support.panel_gestures import open_section
from support.panel_scenes import FIRST, center_of, rest, texts_of
from support.text_encoders import write_text_encoder

slicer = pytest.importorskip("slicer", reason="slicer-core exists for Python 3.11 on 64-bit Linux")
QtCore = pytest.importorskip("PySide6.QtCore")
QtTest = pytest.importorskip("PySide6.QtTest")
QtWidgets = pytest.importorskip("PySide6.QtWidgets")
pytest.importorskip("tokenizers")

SAM = Path(__file__).resolve().parents[1] / "Data" / "sam" / "small.safetensors"
MODEL = "medical_sam_adapter"
TEXT = 1


@pytest.fixture(scope="module")
def a_clip(tmp_path_factory):
    return write_text_encoder(tmp_path_factory.mktemp("clip") / "clip")


@pytest.fixture
def an_adapter(installed, a_clip):
    """an_adapter(texts=): the weights of a Medical SAM Adapter are on this computer; the path."""
    import torch

    from inference_core.models.registry import get_spec
    from inference_core.models.store import installed_path
    from inference_core.training.config import TrainConfig
    from inference_core.training.recipes.medical_sam_adapter import build

    def install(*, texts):
        torch.manual_seed(0)
        config = TrainConfig(Path("unused"), start_from=SAM, image_size=64, text_encoder=a_clip if texts else None)
        recipe = build(config, {1: "kidney"}, rule=MODEL)
        installed(MODEL)
        path = installed_path(get_spec(MODEL))
        recipe.save(path, recipe.network.state_dict())
        return path

    return install


@pytest.fixture
def no_folder_yet():
    """No text encoder is known to Slicer's settings before the test, and after it."""
    QtCore.QSettings().remove("SAM3DSegment/textEncoder")
    yield
    QtCore.QSettings().remove("SAM3DSegment/textEncoder")


@pytest.fixture
def a_panel_for_words(no_folder_yet, a_panel):
    """The panel with the core's own models."""
    from SAM3DSegmentLib.Engine import Engine

    a_panel.panel.logic.controller.engine = Engine()
    return a_panel


@pytest.fixture
def folder_chosen(monkeypatch):
    """folder_chosen(path): what the folder dialog is answered with; "" gives it up."""

    def answer(path):
        monkeypatch.setattr(QtWidgets.QFileDialog, "getExistingDirectory", lambda *_: str(path))

    return answer


def choose_model(app):
    app.panel.parameters.choose(model=MODEL)
    app.panel.logic.warmer.prepare()
    rest(app)
    assert app.waitUntil(lambda: not app.panel.logic.busy, seconds=30)
    rest(app)


def type_words(app, text):
    edit = app.panel.ui.wordsEdit
    edit.setFocus()
    QtTest.QTest.keyClicks(edit, text)
    QtTest.QTest.keyClick(edit, QtCore.Qt.Key_Return)
    rest(app)


def said_by_the_core(logic, weights, clip, *prompts):
    """The mask (k, j, i) of the same prompts, asked without the module."""
    from inference_core.engine.open_model import open_model
    from inference_core.engine.session import Session
    from inference_core.models.interface import promptable
    from inference_core.prompts.prompt_set import PromptSet
    from SAM3DSegmentLib.Conversion import volumeFromNode

    volume = volumeFromNode(logic.volumeNode)
    model = promptable(open_model(MODEL, weights=weights, device="cpu", text_encoder=clip))
    return Session(volume, model).predict(PromptSet(prompts)).mask.on(volume.grid.shape).T > 0


def test_only_weights_that_have_learned_words_have_a_field_for_them(a_panel_for_words, an_adapter):
    app, ui = a_panel_for_words, a_panel_for_words.panel.ui
    app.panel.ui.advancedSection.collapsed = False
    rest(app)
    assert not ui.wordsEdit.visible
    assert not ui.textEncoderButton.visible
    an_adapter(texts=False)
    choose_model(app)
    assert not ui.wordsEdit.visible
    an_adapter(texts=True)
    app.panel.parameters.choose(model="sam3d_lite")
    rest(app)
    choose_model(app)
    assert ui.wordsEdit.visible
    assert ui.textEncoderButton.visible
    app.panel.parameters.choose(model="sam3d_lite")
    rest(app)
    assert not ui.wordsEdit.visible


def test_words_are_answered_undone_and_brought_back_like_any_prompt(
    a_panel_for_words, an_adapter, a_clip, a_grid, folder_chosen
):
    from inference_core.prompts.prompt_set import Click
    from inference_core.prompts.text import TextPrompt

    weights, app, logic = an_adapter(texts=True), a_panel_for_words, a_panel_for_words.panel.logic
    choose_model(app)
    folder_chosen(a_clip)
    open_section(app, app.panel.ui.advancedSection)
    app.pressButton(app.panel.ui.textEncoderButton)
    rest(app)
    assert app.panel.ui.textEncoderButton.text == "clip"
    type_words(app, "the  left kidney")
    assert texts_of(app.panel.ui.promptsTable, TEXT) == ["the left kidney"]
    assert app.panel.ui.wordsEdit.text == ""
    text = TextPrompt("the left kidney")
    named = said_by_the_core(logic, weights, a_clip, text)
    assert np.array_equal(voxels(logic), named)
    place = center_of(a_grid, FIRST)
    logic.prompts.addClick(place)
    rest(app)
    both = said_by_the_core(logic, weights, a_clip, text, Click(place))
    assert np.array_equal(voxels(logic), both)
    assert not np.array_equal(both, said_by_the_core(logic, weights, a_clip, Click(place))), "else words say nothing"
    for _ in range(2):
        app.pressButton(app.panel.ui.undoButton)
        rest(app)
    assert logic.prompts.items() == ()
    assert not voxels(logic).any()
    app.pressButton(app.panel.ui.redoButton)
    rest(app)
    assert texts_of(app.panel.ui.promptsTable, TEXT) == ["the left kidney"]
    assert np.array_equal(voxels(logic), named)


def test_words_are_saved_with_the_scene_and_with_the_prompts(a_panel_for_words, an_adapter, a_clip, a_grid, tmp_path):
    from inference_core.errors import PromptError

    app, logic = a_panel_for_words, a_panel_for_words.panel.logic
    an_adapter(texts=True)
    choose_model(app)
    logic.options.setTextEncoder(str(a_clip))
    type_words(app, "the kidney")
    logic.prompts.addClick(center_of(a_grid, FIRST))
    rest(app)
    logic.prompts.exportTo(tmp_path / "prompts.json")
    kinds = [entry["type"] for entry in json.loads((tmp_path / "prompts.json").read_text())["prompts"]]
    assert kinds == ["text", "click"]
    mask = voxels(logic)
    assert slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    slicer.mrmlScene.Clear(False)
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    rest(app)
    assert [item.kind for item in logic.prompts.items()] == ["text", "foreground"]
    assert texts_of(app.panel.ui.promptsTable, TEXT)[0] == "the kidney"
    assert np.array_equal(voxels(logic), mask)
    logic.prompts.delete(logic.prompts.items()[0].id)
    rest(app)
    assert [item.kind for item in logic.prompts.items()] == ["foreground"]
    logic.options.setTextEncoder("")
    with pytest.raises(PromptError, match="Choose the folder of the text encoder"):
        logic.prompts.importFrom(tmp_path / "prompts.json")
    assert [item.kind for item in logic.prompts.items()] == ["foreground"], "nothing is lost"
    logic.options.setTextEncoder(str(a_clip))
    logic.prompts.importFrom(tmp_path / "prompts.json")
    rest(app)
    assert np.array_equal(voxels(logic), mask)


def test_the_text_of_the_node_is_the_prompt(a_panel_for_words, an_adapter, a_clip):
    """As where the user changes it in Slicer's own module of texts."""
    app, logic = a_panel_for_words, a_panel_for_words.panel.logic
    an_adapter(texts=True)
    choose_model(app)
    logic.options.setTextEncoder(str(a_clip))
    type_words(app, "the left kidney")
    slicer.util.getNodesByClass("vtkMRMLTextNode")[0].SetText("the right kidney")
    rest(app)
    assert texts_of(app.panel.ui.promptsTable, TEXT) == ["the right kidney"]
    app.pressButton(app.panel.ui.undoButton)
    rest(app)
    assert texts_of(app.panel.ui.promptsTable, TEXT) == ["the left kidney"]
    logic.segments.remove(logic.segmentId)
    assert not [
        node for node in slicer.util.getNodesByClass("vtkMRMLTextNode") if node.GetAttribute("SAM3DSegment.Kind")
    ]


def test_what_reads_words_is_asked_for_once(a_panel_for_words, an_adapter, a_clip, folder_chosen):
    app, logic = a_panel_for_words, a_panel_for_words.panel.logic
    an_adapter(texts=True)
    choose_model(app)
    folder_chosen("")
    type_words(app, "the kidney")
    assert logic.prompts.items() == ()
    assert "Choose the folder of the text encoder under Advanced" in app.panel.ui.messageLabel.text
    assert app.panel.ui.wordsEdit.text == "the kidney", "nothing that was typed is lost"
    folder_chosen(a_clip)
    QtTest.QTest.keyClick(app.panel.ui.wordsEdit, QtCore.Qt.Key_Return)
    rest(app)
    assert len(logic.prompts.items()) == 1
    assert QtCore.QSettings().value("SAM3DSegment/textEncoder") == str(a_clip)


def test_another_text_encoder_is_refused_and_the_right_one_answers(a_panel_for_words, an_adapter, a_clip, tmp_path):
    app, logic = a_panel_for_words, a_panel_for_words.panel.logic
    weights = an_adapter(texts=True)
    choose_model(app)
    logic.options.setTextEncoder(str(write_text_encoder(tmp_path / "other", seed=5)))
    type_words(app, "the left kidney")
    assert "another text encoder" in app.panel.ui.messageLabel.text
    logic.options.setTextEncoder(str(a_clip))
    rest(app)
    assert np.array_equal(voxels(logic), said_by_the_core(logic, weights, a_clip, logic.prompts.items()[0].prompt))


def test_another_model_refuses_words_and_takes_them_back(a_panel_for_words, a_grid):
    app, logic = a_panel_for_words, a_panel_for_words.panel.logic
    logic.prompts.addClick(center_of(a_grid, FIRST))
    rest(app)
    mask = voxels(logic)
    logic.prompts.addText("the kidney")
    rest(app)
    assert "reads no texts" in app.panel.ui.messageLabel.text
    assert [item.kind for item in logic.prompts.items()] == ["foreground"]
    assert np.array_equal(voxels(logic), mask)
