"""A model that needs no prompt fills segments by the names of its classes, and spares locked ones.

The model is a real MA-SAM of few weights (Testing/Data/ma_sam), found where installed models are.
"""

from pathlib import Path

import numpy as np
import pytest
from support.module_scenes import events, voxels

slicer = pytest.importorskip("slicer")

DATA = Path(__file__).resolve().parents[1] / "Data" / "ma_sam"


@pytest.fixture
def the_model_files(monkeypatch, tmp_path):
    """The files of MA-SAM and of the SAM it adapts, installed in a folder of this test's own."""
    import torch

    from inference_core.models.registry import get_spec
    from inference_core.models.store import FOLDER_VARIABLE
    from inference_core.models.weights import load_state_dict

    for name, file in (("ma_sam", "delta_auto"), ("sam_vit_h", "base_small")):
        torch.save(load_state_dict(DATA / f"{file}.safetensors"), tmp_path / get_spec(name).checkpoint.filename)
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))


@pytest.fixture
def a_ct(a_scene):
    """Four slices in Hounsfield units, with something in them."""
    from inference_core.evaluation.phantom import make_phantom

    phantom = make_phantom(shape=(64, 64, 4), spacing=(5.6, 5.6, 60.0))
    array = np.ascontiguousarray(phantom.volume.array.T)
    return slicer.util.addVolumeFromArray(array, ijkToRAS=phantom.volume.grid.affine, name="CT")


@pytest.fixture
def an_automatic_logic(a_ct, the_model_files):
    """A logic as Slicer makes it, with MA-SAM chosen."""
    from SAM3DSegmentLib.Logic import SAM3DSegmentLogic

    logic = SAM3DSegmentLogic()
    logic.told = []
    logic.addListener(lambda event, info: logic.told.append((event, info)))
    logic.setVolume(a_ct)
    logic.options.setModel("ma_sam")
    yield logic
    logic.close()


@pytest.fixture
def the_labels(the_model_files, a_ct):
    """What the model finds, asked without the module."""
    from inference_core.engine.automatic import segment_automatically
    from inference_core.engine.open_model import open_model
    from SAM3DSegmentLib.Conversion import volumeFromNode

    return segment_automatically(volumeFromNode(a_ct), open_model("ma_sam", device="cpu"))


def run(logic):
    logic.automatic.start()
    assert logic.waitUntilIdle(100)
    assert not events(logic, "failed")


def ids(logic):
    segmentation = logic.segmentationNode.GetSegmentation()
    return {segmentation.GetSegment(i).GetName(): i for i in segmentation.GetSegmentIDs()}


def test_each_class_that_is_found_becomes_a_segment_of_its_name(an_automatic_logic, the_labels):
    run(an_automatic_logic)
    found, counts = ids(an_automatic_logic), the_labels.voxels_of()
    assert set(found) == {name for name, count in counts.items() if count}
    assert found, "the model finds something in this image"
    for name, segmentId in found.items():
        wanted = the_labels.labels.array == the_labels.classes.index(name) + 1
        assert np.array_equal(voxels(an_automatic_logic, segmentId), wanted.T)
    assert events(an_automatic_logic, "progress")


def test_running_again_writes_the_same_segments_and_spares_a_locked_one(an_automatic_logic):
    logic = an_automatic_logic
    run(logic)
    before = ids(logic)
    first, *others = before.values()
    empty = np.zeros(voxels(logic, first).shape, dtype=np.uint8)
    for segmentId in before.values():
        slicer.util.updateSegmentBinaryLabelmapFromArray(empty, logic.segmentationNode, segmentId, logic.volumeNode)
    logic.segments.setLocked(first, True)
    run(logic)
    assert ids(logic) == before
    assert not voxels(logic, first).any()
    assert all(voxels(logic, other).any() for other in others)


def test_a_model_that_needs_prompts_says_so(a_started_logic):
    from inference_core.errors import ModelError

    with pytest.raises(ModelError, match="needs a click or a box"):
        a_started_logic.automatic.start()


def test_everything_is_segmented_from_the_panel_by_its_button(an_app, the_model_files, a_ct):
    an_app.show(a_ct)
    an_app.panel.parameters.choose(volume=a_ct, model="ma_sam")
    logic = an_app.panel.logic
    assert an_app.waitUntil(lambda: not logic.busy, seconds=60)
    an_app.pressButton(an_app.panel.ui.automaticButton)
    assert an_app.waitUntil(lambda: not logic.busy, seconds=100)
    assert not an_app.panel.ui.messageFrame.visible
    assert any(voxels(logic, segmentId).any() for segmentId in logic.segments.ids())


def test_a_class_names_the_model_that_found_it_until_a_click_changes_it(an_automatic_logic):
    from SAM3DSegmentLib.MadeBy import algorithmOf
    from SAM3DSegmentLib.WriteBack import tagOf

    logic = an_automatic_logic
    run(logic)
    for segmentId in logic.segments.ids():
        segment = logic.segments.get(segmentId)
        assert algorithmOf(segment).name == "ma_sam"
        assert tagOf(segment, "DICOM.SegmentAlgorithmType") == "AUTOMATIC"
    found = voxels(logic)
    logic.prompts.addClick(logic.segments.center(logic.segmentId), False)
    assert logic.waitUntilIdle(20)
    logic.undo()
    assert np.array_equal(voxels(logic), found)
    assert algorithmOf(logic.segments.get(logic.segmentId)).name == "ma_sam"
