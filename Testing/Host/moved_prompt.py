"""Dragging the first of 15 prompts: seconds from the mouse's release to the preview on screen, and to the answer."""

from __future__ import annotations

import time
from statistics import median

import numpy as np

PROMPTS, MOVES = 15, 5
_RINGS_MM = (9.0, 9.0, 24.0)  # in the ball of 18 mm, in it, and off it
_STEP_MM = 4.0
_SECONDS = 300


class MovedPrompt:
    """`center`: of the ball, RAS mm. The logic gives the segment its prompts; the first is dragged by hand."""

    def __init__(self, user, center):
        self._user, self._logic, self._center = user, user.panel.logic, np.asarray(center, dtype=float)

    def run(self, say):
        """Drag it, each time elsewhere, and say what that took."""
        self._place()
        pairs = np.array([self._drag(self._center + self._offset(n + 1)) for n in range(MOVES)])
        for what, seconds in zip(("the preview", "the answer"), pairs.T, strict=True):
            name = f"first of {PROMPTS} prompts let go to {what} on screen"
            say(name, f"{median(seconds):.2f} s, worst {max(seconds):.2f} s")
        self._logic.prompts.clear()
        self._finish()

    def _place(self):
        for number in range(PROMPTS):
            ring = number % len(_RINGS_MM)
            at = np.array([np.cos(number), np.sin(number), 0.4 * (-1) ** number]) * _RINGS_MM[ring] if number else 0.0
            self._logic.prompts.addClick(self._center + at, ring < 2)
            self._finish()

    @staticmethod
    def _offset(number):
        """In the axial plane, near enough to the middle to meet no other prompt."""
        return _STEP_MM * np.array([np.cos(2.4 * number), np.sin(2.4 * number), 0.0])

    def _drag(self, end):
        user, preview = self._user, self._user.panel.see.preview
        start = self._logic.prompts.items()[0].ras
        user.showPoint(user.red, start)
        there = user.pixelOf(user.red, end)
        user.holdAndMove(user.red, user.pixelOf(user.red, start), there)
        began = time.perf_counter()
        user.letGo(user.red, there)
        previewed = self._onScreenWhen(lambda: preview.node is not None, began)
        return previewed, self._onScreenWhen(lambda: preview.node is None and not self._logic.busy, began)

    def _onScreenWhen(self, isDone, began):
        if not self._user.waitUntil(isDone, seconds=_SECONDS):
            raise RuntimeError("a prompt that was moved led to no preview, or to no answer")
        self._user.red.repaint()
        return time.perf_counter() - began

    def _finish(self):
        if not self._user.waitUntil(lambda: not self._logic.busy, seconds=_SECONDS):
            raise RuntimeError("no answer in five minutes")
