"""Masks reach their segment exactly, on any grid and under any transform, and no other segment changes."""

import numpy as np
import pytest
from support.scenes import ORIENTATIONS, oblique_grid, spheres, turn

slicer = pytest.importorskip("slicer")

from inference_core.errors import OutputError, VolumeError  # noqa: E402
from inference_core.geometry.mask import EMPTY, Mask  # noqa: E402
from SAM3DSegmentLib.Conversion import (  # noqa: E402
    onSegmentGrid,
    readSegment,
    segmentGrid,
    volumeFromNode,
)
from SAM3DSegmentLib.WriteBack import LOCKED_TAG  # noqa: E402
from SAM3DSegmentLib.WriteBack import writeSegment as written_by  # noqa: E402


def writeSegment(segmentationNode, segmentId, **how):  # noqa: N802 - as it is called below
    """What the segment holds after a write of the module."""
    before = readSegment(segmentationNode, segmentId)
    return written_by(segmentationNode, segmentId, before=before, **how).mask


def volume_node(grid, array=None):
    array = np.zeros(grid.shape, dtype=np.int16) if array is None else array
    return slicer.util.addVolumeFromArray(np.ascontiguousarray(array.T), ijkToRAS=grid.affine, name="CT")


def segmentation_for(volumeNode, *names):
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Segmentation")
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(volumeNode)
    return node, [node.GetSegmentation().AddEmptySegment(name, name) for name in names]


def ball(grid, offset=(0, 0, 0), radius=10.0):
    return Mask.of(spheres(grid, [(grid.center_ras + offset, radius)]) > 0.5)


def transform(degrees, shift, name="T"):
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = turn(degrees), shift
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", name)
    node.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    return node


def same(a, b):
    return a.start == b.start and np.array_equal(a.array, b.array)


def held_by_slicer(segmentationNode, segmentId, volumeNode):
    """The segment as Slicer's own function gives it on the volume's voxels, (i, j, k)."""
    return slicer.util.arrayFromSegmentBinaryLabelmap(segmentationNode, segmentId, volumeNode).T > 0


@pytest.fixture
def a_grid():
    return oblique_grid(29, 1)


@pytest.fixture
def a_volume(a_scene, a_grid):
    return volume_node(a_grid)


@pytest.fixture
def a_pair(a_volume):
    """A segmentation with two empty segments, and their ids."""
    return segmentation_for(a_volume, "A", "B")


@pytest.mark.parametrize("orientation", range(0, len(ORIENTATIONS), 5))
def test_a_mask_is_where_slicer_shows_it_for_any_orientation(a_scene, orientation):
    grid = oblique_grid(orientation, 2)
    node = volume_node(grid)
    segmentation, (segmentId,) = segmentation_for(node, "A")
    mask = ball(grid, (5, -3, 2))
    where = segmentGrid(segmentation)
    writeSegment(segmentation, segmentId, after=onSegmentGrid(mask, volumeFromNode(node).grid, where), where=where)
    assert np.array_equal(held_by_slicer(segmentation, segmentId, node), mask.on(grid.shape) > 0)


@pytest.mark.parametrize("moved", ["volume", "segmentation", "both"])
def test_a_mask_follows_parent_transforms(a_scene, a_grid, moved):
    node = volume_node(a_grid)
    segmentation, (segmentId,) = segmentation_for(node, "A")
    if moved != "segmentation":
        node.SetAndObserveTransformNodeID(transform((10, 20, -15), (7, -9, 4)).GetID())
    if moved != "volume":
        other = node.GetTransformNodeID() if moved == "both" else transform((-5, 8, 11), (-3, 6, 2)).GetID()
        segmentation.SetAndObserveTransformNodeID(other)
    grid, where = volumeFromNode(node).grid, segmentGrid(segmentation)
    mask = Mask.of(spheres(grid, [(grid.center_ras, 12.0)]) > 0.5)
    written = writeSegment(segmentation, segmentId, after=onSegmentGrid(mask, grid, where), where=where)
    voxels = np.argwhere(written.array) + written.start
    centroid = where.lattice.to_ras(voxels.mean(axis=0))
    assert np.linalg.norm(centroid - grid.center_ras) < 0.5 * min(grid.spacing)
    if moved == "both":
        assert written.array.sum() == mask.array.sum()


def test_a_segmentation_of_another_grid_gets_the_same_ball(a_scene, a_grid):
    coarse = volume_node(oblique_grid(3, 2))
    segmentation, (segmentId,) = segmentation_for(coarse, "A")
    where = segmentGrid(segmentation)
    mask = ball(a_grid, radius=12.0)
    written = writeSegment(segmentation, segmentId, after=onSegmentGrid(mask, a_grid, where), where=where)
    ml = written.array.sum() * where.lattice.voxel_volume_mm3
    assert ml == pytest.approx(mask.array.sum() * a_grid.voxel_volume_mm3, rel=0.03)
    assert not np.allclose(where.lattice.spacing, a_grid.spacing)


