"""Scenes for tests of the Slicer module's logic: two bright balls in an oblique volume, and a model that finds them."""

import hashlib
import json
import threading

import numpy as np
import pytest
from support.scenes import BrightnessModel, oblique_grid, spheres

FIRST, SECOND = np.array([10.0, -8.0, 5.0]), np.array([-14.0, 9.0, -6.0])
RADII = (9.0, 7.0)


@pytest.fixture
def a_grid():
    return oblique_grid(29, 1)


class Opener:
    """Stands for the core's `open_model`: gives the model it has for a device, else the one it was made with.

    loaded lists what was asked for; `fails` is raised, and `opened` held shut keeps it loading.
    """

    def __init__(self, model):
        self.model, self.by_device = model, {}
        self.loaded, self.fails, self.opened = [], None, threading.Event()
        self.opened.set()

    def __call__(self, name, *, device, precision, weights=None):
        assert self.opened.wait(30)
        self.loaded.append((name, device, precision))
        if self.fails is not None:
            raise self.fails
        return self.by_device.get(device, self.model)


@pytest.fixture
def a_model():
    """A model that takes what is bright for the target."""
    return BrightnessModel()


@pytest.fixture
def an_opener(a_model):
    """What the logic of a test opens models with."""
    opener = Opener(a_model)
    yield opener
    opener.opened.set()


@pytest.fixture
def a_volume(a_scene, a_grid):
    """Two bright balls in the dark, as a volume node."""
    balls = [(a_grid.center_ras + at, radius) for at, radius in zip((FIRST, SECOND), RADII, strict=True)]
    import slicer

    array = np.ascontiguousarray(spheres(a_grid, balls).T, dtype=np.float32)
    return slicer.util.addVolumeFromArray(array, ijkToRAS=a_grid.affine, name="Secret Name")


@pytest.fixture
def a_logic(a_scene, an_opener):
    from SAM3DSegmentLib.Engine import Engine
    from SAM3DSegmentLib.Logic import SAM3DSegmentLogic

    logic = SAM3DSegmentLogic(engine=Engine(openModel=an_opener))
    logic.told = []
    logic.addListener(lambda event, info: logic.told.append((event, info)))
    yield logic
    logic.close()


@pytest.fixture
def a_started_logic(a_logic, a_volume):
    """A logic with the volume chosen."""
    a_logic.setVolume(a_volume)
    return a_logic


@pytest.fixture
def adapted_weights(tmp_path):
    """The folder of an adaptation of the default model, and the sha256 of its weights; nobody reads these."""
    run = tmp_path / "run"
    run.mkdir()
    (run / "best.safetensors").write_bytes(b"adapted")
    (run / "run.json").write_text(json.dumps({"model": "sam3d_lite", "weights": "best.safetensors"}))
    return str(run), hashlib.sha256(b"adapted").hexdigest()


def click(logic, grid, at, positive=True):
    logic.prompts.addClick(grid.center_ras + at, positive)
    assert logic.waitUntilIdle(20)


def events(logic, name):
    return [info for event, info in logic.told if event == name]


def voxels(logic, segmentId=None):
    """The segment as Slicer's own function gives it on the volume's voxels."""
    import slicer

    node, chosen = logic.segmentationNode, segmentId or logic.segmentId
    return slicer.util.arrayFromSegmentBinaryLabelmap(node, chosen, logic.volumeNode).copy() > 0


def ball_of(grid, at, radius):
    return spheres(grid, [(grid.center_ras + at, radius)]).T > 0.5


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def prompts_of(logic):
    return [(item.kind, item.local) for item in logic.prompts.items()]
