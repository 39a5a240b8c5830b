"""Two visits in the panel: lesions carried over and answered anew, the change, and the report as a page and a PDF."""

import json

import numpy as np
import pytest
from support.panel_scenes import FIRST, SECOND, press_cell, rest, texts_of, voxels
from support.scenes import oblique_grid, spheres

slicer = pytest.importorskip("slicer", reason="slicer-core exists for Python 3.11 on 64-bit Linux")
vtk = pytest.importorskip("vtk")
QtWidgets = pytest.importorskip("PySide6.QtWidgets")

CHANGE, ROLE = 6, 4
AWAY = np.array([40.0, -25.0, 10.0])


def visit(grid, name, balls):
    array = np.ascontiguousarray(spheres(grid, balls).T, dtype=np.float32)
    return slicer.util.addVolumeFromArray(array, ijkToRAS=grid.affine, name=name)


def press_and_wait(app, button):
    app.pressButton(button)
    logic = app.panel.logic
    assert app.waitUntil(lambda: not (logic.busy or logic.followUp.isRunning), seconds=60)
    rest(app)


def align(app, how):
    app.panel.ui.alignSelector.setCurrentIndex(app.panel.ui.alignSelector.findData(how))


@pytest.fixture
def two_visits(a_stand_in):
    """A ball of 9 mm at the first visit, a target, and one of 6 mm at the second, on another oblique grid.

    The earlier image lies under a transform that brings it onto the later one; the later image is chosen.
    """
    app, first, second = a_stand_in, oblique_grid(29, 1), oblique_grid(7, 1)
    before = visit(first, "January", [(first.center_ras + FIRST, 9.0)])
    after = visit(second, "June", [(second.center_ras + FIRST, 6.0)])
    moved = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "moved")
    matrix = np.eye(4)
    matrix[:3, 3] = second.center_ras - first.center_ras
    moved.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    before.SetAndObserveTransformNodeID(moved.GetID())
    app.panel.parameters.choose(volume=before)
    logic = app.panel.logic
    logic.segments.next("liver 1")
    logic.prompts.addClick(tuple(second.center_ras + FIRST))
    rest(app)
    logic.lesions.setRole(logic.segmentId, "target")
    logic.lesions.setOrgan(logic.segmentId, "liver")
    app.earlier = logic.segmentationNode
    app.panel.parameters.choose(volume=after)
    app.panel.ui.lesionsSection.collapsed = False
    rest(app)
    app.panel.ui.earlierSelector.setCurrentNode(app.earlier)
    rest(app)
    return app


@pytest.fixture
def a_followed_lesion(two_visits):
    align(two_visits, "none")
    press_and_wait(two_visits, two_visits.panel.ui.followButton)
    return two_visits


def test_a_lesion_is_found_again_by_its_prompts_and_not_by_its_mask(a_followed_lesion):
    logic, grid = a_followed_lesion.panel.logic, oblique_grid(7, 1)
    assert logic.volumeNode.GetName() == "June"
    assert logic.segments.get(logic.segmentId).GetName() == "liver 1"
    assert np.allclose([item.ras for item in logic.prompts.items()], [grid.center_ras + FIRST], atol=1e-3)
    expected = spheres(grid, [(grid.center_ras + FIRST, 6.0)]).T > 0.5
    found = voxels(logic)
    assert 2 * (found & expected).sum() / (found.sum() + expected.sum()) > 0.9
    assert logic.lesions.role(logic.segmentId) == "target"
    assert logic.lesions.organ(logic.segmentId) == "liver"


def test_the_change_stands_in_its_row_and_the_category_with_its_reason_below(a_followed_lesion):
    ui, lesions = a_followed_lesion.panel.ui, a_followed_lesion.panel.logic.lesions
    (before,), (after,) = lesions.lesions(a_followed_lesion.earlier), lesions.lesions()
    assert (before.mm, after.mm) == pytest.approx((18.0, 12.0), abs=2.5)
    assert texts_of(ui.lesionsTable, CHANGE) == [f"{(after.mm - before.mm) / before.mm * 100:+.0f} %"]
    assert f"{before.mm:.1f} mm, now {after.mm:.1f} mm" in ui.changeLabel.text
    assert "RECIST 1.1: partial response; the sum fell by at least 30 %" in ui.changeLabel.text


