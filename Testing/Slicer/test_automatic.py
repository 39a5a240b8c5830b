"""A model that needs no prompt fills segments by the names of its classes, and spares locked ones."""

from dataclasses import replace

import numpy as np
import pytest
from support.module_scenes import FIRST, RADII, SECOND, ball_of, events, voxels

slicer = pytest.importorskip("slicer")

NAMES = ("first ball", "second ball", "no ball")


@pytest.fixture
def an_automatic_logic(a_started_logic, a_model, a_grid, monkeypatch):
    """A logic whose model finds each of the two balls as a class of its own, and a third class nowhere."""
    from inference_core.engine.automatic import Labeled
    from inference_core.geometry.volume import Volume
    from inference_core.models.spec import PromptKind

    spec = replace(a_model.spec, classes=NAMES, prompt_kinds=frozenset({PromptKind.NONE}))
    monkeypatch.setattr("inference_core.models.registry.get_spec", lambda name: spec)

    def find(volume, model, *, quick, notify):
        notify("stack", 0.5)
        labels = np.zeros(volume.grid.shape, dtype=np.uint8)
        for number, (at, radius) in enumerate(zip((FIRST, SECOND), RADII, strict=True), start=1):
            labels[ball_of(a_grid, at, radius).T] = number
        return Labeled(Volume(labels, volume.grid), NAMES, (0, volume.grid.shape[2] - 1), 1, 0.0)

    monkeypatch.setattr("inference_core.engine.automatic.segment_automatically", find)
    return a_started_logic


def ids(logic):
    segmentation = logic.segmentationNode.GetSegmentation()
    return {segmentation.GetSegment(i).GetName(): i for i in segmentation.GetSegmentIDs()}


def test_each_class_that_is_found_becomes_a_segment_of_its_name(an_automatic_logic, a_grid):
    an_automatic_logic.runAutomatic()
    assert an_automatic_logic.waitUntilIdle(20)
    found = ids(an_automatic_logic)
    assert set(found) == set(NAMES[:2])
    for name, at, radius in zip(NAMES, (FIRST, SECOND), RADII, strict=False):
        assert np.array_equal(voxels(an_automatic_logic, found[name]), ball_of(a_grid, at, radius))
    assert events(an_automatic_logic, "progress")


def test_running_again_writes_the_same_segments_and_spares_a_locked_one(an_automatic_logic, a_grid):
    logic = an_automatic_logic
    logic.runAutomatic()
    assert logic.waitUntilIdle(20)
    first = ids(logic)["first ball"]
    empty = np.zeros(voxels(logic, first).shape, dtype=np.uint8)
    for segmentId in ids(logic).values():
        slicer.util.updateSegmentBinaryLabelmapFromArray(empty, logic.segmentationNode, segmentId, logic.volumeNode)
    logic.setSegmentLocked(first, True)
    logic.runAutomatic()
    assert logic.waitUntilIdle(20)
    assert len(ids(logic)) == 2
    assert not voxels(logic, first).any()
    assert voxels(logic, ids(logic)["second ball"]).any()


def test_a_model_that_needs_prompts_says_so(a_started_logic):
    from inference_core.errors import ModelError

    with pytest.raises(ModelError, match="needs a click or a box"):
        a_started_logic.runAutomatic()