def test_a_transform_that_is_not_linear_is_refused(a_volume):
    grid = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLBSplineTransformNode", "Bent")
    import vtk

    spline = vtk.vtkThinPlateSplineTransform()
    grid.SetAndObserveTransformToParent(spline)
    a_volume.SetAndObserveTransformNodeID(grid.GetID())
    with pytest.raises(VolumeError, match="not linear"):
        volumeFromNode(a_volume)


def test_a_volume_without_voxels_is_refused(a_scene):
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Empty")
    with pytest.raises(VolumeError, match="no voxels"):
        volumeFromNode(node)


@pytest.mark.parametrize("overlapping", [False, True])
def test_a_neighbor_is_bit_identical_after_any_number_of_writes(a_pair, a_grid, overlapping):
    """In the same layer as in one of its own: where segments do not meet, Slicer keeps both in one labelmap."""
    segmentation, (first, second) = a_pair
    where = segmentGrid(segmentation)
    neighbor = ball(a_grid, (14, 0, 0))
    writeSegment(segmentation, second, after=neighbor, where=where)
    for n in range(12):
        mask = ball(a_grid, (-14 + (2.5 if overlapping else 0.2) * n, 0, 0), radius=9 + 0.2 * n)
        assert same(writeSegment(segmentation, first, after=mask, where=where), mask)
        assert same(readSegment(segmentation, first), mask)
        assert same(readSegment(segmentation, second), neighbor)


def test_only_the_changed_voxels_are_written_into_the_labelmap_there_is(a_pair, a_grid):
    segmentation, (first, _) = a_pair
    where = segmentGrid(segmentation)
    writeSegment(segmentation, first, after=ball(a_grid, radius=14.0), where=where)
    labelmap = segmentation.GetBinaryLabelmapInternalRepresentation(first)
    smaller = ball(a_grid, radius=12.0)
    assert same(writeSegment(segmentation, first, after=smaller, where=where), smaller)
    assert segmentation.GetBinaryLabelmapInternalRepresentation(first) is labelmap
    assert same(readSegment(segmentation, first), smaller)


def test_a_write_is_announced_to_whoever_shows_the_segment(a_pair, a_grid):
    segmentation, (first, _) = a_pair
    heard = []
    event = slicer.vtkSegmentation.SourceRepresentationModified
    segmentation.GetSegmentation().AddObserver(event, lambda *_: heard.append(1))
    where = segmentGrid(segmentation)
    for radius in (14.0, 12.0, 11.0):
        heard.clear()
        writeSegment(segmentation, first, after=ball(a_grid, radius=radius), where=where)
        assert heard


def test_an_empty_mask_empties_the_segment(a_pair, a_grid):
    segmentation, (first, _) = a_pair
    where = segmentGrid(segmentation)
    writeSegment(segmentation, first, after=ball(a_grid), where=where)
    writeSegment(segmentation, first, after=EMPTY, where=where)
    assert not readSegment(segmentation, first).array.size


def test_a_locked_segment_is_not_written(a_pair, a_grid):
    segmentation, (first, _) = a_pair
    where = segmentGrid(segmentation)
    mask = ball(a_grid)
    writeSegment(segmentation, first, after=mask, where=where)
    segmentation.GetSegmentation().GetSegment(first).SetTag(LOCKED_TAG, "1")
    with pytest.raises(OutputError, match="locked"):
        writeSegment(segmentation, first, after=ball(a_grid, radius=5.0), where=where)
    assert same(readSegment(segmentation, first), mask)


@pytest.mark.parametrize("overwrite", ["none", "visible", "all"])
def test_a_locked_neighbor_keeps_its_voxels_and_is_not_covered(a_pair, a_grid, overwrite):
    segmentation, (first, second) = a_pair
    where = segmentGrid(segmentation)
    neighbor = ball(a_grid, (8, 0, 0))
    writeSegment(segmentation, second, after=neighbor, where=where)
    segmentation.GetSegmentation().GetSegment(second).SetTag(LOCKED_TAG, "1")
    written = writeSegment(segmentation, first, after=ball(a_grid), where=where, overwrite=overwrite)
    assert same(readSegment(segmentation, second), neighbor)
    shape = a_grid.shape
    assert not (written.on(shape) & neighbor.on(shape)).any()
    assert np.array_equal(written.on(shape), ball(a_grid).on(shape) & ~neighbor.on(shape) & 1)


def test_an_unlocked_neighbor_is_cut_only_where_the_user_lets_it(a_pair, a_grid):
    segmentation, (first, second) = a_pair
    where = segmentGrid(segmentation)
    neighbor, mask = ball(a_grid, (8, 0, 0)), ball(a_grid)
    writeSegment(segmentation, second, after=neighbor, where=where)
    writeSegment(segmentation, first, after=mask, where=where, overwrite="all")
    shape = a_grid.shape
    left = readSegment(segmentation, second)
    assert np.array_equal(left.on(shape) > 0, (neighbor.on(shape) > 0) & ~(mask.on(shape) > 0))


