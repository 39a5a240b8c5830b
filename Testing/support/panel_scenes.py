"""The panel with an image to work on, and what a user does to it, for tests of the panel."""

from itertools import pairwise

import numpy as np
import pytest
from support.module_scenes import FIRST, SECOND, prompts_of, voxels  # noqa: F401  what these tests look at, too


@pytest.fixture
def a_stand_in(an_app, an_opener):
    """The host's user before the panel, in which a stand-in answers for the model."""
    from SAM3DSegmentLib.Engine import Engine

    an_app.panel.logic.controller.engine = Engine(openModel=an_opener)
    return an_app


@pytest.fixture
def a_panel(a_stand_in, an_app, a_volume):
    """The host's user before the panel, the two balls chosen and shown; a stand-in answers for the model."""
    an_app.show(a_volume)
    an_app.panel.parameters.choose(volume=a_volume)
    rest(an_app)
    return an_app


def rest(app):
    """Until nothing is computed and the panel shows what is so."""
    app.settle()
    panel = app.panel
    assert app.waitUntil(lambda: not (panel.logic.busy or panel.pollTimer.isDue), seconds=30)
    app.settle()


def center_of(grid, at):
    return tuple(grid.center_ras + at)


def beside(app, ras, right_mm=0.0, up_mm=0.0):
    """A point in the plane of the red slice through `ras`."""
    axes = np.array(app.red.mrmlSliceNode().GetSliceToRAS().GetData()).reshape(4, 4)[:3, :3]
    return tuple(np.asarray(ras) + axes @ (right_mm, up_mm, 0.0))


def click_with(app, tool, ras, **how):
    """Take up a tool by its button, if it is not in hand, and click in the red view."""
    button = getattr(app.panel.ui, f"{tool}Button")
    if not button.checked:
        app.pressButton(button)
    app.click(app.red, ras, **how)
    rest(app)


def press_cell(app, table, row, column):
    """Click on a cell of a list with the mouse."""
    from PySide6.QtCore import Qt
    from PySide6.QtTest import QTest

    middle = table.visualItemRect(table.item(row, column)).center()
    QTest.mouseClick(table.viewport(), Qt.LeftButton, Qt.NoModifier, middle)
    rest(app)


def texts_of(table, column):
    """What a list says in a column, without the gray words of an empty one."""
    from PySide6.QtCore import Qt

    items = [table.item(row, column) for row in range(table.rowCount)]
    return [item.text() for item in items if item.flags() & Qt.ItemIsEnabled]


def draw(app, points, *, modifier=None):
    """Press on the first point in the red view, move over the others, and let go on the last."""
    from PySide6.QtCore import Qt
    from PySide6.QtTest import QTest

    modifier = modifier or Qt.NoModifier
    app.showPoint(app.red, points[0])
    pixels = [app.pixelOf(app.red, point) for point in points]
    app.hover(app.red, pixels[0])
    QTest.mousePress(app.red, Qt.LeftButton, modifier, pixels[0])
    for before, after in pairwise(pixels):
        for share in (0.5, 1.0):
            app.hover(app.red, before + (after - before) * share, buttons=Qt.LeftButton, modifier=modifier)
    QTest.mouseRelease(app.red, Qt.LeftButton, modifier, pixels[-1])
    rest(app)


def ring(app, center, radius_mm, count=16):
    """Points on a circle in the plane of the red slice through its center."""
    angles = np.linspace(0, 2 * np.pi, count, endpoint=False)
    return [beside(app, center, radius_mm * np.cos(a), radius_mm * np.sin(a)) for a in angles]


def kinds_of(app):
    return [item.kind for item in app.panel.logic.prompts.items()]


@pytest.fixture
def installed(monkeypatch, tmp_path):
    """installed(name): a file lies where the weights of a model are looked for, in a folder of this test's own."""
    from inference_core.models.registry import get_spec
    from inference_core.models.store import FOLDER_VARIABLE

    folder = tmp_path / "models"
    folder.mkdir()
    monkeypatch.setenv(FOLDER_VARIABLE, str(folder))
    return lambda *names: [(folder / get_spec(name).checkpoint.filename).write_bytes(b"weights") for name in names]


@pytest.fixture
def a_slow_model(a_model):
    """The stand-in model, which says when it was asked and answers when it is released."""
    import threading

    a_model.entered, a_model.release = threading.Event(), threading.Event()
    encode = a_model.encode

    def slowly(window):
        a_model.entered.set()
        assert a_model.release.wait(30)
        return encode(window)

    a_model.encode = slowly
    yield a_model
    a_model.release.set()
