"""A mask names the model and the weights that made it, whatever is chosen when it is undone, saved or exported."""

import numpy as np
import pytest
from support.module_scenes import FIRST, SECOND, click

slicer = pytest.importorskip("slicer")

OTHER = "sam_med3d"


def made_by(logic, segmentId=None):
    """The model and the weights that a segment's tags name."""
    from SAM3DSegmentLib.MadeBy import modelOf, weightsOf

    segment = logic.segments.get(segmentId or logic.segmentId)
    return modelOf(segment), weightsOf(segment)


def published(name):
    from inference_core.models.registry import get_spec

    return name, get_spec(name).checkpoint.sha256 or ""


def save(tmp_path):
    assert slicer.mrmlScene.WriteToMRB(str(tmp_path / "saved.mrb"))


def test_undo_and_redo_bring_back_what_made_the_mask(a_started_logic, adapted_weights, a_grid):
    logic, (run, sha256) = a_started_logic, adapted_weights
    default = logic.options.modelName
    click(logic, a_grid, FIRST)
    logic.options.setWeights(run)
    click(logic, a_grid, FIRST + 2)
    assert made_by(logic) == (default, sha256)
    logic.undo()
    assert made_by(logic) == published(default)
    logic.options.setWeights("")
    logic.redo()
    assert made_by(logic) == (default, sha256)
    logic.undo()
    logic.undo()
    assert made_by(logic) == ("", ""), "nothing has made an empty segment"


def test_saving_a_scene_names_for_each_segment_what_made_it(a_started_logic, adapted_weights, a_grid, tmp_path):
    logic, (run, sha256) = a_started_logic, adapted_weights
    default = logic.options.modelName
    logic.options.setWeights(run)
    click(logic, a_grid, FIRST)
    logic.options.setWeights("")
    second = logic.segments.next()
    click(logic, a_grid, SECOND)
    third = logic.segments.next()
    logic.options.setModel(OTHER)
    click(logic, a_grid, FIRST + 1)
    first = logic.segments.ids()[0]
    save(tmp_path)
    assert made_by(logic, first) == (default, sha256)
    assert made_by(logic, second) == published(default)
    assert made_by(logic, third) == published(OTHER)


def test_what_is_painted_on_an_answer_leaves_its_maker(a_started_logic, adapted_weights, a_grid, tmp_path):
    logic, (run, sha256) = a_started_logic, adapted_weights
    logic.options.setWeights(run)
    click(logic, a_grid, FIRST)
    half = slicer.util.arrayFromSegmentBinaryLabelmap(logic.segmentationNode, logic.segmentId, logic.volumeNode)
    half[: np.argwhere(half)[:, 0].mean().astype(int)] = 0
    slicer.util.updateSegmentBinaryLabelmapFromArray(half, logic.segmentationNode, logic.segmentId, logic.volumeNode)
    logic.options.setWeights("")
    save(tmp_path)
    assert made_by(logic) == (logic.options.modelName, sha256)


def test_a_scene_that_is_read_again_goes_on_naming_it(a_started_logic, adapted_weights, an_opener, a_grid, tmp_path):
    from SAM3DSegmentLib.Engine import Engine
    from SAM3DSegmentLib.Logic import SAM3DSegmentLogic

    run, sha256 = adapted_weights
    a_started_logic.options.setWeights(run)
    click(a_started_logic, a_grid, FIRST)
    save(tmp_path)
    a_started_logic.close()
    slicer.mrmlScene.Clear(False)
    assert slicer.mrmlScene.ReadFromMRB(str(tmp_path / "saved.mrb"))
    again = SAM3DSegmentLogic(engine=Engine(openModel=an_opener))
    again.setVolume(slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")[0])
    click(again, a_grid, FIRST + 2)
    assert made_by(again)[1] != sha256
    again.undo()
    save(tmp_path)
    assert made_by(again) == (again.options.modelName, sha256)
    again.close()


def test_keeping_b_names_what_made_b(a_started_logic, adapted_weights, a_grid):
    logic, (run, sha256) = a_started_logic, adapted_weights
    click(logic, a_grid, FIRST)
    logic.options.setWeights(run)
    assert logic.waitUntilIdle(20)
    logic.comparison.start("", -1.0)
    assert logic.waitUntilIdle(20)
    logic.options.setWeights("")
    logic.comparison.keepB()
    assert made_by(logic) == (logic.options.modelName, sha256)
    logic.undo()
    assert made_by(logic) == published(logic.options.modelName)