def test_the_answer_can_be_corrected_by_further_clicks_and_undone(a_followed_lesion):
    logic, grid = a_followed_lesion.panel.logic, oblique_grid(7, 1)
    found = voxels(logic)
    logic.prompts.addClick(tuple(grid.center_ras + FIRST + (2, 0, 0)))
    rest(a_followed_lesion)
    assert len(logic.prompts.items()) == 2
    a_followed_lesion.pressButton(a_followed_lesion.panel.ui.undoButton)
    rest(a_followed_lesion)
    assert np.array_equal(voxels(logic), found)


def test_new_and_vanished_lesions_are_flagged(a_followed_lesion):
    app, logic = a_followed_lesion, a_followed_lesion.panel.logic
    logic.segments.next("fresh")
    fresh = np.zeros(voxels(logic).shape, np.uint8)
    fresh[4:8, 4:10, 4:10] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(fresh, logic.segmentationNode, logic.segmentId, logic.volumeNode)
    logic.segments.remove(logic.segments.ids()[0])
    rest(app)
    assert texts_of(app.panel.ui.lesionsTable, CHANGE) == ["new"]
    assert "Vanished: liver 1" in app.panel.ui.changeLabel.text
    assert "progressive disease; a new lesion: fresh" in app.panel.ui.changeLabel.text


def test_what_is_here_already_is_not_carried_again(a_followed_lesion):
    before = voxels(a_followed_lesion.panel.logic)
    press_and_wait(a_followed_lesion, a_followed_lesion.panel.ui.followButton)
    assert "not here already" in a_followed_lesion.panel.ui.messageLabel.text
    assert np.array_equal(voxels(a_followed_lesion.panel.logic), before)


def test_a_lesion_beyond_the_later_image_is_said_and_not_counted(two_visits):
    app = two_visits
    align(app, "none")
    app.earlier.GetParentTransformNode().SetAndObserveTransformNodeID(None)
    far = np.eye(4)
    far[:3, 3] = 500
    app.earlier.GetParentTransformNode().SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(far))
    press_and_wait(app, app.panel.ui.followButton)
    assert "Outside this image, and so not measured: liver 1" in app.panel.ui.messageLabel.text
    assert "no category; not evaluable" in app.panel.ui.changeLabel.text


def test_images_are_aligned_rigidly(a_stand_in):
    """The later image is the earlier one, moved by some millimeters that nobody says."""
    app, grid = a_stand_in, oblique_grid(29, 1)
    balls = [(grid.center_ras + FIRST, 9.0), (grid.center_ras + SECOND, 7.0)]
    moved = [(center + (5.0, -4.0, 3.0), radius) for center, radius in balls]
    app.panel.parameters.choose(volume=visit(grid, "January", balls))
    logic = app.panel.logic
    logic.segments.next("liver 1")
    logic.prompts.addClick(tuple(grid.center_ras + FIRST))
    rest(app)
    earlier = logic.segmentationNode
    app.panel.parameters.choose(volume=visit(grid, "June", moved))
    app.panel.ui.lesionsSection.collapsed = False
    rest(app)
    logic.followUp.setEarlier(earlier)
    rest(app)
    press_and_wait(app, app.panel.ui.followButton)
    assert np.allclose(logic.prompts.items()[0].ras, grid.center_ras + FIRST + (5.0, -4.0, 3.0), atol=1.5)


@pytest.fixture
def two_visits_and_a_transform(two_visits):
    """The earlier image lies where it was taken; what would bring it onto the later one is a transform in the scene."""
    app = two_visits
    node = app.earlier.GetParentTransformNode()
    for moved in (app.earlier, app.panel.logic.measuring.imageOf(app.earlier)):
        moved.SetAndObserveTransformNodeID(None)
    for item in slicer.util.getNodesByClass("vtkMRMLMarkupsNode"):
        slicer.mrmlScene.RemoveNode(item)
    rest(app)
    app.transform = node
    return app


