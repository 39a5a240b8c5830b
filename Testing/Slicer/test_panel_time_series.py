"""Lesions along a sequence of images in the panel: a table of all time points, and masks that follow the playing."""

import csv

import numpy as np
import pytest
from support.panel_scenes import FIRST, rest
from support.scenes import oblique_grid, spheres

slicer = pytest.importorskip("slicer", reason="slicer-core exists for Python 3.11 on 64-bit Linux")
QtWidgets = pytest.importorskip("PySide6.QtWidgets")

GRID = oblique_grid(29, 1)
RADII = (9.0, 8.0, 7.0, 6.0)


def place_at(point):
    return GRID.center_ras + FIRST + point * np.array([-4.0, 3.0, -2.0])


def ball_at(point):
    return spheres(GRID, [(place_at(point), RADII[point])])


@pytest.fixture
def a_sequence(a_stand_in):
    """Four images of a ball that moves and shrinks, in a browser; the second one is shown and chosen."""
    app, scene = a_stand_in, slicer.mrmlScene
    sequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode", "breathing")
    sequence.SetIndexName("time")
    for point in range(len(RADII)):
        array = np.ascontiguousarray(ball_at(point).T, dtype=np.float32)
        node = slicer.util.addVolumeFromArray(array, ijkToRAS=GRID.affine, name="one")
        sequence.SetDataNodeAtValue(node, str(10 * point))
        scene.RemoveNode(node)
    app.browser = scene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "browser")
    app.browser.AddSynchronizedSequenceNode(sequence)
    show(app, 1)
    app.panel.parameters.choose(volume=app.browser.GetProxyNode(sequence))
    app.panel.ui.lesionsSection.collapsed = False
    rest(app)
    return app


def show(app, point):
    app.browser.SetSelectedItemNumber(point)
    slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(app.browser)


@pytest.fixture
def a_followed_sequence(a_sequence, saved_as, tmp_path):
    app = a_sequence
    saved_as(tmp_path / "t.csv")
    app.panel.logic.segments.next("liver 1")
    app.panel.logic.prompts.addClick(tuple(place_at(1)))
    rest(app)
    app.pressButton(app.panel.ui.timeButton)
    assert app.waitUntil(lambda: not app.panel.logic.busy, seconds=60)
    rest(app)
    app.table = tmp_path / "t.csv"
    return app


def test_each_time_point_has_a_row_with_its_own_numbers(a_followed_sequence):
    rows = list(csv.DictReader(a_followed_sequence.table.read_text().splitlines()))
    assert [(row["time_point"], row["part"], row["lesion"]) for row in rows] == [
        (str(n + 1), str(10 * n), "liver 1") for n in range(len(RADII))
    ]
    for row, radius in zip(rows, RADII, strict=True):
        assert float(row["longest_axial_mm"]) == pytest.approx(2 * radius, abs=1.5)
    assert "Written: t.csv" in a_followed_sequence.panel.ui.statusLabel.text


def test_the_masks_follow_the_image_when_it_is_played(a_followed_sequence):
    app, logic = a_followed_sequence, a_followed_sequence.panel.logic
    nodes = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
    (played,) = (node for node in nodes if app.browser.IsProxyNodeID(node.GetID()))
    assert played is not logic.segmentationNode
    for point in range(len(RADII)):
        show(app, point)
        (segmentId,) = played.GetSegmentation().GetSegmentIDs()
        found = slicer.util.arrayFromSegmentBinaryLabelmap(played, segmentId, logic.volumeNode) > 0
        expected = ball_at(point).T > 0.5
        assert 2 * (found & expected).sum() / (found.sum() + expected.sum()) > 0.9, point


def test_an_image_of_no_sequence_is_not_offered_it(a_panel):
    a_panel.panel.ui.lesionsSection.collapsed = False
    rest(a_panel)
    assert not a_panel.panel.ui.timeButton.visible


def test_without_a_lesion_it_is_gray(a_sequence):
    assert a_sequence.panel.ui.timeButton.visible
    assert not a_sequence.panel.ui.timeButton.enabled
