"""Several images in one scene: each has its own segmentation, and nothing is written for another patient."""

import numpy as np
import pytest
from support.module_scenes import FIRST, RADII, SECOND, ball_of, click, dice, events, voxels
from support.scenes import oblique_grid, spheres, turn

slicer = pytest.importorskip("slicer")

from inference_core.geometry.grid import Grid  # noqa: E402


@pytest.fixture
def another_volume(a_volume, a_grid):
    """The same place on another grid, with a ball of another size."""
    grid = oblique_grid(7, 2)
    affine = grid.affine.copy()
    affine[:3, 3] += a_grid.center_ras - grid.center_ras
    grid = Grid(grid.shape, affine)
    array = spheres(grid, [(a_grid.center_ras + FIRST, 6.0)])
    return slicer.util.addVolumeFromArray(np.ascontiguousarray(array.T), ijkToRAS=grid.affine, name="Follow-up")


def test_a_click_on_another_image_leaves_the_first_ones_lesion_alone(a_started_logic, a_volume, another_volume, a_grid):
    logic = a_started_logic
    click(logic, a_grid, FIRST)
    first, segmentId, mask = logic.segmentationNode, logic.segmentId, voxels(logic)
    logic.setVolume(another_volume)
    assert logic.segmentationNode is None
    click(logic, a_grid, FIRST)
    assert logic.segmentationNode is not first
    assert 0.5 < voxels(logic).sum() * 1.7 * 0.9 * 1.2 / (4 / 3 * np.pi * 6.0**3) < 1.5
    logic.setVolume(a_volume)
    assert logic.waitUntilIdle(20)
    assert (logic.segmentationNode, logic.segmentId) == (first, segmentId)
    assert np.array_equal(voxels(logic), mask)
    click(logic, a_grid, SECOND)
    both = ball_of(a_grid, FIRST, RADII[0]) | ball_of(a_grid, SECOND, RADII[1])
    assert dice(voxels(logic), both) > 0.95


def test_a_segment_with_clicks_on_another_image_is_never_written(a_started_logic, another_volume, a_grid):
    """Even where the user chooses the first image's segmentation for the second one."""
    from inference_core.errors import PromptError

    logic = a_started_logic
    click(logic, a_grid, FIRST)
    first, segmentId, mask = logic.segmentationNode, logic.segmentId, voxels(logic)
    logic.setVolume(another_volume)
    logic.setSegmentation(first)
    logic.setSegment(segmentId)
    with pytest.raises(PromptError, match="lie on 'Secret Name'"):
        logic.prompts.addClick(a_grid.center_ras + FIRST)
    logic.options.setThreshold(2.0)
    assert logic.waitUntilIdle(20)
    held = slicer.util.arrayFromSegmentBinaryLabelmap(first, segmentId, slicer.util.getNode("Secret Name")) > 0
    assert np.array_equal(held, mask)
    logic.segments.next()
    click(logic, a_grid, FIRST)
    assert voxels(logic).any(), "the next segment may be the second image's"


def test_a_segmentation_made_elsewhere_for_an_image_is_found_with_it(a_logic, a_volume):
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Made in the Segment Editor")
    node.SetReferenceImageGeometryParameterFromVolumeNode(a_volume)
    a_logic.setVolume(a_volume)
    assert a_logic.segmentationNode is node


@pytest.mark.parametrize("moved", [False, True])
def test_clicks_land_where_they_were_placed_under_a_linear_transform(a_started_logic, another_volume, a_grid, moved):
    """A follow-up image registered to the first one: what is clicked is what lies there now."""
    from SAM3DSegmentLib.Conversion import volumeFromNode

    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = turn((9, -14, 6)), (5, -8, 3)
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "Registration")
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    another_volume.SetAndObserveTransformNodeID(transform.GetID())
    logic = a_started_logic
    logic.setVolume(another_volume)
    place = matrix[:3, :3] @ (a_grid.center_ras + FIRST) + matrix[:3, 3]
    logic.prompts.addClick(place)
    assert logic.waitUntilIdle(20)
    if moved:  # volume, segmentation and prompts go along with the registration
        matrix[:3, 3] += (20, 0, -15)
        transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
        place = place + (20, 0, -15)
    np.testing.assert_allclose(logic.prompts.items()[0].ras, place, atol=1e-6)
    grid = volumeFromNode(another_volume).grid
    held = np.argwhere(voxels(logic))[:, ::-1]
    assert np.linalg.norm(grid.to_ras(held).mean(axis=0) - place) < 1.0


def test_an_image_removed_while_it_computes_leaves_nothing_chosen(a_started_logic, another_volume, a_grid):
    logic = a_started_logic
    logic.prompts.addClick(a_grid.center_ras + FIRST)
    logic.poll()
    slicer.mrmlScene.RemoveNode(logic.volumeNode)
    assert logic.waitUntilIdle(20)
    assert logic.volumeNode is None
    assert not events(logic, "answered")