def test_the_users_transform_takes_the_place_of_the_registration(two_visits_and_a_transform):
    app, grid = two_visits_and_a_transform, oblique_grid(7, 1)
    align(app, app.transform.GetID())
    assert app.panel.ui.alignSelector.currentText == "moved"
    press_and_wait(app, app.panel.ui.followButton)
    expected = spheres(grid, [(grid.center_ras + FIRST, 6.0)]).T > 0.5
    found = voxels(app.panel.logic)
    assert 2 * (found & expected).sum() / (found.sum() + expected.sum()) > 0.9


def test_an_image_that_lies_under_the_transform_already_is_not_moved_twice(two_visits):
    grid = oblique_grid(7, 1)
    rest(two_visits)
    align(two_visits, two_visits.earlier.GetParentTransformNode().GetID())
    press_and_wait(two_visits, two_visits.panel.ui.followButton)
    places = [item.ras for item in two_visits.panel.logic.prompts.items()]
    assert np.allclose(places, [grid.center_ras + FIRST], atol=1e-3)


def bent_by(landmarks, name="bent"):
    """A thin-plate spline in the scene, which takes the first of each pair of points to the second."""
    source, target = vtk.vtkPoints(), vtk.vtkPoints()
    for before, after in landmarks:
        source.InsertNextPoint(before)
        target.InsertNextPoint(after)
    spline = vtk.vtkThinPlateSplineTransform()
    spline.SetBasisToR()
    spline.SetSourceLandmarks(source)
    spline.SetTargetLandmarks(target)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTransformNode", name)
    node.SetAndObserveTransformToParent(spline)
    return node


def test_a_transform_that_bends_carries_the_prompts_where_it_takes_them(two_visits_and_a_transform):
    app, first, grid = two_visits_and_a_transform, oblique_grid(29, 1), oblique_grid(7, 1)
    corners = [first.center_ras + 60.0 * (np.array([(n >> a) & 1 for a in range(3)]) - 0.5) for n in range(8)]
    landmarks = [(place, place + (grid.center_ras - first.center_ras)) for place in corners]
    landmarks.append((first.center_ras + FIRST, grid.center_ras + FIRST + (2.0, -1.5, 1.0)))
    node = bent_by(landmarks)
    rest(app)
    align(app, node.GetID())
    press_and_wait(app, app.panel.ui.followButton)
    from SAM3DSegmentLib.FollowUp import earlierOf
    from SAM3DSegmentLib.PromptNodes import promptSetOf

    logic = app.panel.logic
    (lesion,) = earlierOf(logic.measuring, app.earlier).values()
    (line,) = lesion.prompts.prompts
    expected = [node.GetTransformToParent().TransformPoint(point) for point in line.points_ras]
    moved = np.subtract(expected, line.points_ras) - (grid.center_ras - first.center_ras)
    assert np.linalg.norm(moved, axis=1).min() > 0.5
    (carried,) = promptSetOf(logic.prompts.items()).prompts
    assert np.allclose(carried.points_ras, expected, atol=1e-3)


def test_a_transform_that_folds_where_a_lesion_lies_is_told(two_visits_and_a_transform):
    app, first, grid = two_visits_and_a_transform, oblique_grid(29, 1), oblique_grid(7, 1)
    center, there = first.center_ras + FIRST, grid.center_ras + FIRST
    offsets = [(x, y, z) for x in (-8.0, -3.0, 3.0, 8.0) for y in (-30.0, 30.0) for z in (-30.0, 30.0)]
    folded = {-8.0: 20.0, -3.0: 60.0, 3.0: -60.0, 8.0: -20.0}
    node = bent_by([(center + at, there + (folded[at[0]], *at[1:])) for at in offsets], "folded")
    rest(app)
    align(app, node.GetID())
    press_and_wait(app, app.panel.ui.followButton)
    assert "'folded' folds or tears where a lesion lies" in app.panel.ui.messageLabel.text


