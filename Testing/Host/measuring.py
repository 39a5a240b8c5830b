"""`make measure`: how fast the module is in the host, with a real mouse, on a synthetic 512 x 512 x 300 CT.

Click to mask on screen is the time from the press of the mouse until the slice view has painted the answer. The gap is
the longest time in which Qt's event loop did not come round. The host's Qt lets go of Python's lock while it waits,
Slicer's does not: in Slicer the worker gets on only while the panel's timer waits for it.
"""

from __future__ import annotations

import gc
import os
import sys
import time
from pathlib import Path
from statistics import median

import numpy as np
import slicer
from PySide6 import QtCore

from Host.cursor_paths import CursorPaths, report
from Host.moved_prompt import MovedPrompt

CLICKS, MANY_CLICKS, SWITCHES = 20, 200, 20


class Gap:
    """The longest pause of the event loop while the block runs, in seconds."""

    def __enter__(self):
        self.longest, self._last = 0.0, time.perf_counter()
        self._timer = QtCore.QTimer()
        self._timer.setTimerType(QtCore.Qt.PreciseTimer)
        self._timer.timeout.connect(self._tick)
        self._timer.start(1)
        return self

    def __exit__(self, *_):
        self._timer.stop()

    def _tick(self):
        now = time.perf_counter()
        self.longest, self._last = max(self.longest, now - self._last), now


class Measuring:
    """`user` has the module open."""

    def __init__(self, user):
        self._user, self._logic = user, user.panel.logic
        self._rng = np.random.default_rng(0)

    def run(self):
        """Measure all there is, and print it."""
        from inference_core.benchmark.timing import synthetic_ct

        began = time.perf_counter()
        self._center = self._load(synthetic_ct(300))
        with Gap() as gap:
            self._user.waitUntil(lambda: self._logic.controller.engine.description, seconds=120)
            self._finish()
        self._say("choosing a volume to model loaded", f"{time.perf_counter() - began:.2f} s")
        self._sayPause(gap)
        self._user.press("A")
        self._firstClick("first click to mask on screen")
        self._center = self._load(synthetic_ct(300))
        self._firstClick("first click on another volume")
        with Gap() as gap:
            for _ in range(CLICKS):
                self._user.showPoint(self._user.red, self._near())
        self._say("longest pause where slices are only moved", f"{1e3 * gap.longest:.0f} ms (drawing by software)")
        writes = self._timedWrites()
        with Gap() as gap:
            seconds = [self._click(self._near()) for _ in range(CLICKS)]
        self._say(f"{CLICKS} further clicks to mask on screen", f"{median(seconds):.2f} s, worst {max(seconds):.2f} s")
        self._sayPause(gap)
        self._say("writing an answer back", f"{1e3 * median(writes):.1f} ms, worst {1e3 * max(writes):.1f} ms")
        self._cursor()
        # Beside the middle, where the other volume has a click.
        MovedPrompt(self._user, self._center + (0, 0, 6)).run(self._say)
        self._memory()

    def _firstClick(self, name):
        with Gap() as gap:
            seconds = self._click(self._center)
        self._say(name, f"{seconds:.2f} s")
        self._sayPause(gap)

    def _load(self, ct):
        array = np.ascontiguousarray(ct.array.T)
        node = slicer.util.addVolumeFromArray(array, ijkToRAS=ct.grid.affine, name="CT")
        self._user.show(node)
        self._user.panel.ui.volumeSelector.setCurrentNode(node)
        self._user.settle()
        return ct.grid.center_ras

    def _click(self, ras):
        self._user.showPoint(self._user.red, ras)
        return self._clickHere(ras)

    def _clickHere(self, ras):
        answered = []
        self._logic.addListener(listener := lambda event, info: answered.append(event) if event == "answered" else None)
        began = time.perf_counter()
        self._user.click(self._user.red, ras)
        done = self._user.waitUntil(lambda: answered and not self._logic.busy, seconds=120)
        self._user.red.repaint()
        spent = time.perf_counter() - began
        self._logic.removeListener(listener)
        if not done:
            raise RuntimeError("no answer to a click in two minutes")
        return spent

    def _near(self):
        return self._center + self._rng.uniform(-9, 9, 3)

    @staticmethod
    def _timedWrites():
        """Seconds of each write-back from here on."""
        from SAM3DSegmentLib import SegmentEditor

        seconds, write = [], SegmentEditor.writeSegment

        def timed(*arguments, **named):
            began = time.perf_counter()
            result = write(*arguments, **named)
            seconds.append(time.perf_counter() - began)
            return result

        SegmentEditor.writeSegment = timed
        return seconds

    def _cursor(self):
        paths = CursorPaths(self._user, self._center, self._clickHere)
        report(paths.run(), self._say)
        middle, worst = paths.cancelling()
        self._say("giving way when the cursor goes on", f"{1e3 * middle:.0f} ms, worst {1e3 * worst:.0f} ms")
        self._logic.prompts.clear()
        self._finish()

    def _memory(self):
        from SAM3DSegmentLib.Worker import IDLE_SECONDS

        self._user.press("A")
        sizes = [_megabytes()]
        for count in range(1, MANY_CLICKS + 1):
            self._logic.prompts.addClick(self._near(), bool(count % 3))
            self._finish()
            if count % 10 == 0:
                self._logic.prompts.clear()
                self._finish()
            if count % (MANY_CLICKS // 4) == 0:
                sizes.append(_megabytes())
        self._say(f"memory over {MANY_CLICKS} clicks", " -> ".join(f"{size:.0f}" for size in sizes) + " MB")
        self._user.waitUntil(lambda: False, seconds=IDLE_SECONDS + 1)
        self._say("memory after as long as the worker calls idle", f"{_megabytes():.0f} MB")
        other = slicer.modules.volumes.logic().CloneVolume(slicer.mrmlScene, self._logic.volumeNode, "Other")
        nodes, sizes = (other, self._logic.volumeNode), []
        for count in range(1, SWITCHES + 1):
            self._logic.setVolume(nodes[count % 2])
            self._logic.prompts.addClick(self._near())
            self._finish()
            if count % (SWITCHES // 4) == 0:
                sizes.append(_megabytes())
        self._say(f"memory over {SWITCHES} changes of the volume", " -> ".join(f"{size:.0f}" for size in sizes) + " MB")

    def _finish(self):
        if not self._user.waitUntil(lambda: not self._logic.busy, seconds=120):
            raise RuntimeError("no answer in two minutes")

    def _sayPause(self, gap):
        self._say("longest pause of the window meanwhile", f"{1e3 * gap.longest:.0f} ms")

    @staticmethod
    def _say(what, measured):
        sys.stdout.write(f"{what:55} {measured}\n")
        sys.stdout.flush()


def _megabytes():
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
