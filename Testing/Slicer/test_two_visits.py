"""Two visits of a patient, from the first click to the reopened scene: only the mask that is worked on ever changes.

Every step is what a user does with mouse or keys. After each, all masks of both images are compared with those before.
"""

from dataclasses import dataclass, field

import numpy as np
import pytest
from support.glioblastoma import PATIENT, glioblastoma
from support.module_scenes import dice
from support.panel_gestures import NAME, choose, write_in
from support.panel_scenes import beside, draw, press_cell, rest, ring, texts_of
from support.scenes import oblique_grid, spheres

slicer = pytest.importorskip("slicer", reason="slicer-core exists for Python 3.11 on 64-bit Linux")
vtk = pytest.importorskip("vtk")
QtCore = pytest.importorskip("PySide6.QtCore")
QtWidgets = pytest.importorskip("PySide6.QtWidgets")
QtTest = pytest.importorskip("PySide6.QtTest")

CTRL = QtCore.Qt.ControlModifier
STATUS, LOCK = 4, 6
PROMPT_TEXT = 1
BEFORE, AFTER = "January", "June"


@dataclass
class Case:
    """Where the lesions are: three of the first visit, and the first of them at the second one, in RAS mm.

    truth[(visit, index)] is what a mask is known to be, along the body's axes; agree(mask, truth), 0 to 1, says how
    well it is met: at least as well as `least`.
    reach_mm: so far beside a lesion's point its mask reaches.
    """

    points: list
    again: tuple
    how: str
    truth: dict
    agree: object
    least: float
    reach_mm: float


@dataclass
class Hand:
    """Does one step after another; `masks` are those after the last one, by (visit, place in the list)."""

    app: object
    done: list = field(default_factory=list)
    masks: dict = field(default_factory=dict)
    kept: dict = field(default_factory=dict)

    def step(self, name, act, *, changes=()):
        """Do something after which just these masks are others than before, or new."""
        act()
        logic = self.app.panel.logic
        assert self.app.waitUntil(lambda: not (logic.busy or logic.followUp.isRunning), seconds=120)
        rest(self.app)
        self.done.append(name)
        before, self.masks = self.masks, masks_of_all()
        differ = {key for key, mask in self.masks.items() if key not in before or not np.array_equal(mask, before[key])}
        assert differ | (before.keys() - self.masks.keys()) == set(changes), f"step {len(self.done)}, {name}"

    def keep(self, name, key):
        self.kept[name] = self.masks[key]

    def expect(self, name, key):
        assert np.array_equal(self.masks[key], self.kept[name]), f"after {self.done[-1]}: not as with {name}"

    def key(self, key, **how):
        """A key while the keyboard is in a view, where it is after a click."""
        self.app.red.setFocus()
        self.app.press(key, **how)

    def choose(self, selector, text):
        choose(self.app, selector, text)

    def take(self, key, tool):
        """Press a tool's key, unless it is in hand."""
        if self.app.panel.tools.active != tool:
            self.key(key)
        assert self.app.panel.tools.active == tool

    def rename(self, row, name):
        write_in(self.app, self.app.panel.ui.segmentsTable, row, NAME, name)

    def row(self, index, column):
        press_cell(self.app, self.app.panel.ui.segmentsTable, index, column)

    def delete_last_prompt(self):
        table = self.app.panel.ui.promptsTable
        press_cell(self.app, table, table.rowCount - 1, PROMPT_TEXT)
        table.setFocus()
        self.app.press("Del", widget=table)

    def open_table(self):
        header = QtCore.QPoint(20, 10)
        QtTest.QTest.mouseClick(self.app.panel.ui.lesionsSection, QtCore.Qt.LeftButton, pos=header)

    def click_beside(self, point, right_mm, **how):
        self.app.showPoint(self.app.red, point)
        self.app.click(self.app.red, beside(self.app, point, right_mm), **how)

    def across(self, point):
        self.app.showPoint(self.app.red, point)
        return [beside(self.app, point, x) for x in np.linspace(-4, 4, 5)]

    def corners(self, point):
        self.app.showPoint(self.app.red, point)
        return beside(self.app, point, -9.0, -9.0), beside(self.app, point, 9.0, 9.0)

    def around(self, point):
        self.app.showPoint(self.app.red, point)
        return ring(self.app, point, 7.5, count=24)

    def reopen(self, path):
        assert slicer.util.saveScene(str(path))
        slicer.mrmlScene.Clear(False)
        self.app.settle()
        slicer.util.loadScene(str(path))


