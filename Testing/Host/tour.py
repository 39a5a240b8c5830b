"""A short tour of the module, done with a real mouse: click a tumor, correct it, undo, save, reopen; with pictures."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import slicer
from PySide6 import QtWidgets

from Host.opening import centerOf, openInput
from Host.second_visit import addSecondVisit

ANSWER_SECONDS = 300.0
SECOND_CLICK_MM = (7.0, -6.0, 0.0)  # from the first click
_AROUND_MM = 40.0  # so much of the slice is seen around the surface
DRAGGED_MM = (-5.0, 6.0, 0.0)


class TourError(RuntimeError):
    """A step did not do what it says."""


class Tour:
    """`user` has the module open; pictures and the scene go to the folder `out`.

    inputPath: what to load instead of the sample; target: where to click, in RAS mm, instead of the sample's tumor or
    the middle of the volume.
    """

    def __init__(self, user, out, *, inputPath=None, target=None):
        # Loading a scene does not find a relative path that saving it took.
        self._user, self._out = user, Path(out).resolve()
        self._inputPath, self._target = inputPath, target
        self._logic = user.panel.logic
        self._count = 0

    def run(self):
        """All steps, in order. Raises TourError where one does not do what it says."""
        self._out.mkdir(parents=True, exist_ok=True)
        self._step("empty panel", lambda: None)
        self._step("image", self._load)
        self._step("first click", self._firstClick)
        first = self._state()
        self._step("second click", self._secondClick)
        self._step("dragged click", self._dragClick)
        self._step("undone twice", lambda: self._undoTwice(first))
        self._step("mask in 3D", self._show3D)
        self._step("compared", self._compareBoundaries)
        saved = self._state()
        self._step("scene reopened", lambda: self._saveAndReopen(saved))
        if self._inputPath is None:
            self._step("lesions", self._showLesions)
            self._step("next visit", self._followUp)
        if self._user.errors:
            raise TourError(f"an error was raised on the way: {self._user.errors[0]!r}")

    def _step(self, name, act):
        began = time.perf_counter()
        act()
        self._user.waitUntil(lambda: False, seconds=0.3)  # the panel refreshes a few times a second
        self._count += 1
        picture = self._out / f"{self._count:02d}_{name.replace(' ', '_')}.png"
        self._user.screenshot(picture)
        sys.stdout.write(f"{name:16} {time.perf_counter() - began:6.1f} s  {self._told():44} {picture}\n")
        sys.stdout.flush()

    def _told(self):
        if self._logic.segmentId is None:
            return ""
        count = len(self._logic.prompts.items())
        return f"{count} prompt{'s' * (count != 1)}, {self._logic.segments.volumeMl(self._logic.segmentId):.2f} ml"

    def _load(self):
        if self._inputPath is None:
            from SAM3DSegmentLib.SampleVolume import TUMOR_RAS

            self._user.pressButton(self._user.panel.ui.sampleButton)
            self._target = self._target or TUMOR_RAS
        else:
            volume = openInput(self._inputPath)
            self._user.panel.ui.volumeSelector.setCurrentNode(volume)
            self._target = self._target or centerOf(volume)
        self._user.settle()
        self._expect(self._logic.volumeNode is not None, "the image is not the panel's volume")

    def _firstClick(self):
        self._user.press("A")
        self._click(self._target, count=1)
        self._expect(self._mask().any(), "the mask is empty after the first click")

    def _secondClick(self):
        self._second = self._click(np.add(self._target, SECOND_CLICK_MM), count=2)
        self._expect(self._mask().any(), "the mask is empty after the second click")

    def _dragClick(self):
        self._user.press("A")  # put the tool down
        self._user.drag(self._user.red, self._second, np.add(self._target, DRAGGED_MM))
        self._wait()
        moved = self._logic.prompts.items()[-1].ras
        self._expect(np.linalg.norm(np.subtract(moved, self._second)) > 5, "the click was not dragged")

    def _undoTwice(self, expected):
        for _ in range(2):
            self._user.pressButton(self._user.panel.ui.undoButton)
            self._wait()
        self._compare(self._state(), expected, "two undos")

    def _show3D(self):
        self._logic.segmentationNode.CreateClosedSurfaceRepresentation()
        self._user.green.mrmlSliceNode().SetSliceVisible(True)  # faces the camera
        self._user.app.layoutManager().resetThreeDViews()
        self._user.threeD.resetCamera()
        bounds = [0.0] * 6
        self._logic.segmentationNode.GetRASBounds(bounds)
        around = [value + (-_AROUND_MM, _AROUND_MM)[n % 2] for n, value in enumerate(bounds)]
        self._user.threeD.renderWindow().GetRenderers().GetFirstRenderer().ResetCamera(around)

    def _compareBoundaries(self):
        """B at a larger boundary over A, seen from above; then A is kept."""
        ui = self._user.panel.ui
        self._user.pressButton(ui.show3DButton)
        self._open(ui.compareSection)
        ui.compareBoundarySpinBox.setValue(1.0)
        self._user.pressButton(ui.compareButton)
        self._wait()
        self._expect(self._logic.comparison.result is not None, "there is no B to compare with")

    def _showLesions(self):
        """The table of lesions, in which this one is a target of the liver."""
        ui, logic = self._user.panel.ui, self._logic
        ui.compareSection.collapsed = True
        logic.lesions.setRole(logic.segmentId, "target")
        logic.lesions.setOrgan(logic.segmentId, "liver")
        self._open(ui.lesionsSection)

    def _followUp(self):
        """The same patient later: the lesion is carried over, and the change stands below the table."""
        ui, logic = self._user.panel.ui, self._logic
        earlier = logic.segmentationNode
        ui.volumeSelector.setCurrentNode(addSecondVisit())
        self._wait()
        ui.earlierSelector.setCurrentNode(earlier)
        self._wait()
        self._user.pressButton(ui.followButton)
        done = self._user.waitUntil(lambda: not (logic.busy or logic.followUp.isRunning), seconds=ANSWER_SECONDS)
        self._expect(done and logic.followUp.change() is not None, "the lesion was not carried over")
        self._user.showPoint(self._user.red, self._target)
        self._open(ui.lesionsSection)

    def _open(self, section):
        """Open a section and scroll to its title."""
        section.collapsed = False
        self._wait()
        self._user.waitUntil(lambda: False, seconds=0.5)
        area = self._user.window.findChild(QtWidgets.QScrollArea)
        area.verticalScrollBar().setValue(section.mapTo(area.widget(), section.rect.topLeft()).y() - 8)

    def _saveAndReopen(self, expected):
        scene = str(self._out / "scene.mrb")
        self._expect(slicer.util.saveScene(scene), f"the scene was not saved to {scene}")
        slicer.mrmlScene.Clear(False)
        self._user.settle()
        self._expect(self._logic.volumeNode is None, "the closed scene left a volume in the panel")
        slicer.util.loadScene(scene, {"clear": True})
        self._wait()
        self._compare(self._state(), expected, "reopening")
        self._user.showPoint(self._user.red, self._target)

    def _click(self, ras, *, count):
        hit = self._user.click(self._user.red, ras)
        self._wait()
        found = len(self._logic.prompts.items())
        self._expect(found == count, f"the click was not taken ({self._logic.lastError or f'{found} prompts'})")
        return hit

    def _wait(self):
        self._user.settle()
        done = self._user.waitUntil(lambda: not self._logic.busy, seconds=ANSWER_SECONDS)
        self._expect(done, f"no answer in {ANSWER_SECONDS:.0f} s")

    def _mask(self):
        logic = self._logic
        return slicer.util.arrayFromSegmentBinaryLabelmap(logic.segmentationNode, logic.segmentId, logic.volumeNode)

    def _state(self):
        return [(item.kind, item.ras) for item in self._logic.prompts.items()], self._mask()

    def _compare(self, state, expected, what):
        prompts, mask = state
        same = [kind for kind, _ in prompts] == [kind for kind, _ in expected[0]] and np.allclose(
            [ras for _, ras in prompts], [ras for _, ras in expected[0]], atol=1e-6
        )
        self._expect(same, f"{what} gave other prompts: {prompts} instead of {expected[0]}")
        self._expect(np.array_equal(mask, expected[1]), f"{what} gave another mask")

    @staticmethod
    def _expect(isSo, message):
        if not isSo:
            raise TourError(message)
