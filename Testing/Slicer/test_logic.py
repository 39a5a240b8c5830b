"""The logic without its panel: nodes in, masks out; nothing lost, nothing harmed, all of it undone and gone on with."""

import numpy as np
import pytest
from support.module_scenes import FIRST, RADII, SECOND, ball_of, click, dice, events, prompts_of, voxels
from support.scenes import BrightnessModel, spheres

slicer = pytest.importorskip("slicer")


def test_a_click_on_a_ball_segments_that_ball(a_started_logic, a_grid):
    click(a_started_logic, a_grid, FIRST)
    assert dice(voxels(a_started_logic), ball_of(a_grid, FIRST, RADII[0])) > 0.95
    (answer,) = events(a_started_logic, "answered")
    assert answer["voxels"] == answer["changedVoxels"] == voxels(a_started_logic).sum()


def test_a_click_makes_a_segmentation_and_a_segment_on_demand(a_started_logic, a_grid):
    click(a_started_logic, a_grid, FIRST)
    segment = a_started_logic.segmentationNode.GetSegmentation().GetSegment(a_started_logic.segmentId)
    assert segment.GetName() == "Lesion 1"
    assert a_started_logic.segments.volumeMl(a_started_logic.segmentId) == pytest.approx(
        voxels(a_started_logic).sum() * a_grid.voxel_volume_mm3 / 1000
    )


def test_the_next_segment_has_a_name_and_a_color_of_its_own(a_started_logic):
    ids = [a_started_logic.segments.next() for _ in range(10)]
    names = [a_started_logic.segmentationNode.GetSegmentation().GetSegment(i).GetName() for i in ids]
    assert names == [f"Lesion {n}" for n in range(1, 11)]
    assert len({a_started_logic.segments.color(i) for i in ids}) == 10


def test_a_second_click_adds_the_other_ball_from_the_cached_embedding(a_started_logic, a_grid, a_model):
    click(a_started_logic, a_grid, FIRST)
    encoded = len(a_model.encoded)
    click(a_started_logic, a_grid, SECOND)
    assert len(a_model.encoded) - encoded <= 1
    both = ball_of(a_grid, FIRST, RADII[0]) | ball_of(a_grid, SECOND, RADII[1])
    assert dice(voxels(a_started_logic), both) > 0.95


def test_a_moved_click_moves_the_mask(a_started_logic, a_grid):
    click(a_started_logic, a_grid, FIRST)
    (item,) = a_started_logic.prompts.items()
    a_started_logic.prompts.move(item.id, a_grid.center_ras + SECOND)
    assert a_started_logic.waitUntilIdle(20)
    assert dice(voxels(a_started_logic), ball_of(a_grid, SECOND, RADII[1])) > 0.93


def test_a_point_dragged_in_a_view_is_answered_when_it_is_let_go(a_started_logic, a_grid):
    click(a_started_logic, a_grid, FIRST)
    node = a_started_logic.prompts.placeNode("foreground")
    answered = len(events(a_started_logic, "answered"))
    node.InvokeEvent(node.PointStartInteractionEvent)
    for share in (0.3, 0.7, 1.0):
        node.SetNthControlPointPositionWorld(0, *(a_grid.center_ras + FIRST + share * (SECOND - FIRST)))
        a_started_logic.poll(0.02)
    assert len(events(a_started_logic, "answered")) == answered
    node.InvokeEvent(node.PointEndInteractionEvent)
    assert a_started_logic.waitUntilIdle(20)
    assert dice(voxels(a_started_logic), ball_of(a_grid, SECOND, RADII[1])) > 0.93


def test_a_point_deleted_in_the_markups_module_is_gone(a_started_logic, a_grid):
    click(a_started_logic, a_grid, FIRST)
    click(a_started_logic, a_grid, SECOND)
    a_started_logic.prompts.placeNode("foreground").RemoveNthControlPoint(1)
    assert a_started_logic.waitUntilIdle(20)
    assert dice(voxels(a_started_logic), ball_of(a_grid, FIRST, RADII[0])) > 0.95


