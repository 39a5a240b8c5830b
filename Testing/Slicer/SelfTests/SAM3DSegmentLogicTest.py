"""The logic inside Slicer: clicks on a phantom with the built-in model, geometry, undo, neighbors, saving."""

import tempfile
import unittest
from pathlib import Path

import numpy as np
import slicer
import vtk
from SelfTestPhantom import addPhantom, dice, makePhantom, maskOf, tumorOf


class SAM3DSegmentLogicTest(unittest.TestCase):
    """Needs PyTorch and safetensors in Slicer's Python; in testing mode the module installs nothing itself."""

    @classmethod
    def setUpClass(cls):
        from SAM3DSegmentLib.Logic import SAM3DSegmentLogic
        from SAM3DSegmentLib.Paths import makeCoreImportable
        from SAM3DSegmentLib.Setup import Dependencies

        makeCoreImportable()
        if not Dependencies.ready():
            raise unittest.SkipTest(f"Install these into Slicer's Python first: {', '.join(Dependencies.missing())}")
        slicer.mrmlScene.Clear(0)
        cls.phantom = makePhantom()
        cls.tumor = cls.phantom.tumors[0]
        cls.truth = tumorOf(cls.phantom, cls.tumor)
        # One logic and one volume for all tests: the model is loaded once and its embeddings are kept.
        cls.volumeNode = addPhantom(cls.phantom)
        cls.logic = SAM3DSegmentLogic()
        cls.addClassCleanup(cls.logic.close)

    def tearDown(self):
        self.volumeNode.SetAndObserveTransformNodeID(None)
        for kind in ("vtkMRMLSegmentationNode", "vtkMRMLMarkupsNode", "vtkMRMLLinearTransformNode"):
            for node in slicer.util.getNodesByClass(kind):
                slicer.mrmlScene.RemoveNode(node)
        self.assertIsNone(self.logic.segmentationNode)

    def click(self, ras, positive=True):
        self.logic.prompts.addClick(ras, positive=positive)
        self.assertTrue(self.logic.waitUntilIdle(120))
        self.assertEqual(self.logic.lastError, "")
        return maskOf(self.logic, self.logic.segmentId)

    def begin(self):
        self.logic.setVolume(self.volumeNode)
        return self.click(self.tumor.center_ras)

    def test_a_click_on_a_tumor_gives_its_mask(self):
        segmentId = self.logic.segment(self.volumeNode, [self.tumor.center_ras])
        mask = maskOf(self.logic, segmentId)
        self.assertGreater(dice(mask, self.truth), 0.6)
        self.assertAlmostEqual(self.logic.segments.volumeMl(segmentId) / self.milliliters(mask), 1.0, places=6)

    def test_a_background_click_takes_its_voxel_out(self):
        mask = self.begin()
        outside = np.argwhere(mask & ~self.truth)
        kji = outside[0] if len(outside) else np.argwhere(mask)[0]
        ras = self.phantom.volume.grid.to_ras(kji[::-1])
        self.assertFalse(self.click(ras, positive=False)[tuple(kji)])

    def test_under_a_parent_transform_the_mask_moves_with_the_volume(self):
        still = self.begin()
        turn = vtk.vtkTransform()
        turn.Translate(40, -25, 60)
        turn.RotateWXYZ(33, 1, 2, 3)
        transformNode = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
        transformNode.SetMatrixTransformToParent(turn.GetMatrix())
        self.logic.setSegmentation(None)
        self.volumeNode.SetAndObserveTransformNodeID(transformNode.GetID())
        moved = self.click(turn.TransformPoint(self.tumor.center_ras))
        self.assertGreater(dice(moved, still), 0.9)

    def test_undo_and_redo_bring_back_masks_and_prompts_bit_for_bit(self):
        masks, prompts = [self.begin()], [self.logic.prompts.items()]
        for offset in ((9, 0, 0), (0, -12, 4)):
            masks.append(self.click(np.add(self.tumor.center_ras, offset), positive=False))
            prompts.append(self.logic.prompts.items())
        for step in (1, 0):
            self.logic.undo()
            self.assertBack(masks[step], prompts[step])
        for step in (1, 2):
            self.logic.redo()
            self.assertBack(masks[step], prompts[step])

    def assertBack(self, mask, prompts):
        self.assertTrue(self.logic.waitUntilIdle(60))
        np.testing.assert_array_equal(maskOf(self.logic, self.logic.segmentId), mask)
        self.assertEqual(
            [(item.kind, item.ras) for item in self.logic.prompts.items()], [(item.kind, item.ras) for item in prompts]
        )

    def test_a_finished_neighbor_keeps_every_voxel(self):
        self.logic.setVolume(self.volumeNode)
        neighbor = self.logic.segments.next("Neighbor")
        painted = np.zeros(self.truth.shape, np.uint8)
        k, j, i = np.argwhere(self.truth).mean(axis=0).astype(int)
        painted[k - 4 : k + 5, j - 12 : j + 13, i:] = 1
        slicer.util.updateSegmentBinaryLabelmapFromArray(
            painted, self.logic.segmentationNode, neighbor, self.volumeNode
        )
        self.logic.segments.next()
        self.click(self.tumor.center_ras)
        self.click(np.add(self.tumor.center_ras, (0, 9, 0)))
        np.testing.assert_array_equal(maskOf(self.logic, neighbor), painted > 0)

    def test_a_dragged_point_is_answered_anew(self):
        before = self.begin()
        other = self.phantom.tumors[1].center_ras
        self.logic.prompts.placeNode("foreground").SetNthControlPointPositionWorld(0, other)
        self.assertTrue(self.logic.waitUntilIdle(120))
        after = maskOf(self.logic, self.logic.segmentId)
        kji = tuple(np.round(self.phantom.volume.grid.to_ijk(other)).astype(int)[::-1])
        self.assertTrue(after[kji])
        self.assertFalse(before[kji])

    def test_a_saved_scene_brings_prompts_and_mask_back(self):
        mask, prompts = self.begin(), self.logic.prompts.items()
        with tempfile.TemporaryDirectory() as folder:
            path = str(Path(folder) / "scene.mrb")
            self.assertTrue(slicer.mrmlScene.WriteToMRB(path))
            slicer.mrmlScene.Clear(0)
            self.assertTrue(slicer.mrmlScene.ReadFromMRB(path))
        type(self).volumeNode = slicer.util.getFirstNodeByClassByName("vtkMRMLScalarVolumeNode", "Phantom CT")
        self.logic.setVolume(self.volumeNode)
        self.logic.setSegmentation(slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSegmentationNode"))
        self.assertBack(mask, prompts)

    def milliliters(self, mask):
        return np.count_nonzero(mask) * np.prod(self.phantom.volume.grid.spacing) / 1000