def masks_of_all():
    """Each segment's voxels on its own image, along the body's axes."""
    found = {}
    for node in segmentations():
        volume = image_of(node)
        for index, segmentId in enumerate(node.GetSegmentation().GetSegmentIDs()):
            found[(volume.GetName(), index)] = along_the_body(voxels_of(node, segmentId), to_ras(volume))
    return found


def voxels_of(node, segmentId):
    """A segment as Slicer's own function gives it, (k, j, i)."""
    return slicer.util.arrayFromSegmentBinaryLabelmap(node, segmentId, image_of(node)).copy() > 0


def along_the_body(array, ijk_to_ras):
    """The array (k, j, i) with each axis turned to go up in R, A or S.

    Slicer reads a left-handed image with its slices the other way round: it is the same image in the patient.
    """
    rows = np.abs(ijk_to_ras[:3, :3]).argmax(axis=0)
    down = [ijk_to_ras[row, column] < 0 for column, row in enumerate(rows)]
    return np.flip(array, [2 - column for column in range(3) if down[column]])


def to_ras(volume):
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)


def segmentations():
    """The user's own; what flashes and shows where a mask is unsure is none."""
    nodes = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
    return [node for node in nodes if image_of(node) is not None]


def image_of(node):
    from SAM3DSegmentLib.Workspace import volumeOf

    return volumeOf(node)


def prompts_of_all():
    """The prompts of each segment, by (visit, place in the list)."""
    from SAM3DSegmentLib.PromptNodes import PromptNodes

    return {
        (image_of(node).GetName(), index): [(item.kind, item.local) for item in PromptNodes(node, segmentId).items()]
        for node in segmentations()
        for index, segmentId in enumerate(node.GetSegmentation().GetSegmentIDs())
    }


def at_the_first_visit(hand, case):
    """Three lesions: by clicks with undo and redo, by a scribble and the boundary, by a box; the first is locked."""
    app, ui, lesion = hand.app, hand.app.panel.ui, (BEFORE, 0)
    first, second, third = case.points
    hand.step("choose the first visit", lambda: hand.choose(ui.volumeSelector, BEFORE))
    hand.step("take Foreground", lambda: hand.take("A", "foreground"))
    hand.step("click", lambda: app.click(app.red, first), changes=[lesion])
    hand.keep("one click", lesion)
    hand.step("correct", lambda: hand.click_beside(first, case.reach_mm, modifier=CTRL), changes=[lesion])
    hand.keep("two clicks", lesion)
    for key, back in (("Z", "one click"), ("Y", "two clicks"), ("Z", "one click")):
        hand.step(f"Ctrl+{key}", lambda key=key: hand.key(key, modifier=CTRL), changes=[lesion])
        hand.expect(back, lesion)
    hand.step("rename", lambda: hand.rename(0, "liver 1"))
    hand.step("next", lambda: app.pressButton(ui.nextButton), changes=[(BEFORE, 1)])
    hand.step("take Scribble", lambda: hand.take("C", "scribble"))
    hand.step("scribble", lambda: draw(app, hand.across(second)), changes=[(BEFORE, 1)])
    ui.boundarySlider.setFocus()
    hand.step("move the boundary", lambda: app.press(QtCore.Qt.Key_PageDown), changes=[(BEFORE, 1)])
    hand.step("next by key", lambda: hand.key("N"), changes=[(BEFORE, 2)])
    hand.step("take Box", lambda: hand.take("X", "box"))
    hand.step("draw a box", lambda: app.drag(app.red, *hand.corners(third)), changes=[(BEFORE, 2)])
    hand.step("lock the first lesion", lambda: hand.row(0, LOCK))
    hand.step("try a tool on it", lambda: hand.key("A"))
    hand.step("click on it", lambda: app.click(app.red, first))