def test_a_flipped_click_changes_its_list_and_keeps_its_place(a_started_logic, a_grid):
    click(a_started_logic, a_grid, FIRST)
    click(a_started_logic, a_grid, SECOND)
    before = a_started_logic.prompts.items()
    a_started_logic.prompts.flip(before[1].id)
    assert a_started_logic.waitUntilIdle(20)
    after = a_started_logic.prompts.items()
    assert [item.id for item in after] == [item.id for item in before]
    assert [item.kind for item in after] == ["foreground", "background"]
    assert after[1].local == before[1].local


def test_a_rotated_box_segments_what_is_in_it(a_started_logic, a_grid):
    axes = a_grid.affine[:3, :3] / a_grid.spacing
    a_started_logic.prompts.addBox(a_grid.center_ras + FIRST, (22.0, 22.0, 22.0), axes)
    assert a_started_logic.waitUntilIdle(20)
    (item,) = a_started_logic.prompts.items()
    assert item.kind == "box"
    np.testing.assert_allclose(item.size, 22.0)
    np.testing.assert_allclose(item.prompt.box.axes, axes, atol=1e-9)
    assert dice(voxels(a_started_logic), ball_of(a_grid, FIRST, RADII[0])) > 0.95


def test_a_box_from_the_mask_holds_all_of_it(a_started_logic, a_grid):
    click(a_started_logic, a_grid, FIRST)
    a_started_logic.prompts.addBoxFromMask()
    box = a_started_logic.prompts.items()[-1].prompt.box
    assert box.contains(a_grid.to_ras(np.argwhere(voxels(a_started_logic).T))).all()
    assert np.prod(box.size) < 3 * (2 * RADII[0]) ** 3


def test_clicks_made_while_the_model_computes_are_answered_together(a_started_logic, a_grid):
    for n in range(10):
        a_started_logic.prompts.addClick(a_grid.center_ras + FIRST + (0.3 * n, 0, 0))
        a_started_logic.poll()
    a_started_logic.prompts.addClick(a_grid.center_ras + SECOND)
    assert a_started_logic.waitUntilIdle(20)
    assert len(a_started_logic.prompts.items()) == 11
    both = ball_of(a_grid, FIRST, RADII[0]) | ball_of(a_grid, SECOND, RADII[1])
    assert dice(voxels(a_started_logic), both) > 0.95
    assert len(events(a_started_logic, "answered")) < 11


def test_twenty_undos_and_redos_bring_back_prompts_and_mask_bit_for_bit(a_started_logic, a_grid):
    logic, course = a_started_logic, []
    rng = np.random.default_rng(3)
    for n in range(20):
        if n % 5 == 4:
            logic.prompts.delete(logic.prompts.items()[0].id)
        elif n % 7 == 3:
            logic.prompts.addBox(a_grid.center_ras + FIRST, rng.uniform(15, 25, 3))
        else:
            logic.prompts.addClick(a_grid.center_ras + FIRST + rng.uniform(-4, 4, 3), n % 3 != 2)
        assert logic.waitUntilIdle(20)
        course.append((prompts_of(logic), voxels(logic)))
    for wanted, mask in reversed(course[:-1]):
        logic.undo()
        assert prompts_of(logic) == wanted
        assert np.array_equal(voxels(logic), mask)
    logic.undo()
    assert prompts_of(logic) == []
    assert not voxels(logic).any()
    assert not logic.canUndo
    for wanted, mask in course:
        logic.redo()
        assert prompts_of(logic) == wanted
        assert np.array_equal(voxels(logic), mask)
    assert not logic.canRedo
    assert not logic.busy


