"""A slice view: Slicer's slice logic, displayable managers and mouse behavior in one Qt widget."""

from __future__ import annotations

import slicer
import vtk

from Host.renderview import RenderView

MANAGERS = (
    "vtkMRMLCrosshairDisplayableManager",
    "vtkMRMLVolumeGlyphSliceDisplayableManager",
    "vtkMRMLModelSliceDisplayableManager",
    "vtkMRMLOrientationMarkerDisplayableManager",
    "vtkMRMLRulerDisplayableManager",
    "vtkMRMLScalarBarDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager2D",
    "vtkMRMLMarkupsDisplayableManager",
    "vtkMRMLTransformsDisplayableManager2D",
)


class SliceView(RenderView):
    """`name` is Red, Green or Yellow; `orientation` Axial, Coronal or Sagittal."""

    def __init__(self, name, *, orientation, color):
        super().__init__()
        self.setObjectName(f"qMRMLSliceView{name}")
        self._renderer.GetActiveCamera().ParallelProjectionOn()
        self._logic = _sliceLogic()
        self._node = self._logic.AddSliceNode(name)
        self._node.SetOrientation(orientation)
        self._node.SetLayoutColor(*color)
        self._node.SetMappedInLayout(1)
        factory = slicer.vtkMRMLSliceViewDisplayableManagerFactory.GetInstance()
        self.addDisplayableManagers(factory, MANAGERS, self._node)
        self._mapper = vtk.vtkImageMapper()
        self._addImage()
        self._logic.AddObserver(vtk.vtkCommand.ModifiedEvent, self._onLogicModified)
        self._style = slicer.vtkMRMLSliceViewInteractorStyle()
        self._style.SetSliceLogic(self._logic)
        self._style.SetDisplayableManagers(self._managers)
        self._interactor.SetInteractorStyle(vtk.vtkInteractorStyleUser())
        self._style.SetInteractor(self._interactor)

    def sliceLogic(self):
        return self._logic

    def mrmlSliceNode(self):
        return self._node

    def fitToBackground(self):
        self._logic.FitSliceToBackground()
        self._logic.SnapSliceOffsetToIJK()

    def onResized(self, width, height):
        self._logic.ResizeSliceNode(width, height)

    def _addImage(self):
        self._mapper.SetColorWindow(255)
        self._mapper.SetColorLevel(127.5)
        self._image = vtk.vtkActor2D()
        self._image.SetMapper(self._mapper)
        self._image.GetProperty().SetDisplayLocationToBackground()
        self._image.VisibilityOff()
        self._renderer.AddViewProp(self._image)

    def _onLogicModified(self, *_):
        connection = self._logic.GetImageDataConnection()
        self._mapper.SetInputConnection(connection)
        self._image.SetVisibility(connection is not None)
        self.scheduleRender()


def _sliceLogic():
    logic = slicer.vtkMRMLSliceLogic()
    applicationLogic = slicer.app.applicationLogic()
    logic.SetMRMLApplicationLogic(applicationLogic)
    applicationLogic.GetSliceLogics().AddItem(logic)
    logic.SetMRMLScene(slicer.mrmlScene)
    return logic
