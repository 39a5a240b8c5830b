"""Slicer for tests: `a_scene` is Slicer's scene without Qt, `an_app` is the Qt host with the module's panel.

Tests that import `slicer` at their head do it with `slicer = pytest.importorskip("slicer")`, because `slicer-core`
exists for Python 3.11 on 64-bit Linux only.
"""

import os
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# `SAM3DSegmentLib` and `inference_core` are found as in Slicer: from the module's folder, whatever is installed.
sys.path[:0] = [str(ROOT / "SAM3DSegment"), str(ROOT)]

os.environ.pop("DISPLAY", None)  # VTK then draws offscreen through EGL
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")


from support.module_scenes import (  # noqa: E402
    a_grid,  # noqa: F401
    a_logic,  # noqa: F401
    a_model,  # noqa: F401
    a_started_logic,  # noqa: F401
    a_volume,  # noqa: F401
    adapted_weights,  # noqa: F401
    an_opener,  # noqa: F401
)
from support.panel_gestures import saved_as  # noqa: E402, F401
from support.panel_scenes import a_panel, a_slow_model, a_stand_in, installed  # noqa: E402, F401


def _skip_without(*packages):
    for package in packages:
        if find_spec(package) is None:
            pytest.skip(f"{package} is not installed (slicer-core exists for Python 3.11 on 64-bit Linux)")


@pytest.fixture(scope="session")
def _the_scene():
    _skip_without("slicer_core")
    from Host.scene import bootScene

    return bootScene()


@pytest.fixture
def a_scene(_the_scene):
    """`slicer.mrmlScene`, empty, with the logics of Slicer's modules; it is closed after the test."""
    from Host.scene import clearScene

    clearScene()
    yield _the_scene
    clearScene()


@pytest.fixture(scope="session")
def _the_user():
    _skip_without("slicer_core", "PySide6")
    from Host.user import User

    return User()


@pytest.fixture
def a_host(_the_user):
    """The Qt host without a module, as a `Host.user.User`; a scene that is empty before and after.

    An exception in a slot, a timer or an observer fails the test; one that is expected: `a_host.errors.clear()`.
    """
    _the_user.sitDown()
    yield _the_user
    _the_user.leave()
    assert not _the_user.errors, f"raised in a slot, a timer or an observer: {_the_user.errors}"


@pytest.fixture
def an_app(a_host):
    """The Qt host with the module open: `an_app.panel` is the module's widget object, made anew for every test."""
    a_host.openModule()
    return a_host