def test_the_scenes_transforms_are_offered_and_leave_with_it(two_visits):
    selector = two_visits.panel.ui.alignSelector
    words = lambda: [selector.itemText(n) for n in range(selector.count)]  # noqa: E731
    other = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "by hand")
    bent = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTransformNode", "bent")
    bent.SetAndObserveTransformToParent(vtk.vtkThinPlateSplineTransform())
    assert not bent.IsLinear()
    rest(two_visits)
    assert words()[:3] == ["Rigid", "Affine", "As they lie"]
    assert {"moved", "by hand", "bent"} <= set(words())
    align(two_visits, other.GetID())
    slicer.mrmlScene.RemoveNode(other)
    two_visits.pressButton(two_visits.panel.ui.followButton)
    rest(two_visits)
    assert "not in the scene any more" in two_visits.panel.ui.messageLabel.text
    two_visits.panel.pollTimer.refreshSoon()
    rest(two_visits)
    assert "by hand" not in words()
    assert selector.currentText == "Rigid"


@pytest.mark.parametrize("suffix", [".tfm", ".h5", ".txt"])
def test_what_slicer_saves_of_a_transform_is_read_as_the_panel_takes_its_node(two_visits, tmp_path, suffix):
    from inference_core.followup.registration import read_alignment

    turned, angle = np.eye(4), 0.3
    turned[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    turned[:3, 3] = (12.0, -7.0, 4.0)
    node = two_visits.earlier.GetParentTransformNode()
    node.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(turned))
    storage = slicer.vtkMRMLTransformStorageNode()
    storage.SetFileName(str(tmp_path / f"moved{suffix}"))
    assert storage.WriteData(node)
    found = read_alignment(tmp_path / f"moved{suffix}", moves_the_image=True)
    assert np.allclose(found.matrix, slicer.util.arrayFromVTKMatrix(node.GetMatrixTransformToParent()), atol=1e-9)


def test_a_displacement_field_that_slicer_saves_is_read_as_the_panel_takes_its_node(two_visits, tmp_path):
    from vtk.util.numpy_support import numpy_to_vtk

    from inference_core.followup.registration import read_alignment

    center = oblique_grid(29, 1).center_ras
    nodes = np.moveaxis(np.indices((21, 21, 21)), 0, -1).reshape(-1, 3)[:, ::-1] * 6.0 - 60.0
    bend = 5.0 * np.exp(-((nodes / 30.0) ** 2).sum(axis=1))[:, None] * (1.0, -0.6, 0.4) + (4.0, 0, -2.0)
    image = vtk.vtkImageData()
    image.SetDimensions(21, 21, 21)
    image.SetSpacing(6.0, 6.0, 6.0)
    image.SetOrigin(*(center - 60.0))
    image.GetPointData().SetScalars(numpy_to_vtk(bend, deep=1))
    grid = slicer.vtkOrientedGridTransform()
    grid.SetDisplacementGridData(image)
    grid.SetInterpolationModeToLinear()
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTransformNode", "field")
    node.SetAndObserveTransformFromParent(grid)
    storage = slicer.vtkMRMLTransformStorageNode()
    storage.SetFileName(str(tmp_path / "field.h5"))
    assert storage.WriteData(node)
    points = center + np.random.default_rng(3).uniform(-25, 25, (20, 3))
    toWorld = vtk.vtkGeneralTransform()
    node.GetTransformToWorld(toWorld)
    expected = [toWorld.TransformPoint(point) for point in points]
    found = read_alignment(tmp_path / "field.h5", moves_the_image=True).way(points)
    assert np.linalg.norm(expected - points, axis=1).min() > 2.0
    assert np.abs(found - expected).max() < 0.02


def test_the_images_own_segmentation_and_another_patients_are_refused(two_visits):
    app, logic = two_visits, two_visits.panel.logic
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    for node, name in ((logic.volumeNode, "one"), (logic.measuring.imageOf(app.earlier), "other")):
        patient = hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), name)
        hierarchy.SetItemUID(patient, "DICOM", name)
        hierarchy.SetItemParent(hierarchy.GetItemByDataNode(node), patient)
    press_and_wait(app, app.panel.ui.followButton)
    assert "two patients" in app.panel.ui.messageLabel.text
    app.panel.ui.earlierSelector.setCurrentNode(logic.segmentationNode)
    rest(app)
    assert "current image's own" in app.panel.ui.messageLabel.text
    assert app.panel.ui.earlierSelector.currentNode() is app.earlier


