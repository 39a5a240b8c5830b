"""What was done stays done: steps of undo, and settings that belong to a segment."""

import numpy as np
import pytest
from support.module_scenes import FIRST, RADII, SECOND, ball_of, click, dice, events, prompts_of, voxels

slicer = pytest.importorskip("slicer")

THIRD = (FIRST + SECOND) / 2


def test_four_quick_clicks_are_four_steps_and_computed_once(a_started_logic, a_grid):
    logic = a_started_logic
    places = (FIRST, FIRST + (2, 0, 0), SECOND, SECOND - (2, 0, 0))
    for at in places:
        logic.prompts.addClick(a_grid.center_ras + at)
    assert logic.waitUntilIdle(20)
    assert len(events(logic, "answered")) == 1
    four = voxels(logic)
    for count in (3, 2, 1):
        logic.undo()
        assert logic.waitUntilIdle(20)
        assert len(logic.prompts.items()) == count
    assert dice(voxels(logic), ball_of(a_grid, FIRST, RADII[0])) > 0.95
    logic.undo()
    assert not voxels(logic).any()
    assert not logic.canUndo
    for _ in places:
        logic.redo()
    assert logic.waitUntilIdle(20)
    assert np.array_equal(voxels(logic), four)
    assert not logic.canRedo


def test_undo_before_the_answer_takes_back_the_newest_click_alone(a_started_logic, a_grid):
    for at in (FIRST, FIRST + (2, 0, 0)):
        a_started_logic.prompts.addClick(a_grid.center_ras + at)
    a_started_logic.undo()
    assert a_started_logic.waitUntilIdle(20)
    assert len(a_started_logic.prompts.items()) == 1
    assert voxels(a_started_logic).any()


@pytest.mark.parametrize("change", ["flip", "clear"])
def test_a_change_of_several_nodes_is_one_step(a_started_logic, a_grid, change):
    logic = a_started_logic
    click(logic, a_grid, FIRST)
    click(logic, a_grid, SECOND)
    before, mask = prompts_of(logic), voxels(logic)
    logic.prompts.flip(logic.prompts.items()[1].id) if change == "flip" else logic.prompts.clear()
    assert logic.waitUntilIdle(20)
    assert prompts_of(logic) != before
    logic.undo()
    assert logic.waitUntilIdle(20)
    assert prompts_of(logic) == before
    assert np.array_equal(voxels(logic), mask)


def test_what_was_out_of_a_clicks_reach_stays_when_the_boundary_moves(a_started_logic, a_grid):
    """The second click would add the whole other ball; its reach lets it add a little of it."""
    logic = a_started_logic
    click(logic, a_grid, FIRST)
    logic.options.setLocalRadius(4.0)
    click(logic, a_grid, SECOND)
    out_of_reach = ball_of(a_grid, SECOND, RADII[1] + 3) & ~ball_of(a_grid, SECOND, 4.0 + max(a_grid.spacing))
    assert not (voxels(logic) & out_of_reach).any()
    logic.options.setLocalRadius(None)
    for logit in (-1.0, 1.0):
        logic.options.setThreshold(logit)
        assert logic.waitUntilIdle(20)
        assert voxels(logic).any()
        assert not (voxels(logic) & out_of_reach).any()
    click(logic, a_grid, SECOND + (1, 0, 0))
    assert (voxels(logic) & out_of_reach).any(), "a click without a reach changes what it likes"


def test_the_reach_of_a_click_is_saved_with_it(a_started_logic, a_grid):
    logic = a_started_logic
    logic.options.setLocalRadius(12.0)
    click(logic, a_grid, FIRST)
    logic.prompts.flip(logic.prompts.items()[0].id)
    logic.undo()
    assert [item.reachMm for item in logic.prompts.items()] == [12.0]


def test_the_next_lesion_begins_with_settings_of_its_own_and_each_keeps_its_own(a_started_logic, a_grid):
    logic = a_started_logic
    click(logic, a_grid, FIRST)
    first = logic.segmentId
    logic.options.setThreshold(1.0)
    logic.options.setSmoothing(2.0)
    logic.options.setWindow(64.0)
    logic.options.setLocalRadius(15.0)
    assert logic.waitUntilIdle(20)
    cut = voxels(logic)
    logic.segments.next()
    assert (logic.options.threshold, logic.options.smoothingMm) == (0.0, 0.0)
    assert (logic.options.windowMm, logic.options.localRadiusMm) == (None, None)
    click(logic, a_grid, SECOND)
    logic.setSegment(first)
    assert logic.waitUntilIdle(20)
    assert (logic.options.threshold, logic.options.smoothingMm) == (1.0, 2.0)
    assert (logic.options.windowMm, logic.options.localRadiusMm) == (64.0, 15.0)
    assert np.array_equal(voxels(logic), cut)


def test_undo_brings_settings_back(a_started_logic, a_grid):
    logic = a_started_logic
    click(logic, a_grid, FIRST)
    before = voxels(logic)
    logic.options.setSmoothing(3.0)
    assert logic.waitUntilIdle(20)
    logic.options.setThreshold(0.5)
    assert logic.waitUntilIdle(20)
    logic.undo()
    assert (logic.options.threshold, logic.options.smoothingMm) == (0.0, 3.0)
    logic.undo()
    assert logic.options.smoothingMm == 0.0
    assert np.array_equal(voxels(logic), before)