def test_undo_before_the_answer_takes_the_click_back(a_started_logic, a_grid):
    click(a_started_logic, a_grid, FIRST)
    mask = voxels(a_started_logic)
    a_started_logic.prompts.addClick(a_grid.center_ras + SECOND)
    a_started_logic.undo()
    assert a_started_logic.waitUntilIdle(20)
    assert len(a_started_logic.prompts.items()) == 1
    assert np.array_equal(voxels(a_started_logic), mask)


def test_the_threshold_cuts_again_without_the_model_and_is_one_step(a_started_logic, a_grid, a_model):
    click(a_started_logic, a_grid, FIRST)
    mask, decoded = voxels(a_started_logic), a_model.decoded
    for logit in (0.5, 1.0, 2.0):
        a_started_logic.options.setThreshold(logit)
        assert a_started_logic.waitUntilIdle(20)
    assert a_model.decoded == decoded
    assert 0 < voxels(a_started_logic).sum() < mask.sum()
    a_started_logic.undo()
    assert a_started_logic.options.threshold == 0.0
    assert np.array_equal(voxels(a_started_logic), mask)


def test_a_segment_that_was_there_is_the_start_and_comes_back(a_started_logic, a_grid):
    logic = a_started_logic
    segmentId = logic.segments.next()
    painted = ball_of(a_grid, FIRST, 5.0).astype(np.uint8)
    slicer.util.updateSegmentBinaryLabelmapFromArray(painted, logic.segmentationNode, segmentId, logic.volumeNode)
    click(logic, a_grid, FIRST)
    assert dice(voxels(logic), ball_of(a_grid, FIRST, RADII[0])) > 0.95
    logic.prompts.clear()
    assert logic.waitUntilIdle(20)
    assert np.array_equal(voxels(logic), painted > 0)


def test_paint_and_erasure_between_clicks_outlast_later_answers(a_started_logic, a_grid):
    logic = a_started_logic
    click(logic, a_grid, FIRST)
    edited = voxels(logic)
    hole, patch = ball_of(a_grid, FIRST + (4, 0, 0), 3.0), ball_of(a_grid, SECOND + (0, 12, 0), 4.0)
    edited = ((edited | patch) & ~hole).astype(np.uint8)
    slicer.util.updateSegmentBinaryLabelmapFromArray(edited, logic.segmentationNode, logic.segmentId, logic.volumeNode)
    click(logic, a_grid, FIRST - (3, 0, 0))
    assert not (voxels(logic) & hole).any()
    assert (voxels(logic) | ~patch).all()
    click(logic, a_grid, FIRST + (4, 0, 0))
    assert (voxels(logic) & hole).sum() > 0.8 * hole.sum()


def test_an_edit_can_be_undone_like_a_click(a_started_logic, a_grid):
    logic = a_started_logic
    click(logic, a_grid, FIRST)
    mask = voxels(logic)
    nothing = np.zeros(mask.shape, dtype=np.uint8)
    slicer.util.updateSegmentBinaryLabelmapFromArray(nothing, logic.segmentationNode, logic.segmentId, logic.volumeNode)
    click(logic, a_grid, SECOND)
    logic.undo()
    assert not voxels(logic).any()
    logic.undo()
    assert np.array_equal(voxels(logic), mask)


def test_changes_stay_within_the_radius_of_the_newest_click(a_started_logic, a_grid):
    click(a_started_logic, a_grid, FIRST)
    mask = voxels(a_started_logic)
    a_started_logic.options.setLocalRadius(6.0)
    click(a_started_logic, a_grid, SECOND)
    changed = voxels(a_started_logic) != mask
    assert changed.any()
    assert not (changed & ~ball_of(a_grid, SECOND, 6.01 + max(a_grid.spacing))).any()


def test_a_finished_segment_is_bit_identical_after_many_clicks_on_another(a_started_logic, a_grid):
    logic = a_started_logic
    click(logic, a_grid, FIRST)
    finished, mask = logic.segmentId, voxels(logic)
    logic.segments.next()
    for n in range(8):
        click(logic, a_grid, FIRST + (n, 0, 0), positive=n % 3 != 1)
    click(logic, a_grid, SECOND)
    assert voxels(logic).any()
    assert np.array_equal(voxels(logic, finished), mask)


