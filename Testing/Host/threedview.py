"""The 3D view: Slicer's displayable managers and mouse behaviour in one Qt widget."""

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

    def resetFocalPoint(self):
        self._renderer.ResetCamera()
        self.scheduleRender()

    resetCamera = resetFocalPoint


def _viewLogic():
    logic = slicer.vtkMRMLViewLogic()
    applicationLogic = slicer.app.applicationLogic()
    logic.SetMRMLApplicationLogic(applicationLogic)
    applicationLogic.GetViewLogics().AddItem(logic)
    logic.SetMRMLScene(slicer.mrmlScene)
    return logic