@pytest.fixture
def an_editor(a_scene):
    """The Segment Editor's settings, as they are once that module was opened: "overwrite all" to begin with."""
    node = slicer.vtkMRMLSegmentEditorNode()
    node.SetSingletonTag("SegmentEditor")
    return slicer.mrmlScene.AddNode(node)


def test_the_segment_editors_default_of_overwriting_all_cuts_no_neighbor(an_editor, a_pair, a_grid):
    an_editor.SetOverwriteMode(slicer.vtkMRMLSegmentEditorNode.OverwriteAllSegments)
    segmentation, (first, second) = a_pair
    where = segmentGrid(segmentation)
    neighbor = ball(a_grid, (8, 0, 0))
    writeSegment(segmentation, second, after=neighbor, where=where)
    writeSegment(segmentation, first, after=ball(a_grid), where=where)
    assert same(readSegment(segmentation, second), neighbor)


def test_the_editable_area_of_the_segment_editor_is_honored(an_editor, a_pair, a_grid):
    segmentation, (first, second) = a_pair
    where = segmentGrid(segmentation)
    neighbor, mask = ball(a_grid, (8, 0, 0)), ball(a_grid)
    writeSegment(segmentation, second, after=neighbor, where=where)
    an_editor.SetMaskMode(slicer.vtkMRMLSegmentationNode.EditAllowedOutsideAllSegments)
    written = writeSegment(segmentation, first, after=mask, where=where)
    shape = a_grid.shape
    assert np.array_equal(written.on(shape) > 0, (mask.on(shape) > 0) & ~(neighbor.on(shape) > 0))


def test_the_intensity_range_of_the_segment_editor_is_honored(a_scene, an_editor, a_grid):
    ramp = np.arange(a_grid.shape[0], dtype=np.int16)[:, None, None] + np.zeros(a_grid.shape, dtype=np.int16)
    node = volume_node(a_grid, ramp)
    segmentation, (segmentId,) = segmentation_for(node, "A")
    an_editor.SetSourceVolumeIntensityMask(True)
    middle = a_grid.shape[0] // 2
    an_editor.SetSourceVolumeIntensityMaskRange(middle, 10_000)
    where = segmentGrid(segmentation)
    mask = ball(a_grid)
    written = writeSegment(segmentation, segmentId, after=mask, where=where, volumeNode=node)
    allowed = mask.on(a_grid.shape) > 0
    allowed[:middle] = False
    assert np.array_equal(written.on(a_grid.shape) > 0, allowed)


def test_no_editor_node_is_left_in_the_scene(an_editor, a_pair, a_grid):
    an_editor.SetMaskMode(slicer.vtkMRMLSegmentationNode.EditAllowedOutsideAllSegments)
    segmentation, (first, _) = a_pair
    before = slicer.mrmlScene.GetNumberOfNodes()
    writeSegment(segmentation, first, after=ball(a_grid), where=segmentGrid(segmentation))
    assert slicer.mrmlScene.GetNumberOfNodes() == before


def test_a_labelmap_that_was_brought_in_on_another_grid_is_read_and_written_in_its_place(a_pair, a_grid):
    """Slicer keeps it as it is, beside the segmentation's own grid: finer here, and turned against it."""
    from inference_core.evaluation.metrics import dice
    from inference_core.geometry.grid import Grid
    from inference_core.geometry.sampling import rescaled

    segmentation, (first, second) = a_pair
    fine, about = rescaled(a_grid, tuple(2 * n for n in a_grid.shape)), np.eye(4)
    about[:3, :3] = turn((9, -4, 17))
    about[:3, 3] = a_grid.center_ras - about[:3, :3] @ a_grid.center_ras
    other = Grid(fine.shape, about @ fine.affine)
    away = np.array((4.0, -3.0, 2.0))
    mask = ball(other, away, 9.0)
    reference = volume_node(other)
    array = mask.on(other.shape).T
    slicer.util.updateSegmentBinaryLabelmapFromArray(np.ascontiguousarray(array), segmentation, first, reference)
    where = segmentGrid(segmentation)
    found, expected = readSegment(segmentation, first), a_grid.center_ras + away
    places = where.lattice.to_ras(np.argwhere(found.array) + found.start)
    assert np.allclose(places.mean(axis=0), expected, atol=0.3)
    smaller = Mask.of(found.array & (np.arange(found.array.shape[0]) > 3)[:, None, None], found.start)
    writeSegment(segmentation, first, after=smaller, where=where)
    assert same(readSegment(segmentation, first), smaller)
    writeSegment(segmentation, second, after=onSegmentGrid(ball(a_grid, away, 9.0), a_grid, where), where=where)
    kept = readSegment(segmentation, second)
    box = kept.box.joined(found.box)
    assert dice(kept.crop(box.start, box.stop), found.crop(box.start, box.stop)) > 0.9
