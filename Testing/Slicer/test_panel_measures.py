"""The chosen segment's numbers below the list, its axes in the views, and what they cost."""

import time

import numpy as np
import pytest
from support.module_scenes import RADII
from support.panel_scenes import FIRST, SECOND, center_of, click_with, rest, voxels

slicer = pytest.importorskip("slicer", reason="slicer-core exists for Python 3.11 on 64-bit Linux")


@pytest.fixture
def a_lesion(a_panel, a_grid):
    click_with(a_panel, "foreground", center_of(a_grid, FIRST))
    return a_panel


def axis(app, kind):
    """The ends of a line in the scene, (2, 3) in RAS mm; None where it is not shown."""
    node = app.panel.measures.lines.nodes.get(kind)
    return None if node is None else ends_of(node)


def ends_of(node):
    ends = np.zeros((2, 3))
    for index in range(2):
        node.GetNthControlPointPositionWorld(index, ends[index])
    return ends


def length(ends):
    return float(np.linalg.norm(ends[1] - ends[0]))


def longest_of_all_pairs(array_kji, grid, slice_axis):
    """The longest line between two voxel centers in one slice of a mask, by trying all of them."""
    found = 0.0
    ijk = np.argwhere(array_kji.T)
    for index in np.unique(ijk[:, slice_axis]):
        ras = grid.to_ras(ijk[ijk[:, slice_axis] == index])
        found = max(found, np.linalg.norm(ras[:, None] - ras[None], axis=-1).max())
    return found


def test_after_a_click_the_panel_says_volume_axes_and_gray_values(a_lesion, a_grid):
    mask, volume = voxels(a_lesion.panel.logic), a_lesion.panel.logic.volumeNode
    values = slicer.util.arrayFromVolume(volume)[mask]
    text = a_lesion.panel.ui.measuresLabel.text
    assert f"{mask.sum() * a_grid.voxel_volume_mm3 / 1000:.1f} ml" in text
    assert f"{longest_of_all_pairs(mask, a_grid, a_grid.ras_axes[2]):.1f} ×" in text
    assert f"mean {values.mean():.3g}, SD {values.std(ddof=1):.3g}" in text


def test_the_unit_is_what_the_image_says(a_lesion):
    units = slicer.vtkCodedEntry()
    units.SetValueSchemeMeaning("[hnsf'U]", "UCUM", "Hounsfield unit")
    a_lesion.panel.logic.volumeNode.SetVoxelValueUnits(units)
    a_lesion.panel.pollTimer.refreshSoon()
    rest(a_lesion)
    assert a_lesion.panel.ui.measuresLabel.text.endswith(" HU")


def test_without_a_mask_there_is_nothing_to_measure(a_panel):
    a_panel.pressButton(a_panel.panel.ui.nextButton)
    rest(a_panel)
    assert a_panel.panel.ui.measuresLabel.text == "Nothing to measure yet"
    assert not a_panel.panel.ui.pinButton.enabled
    assert a_panel.panel.measures.lines.nodes == {}


def test_the_axes_lie_on_one_slice_at_right_angles_and_end_in_the_mask(a_lesion, a_grid):
    long, short = axis(a_lesion, "long"), axis(a_lesion, "short")
    assert length(long) == pytest.approx(longest_of_all_pairs(voxels(a_lesion.panel.logic), a_grid, a_grid.ras_axes[2]))
    assert length(short) == pytest.approx(2 * RADII[0], abs=3.0)
    assert abs(np.dot(long[1] - long[0], short[1] - short[0])) < 1e-3 * length(long) * length(short)
    slices = a_grid.to_ijk(np.vstack([long, short]))[:, a_grid.ras_axes[2]]
    assert np.ptp(slices) < 1e-6
    mask = voxels(a_lesion.panel.logic).T
    assert all(mask[tuple(voxel)] for voxel in a_grid.nearest_voxels(long))


def test_the_axes_follow_the_mask_and_its_undo(a_panel, a_grid):
    click_with(a_panel, "foreground", center_of(a_grid, SECOND))
    before = axis(a_panel, "long")
    click_with(a_panel, "foreground", center_of(a_grid, FIRST))  # the larger one
    assert length(axis(a_panel, "long")) > length(before) + 2
    a_panel.pressButton(a_panel.panel.ui.undoButton)
    rest(a_panel)
    assert np.allclose(axis(a_panel, "long"), before)


def test_the_axes_are_those_of_the_current_segment_and_go_with_its_mask(a_lesion, a_grid):
    first = axis(a_lesion, "long")
    a_lesion.pressButton(a_lesion.panel.ui.nextButton)
    click_with(a_lesion, "foreground", center_of(a_grid, SECOND))
    logic = a_lesion.panel.logic
    assert not np.allclose(axis(a_lesion, "long"), first)
    logic.segmentationNode.GetDisplayNode().SetSegmentVisibility(logic.segmentId, False)
    a_lesion.panel.pollTimer.refreshSoon()
    rest(a_lesion)
    assert axis(a_lesion, "long") is None
    logic.segments.remove(logic.segmentId)
    rest(a_lesion)
    assert np.allclose(axis(a_lesion, "long"), first)


def test_the_axes_can_be_hidden_and_stay_hidden(a_lesion, a_grid):
    a_lesion.pressButton(a_lesion.panel.ui.axesButton)
    assert a_lesion.panel.measures.lines.nodes == {}
    click_with(a_lesion, "foreground", center_of(a_grid, SECOND))
    assert a_lesion.panel.measures.lines.nodes == {}
    a_lesion.pressButton(a_lesion.panel.ui.axesButton)
    assert axis(a_lesion, "long") is not None