def test_other_segments_can_be_kept_out_of(a_started_logic, a_grid):
    logic = a_started_logic
    click(logic, a_grid, FIRST)
    first = logic.segmentId
    logic.segments.next()
    logic.options.setOthersAreBackground(True)
    click(logic, a_grid, FIRST)
    click(logic, a_grid, SECOND)
    assert voxels(logic).any()
    assert not (voxels(logic) & voxels(logic, first)).any()


def test_prompts_of_each_segment_come_back_with_it(a_started_logic, a_grid):
    logic = a_started_logic
    click(logic, a_grid, FIRST)
    first, answered = logic.segmentId, len(events(logic, "answered"))
    logic.segments.next()
    assert logic.prompts.items() == ()
    logic.setSegment(first)
    assert len(logic.prompts.items()) == 1
    assert logic.waitUntilIdle(20)
    assert len(events(logic, "answered")) == answered + 0


def test_a_click_outside_is_refused_with_its_distance_and_taken_back(a_started_logic, a_grid):
    click(a_started_logic, a_grid, FIRST)
    mask = voxels(a_started_logic)
    click(a_started_logic, a_grid, (500.0, 0, 0))
    (failure,) = events(a_started_logic, "failed")
    assert "mm outside the volume" in failure["message"]
    assert len(a_started_logic.prompts.items()) == 1
    assert np.array_equal(voxels(a_started_logic), mask)


def test_background_clicks_alone_wait_for_a_foreground_one(a_started_logic, a_grid):
    click(a_started_logic, a_grid, SECOND, positive=False)
    assert not events(a_started_logic, "failed")
    assert len(a_started_logic.prompts.items()) == 1
    click(a_started_logic, a_grid, FIRST)
    assert voxels(a_started_logic).any()


def test_a_locked_segment_says_so_and_keeps_its_voxels(a_started_logic, a_grid):
    logic = a_started_logic
    click(logic, a_grid, FIRST)
    mask = voxels(logic)
    logic.segments.setLocked(logic.segmentId, True)
    click(logic, a_grid, SECOND)
    assert "locked" in events(logic, "failed")[0]["message"]
    assert np.array_equal(voxels(logic), mask)


def test_cancelling_leaves_prompts_and_mask_as_they_are(a_started_logic, a_grid):
    click(a_started_logic, a_grid, FIRST)
    mask = voxels(a_started_logic)
    a_started_logic.prompts.addClick(a_grid.center_ras + SECOND)
    a_started_logic.poll()
    a_started_logic.cancel()
    assert a_started_logic.waitUntilIdle(20)
    assert len(a_started_logic.prompts.items()) == 2
    assert np.array_equal(voxels(a_started_logic), mask) or len(events(a_started_logic, "answered")) == 2


@pytest.mark.parametrize("what", ["scene", "volume", "segmentation", "segment"])
def test_what_is_removed_while_the_model_computes_is_let_go(a_started_logic, a_grid, what):
    logic = a_started_logic
    click(logic, a_grid, FIRST)
    logic.prompts.addClick(a_grid.center_ras + SECOND)
    logic.poll()
    scene = slicer.mrmlScene
    {
        "scene": lambda: scene.Clear(False),
        "volume": lambda: scene.RemoveNode(logic.volumeNode),
        "segmentation": lambda: scene.RemoveNode(logic.segmentationNode),
        "segment": lambda: logic.segments.remove(logic.segmentId),
    }[what]()
    assert logic.waitUntilIdle(20)
    assert not events(logic, "failed")
    assert what == "volume" or not slicer.util.getNodesByClass("vtkMRMLMarkupsNode") or what == "segmentation"


