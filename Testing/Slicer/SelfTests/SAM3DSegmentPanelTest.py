"""The module's panel inside Slicer: it opens, a click placed in the scene is answered while Slicer's loop turns."""

import time
import unittest

import slicer
from SelfTestPhantom import addPhantom, dice, makePhantom, maskOf, tumorOf


class SAM3DSegmentPanelTest(unittest.TestCase):
    """Needs Slicer's main window; without PyTorch and safetensors in its Python the test of a click is skipped."""

    def setUp(self):
        slicer.mrmlScene.Clear(0)
        slicer.util.selectModule("SAM3DSegment")
        self.logic = slicer.util.getModuleWidget("SAM3DSegment").logic

    def tearDown(self):
        slicer.mrmlScene.Clear(0)
        slicer.util.selectModule("Data")

    def waitFor(self, condition, seconds=120):
        end = time.monotonic() + seconds
        while not condition() and time.monotonic() < end:
            slicer.app.processEvents()
            time.sleep(0.01)
        return condition()

    def test_slicer_knows_the_module(self):
        module = slicer.modules.sam3dsegment
        self.assertTrue(module.title)
        self.assertIn("Segmentation", list(module.categories))
        self.assertFalse(module.icon.isNull())
        self.assertFalse(module.hidden)

    def test_a_click_is_answered_while_slicers_loop_turns(self):
        from SAM3DSegmentLib.Setup import Dependencies

        if not Dependencies.ready():
            self.skipTest(f"Install these into Slicer's Python first: {', '.join(Dependencies.missing())}")
        phantom = makePhantom()
        tumor = phantom.tumors[0]
        self.logic.setVolume(addPhantom(phantom))
        self.logic.prompts.addClick(tumor.center_ras)
        self.assertTrue(self.waitFor(lambda: not self.logic.busy), "the panel's timer polls the logic")
        self.assertEqual(self.logic.lastError, "")
        self.assertGreater(dice(maskOf(self.logic, self.logic.segmentId), tumorOf(phantom, tumor)), 0.6)

    def test_the_panel_is_left_and_entered_again(self):
        slicer.util.selectModule("Data")
        slicer.util.selectModule("SAM3DSegment")
        self.assertIs(slicer.util.getModuleWidget("SAM3DSegment").logic, self.logic)

    def test_a_closed_scene_leaves_nothing_behind(self):
        self.logic.setVolume(addPhantom(makePhantom()))
        slicer.mrmlScene.Clear(0)
        self.assertTrue(self.waitFor(lambda: not self.logic.busy, seconds=10))
        self.assertIsNone(self.logic.volumeNode)
        self.assertEqual(slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLMarkupsNode"), 0)