@pytest.mark.parametrize("name", ["report.html", "report.pdf"])
def test_the_report_is_one_page_with_a_picture_and_without_names(a_followed_lesion, saved_as, tmp_path, name):
    path = tmp_path / name
    saved_as(path)
    a_followed_lesion.pressButton(a_followed_lesion.panel.ui.reportButton)
    rest(a_followed_lesion)
    if name.endswith("pdf"):
        assert path.read_bytes().startswith(b"%PDF")
        assert path.stat().st_size > 5000
        return
    page = path.read_text()
    assert page.count("<img") == 1
    for words in ("Not a medical device", "partial response", "liver 1", "Model: sam3d_lite, weights sha256"):
        assert words in page
    assert "The review is not completed of: liver 1." in page
    for secret in ("January", "June"):
        assert secret not in page


def test_the_json_has_the_change_and_the_copied_text_too(a_followed_lesion, saved_as, tmp_path):
    path = tmp_path / "lesions.json"
    saved_as(path)
    a_followed_lesion.pressButton(a_followed_lesion.panel.ui.saveTableButton)
    change = json.loads(path.read_text())["change"]
    assert change["recist_1_1"]["category"] == "partial response"
    assert change["lesions"][0]["diameter"]["unit"] == "mm"
    a_followed_lesion.pressButton(a_followed_lesion.panel.ui.copyTableButton)
    assert "partial response" in QtWidgets.QApplication.clipboard().text()


def test_the_csv_has_the_change_beside_it_and_overwrites_nothing_there(a_followed_lesion, saved_as, tmp_path):
    saved_as(tmp_path / "june.csv")
    a_followed_lesion.pressButton(a_followed_lesion.panel.ui.saveTableButton)
    lesion, total = (tmp_path / "june_change.csv").read_text().splitlines()[1:]
    assert lesion.startswith("liver 1,target,")
    assert total.startswith("sum of diameters,")
    (tmp_path / "june.csv").unlink()
    a_followed_lesion.pressButton(a_followed_lesion.panel.ui.saveTableButton)
    assert "'june_change.csv' is there already" in a_followed_lesion.panel.ui.messageLabel.text
    assert not (tmp_path / "june.csv").exists()


def test_a_target_that_shrank_below_10_mm_is_no_mistake_of_the_later_visit(a_followed_lesion):
    logic = a_followed_lesion.panel.logic
    small = np.zeros(voxels(logic).shape, np.uint8)
    small[6:8, 6:10, 6:10] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(small, logic.segmentationNode, logic.segmentId, logic.volumeNode)
    a_followed_lesion.panel.pollTimer.refreshSoon()
    rest(a_followed_lesion)
    assert logic.lesions.lesion(logic.segmentId).mm < 10
    assert "10 mm or more" not in a_followed_lesion.panel.ui.lesionSumLabel.text
    a_followed_lesion.panel.ui.earlierSelector.setCurrentNode(None)
    rest(a_followed_lesion)
    assert "10 mm or more" in a_followed_lesion.panel.ui.lesionSumLabel.text


def test_the_comparison_is_saved_with_the_scene(a_followed_lesion, tmp_path):
    said = a_followed_lesion.panel.ui.changeLabel.text
    assert slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    slicer.mrmlScene.Clear(False)
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    rest(a_followed_lesion)
    a_followed_lesion.panel.parameters.choose(volume=slicer.util.getNode("June"))
    rest(a_followed_lesion)
    assert a_followed_lesion.panel.ui.changeLabel.text == said


def test_a_role_is_that_of_the_baseline(a_followed_lesion):
    press_cell(a_followed_lesion, a_followed_lesion.panel.ui.lesionsTable, 0, ROLE)
    press_cell(a_followed_lesion, a_followed_lesion.panel.ui.lesionsTable, 0, ROLE)
    assert texts_of(a_followed_lesion.panel.ui.lesionsTable, ROLE) == ["–"]
    assert "partial response" in a_followed_lesion.panel.ui.changeLabel.text
