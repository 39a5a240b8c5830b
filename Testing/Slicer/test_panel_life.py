"""A panel's life as Slicer leads it: reloaded by its own function, unloaded, freed, and ended while it computes."""

import gc
import os
import subprocess
import sys
import weakref
from pathlib import Path

import pytest
from support.panel_scenes import FIRST, center_of, click_with, kinds_of, rest

slicer = pytest.importorskip("slicer", reason="slicer-core exists for Python 3.11 on 64-bit Linux")
QtCore = pytest.importorskip("PySide6.QtCore")

ROOT = Path(__file__).resolve().parents[2]
PARTS = (
    "pollTimer",
    "tools",
    "parameters",
    "message",
    "segments",
    "prompts",
    "see",
    "measures",
    "handles",
    "peekKey",
    "shortcuts",
    "tour",
)


def reload_as_slicer_does(app):
    """The genuine function of `slicer.util`, which the Reload button calls."""
    slicer.util.reloadScriptedModule("SAM3DSegment")
    app.panel = slicer.modules.SAM3DSegmentWidget
    app.settle()


def test_a_reloaded_panel_works_without_being_entered_again(a_panel, a_grid):
    from SAM3DSegmentLib.Engine import Engine

    click_with(a_panel, "foreground", center_of(a_grid, FIRST))
    engine = a_panel.panel.logic.controller.engine
    assert isinstance(engine, Engine)
    old = a_panel.panel
    reload_as_slicer_does(a_panel)
    assert a_panel.panel is not old
    a_panel.panel.logic.controller.engine = engine
    rest(a_panel)
    assert kinds_of(a_panel) == ["foreground"]
    assert a_panel.panel.ui.volumeSelector.currentNode().GetName() == "Secret Name"
    a_panel.panel.parameters.choose(model="sam")
    a_panel.panel.parameters.choose(model="sam3d_lite")
    a_panel.red.setFocus()
    a_panel.press("A")
    assert a_panel.panel.tools.active == "foreground"
    click_with(a_panel, "background", center_of(a_grid, FIRST + (0, 12, 0)))
    assert kinds_of(a_panel) == ["foreground", "background"]


def test_a_panel_that_is_not_shown_is_not_entered_by_reloading(a_panel):
    a_panel.app.moduleManager().leaveModule()
    reload_as_slicer_does(a_panel)
    assert "QShortcut" not in [child.className() for child in a_panel.window.children()]


@pytest.mark.parametrize("end", ["reload", "unload"])
def test_nothing_of_a_closed_panel_is_kept(a_panel, a_grid, end):
    a_panel.pressButton(a_panel.panel.ui.foregroundButton)
    click_with(a_panel, "foreground", center_of(a_grid, FIRST))
    panel = a_panel.panel
    kept = {name: weakref.ref(getattr(panel, name)) for name in PARTS}
    kept |= {"panel": weakref.ref(panel), "logic": weakref.ref(panel.logic)}
    del panel
    if end == "reload":
        reload_as_slicer_does(a_panel)
    else:
        a_panel.closeModule()
        del slicer.modules.SAM3DSegmentWidget
    QtCore.QCoreApplication.sendPostedEvents(None, QtCore.QEvent.DeferredDelete)
    a_panel.settle()
    gc.collect()
    alive = {name for name, reference in kept.items() if reference() is not None}
    assert alive == set()


def test_closing_ends_a_running_download(a_panel):
    import threading

    from inference_core.models.registry import get_spec

    installer, stopped = a_panel.panel.installer, threading.Event()

    def slow(spec, source):
        installer._stopped.wait(20)
        stopped.set()

    installer._run = slow
    installer.start(get_spec("sam_med3d"))
    a_panel.closeModule()
    assert stopped.is_set()


def test_the_timer_sleeps_while_nothing_is_asked(a_panel, a_grid):
    timer = a_panel.panel.pollTimer
    assert a_panel.waitUntil(lambda: not timer.isBeating, seconds=5)
    click_with(a_panel, "foreground", center_of(a_grid, FIRST))
    assert kinds_of(a_panel) == ["foreground"], "and it wakes for a click"
    assert a_panel.waitUntil(lambda: not timer.isBeating, seconds=5)


# Many short layers: one call takes far longer than an application may wait.
QUIT = """
import sys, time
from pathlib import Path
import torch
from Host.user import User
user = User()
user.sitDown()
user.openModule()
import SAM3DSegmentLib.Engine as engines

class Network(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = torch.nn.Sequential(*[torch.nn.Conv3d(8, 8, 3, padding=1) for _ in range(4000)])
    def forward(self, x):
        return self.layers(x)

def work(notify):
    print("computing", flush=True)
    with torch.inference_mode():
        Network()(torch.zeros(1, 8, 48, 48, 48))
    print("finished", flush=True)

logic = user.panel.logic
logic.controller.startJob(work, onDone=print, onError=print)
time.sleep(1.0)
began = time.monotonic()
if sys.argv[1] == "unload":
    user.closeModule()
else:
    logic.controller.worker.close()
print(f"closed {time.monotonic() - began:.2f}", flush=True)
"""


@pytest.mark.parametrize("how", ["unload", "close"])
def test_quitting_while_the_worker_computes_ends_in_order_and_soon(how):
    folders = [ROOT / "Testing", ROOT / "SAM3DSegment", ROOT]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, folders)), "QT_QPA_PLATFORM": "offscreen"}
    environment.pop("DISPLAY", None)
    done = subprocess.run(
        [sys.executable, "-c", QUIT, how], env=environment, capture_output=True, text=True, check=False, timeout=100
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "computing" in done.stdout
    assert "finished" not in done.stdout
    assert float(done.stdout.rpartition("closed ")[2]) < 3.0


# Nobody closes anything: a script made a logic, and the application quits.
FORGET = """
import time, torch
from SAM3DSegmentLib.Worker import Job, Worker

def work(notify):
    layers = torch.nn.Sequential(*[torch.nn.Conv3d(8, 8, 3, padding=1) for _ in range(4000)])
    print("computing", flush=True)
    with torch.inference_mode():
        layers(torch.zeros(1, 8, 48, 48, 48))
    print("finished", flush=True)

worker = Worker()
worker.submit(Job(work, print, print, print))
time.sleep(1.0)
"""


def test_python_ends_in_order_where_nobody_closed_the_worker():
    folders = [ROOT / "SAM3DSegment", ROOT]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, folders))}
    done = subprocess.run(
        [sys.executable, "-c", FORGET], env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "computing" in done.stdout
    assert "finished" not in done.stdout


# How torch's threads wait is read once, while torch is loaded: whoever opens the panel has said it before.
OPEN = """
import os, sys
from Host.user import User
user = User()
user.sitDown()
user.openModule()
print("torch" in sys.modules, os.environ["OMP_WAIT_POLICY"])
user.closeModule()
"""


def test_how_torchs_threads_wait_is_said_before_torch_is_loaded():
    folders = [ROOT / "Testing", ROOT / "SAM3DSegment", ROOT]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, folders)), "QT_QPA_PLATFORM": "offscreen"}
    for name in ("DISPLAY", "OMP_WAIT_POLICY"):
        environment.pop(name, None)
    done = subprocess.run(
        [sys.executable, "-c", OPEN], env=environment, capture_output=True, text=True, check=False, timeout=100
    )
    assert "False PASSIVE" in done.stdout, done.stdout + done.stderr
