"""Lines, scribbles and lassos, drawn with the mouse: seen, answered, changed, undone, and kept with the scene."""

import numpy as np
import pytest
from support.panel_scenes import FIRST, beside, center_of, draw, kinds_of, press_cell, rest, ring

slicer = pytest.importorskip("slicer", reason="slicer-core exists for Python 3.11 on 64-bit Linux")
QtTest = pytest.importorskip("PySide6.QtTest")
QtCore = pytest.importorskip("PySide6.QtCore")

LEFT, CTRL, NONE = QtCore.Qt.LeftButton, QtCore.Qt.ControlModifier, QtCore.Qt.NoModifier


def item_of(app):
    (item,) = app.panel.logic.prompts.items()
    return item


@pytest.fixture
def a_center(a_grid):
    return center_of(a_grid, FIRST)


def test_a_line_across_the_target_segments_it(a_panel, a_center):
    a_panel.pressButton(a_panel.panel.ui.lineButton)
    ends = beside(a_panel, a_center, -8.0, 0.0), beside(a_panel, a_center, 8.0, 0.0)
    draw(a_panel, ends)
    line = item_of(a_panel)
    assert line.kind == "line"
    assert line.prompt.length_mm == pytest.approx(16.0, abs=1.5)
    assert a_panel.panel.logic.workspace.current().mask.array.any()
    assert a_panel.panel.ui.promptsTable.item(0, 1).text().endswith("mm")
    assert a_panel.panel.tools.active == "line"


def test_a_scribble_runs_where_the_mouse_ran(a_panel, a_center):
    a_panel.pressButton(a_panel.panel.ui.scribbleButton)
    path = [beside(a_panel, a_center, x, 3 * np.sin(x)) for x in np.linspace(-6, 6, 9)]
    draw(a_panel, path)
    scribble = item_of(a_panel)
    assert scribble.kind == "scribble"
    points = np.array(scribble.prompt.points_ras)
    assert len(points) >= 5
    for point in points:
        assert min(np.linalg.norm(point - np.array(place)) for place in path) < 2.5
    assert a_panel.panel.logic.workspace.current().mask.array.any()


@pytest.mark.parametrize(("tool", "kind"), [("scribble", "backgroundScribble"), ("lasso", "backgroundLasso")])
def test_ctrl_draws_the_other_sign(a_panel, a_center, tool, kind):
    a_panel.panel.logic.prompts.addClick(a_center)
    rest(a_panel)
    a_panel.pressButton(getattr(a_panel.panel.ui, f"{tool}Button"))
    draw(a_panel, ring(a_panel, beside(a_panel, a_center, 20.0, 0.0), 5.0), modifier=CTRL)
    assert kinds_of(a_panel) == ["foreground", kind]


def test_what_a_lasso_holds_is_the_slices_answer(a_panel, a_center):
    a_panel.pressButton(a_panel.panel.ui.lassoButton)
    draw(a_panel, ring(a_panel, a_center, 7.0, count=24))
    lasso = item_of(a_panel)
    assert lasso.kind == "lasso"
    logic = a_panel.panel.logic
    mask = logic.workspace.current().mask
    grid = logic.workspace.current().where.lattice
    voxels = np.argwhere(mask.array) + mask.start
    normal = slicer.util.arrayFromVTKMatrix(a_panel.red.mrmlSliceNode().GetSliceToRAS())[:3, 2]
    ras = grid.to_ras(voxels)
    here = np.abs((ras - np.array(lasso.ras)) @ normal) < 0.5
    assert here.any()
    assert np.linalg.norm(ras[here] - np.array(lasso.ras), axis=1).max() < 7.0 + max(grid.spacing)


def test_a_lasso_that_ends_where_it_began_is_one(a_panel, a_center):
    a_panel.pressButton(a_panel.panel.ui.lassoButton)
    outline = ring(a_panel, a_center, 7.0, count=24)
    draw(a_panel, [*outline, outline[0]])
    assert item_of(a_panel).kind == "lasso"
    assert a_panel.panel.logic.workspace.current().mask.array.any()