def test_voxels_modified_in_place_are_looked_at_anew(a_started_logic, a_grid):
    logic = a_started_logic
    click(logic, a_grid, FIRST)
    array = slicer.util.arrayFromVolume(logic.volumeNode)
    array[:] = spheres(a_grid, [(a_grid.center_ras + FIRST, 5.0)]).T
    slicer.util.arrayFromVolumeModified(logic.volumeNode)
    click(logic, a_grid, FIRST + (1, 0, 0))
    assert dice(voxels(logic), ball_of(a_grid, FIRST, 5.0)) > 0.9


def test_a_model_that_cannot_be_loaded_is_said_and_can_be_exchanged(a_started_logic, a_grid, an_opener):
    from inference_core.errors import CheckpointError

    an_opener.fails = CheckpointError("'x.pth' is cut off; download it again.")
    click(a_started_logic, a_grid, FIRST)
    assert events(a_started_logic, "failed")[0]["message"] == "'x.pth' is cut off; download it again."
    assert len(a_started_logic.prompts.items()) == 1
    an_opener.fails = None
    click(a_started_logic, a_grid, FIRST + (1, 0, 0))
    assert voxels(a_started_logic).any()


def test_a_device_out_of_memory_falls_back_to_the_cpu(a_started_logic, a_grid, an_opener, a_model):
    from inference_core.errors import DeviceError

    class Full(BrightnessModel):
        def decode(self, *_):
            raise DeviceError("The GPU is out of memory; close other programs or choose the CPU.")

    an_opener.by_device = {"auto": Full(device="mps"), "cpu": a_model}
    click(a_started_logic, a_grid, FIRST)
    assert voxels(a_started_logic).any()
    assert [device for _name, device, _precision in an_opener.loaded] == ["auto", "cpu"]
    assert a_started_logic.controller.engine.description.startswith("CPU")


def test_what_a_models_file_leaves_open_is_told_once(a_started_logic, a_grid, a_model):
    from dataclasses import replace

    a_model.spec = replace(a_model.spec, cautions=("The decoder was never trained.",))
    click(a_started_logic, a_grid, FIRST)
    click(a_started_logic, a_grid, SECOND)
    assert events(a_started_logic, "cautioned") == [{"message": "The decoder was never trained."}]


def test_prompts_that_the_session_answers_for_are_offered(a_started_logic, a_model):
    from dataclasses import replace

    from inference_core.models.spec import PromptKind
    from SAM3DSegmentLib.Models import Models

    spec = replace(
        a_model.spec,
        prompt_kinds=frozenset({PromptKind.POSITIVE_CLICK}),
        session_kinds=frozenset({PromptKind.NEGATIVE_CLICK}),
    )
    a_started_logic.options.models = Models((spec,))
    a_started_logic.options.setModel(spec.name)
    assert a_started_logic.options.accepts("background") == (True, "")
    taken, reason = a_started_logic.options.accepts("box")
    assert not taken
    assert "takes no 3D boxes" in reason


def test_a_missing_torch_is_asked_for_before_anything_runs(a_started_logic, a_grid, a_model):
    from SAM3DSegmentLib.Setup.Dependencies import DependencyError

    declined = [DependencyError("Segmenting needs torch.")]

    def ensure():
        if declined:
            raise declined.pop()

    a_started_logic.controller.ensureDependencies = ensure
    click(a_started_logic, a_grid, FIRST)
    assert a_model.decoded == 0
    assert events(a_started_logic, "failed")[0]["message"] == "Segmenting needs torch."
    click(a_started_logic, a_grid, FIRST + (1, 0, 0))
    assert voxels(a_started_logic).any()


def test_the_report_names_no_patient(a_started_logic, a_grid):
    click(a_started_logic, a_grid, FIRST)
    click(a_started_logic, a_grid, (500.0, 0, 0))
    text = events(a_started_logic, "failed")[0]["report"]
    assert "PromptError" in text
    assert "Secret" not in text


