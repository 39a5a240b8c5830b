"""First clicks at the end of scripted paths of the cursor, with and without working them out ahead, in turn.

A path comes to its place over a few moves. It is clicked on at once, after a short rest or a long one; or the cursor
rests elsewhere first, so that what is worked out there has to give way. What is kept from before is forgotten.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from statistics import median

import numpy as np
from PySide6 import QtCore

PATHS = 50
_STEPS, _STEP_SECONDS = 8, 0.01
_RESTS = {"at once": 0.0, "after 0.3 s": 0.3, "rested": 3.0, "after a rest elsewhere": 0.0}
_ELSEWHERE_SECONDS = 0.35
_CANCELS = 50
_NOISE_SECONDS = 0.05


@dataclass(frozen=True)
class Path:
    """Where a path ends (RAS mm) and how it does, and by how many pixels it begins beside that."""

    kind: str
    ras: tuple[float, float, float]
    detour: tuple[int, int]


class CursorPaths:
    """`click(ras)` presses and waits for the mask on screen, and gives the seconds that took."""

    def __init__(self, user, center, click):
        self._user, self._logic, self._click = user, user.panel.logic, click
        rng = np.random.default_rng(1)
        kinds = list(_RESTS)
        self.paths = [
            Path(kinds[n % len(kinds)], tuple(center + rng.uniform(-9, 9, 3)), tuple(rng.integers(30, 80, 2).tolist()))
            for n in range(PATHS)
        ]

    def run(self):
        """For each kind of path the seconds from press to mask, without and with what was worked out ahead."""
        found = {kind: [] for kind in _RESTS}
        for path in self.paths:
            found[path.kind].append(tuple(self._follow(path, ahead=ahead) for ahead in (False, True)))
        return {kind: np.array(pairs) for kind, pairs in found.items()}

    def cancelling(self):
        """Seconds from the cursor's going on until the worker is free, at any time of what it works out."""
        rng, controller, seconds = np.random.default_rng(2), self._logic.controller, []
        self._forget()
        while len(seconds) < _CANCELS:
            controller.poll()
            controller.engine.forget()
            controller.lookAhead(tuple(self.paths[0].ras + rng.uniform(-5, 5, 3)))
            time.sleep(rng.uniform(0.0, 0.8))
            if not controller.isLookingAhead:
                continue
            began = time.perf_counter()
            controller.stopLookingAhead()
            while controller.isLookingAhead:
                time.sleep(0.0005)
            seconds.append(time.perf_counter() - began)
        return median(seconds), max(seconds)

    def _follow(self, path, *, ahead):
        user = self._user
        user.panel.ui.aheadCheckBox.setChecked(ahead)
        self._forget()
        user.showPoint(user.red, path.ras)
        end = user.pixelOf(user.red, path.ras)
        start = end + QtCore.QPoint(*path.detour)
        if path.kind == "after a rest elsewhere":
            user.hover(user.red, start)
            user.waitUntil(lambda: False, seconds=_ELSEWHERE_SECONDS)
        for step in range(1, _STEPS + 1):
            user.hover(user.red, start + (end - start) * step / _STEPS)
            user.waitUntil(lambda: False, seconds=_STEP_SECONDS)
        user.waitUntil(lambda: False, seconds=_RESTS[path.kind])
        return self._click(path.ras)

    def _forget(self):
        """As if nothing was clicked yet."""
        self._logic.prompts.clear()
        self._user.waitUntil(lambda: not (self._logic.busy or self._logic.controller.isLookingAhead), seconds=60)
        self._logic.controller.engine.forget()


def report(found, say):
    """Say what was found, a kind at a time, and whether its clicks were slower than without by more than noise."""
    for kind, pairs in found.items():
        without, ahead = pairs.T
        say(
            f"first click {kind}, {len(pairs)} paths",
            f"{median(ahead):.2f} s, worst {max(ahead):.2f} s; without working ahead {median(without):.2f} s, "
            f"worst {max(without):.2f} s",
        )
        later = median(ahead - without)
        verdict = "SLOWER" if later > _NOISE_SECONDS else "no slower"
        say("  later than without, median of pairs", f"{1e3 * later:+.0f} ms: {verdict}")
