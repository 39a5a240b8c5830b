"""A saved scene is gone on with as if it had never been closed."""

import numpy as np
import pytest
from support.module_scenes import FIRST, SECOND, click, voxels

slicer = pytest.importorskip("slicer")


def reopened(path, opener):
    """The scene closed, read again from a file, and a new logic on what was in it."""
    from SAM3DSegmentLib.Engine import Engine
    from SAM3DSegmentLib.Logic import SAM3DSegmentLogic

    slicer.mrmlScene.Clear(False)
    assert slicer.mrmlScene.ReadFromMRB(str(path))
    logic = SAM3DSegmentLogic(engine=Engine(openModel=opener))
    logic.setVolume(slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")[0])
    logic.setSegmentation(slicer.util.getNodesByClass("vtkMRMLSegmentationNode")[0])
    return logic


@pytest.mark.parametrize("edited", [False, True])
def test_a_click_after_reopening_gives_the_mask_without_the_break(a_started_logic, a_grid, an_opener, tmp_path, edited):
    logic = a_started_logic
    click(logic, a_grid, FIRST)
    click(logic, a_grid, FIRST + (3, 0, 0), positive=False)
    if edited:
        paint = voxels(logic).astype(np.uint8)
        paint[:, :, : paint.shape[2] // 2] = 0
        slicer.util.updateSegmentBinaryLabelmapFromArray(
            paint, logic.segmentationNode, logic.segmentId, logic.volumeNode
        )
    assert slicer.mrmlScene.WriteToMRB(str(tmp_path / "saved.mrb"))
    saved, prompts = voxels(logic), [item.ras for item in logic.prompts.items()]
    click(logic, a_grid, SECOND)
    unbroken = voxels(logic)
    logic.close()

    again = reopened(tmp_path / "saved.mrb", an_opener)
    assert again.waitUntilIdle(20)
    np.testing.assert_allclose([item.ras for item in again.prompts.items()], prompts, atol=1e-3)
    assert np.array_equal(voxels(again), saved)
    click(again, a_grid, SECOND)
    assert np.array_equal(voxels(again), unbroken)
    again.close()


def test_prompts_come_back_from_the_segments_tags_alone(a_started_logic, a_grid, tmp_path):
    logic = a_started_logic
    click(logic, a_grid, FIRST)
    click(logic, a_grid, SECOND, positive=False)
    storage = slicer.vtkMRMLSegmentationStorageNode()
    storage.SetFileName(str(tmp_path / "saved.seg.nrrd"))
    assert storage.WriteData(logic.segmentationNode)
    prompts = [(item.kind, np.round(item.ras, 6).tolist()) for item in logic.prompts.items()]
    volume = logic.volumeNode
    slicer.mrmlScene.RemoveNode(logic.segmentationNode)
    for node in slicer.util.getNodesByClass("vtkMRMLMarkupsNode"):
        slicer.mrmlScene.RemoveNode(node)

    loaded = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Loaded")
    assert storage.ReadData(loaded)
    logic.setVolume(volume)
    logic.setSegmentation(loaded)
    assert [(item.kind, np.round(item.ras, 6).tolist()) for item in logic.prompts.items()] == prompts


def test_no_hidden_node_of_the_module_is_saved(a_started_logic, a_grid):
    before = {node.GetID() for node in slicer.util.getNodesByClass("vtkMRMLNode")}
    click(a_started_logic, a_grid, FIRST)
    new = [node for node in slicer.util.getNodesByClass("vtkMRMLNode") if node.GetID() not in before]
    hidden = [node.GetClassName() for node in new if node.GetHideFromEditors()]
    assert all("Display" in name or "Storage" in name for name in hidden)