def test_a_click_on_an_axis_is_a_click_on_the_image(a_lesion):
    long = axis(a_lesion, "long")
    count = len(a_lesion.panel.logic.prompts.items())
    for at in (long.mean(axis=0), long[1]):
        a_lesion.click(a_lesion.red, at)
        rest(a_lesion)
    placed = [item.ras for item in a_lesion.panel.logic.prompts.items()][count:]
    assert np.allclose(placed[0], long.mean(axis=0), atol=0.5)
    assert np.allclose(placed[1], long[1], atol=0.5)


def test_pinned_axes_stay_where_they_are_and_are_saved(a_lesion, a_grid, tmp_path):
    before = axis(a_lesion, "long")
    a_lesion.pressButton(a_lesion.panel.ui.pinButton)
    click_with(a_lesion, "foreground", center_of(a_grid, SECOND))
    assert slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    slicer.mrmlScene.Clear(False)
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    rest(a_lesion)
    kept = [node for node in slicer.util.getNodesByClass("vtkMRMLMarkupsLineNode") if node.GetSaveWithScene()]
    assert sorted(node.GetName() for node in kept) == ["Lesion 1 long axis", "Lesion 1 short axis"]
    assert np.allclose(ends_of(min(kept, key=lambda node: node.GetName())), before)


def test_another_module_does_not_show_the_axes(a_lesion):
    a_lesion.app.moduleManager().leaveModule()
    a_lesion.settle()
    assert a_lesion.panel.measures.lines.nodes == {}


def test_a_segmentation_on_voxels_of_its_own_is_measured_there_and_its_gray_values_on_the_image(a_started_logic):
    """The segmentation is twice as fine as the image, which is bright on the one side."""
    import vtk

    logic, rng = a_started_logic, np.random.default_rng(3)
    coarse = np.zeros((20, 20, 20), np.float32)
    coarse[:, :, 10:] = 100 + rng.random((20, 20, 10))
    image = slicer.util.addVolumeFromArray(coarse, ijkToRAS=np.diag([2.0, 2.0, 2.0, 1.0]), name="coarse")
    fine = np.zeros((40, 40, 40), np.uint8)
    fine[10:14, 10:16, 24:34] = 1  # k, j, i
    affine = np.diag([1.0, 1.0, 1.0, 1.0])
    affine[:3, 3] = -0.5
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    node.CreateDefaultDisplayNodes()
    labels = slicer.vtkOrientedImageData()
    labels.SetExtent(0, 39, 0, 39, 0, 39)
    from vtk.util.numpy_support import numpy_to_vtk

    labels.GetPointData().SetScalars(numpy_to_vtk(fine.ravel(), deep=1, array_type=vtk.VTK_UNSIGNED_CHAR))
    labels.SetGeometryFromImageToWorldMatrix(slicer.util.vtkMatrixFromArray(affine))
    segmentId = node.AddSegmentFromBinaryLabelmapRepresentation(labels, "fine")
    logic.setVolume(image)
    logic.setSegmentation(node)
    found = logic.measuring.of(segmentId)
    assert found.volume_ml == pytest.approx(0.24)
    assert found.axial.longest.mm == pytest.approx(np.hypot(9, 5))
    inside = coarse[5:7, 5:8, 12:17]
    assert found.statistics.mean == pytest.approx(inside.mean(), rel=1e-5)


def test_segments_in_one_labelmap_are_measured_again_only_where_they_changed(a_started_logic, a_grid):
    from support.module_scenes import click

    logic = a_started_logic
    click(logic, a_grid, FIRST)
    first = logic.segmentId
    logic.segments.next()
    click(logic, a_grid, SECOND)
    second, node = logic.segmentId, logic.segmentationNode
    node.GetSegmentation().CollapseBinaryLabelmaps(True)
    kept, changed = logic.measuring.of(first), logic.measuring.of(second)
    labels = node.GetBinaryLabelmapInternalRepresentation(second)
    array = slicer.util.arrayFromSegmentInternalBinaryLabelmap(node, second)
    value = node.GetSegmentation().GetSegment(second).GetLabelValue()
    assert value != node.GetSegmentation().GetSegment(first).GetLabelValue(), "they share a labelmap"
    array[tuple(np.argwhere(array == value)[0])] = 0
    labels.Modified()
    assert logic.measuring.of(first) is kept
    assert logic.measuring.of(second).voxels == changed.voxels - 1


def test_a_hundred_milliliters_are_measured_within_100_ms(a_started_logic):
    logic, shape, spacing = a_started_logic, (160, 220, 220), (0.7, 0.7, 1.0)
    k, j, i = np.ogrid[tuple(slice(0, n) for n in shape)]
    far = ((k - 80) * 1.0) ** 2 + ((j - 110) * 0.7) ** 2 + ((i - 110) * 0.7) ** 2
    image = np.random.default_rng(0).normal(40, 15, shape).astype(np.int16)
    node = slicer.util.addVolumeFromArray(image, ijkToRAS=np.diag([*spacing, 1.0]), name="large")
    logic.setVolume(node)
    segmentId, seconds = logic.segments.next(), []
    for radius in (28.8, 28.9, 29.0):
        inside = (far <= radius**2).astype(np.uint8)
        slicer.util.updateSegmentBinaryLabelmapFromArray(inside, logic.segmentationNode, segmentId, node)
        began = time.thread_time()
        found = logic.measuring.of(segmentId)
        seconds.append(time.thread_time() - began)
    assert found.volume_ml == pytest.approx(102, abs=1)
    assert min(seconds) < 0.1, seconds
