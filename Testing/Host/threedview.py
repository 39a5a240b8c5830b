"""The 3D view: Slicer's displayable managers and mouse behavior in one Qt widget."""

from __future__ import annotations

import slicer
import vtk

from Host.renderview import RenderView

MANAGERS = (
    "vtkMRMLCameraDisplayableManager",
    "vtkMRMLViewDisplayableManager",
    "vtkMRMLModelDisplayableManager",
    "vtkMRMLCrosshairDisplayableManager3D",
    "vtkMRMLOrientationMarkerDisplayableManager",
    "vtkMRMLRulerDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager3D",
    "vtkMRMLMarkupsDisplayableManager",
)


class ThreeDView(RenderView):
    """Slicer's view 1."""

    def __init__(self, name="1"):
        super().__init__()
        self.setObjectName(f"qMRMLThreeDView{name}")
        self._renderer.SetBackground(0.76, 0.76, 0.91)
        self._renderer.SetBackground2(0.45, 0.47, 0.74)
        self._renderer.GradientBackgroundOn()
        self._logic = _viewLogic()
        self._node = self._logic.AddViewNode(name)
        self._node.SetMappedInLayout(1)
        factory = slicer.vtkMRMLThreeDViewDisplayableManagerFactory.GetInstance()
        self.addDisplayableManagers(factory, MANAGERS, self._node)
        self._style = slicer.vtkMRMLThreeDViewInteractorStyle()
        self._style.SetDisplayableManagers(self._managers)
        self._interactor.SetInteractorStyle(vtk.vtkInteractorStyle3D())
        self._style.SetInteractor(self._interactor)

    def mrmlViewNode(self):
        return self._node

    def cameraNode(self):
        nodes = slicer.util.getNodesByClass("vtkMRMLCameraNode")
        return next(node for node in nodes if node.GetLayoutName() == self._node.GetLayoutName())

    def resetFocalPoint(self):
        """Turn around the middle of what is shown; the box around it is measured anew."""
        shown = self._node.GetBoxVisible(), self._node.GetAxisLabelsVisible()
        self._showBox(0, 0)
        bounds = self._renderer.ComputeVisiblePropBounds()
        self._showBox(*shown)
        if bounds[0] <= bounds[1]:
            self.cameraNode().SetFocalPoint(*((bounds[2 * axis] + bounds[2 * axis + 1]) / 2 for axis in range(3)))
        self._node.InvokeEvent(slicer.vtkMRMLViewNode.ResetFocalPointRequestedEvent)
        self.scheduleRender()

    def resetCamera(self, resetRotation=True, resetTranslation=True, resetDistance=True):
        """Look at all that is shown, from the front."""
        self.cameraNode().Reset(resetRotation, resetTranslation, resetDistance, self._renderer)
        self.scheduleRender()

    def _showBox(self, box, labels):
        self._node.SetBoxVisible(box)
        self._node.SetAxisLabelsVisible(labels)


def _viewLogic():
    logic = slicer.vtkMRMLViewLogic()
    applicationLogic = slicer.app.applicationLogic()
    logic.SetMRMLApplicationLogic(applicationLogic)
    applicationLogic.GetViewLogics().AddItem(logic)
    logic.SetMRMLScene(slicer.mrmlScene)
    return logic
