"""The Qt host behaves as Slicer does where the module counts on it."""

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core exists for Python 3.11 on 64-bit Linux")
pytest.importorskip("PySide6")
vtk = pytest.importorskip("vtk")

TURN = np.array([[-0.8, 0.36, 0.48], [-0.6, -0.48, -0.64], [0.0, -0.8, 0.6]])
SPACING = (0.9, 1.1, 2.5)
SHAPE = (60, 50, 24)
CENTER_RAS = np.array([12.0, -34.0, 56.0])


def add_oblique_volume():
    affine = np.eye(4)
    affine[:3, :3] = TURN * SPACING
    affine[:3, 3] = CENTER_RAS - affine[:3, :3] @ ((np.array(SHAPE) - 1) / 2)
    array = np.random.default_rng(0).normal(100, 20, SHAPE[::-1]).astype(np.float32)
    return slicer.util.addVolumeFromArray(array, ijkToRAS=affine, name="Oblique")


def place_with_mouse(class_name):
    node = slicer.mrmlScene.AddNewNodeByClass(class_name, "F")
    node.CreateDefaultDisplayNodes()
    logic = slicer.app.applicationLogic()
    logic.GetSelectionNode().SetReferenceActivePlaceNodeClassName(class_name)
    logic.GetSelectionNode().SetActivePlaceNodeID(node.GetID())
    logic.GetInteractionNode().SetPlaceModePersistence(1)
    logic.GetInteractionNode().SetCurrentInteractionMode(logic.GetInteractionNode().Place)
    return node


def green_pixels(view):
    red, green, blue = np.moveaxis(view.picture().astype(int), -1, 0)
    return ((green > red + 20) & (green > blue + 20)).sum()


def stop_placing():
    interaction = slicer.app.applicationLogic().GetInteractionNode()
    interaction.SetCurrentInteractionMode(interaction.ViewTransform)


def point(node, index=0):
    return np.array(node.GetNthControlPointPositionWorld(index))


def in_plane(view, right_mm, up_mm):
    """A point beside CENTER_RAS in the plane of the view's slice."""
    matrix = slicer.util.arrayFromVTKMatrix(view.mrmlSliceNode().GetXYToRAS())
    right, up = (matrix[:3, column] / np.linalg.norm(matrix[:3, column]) for column in (0, 1))
    return CENTER_RAS + right_mm * right + up_mm * up


def pixel_mm(view):
    matrix = slicer.util.arrayFromVTKMatrix(view.mrmlSliceNode().GetXYToRAS())
    return np.linalg.norm(matrix[:3, 0])


@pytest.mark.parametrize("name", ["red", "green", "yellow"])
def test_a_click_places_a_point_where_the_mouse_is_in_an_oblique_volume(a_host, name):
    a_host.show(add_oblique_volume())
    node = place_with_mouse("vtkMRMLMarkupsFiducialNode")
    view = getattr(a_host, name)
    wanted = CENTER_RAS + TURN @ [7.0, -6.0, 5.0]

    a_host.click(view, wanted)

    assert node.GetNumberOfDefinedControlPoints() == 1
    np.testing.assert_allclose(point(node), wanted, atol=pixel_mm(view))


def test_a_drag_moves_a_point(a_host):
    a_host.show(add_oblique_volume())
    node = place_with_mouse("vtkMRMLMarkupsFiducialNode")
    placed = a_host.click(a_host.red, CENTER_RAS)
    stop_placing()
    wanted = in_plane(a_host.red, 9.0, 4.0)

    a_host.drag(a_host.red, placed, wanted)

    assert node.GetNumberOfDefinedControlPoints() == 1
    np.testing.assert_allclose(point(node), wanted, atol=1.5 * pixel_mm(a_host.red))


def test_a_box_is_drawn_with_two_clicks(a_host):
    a_host.show(add_oblique_volume())
    node = place_with_mouse("vtkMRMLMarkupsROINode")
    first, second = in_plane(a_host.red, -8.0, -6.0), in_plane(a_host.red, 8.0, 6.0)

    a_host.click(a_host.red, first)
    a_host.click(a_host.red, second)

    center = np.zeros(3)
    node.GetCenterWorld(center)
    np.testing.assert_allclose(center, (first + second) / 2, atol=2 * pixel_mm(a_host.red))
    assert min(node.GetSize()) > 0


