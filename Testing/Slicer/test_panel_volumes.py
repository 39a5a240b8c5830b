"""Several images in the panel: what is chosen is shown, and a click counts only where its image is seen."""

import numpy as np
import pytest
from support.module_scenes import RADII, ball_of, dice
from support.panel_scenes import FIRST, center_of, click_with, kinds_of, rest, voxels
from support.scenes import oblique_grid, spheres

slicer = pytest.importorskip("slicer", reason="slicer-core exists for Python 3.11 on 64-bit Linux")

from inference_core.geometry.grid import Grid  # noqa: E402


@pytest.fixture
def a_follow_up(a_panel, a_grid):
    """A second image of the same place; the panel does not take it up, since one is chosen."""
    grid = oblique_grid(7, 2)
    affine = grid.affine.copy()
    affine[:3, 3] += a_grid.center_ras - grid.center_ras
    array = spheres(Grid(grid.shape, affine), [(a_grid.center_ras + FIRST, 6.0)])
    node = slicer.util.addVolumeFromArray(np.ascontiguousarray(array.T), ijkToRAS=affine, name="Follow-up")
    rest(a_panel)
    return node


def backgrounds(app):
    views = (app.red, app.green, app.yellow)
    return {view.sliceLogic().GetBackgroundLayer().GetVolumeNode().GetName() for view in views}


def test_choosing_an_image_shows_it_in_all_views_where_they_are(a_panel, a_follow_up, a_volume, a_grid):
    click_with(a_panel, "foreground", center_of(a_grid, FIRST))
    mask, offset = voxels(a_panel.panel.logic), a_panel.green.sliceLogic().GetSliceOffset()
    a_panel.panel.ui.volumeSelector.setCurrentNode(a_follow_up)
    rest(a_panel)
    assert backgrounds(a_panel) == {"Follow-up"}
    assert a_panel.green.sliceLogic().GetSliceOffset() == pytest.approx(offset, abs=3), "they share a place"
    a_panel.click(a_panel.red, center_of(a_grid, FIRST))
    rest(a_panel)
    a_panel.panel.ui.volumeSelector.setCurrentNode(a_volume)
    rest(a_panel)
    assert np.array_equal(voxels(a_panel.panel.logic), mask), "the first patient's lesion is as it was"


def test_a_click_where_another_image_is_shown_is_refused_with_a_way_out(a_panel, a_follow_up, a_volume, a_grid):
    ui = a_panel.panel.ui
    slicer.util.setSliceViewerLayers(background=a_follow_up)
    a_panel.pressButton(ui.foregroundButton)
    a_panel.click(a_panel.red, center_of(a_grid, FIRST))
    rest(a_panel)
    assert kinds_of(a_panel) == []
    assert "shows 'Follow-up', but 'Secret Name'" in ui.messageLabel.text
    a_panel.pressButton(ui.messageActionButton)
    rest(a_panel)
    assert a_panel.panel.logic.volumeNode is a_follow_up
    assert not ui.messageFrame.visible
    a_panel.click(a_panel.red, center_of(a_grid, FIRST))
    rest(a_panel)
    assert kinds_of(a_panel) == ["foreground"]


def test_the_refusal_goes_when_the_image_is_shown_again(a_panel, a_follow_up, a_volume, a_grid):
    slicer.util.setSliceViewerLayers(background=a_follow_up)
    a_panel.pressButton(a_panel.panel.ui.foregroundButton)
    a_panel.click(a_panel.red, center_of(a_grid, FIRST))
    assert a_panel.panel.ui.messageFrame.visible
    slicer.util.setSliceViewerLayers(background=a_volume)
    a_panel.click(a_panel.red, center_of(a_grid, FIRST))
    rest(a_panel)
    assert not a_panel.panel.ui.messageFrame.visible
    assert dice(voxels(a_panel.panel.logic), ball_of(a_grid, FIRST, RADII[0])) > 0.95


def test_an_overlaid_image_counts_as_shown(a_panel, a_follow_up, a_volume, a_grid):
    slicer.util.setSliceViewerLayers(background=a_follow_up, foreground=a_volume, foregroundOpacity=0.5)
    click_with(a_panel, "foreground", center_of(a_grid, FIRST))
    assert kinds_of(a_panel) == ["foreground"]


def test_an_image_deleted_while_it_computes_leaves_nothing_chosen_and_the_tool_off(
    a_panel, a_follow_up, a_volume, a_grid, a_slow_model
):
    a_panel.pressButton(a_panel.panel.ui.foregroundButton)
    a_panel.click(a_panel.red, center_of(a_grid, FIRST))
    assert a_panel.waitUntil(a_slow_model.entered.is_set, seconds=20)
    slicer.mrmlScene.RemoveNode(a_volume)
    a_slow_model.release.set()
    rest(a_panel)
    assert a_panel.panel.logic.volumeNode is None, "not the other image either"
    assert a_panel.panel.tools.active is None
    assert not a_panel.panel.ui.messageFrame.visible


def test_the_masks_of_another_image_are_out_of_the_views_until_it_is_chosen_again(
    a_panel, a_follow_up, a_volume, a_grid
):
    ui, logic = a_panel.panel.ui, a_panel.panel.logic
    click_with(a_panel, "foreground", center_of(a_grid, FIRST))
    first = logic.segmentationNode.GetDisplayNode()
    ui.volumeSelector.setCurrentNode(a_follow_up)
    rest(a_panel)
    a_panel.click(a_panel.red, center_of(a_grid, FIRST))
    rest(a_panel)
    second = logic.segmentationNode.GetDisplayNode()
    assert (first.GetVisibility(), second.GetVisibility()) == (0, 1)
    ui.volumeSelector.setCurrentNode(a_volume)
    rest(a_panel)
    assert (first.GetVisibility(), second.GetVisibility()) == (1, 0)


def test_masks_that_the_user_has_hidden_stay_hidden_when_their_image_is_chosen_again(
    a_panel, a_follow_up, a_volume, a_grid
):
    click_with(a_panel, "foreground", center_of(a_grid, FIRST))
    first = a_panel.panel.logic.segmentationNode.GetDisplayNode()
    first.SetVisibility(False)
    for image in (a_follow_up, a_volume):
        a_panel.panel.ui.volumeSelector.setCurrentNode(image)
        rest(a_panel)
    assert not first.GetVisibility()