def at_the_second_visit(hand, case):
    """The first lesion by a click, the others carried over; one is corrected, and one outlined in a slice."""
    app, ui, lesion, segments = hand.app, hand.app.panel.ui, (AFTER, 0), hand.app.panel.logic.segments
    hand.step("choose the second visit", lambda: hand.choose(ui.volumeSelector, AFTER))
    hand.step("take Foreground again", lambda: hand.take("A", "foreground"))
    hand.step("click there", lambda: app.click(app.red, case.again), changes=[lesion])
    hand.keep("found again", lesion)
    hand.step("undo it", lambda: hand.key("Z", modifier=CTRL), changes=[lesion])
    assert not hand.masks[lesion].any()
    hand.step("redo it", lambda: hand.key("Y", modifier=CTRL), changes=[lesion])
    hand.expect("found again", lesion)
    hand.step("name it as before", lambda: hand.rename(0, "liver 1"))
    hand.step("open the table", hand.open_table)
    assert not ui.lesionsSection.collapsed
    hand.step("choose the earlier visit", lambda: hand.choose(ui.earlierSelector, BEFORE))
    hand.step("choose how to align", lambda: hand.choose(ui.alignSelector, case.how))
    hand.step("carry over", lambda: app.pressButton(ui.followButton), changes=[(AFTER, 1), (AFTER, 2)])
    assert texts_of(ui.segmentsTable, NAME) == ["liver 1", "Lesion 2", "Lesion 3"]
    hand.keep("carried over", (AFTER, 1))
    hand.step("go to a lesion", lambda: hand.row(1, NAME))
    hand.step("take Background", lambda: hand.take("S", "background"))
    place = segments.center(segments.ids()[1])
    hand.step("correct it", lambda: app.click(app.red, place), changes=[(AFTER, 1)])
    hand.step("delete that click", hand.delete_last_prompt, changes=[(AFTER, 1)])
    hand.expect("carried over", (AFTER, 1))
    hand.step("accept it", lambda: [hand.row(1, STATUS) for _ in range(2)])
    hand.step("go to the lesion before", lambda: hand.key(QtCore.Qt.Key_Comma))
    hand.step("take Lasso", lambda: hand.take("Z", "lasso"))
    hand.step("outline it in a slice", lambda: draw(app, hand.around(case.again)), changes=[lesion])


def back_at_the_first_visit(hand, case, path):
    """What was made there is there; the lock is taken off, one more correction, and all is saved and opened again."""
    ui = hand.app.panel.ui
    hand.step("choose the first visit again", lambda: hand.choose(ui.volumeSelector, BEFORE))
    assert texts_of(ui.segmentsTable, NAME) == ["liver 1", "Lesion 2", "Lesion 3"]
    hand.step("unlock", lambda: hand.row(0, LOCK))
    hand.step("take Foreground once more", lambda: hand.take("A", "foreground"))
    how = {"right_mm": case.reach_mm, "modifier": CTRL}
    hand.step("correct it once more", lambda: hand.click_beside(case.points[0], **how), changes=[(BEFORE, 0)])
    prompts = prompts_of_all()
    hand.step("save, close and reopen", lambda: hand.reopen(path))
    hand.step("look at the second visit", lambda: hand.choose(ui.volumeSelector, AFTER))
    assert_same_prompts(prompts_of_all(), prompts)


def take_the_steps(app, case, path):
    """The whole way; returns the one who went it."""
    hand = Hand(app)
    at_the_first_visit(hand, case)
    at_the_second_visit(hand, case)
    back_at_the_first_visit(hand, case, path)
    return hand


def assert_masks_are_where_they_belong(app, hand, case):
    assert len(hand.done) >= 30
    assert set(hand.masks) == {(visit, index) for visit in (BEFORE, AFTER) for index in range(3)}
    for key, truth in case.truth.items():
        assert case.agree(hand.masks[key], truth) >= case.least, key
    for node in segmentations():
        for segmentId in node.GetSegmentation().GetSegmentIDs():
            assert_clicks_hold(node, segmentId)


def assert_same_prompts(found, expected):
    """Of the same kinds at the same places, but for the digits that a file leaves out."""
    assert found.keys() == expected.keys()
    for key, items in expected.items():
        assert [kind for kind, _where in found[key]] == [kind for kind, _where in items], key
        for (_, here), (_, there) in zip(found[key], items, strict=True):
            np.testing.assert_allclose(here, there, atol=1e-6, err_msg=str(key))


def assert_clicks_hold(node, segmentId):
    """Foreground clicks lie in their segment's mask, background clicks outside of it."""
    from SAM3DSegmentLib.PromptNodes import PromptNodes

    mask, to_voxels = voxels_of(node, segmentId), np.linalg.inv(to_ras(image_of(node)))
    for item in PromptNodes(node, segmentId).items():
        if item.isClick:
            i, j, k = np.rint((to_voxels @ (*item.ras, 1.0))[:3]).astype(int)
            assert mask[k, j, i] == (item.kind == "foreground"), (node.GetName(), segmentId, item.kind)