def test_the_wheel_steps_through_the_slices_of_the_volume(a_host):
    a_host.show(add_oblique_volume())
    before = a_host.red.sliceLogic().GetSliceOffset()

    a_host.scroll(a_host.red, 3)

    assert abs(a_host.red.sliceLogic().GetSliceOffset() - before) == pytest.approx(
        3 * SPACING[1]
    )  # j is the most axial


def test_escape_does_not_leave_a_half_placed_point(a_host):
    a_host.show(add_oblique_volume())
    node = place_with_mouse("vtkMRMLMarkupsFiducialNode")
    a_host.hover(a_host.red, a_host.red.rect.center())
    stop_placing()

    assert node.GetNumberOfDefinedControlPoints() == 0


def test_a_segment_is_drawn_in_the_slice_and_in_3d(a_host):
    volume = add_oblique_volume()
    a_host.show(volume)
    before = green_pixels(a_host.red), green_pixels(a_host.threeD)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Lesions")
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    segment = node.GetSegmentation().AddEmptySegment("one", "one", [0.0, 1.0, 0.0])
    mask = np.zeros(SHAPE[::-1], np.uint8)
    mask[8:16, 15:35, 20:40] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, node, segment, volume)
    node.CreateClosedSurfaceRepresentation()
    a_host.threeD.resetFocalPoint()
    a_host.settle()

    assert green_pixels(a_host.red) > before[0] + 500
    assert green_pixels(a_host.threeD) > before[1] + 500


def test_a_saved_scene_comes_back(a_host, tmp_path):
    add_oblique_volume()
    file = str(tmp_path / "scene.mrb")
    assert slicer.util.saveScene(file)
    slicer.mrmlScene.Clear(False)

    slicer.util.loadScene(file, {"clear": True})

    volume = slicer.util.getNode("Oblique")
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    np.testing.assert_allclose(slicer.util.arrayFromVTKMatrix(matrix)[:3, :3], TURN * SPACING, atol=1e-6)
    a_host.show(volume)
    assert a_host.red.picture().max() > 50


def test_a_volume_file_is_loaded_by_its_path(a_host, tmp_path):
    volume = add_oblique_volume()
    file = str(tmp_path / "volume.nrrd")
    assert slicer.util.saveNode(volume, file)

    loaded = slicer.util.loadVolume(file, {"name": "again"})

    np.testing.assert_array_equal(slicer.util.arrayFromVolume(loaded), slicer.util.arrayFromVolume(volume))


def test_a_message_box_is_seen_and_answered(a_host):
    a_host.app.setTestingEnabled(False)
    try:
        a_host.dialogs.answer("Yes")
        said_yes = slicer.util.confirmYesNoDisplay("Install it?", windowTitle="PyTorch")
        said_nothing = slicer.util.confirmYesNoDisplay("Sure?")
    finally:
        a_host.app.setTestingEnabled(True)

    assert (said_yes, said_nothing) == (True, False)
    assert [(seen.title, seen.text) for seen in a_host.dialogs.seen[:1]] == [("PyTorch", "Install it?")]


def test_an_error_in_a_slot_is_noticed(a_host):
    import qt

    button = qt.QPushButton()
    button.connect("clicked(bool)", lambda: 1 / 0)
    button.click()

    assert [type(error) for error in a_host.errors] == [ZeroDivisionError]
    a_host.errors.clear()


def test_keys_work_after_a_message_box_is_closed(a_host):
    import qt

    pressed = []
    shortcut = qt.QShortcut(qt.QKeySequence("F"), a_host.window)
    shortcut.connect("activated()", lambda: pressed.append("F"))
    a_host.app.setTestingEnabled(False)
    try:
        slicer.util.infoDisplay("Note this.")
    finally:
        a_host.app.setTestingEnabled(True)
    a_host.press("F")
    shortcut.setParent(None)

    assert pressed == ["F"]


def test_another_module_is_gone_to_and_come_back_from(an_app):
    assert an_app.panel.parent.isEntered
    slicer.util.selectModule("Data")
    assert not an_app.panel.parent.isEntered
    assert not an_app.panel.parent.visible

    slicer.util.selectModule("SAM3DSegment")
    assert an_app.panel.parent.isEntered
    assert an_app.panel.parent.visible