def test_segment_works_from_the_console(a_logic, a_volume, a_grid):
    from inference_core.prompts.prompt_set import Click, PromptSet

    prompts = PromptSet((Click(tuple(a_grid.center_ras + FIRST)), Click(tuple(a_grid.center_ras + SECOND))))
    segmentId = a_logic.segment(a_volume, prompts)
    both = ball_of(a_grid, FIRST, RADII[0]) | ball_of(a_grid, SECOND, RADII[1])
    assert dice(voxels(a_logic, segmentId), both) > 0.95


def test_segment_raises_what_went_wrong_and_leaves_no_empty_segment(a_logic, a_volume):
    from inference_core.errors import PromptError

    with pytest.raises(PromptError, match="outside"):
        a_logic.segment(a_volume, [(1e4, 0, 0)])
    assert a_logic.segments.ids() == []
    with pytest.raises(PromptError, match="at least one"):
        a_logic.segment(a_volume, [])


def test_segment_raises_when_an_installation_is_declined(a_logic, a_volume, a_grid):
    from SAM3DSegmentLib.Setup.Dependencies import DependencyError

    def decline():
        raise DependencyError("Segmenting needs torch, which was not installed.")

    a_logic.controller.ensureDependencies = decline
    with pytest.raises(DependencyError, match="not installed"):
        a_logic.segment(a_volume, [a_grid.center_ras + FIRST])


def test_segment_raises_an_unexpected_error_as_it_is(a_logic, a_volume, a_grid, an_opener):
    an_opener.fails = ZeroDivisionError("in the model")
    with pytest.raises(ZeroDivisionError, match="in the model"):
        a_logic.segment(a_volume, [a_grid.center_ras + FIRST])


def test_segment_raises_when_there_is_no_answer_in_time(a_logic, a_volume, a_grid, an_opener):
    an_opener.opened.clear()
    with pytest.raises(TimeoutError, match="no answer in"):
        a_logic.segment(a_volume, [a_grid.center_ras + FIRST], timeoutSeconds=0.2)
    an_opener.opened.set()
    assert a_logic.waitUntilIdle(20)
    a_logic.segment(a_volume, [a_grid.center_ras + FIRST])


def test_prompts_are_exchanged_with_the_command_line(a_started_logic, a_grid, tmp_path):
    logic = a_started_logic
    click(logic, a_grid, FIRST)
    logic.prompts.addBox(a_grid.center_ras + FIRST, (20.0, 21.0, 22.0))
    logic.options.setThreshold(0.5)
    assert logic.waitUntilIdle(20)
    mask = voxels(logic)
    logic.prompts.exportTo(tmp_path / "prompts.json")
    logic.segments.next()
    logic.options.setThreshold(0.0)
    logic.prompts.importFrom(tmp_path / "prompts.json")
    assert logic.waitUntilIdle(20)
    assert logic.options.threshold == 0.5
    assert np.array_equal(voxels(logic), mask)


def test_an_image_whose_voxel_size_looks_wrong_is_cautioned_once(a_logic, a_scene, a_grid):
    """As where a file counts in micrometers; the clicks are answered all the same."""
    far = np.diag([100.0, 100.0, 100.0, 1.0]) @ a_grid.affine
    balls = [(a_grid.center_ras + FIRST, RADII[0])]
    array = np.ascontiguousarray(spheres(a_grid, balls).T, dtype=np.float32)
    a_logic.setVolume(slicer.util.addVolumeFromArray(array, ijkToRAS=far, name="huge"))
    for at in (FIRST, FIRST + 2.0):
        a_logic.prompts.addClick(100 * (a_grid.center_ras + at), True)
        assert a_logic.waitUntilIdle(20)
    told = [info["message"] for info in events(a_logic, "cautioned")]
    assert sum("is unusual, as where a file has no unit" in message for message in told) == 1