def test_a_press_that_goes_nowhere_draws_nothing(a_panel, a_center):
    for button in ("lineButton", "scribbleButton", "lassoButton"):
        a_panel.pressButton(getattr(a_panel.panel.ui, button))
        a_panel.click(a_panel.red, a_center)
        rest(a_panel)
    assert kinds_of(a_panel) == []
    for kind in ("Line", "Curve", "ClosedCurve"):
        assert not slicer.util.getNodesByClass(f"vtkMRMLMarkups{kind}Node")


def test_strokes_are_undone_flipped_hidden_moved_and_deleted_like_all_prompts(a_panel, a_center):
    a_panel.pressButton(a_panel.panel.ui.scribbleButton)
    draw(a_panel, [beside(a_panel, a_center, x, 0.0) for x in (-5, -2, 2, 5)])
    drawn = item_of(a_panel)
    logic = a_panel.panel.logic
    logic.undo()
    rest(a_panel)
    assert kinds_of(a_panel) == []
    logic.redo()
    rest(a_panel)
    assert item_of(a_panel).local == drawn.local
    logic.prompts.flip(drawn.id)
    rest(a_panel)
    assert kinds_of(a_panel) == ["backgroundScribble"]
    logic.prompts.flip(drawn.id)
    logic.prompts.setVisible(drawn.id, False)
    rest(a_panel)
    assert not item_of(a_panel).visible
    logic.prompts.move(drawn.id, np.array(drawn.ras) + (3.0, 0.0, 0.0))
    rest(a_panel)
    np.testing.assert_allclose(item_of(a_panel).ras, np.array(drawn.ras) + (3.0, 0.0, 0.0), atol=1e-6)
    press_cell(a_panel, a_panel.panel.ui.promptsTable, 0, 5)
    rest(a_panel)
    assert kinds_of(a_panel) == []


def test_a_point_of_a_line_can_be_dragged_and_the_answer_follows(a_panel, a_center):
    a_panel.pressButton(a_panel.panel.ui.lineButton)
    draw(a_panel, [beside(a_panel, a_center, -8.0, 0.0), beside(a_panel, a_center, 8.0, 0.0)])
    a_panel.panel.tools.activate(None)
    end = beside(a_panel, a_center, 8.0, 0.0)
    a_panel.drag(a_panel.red, end, beside(a_panel, a_center, 12.0, 0.0))
    rest(a_panel)
    assert item_of(a_panel).prompt.length_mm == pytest.approx(20.0, abs=2.0)


def test_strokes_outlast_a_prompts_file(a_panel, a_center, tmp_path):
    a_panel.pressButton(a_panel.panel.ui.lassoButton)
    draw(a_panel, ring(a_panel, a_center, 7.0))
    drawn = item_of(a_panel)
    prompts = a_panel.panel.logic.prompts
    prompts.exportTo(tmp_path / "prompts.json")
    prompts.clear()
    rest(a_panel)
    prompts.importFrom(tmp_path / "prompts.json")
    rest(a_panel)
    np.testing.assert_allclose(item_of(a_panel).prompt.points_ras, drawn.prompt.points_ras, atol=1e-6)


def test_keys_take_the_tools_up(a_panel, a_center):
    a_panel.window.activateWindow()
    a_panel.click(a_panel.red, a_center)  # the keyboard is in the view after a click there
    for key, tool in (("D", "line"), ("C", "scribble"), ("Z", "lasso")):
        a_panel.press(key)
        assert a_panel.panel.tools.active == tool


def test_a_model_of_clicks_says_that_it_is_told_of_strokes_by_them(a_panel):
    a_panel.panel.logic.options.setModel("sam_med3d")
    models = a_panel.panel.logic.options.models
    assert models.accepts("sam_med3d", "line") == (True, "")
    assert not models.readsItself("sam_med3d", "line")
    assert models.readsItself("sam3d_lite", "line")
    assert not models.accepts("ma_sam", "line")[0]
