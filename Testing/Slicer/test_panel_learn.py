"""Learning from corrections in the panel: masks are accepted, a process of its own adapts, and one step goes back."""

import json
import sys
import time

import pytest
from support.panel_scenes import FIRST, center_of, rest

slicer = pytest.importorskip("slicer", reason="slicer-core exists for Python 3.11 on 64-bit Linux")
QtCore = pytest.importorskip("PySide6.QtCore")

# In the place of Slicer's Python: begins like an adaptation, and ends by its verdict when it is told to.
STAND_IN = """
import json, pathlib, sys, time
run = pathlib.Path(sys.argv[sys.argv.index("--output") + 1])
run.mkdir(parents=True)
(run / "log.jsonl").write_text(json.dumps({"step": 1, "loss": 1.0, "minutes": 2.5}) + "\\n")
told = run.parent.parent / "verdict"
while not told.exists():
    time.sleep(0.02)
better = told.read_text() == "better"
(run / "best.safetensors").write_bytes(b"weights")
(run / "run.json").write_text(json.dumps({"model": "sam3d_lite", "weights": "best.safetensors" if better else None}))
(run / "verdict.json").write_text(json.dumps({"better": better}))
print("The adapted model is " + ("better" if better else "not better and is not offered") + ".", file=sys.stderr)
"""


@pytest.fixture
def a_segment(a_panel, a_grid, tmp_path):
    a_panel.panel.ui.learnSection.collapsed = False
    learning = a_panel.panel.logic.learning
    learning.folder = str(tmp_path / "accepted")
    learning.python = [sys.executable, "-c", STAND_IN]
    a_panel.panel.logic.prompts.addClick(center_of(a_grid, FIRST))
    rest(a_panel)
    yield a_panel
    learning.stop()
    learning.use("")
    QtCore.QSettings().remove("SAM3DSegment/adaptedWeights")


def accept(app, count=3):
    for _ in range(count):
        app.pressButton(app.panel.ui.acceptButton)
        rest(app)


def until(app, holds):
    end = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < end
        rest(app)
        time.sleep(0.05)


def test_an_accepted_mask_is_a_case_that_can_be_deleted(a_segment):
    accept(a_segment, 2)
    learning = a_segment.panel.logic.learning
    assert [case.name for case in learning.cases()] == ["case_0001", "case_0002"]
    assert "2 accepted" in a_segment.panel.ui.learnLabel.text
    a_segment.pressButton(a_segment.panel.ui.deleteAcceptedButton)
    rest(a_segment)
    assert [case.name for case in learning.cases()] == ["case_0001"]


def test_too_few_masks_are_refused_with_a_sentence(a_segment):
    accept(a_segment, 1)
    a_segment.pressButton(a_segment.panel.ui.adaptButton)
    rest(a_segment)
    assert "accept at least 3" in a_segment.panel.ui.messageLabel.text
    assert not a_segment.panel.logic.learning.isRunning


def test_a_better_model_is_offered_used_and_given_up_by_one_press_each(a_segment, tmp_path):
    accept(a_segment)
    ui, logic = a_segment.panel.ui, a_segment.panel.logic
    a_segment.pressButton(ui.adaptButton)
    until(a_segment, lambda: "50 %" in ui.learnLabel.text)
    assert logic.options.weights == ""
    (tmp_path / "accepted" / "verdict").write_text("better")
    until(a_segment, lambda: not logic.learning.isRunning)
    rest(a_segment)
    assert "is better" in ui.learnLabel.text
    a_segment.pressButton(ui.useAdaptedButton)
    rest(a_segment)
    assert logic.options.weights == str(tmp_path / "accepted" / "adapted" / "1")
    a_segment.pressButton(ui.goBackButton)
    rest(a_segment)
    assert logic.options.weights == ""
    assert not ui.goBackButton.visible


def test_a_model_that_is_not_better_is_not_offered(a_segment, tmp_path):
    accept(a_segment)
    ui, logic = a_segment.panel.ui, a_segment.panel.logic
    (tmp_path / "accepted" / "verdict").write_text("worse")
    a_segment.pressButton(ui.adaptButton)
    until(a_segment, lambda: not logic.learning.isRunning)
    rest(a_segment)
    assert "not offered" in ui.learnLabel.text
    assert not ui.useAdaptedButton.visible


def test_stopping_ends_the_process_and_leaves_nothing(a_segment, tmp_path):
    accept(a_segment)
    ui, logic = a_segment.panel.ui, a_segment.panel.logic
    a_segment.pressButton(ui.adaptButton)
    until(a_segment, lambda: "50 %" in ui.learnLabel.text)
    process = logic.learning._process
    a_segment.pressButton(ui.adaptButton)
    rest(a_segment)
    assert process.poll() is not None
    assert not (tmp_path / "accepted" / "adapted" / "1").exists()
    assert "nothing was changed" in ui.learnLabel.text


def test_closing_the_panel_ends_what_it_has_started(a_segment):
    accept(a_segment)
    a_segment.pressButton(a_segment.panel.ui.adaptButton)
    rest(a_segment)
    learning = a_segment.panel.logic.learning
    process = learning._process
    a_segment.panel.learn.close()
    assert process.poll() is not None


def test_weights_that_are_gone_are_refused(a_segment, tmp_path):
    from inference_core.errors import ModelError

    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match="not of a training run"):
        a_segment.panel.logic.learning.use(str(tmp_path / "empty"))
    (tmp_path / "empty" / "run.json").write_text(json.dumps({"model": "sam3d_lite", "weights": None}))
    with pytest.raises(ModelError, match="no weights yet"):
        a_segment.panel.logic.learning.use(str(tmp_path / "empty"))
    assert a_segment.panel.logic.options.weights == ""
