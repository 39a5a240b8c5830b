"""The scene without Qt answers as Slicer's does."""

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core exists for Python 3.11 on 64-bit Linux")
vtk = pytest.importorskip("vtk")

OBLIQUE = np.array([[-0.56, 0.6, 0.0, 31.0], [-0.42, -0.8, 0.0, -12.0], [0.0, 0.0, 2.9, 7.5], [0, 0, 0, 1]])


def add_volume(shape_kji=(6, 7, 8)):
    array = np.arange(np.prod(shape_kji), dtype=np.int16).reshape(shape_kji)
    return slicer.util.addVolumeFromArray(array, ijkToRAS=OBLIQUE, name="CT"), array


def add_segmentation(volume):
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Lesions")
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    return node, node.GetSegmentation().AddEmptySegment("first", "first")


def ijk_to_ras(volume):
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    return matrix


def test_a_visible_node_gets_a_place_in_the_subject_hierarchy(a_scene):
    volume, _ = add_volume()
    hierarchy = a_scene.GetSubjectHierarchyNode()

    assert hierarchy.GetItemName(hierarchy.GetItemByDataNode(volume)) == "CT"


def test_a_removed_node_leaves_the_subject_hierarchy(a_scene):
    volume, _ = add_volume()
    a_scene.RemoveNode(volume)

    assert a_scene.GetSubjectHierarchyNode().GetNumberOfItems() == 0


def test_a_node_hidden_from_editors_stays_out_of_the_subject_hierarchy(a_scene):
    node = slicer.vtkMRMLMarkupsFiducialNode()
    node.SetHideFromEditors(True)
    a_scene.AddNode(node)

    assert a_scene.GetSubjectHierarchyNode().GetItemByDataNode(node) == 0


def test_a_segment_keeps_what_was_written_into_it(a_scene):
    volume, array = add_volume()
    segmentation, segment = add_segmentation(volume)
    mask = (array % 5 == 0).astype(np.uint8)
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, segmentation, segment, volume)

    np.testing.assert_array_equal(slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, segment, volume), mask)


def test_a_scene_bundle_brings_back_voxels_and_geometry(a_scene, tmp_path):
    volume, array = add_volume()
    add_segmentation(volume)
    bundle = str(tmp_path / "scene.mrb")

    assert a_scene.WriteToMRB(bundle)
    assert a_scene.ReadFromMRB(bundle, True)

    (volume,) = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
    matrix = slicer.util.arrayFromVTKMatrix(ijk_to_ras(volume))
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(volume), array)
    np.testing.assert_allclose(matrix, OBLIQUE, atol=1e-9)
    assert slicer.util.getNodesByClass("vtkMRMLSegmentationNode")[0].GetName() == "Lesions"


def test_a_closed_scene_holds_no_data(a_scene):
    add_volume()
    from Host.scene import clearScene

    clearScene()

    assert slicer.util.getNodesByClass("vtkMRMLVolumeNode") == []


@pytest.mark.parametrize("name", ["segmentations", "markups", "volumes", "terminologies", "subjecthierarchy"])
def test_the_logic_of_a_core_module_is_reachable(a_scene, name):
    assert getattr(slicer.modules, name).logic().GetMRMLScene() is a_scene


def test_segment_editor_logic_exists(a_scene):
    logic = slicer.vtkSlicerSegmentEditorLogic()
    logic.SetMRMLScene(a_scene)

    assert logic.GetMRMLScene() is a_scene