def add_volume(grid, name, array):
    return slicer.util.addVolumeFromArray(np.ascontiguousarray(array, np.float32), ijkToRAS=grid.affine, name=name)


@pytest.fixture
def two_synthetic_visits(a_stand_in):
    """Three balls, and the same three half a year later: smaller, a little moved, on another oblique grid."""
    from inference_core.geometry.grid import Grid

    before, other = oblique_grid(29, 1, size_mm=80.0), oblique_grid(7, 1, size_mm=80.0)
    affine = other.affine.copy()
    affine[:3, 3] += before.center_ras - other.center_ras
    after = Grid(other.shape, affine)
    centers = [before.center_ras + at for at in ((10.0, -8.0, 5.0), (-14.0, 9.0, -6.0), (12.0, 17.0, -14.0))]
    balls = list(zip(centers, (9.0, 8.0, 8.0), strict=True))
    later = [(center + (1.0, -1.0, 0.5), radius - 1.5) for center, radius in balls]
    add_volume(before, BEFORE, spheres(before, balls).T)
    add_volume(after, AFTER, spheres(after, later).T)
    truth = {
        (visit, index): along_the_body(spheres(grid, [ball]).T > 0.5, grid.affine)
        for visit, grid, seen in ((BEFORE, before, balls), (AFTER, after, later))
        for index, ball in enumerate(seen)
    }
    points = [tuple(center) for center in centers]
    return a_stand_in, Case(points, tuple(later[0][0]), "As they lie", truth, dice, 0.75, 5.0)


def test_each_mask_of_two_synthetic_visits_is_where_it_belongs(two_synthetic_visits, tmp_path):
    app, case = two_synthetic_visits
    hand = take_the_steps(app, case, tmp_path / "scene.mrb")
    assert_masks_are_where_they_belong(app, hand, case)


@pytest.fixture
def two_visits_of_a_patient(an_app):
    """A glioblastoma before and after treatment, answered by the built-in model; skipped where the images are not."""
    import nibabel

    truth, points = {}, {}
    for visit, name in (("pre", BEFORE), ("post", AFTER)):
        image, labels = glioblastoma(PATIENT, visit)
        volume = slicer.util.loadVolume(str(image))
        volume.SetName(name)
        label = np.asarray(nibabel.load(labels).dataobj) > 0
        parts = parts_of(label)
        truth[(name, 0)] = along_the_body(parts[0].T, to_ras(volume))
        points[name] = [deepest(part, volume) for part in parts[:2]]
    first, second = points[BEFORE]
    # The third is no lesion: what lies on the other side of the head, for a box to hold.
    return an_app, Case([first, second, mirrored(first)], points[AFTER][0], "Rigid", truth, share_inside, 0.8, 3.0)


def share_inside(mask, truth):
    """How much of a mask lies in the truth: two clicks do not fill a tumor with a hole in it, but they hit it."""
    return (mask & truth).sum() / mask.sum()


def parts_of(label):
    """The connected pieces of a mask, the largest first."""
    from scipy import ndimage

    pieces, count = ndimage.label(label, np.ones((3, 3, 3)))
    sizes = ndimage.sum(label, pieces, range(1, count + 1))
    return [pieces == 1 + index for index in np.argsort(sizes)[::-1]]


def deepest(part, volume):
    """The voxel furthest inside a piece, in RAS mm."""
    from scipy import ndimage

    depth = ndimage.distance_transform_edt(part, sampling=volume.GetSpacing())
    at = np.unravel_index(depth.argmax(), depth.shape)
    return tuple((to_ras(volume) @ (*at, 1.0))[:3])


def mirrored(ras):
    """The point across the middle of the image from left to right."""
    volume = slicer.util.getNode(BEFORE)
    bounds = [0.0] * 6
    volume.GetRASBounds(bounds)
    return bounds[0] + bounds[1] - ras[0], ras[1], ras[2]


@pytest.mark.timeout(600)
def test_each_mask_of_a_patients_two_visits_is_where_it_belongs(two_visits_of_a_patient, tmp_path):
    app, case = two_visits_of_a_patient
    hand = take_the_steps(app, case, tmp_path / "scene.mrb")
    assert_masks_are_where_they_belong(app, hand, case)
