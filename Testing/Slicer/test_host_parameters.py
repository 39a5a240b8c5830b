"""The parameter node of the host behaves as Slicer's; with SLICER_PYTHON these run on Slicer's own."""

import enum
from typing import Annotated

import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core exists for Python 3.11 on 64-bit Linux")
pytest.importorskip("PySide6")


class Tool(enum.Enum):
    CLICK = 1
    BOX = 2


@pytest.fixture
def a_parameter_node(a_host):
    from slicer.parameterNodeWrapper import Choice, Default, WithinRange, parameterNodeWrapper

    @parameterNodeWrapper
    class Settings:
        volume: slicer.vtkMRMLScalarVolumeNode
        radius: Annotated[float, WithinRange(1, 50)] = 20.0
        name: str = "lite"
        near: bool = False
        count: Annotated[int, Default(3)]
        tool: Tool = Tool.BOX
        mode: Annotated[str, Choice(["all", "none"])] = "none"

    return Settings(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode"))


def again(wrapper):
    """The same node in a new wrapping, as after a scene was loaded."""
    return type(wrapper)(wrapper.parameterNode)


def test_a_parameter_begins_with_its_default(a_parameter_node):
    p = a_parameter_node

    assert (p.volume, p.radius, p.name, p.near, p.count, p.tool, p.mode) == (
        None, 20.0, "lite", False, 3, Tool.BOX, "none",
    )  # fmt: skip


def test_parameters_are_kept_in_the_node(a_parameter_node):
    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    p = a_parameter_node
    p.volume, p.radius, p.name, p.near, p.count, p.tool = volume, 7.5, "", True, -2, Tool.CLICK

    q = again(p)
    assert (q.volume, q.radius, q.name, q.near, q.count, q.tool) == (volume, 7.5, "", True, -2, Tool.CLICK)


@pytest.mark.parametrize(("name", "value"), [("radius", 51.0), ("radius", 0.0), ("mode", "some")])
def test_a_value_outside_of_its_limits_is_refused(a_parameter_node, name, value):
    with pytest.raises((ValueError, RuntimeError)):
        setattr(a_parameter_node, name, value)


def test_a_node_that_is_removed_leaves_none(a_parameter_node):
    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    a_parameter_node.volume = volume
    slicer.mrmlScene.RemoveNode(volume)

    assert a_parameter_node.volume is None


def test_a_change_is_told_to_observers(a_parameter_node):
    seen = []
    a_parameter_node.AddObserver("ModifiedEvent", lambda *_: seen.append(1))
    a_parameter_node.radius = 9.0

    assert seen


@pytest.fixture
def some_widgets(a_host):
    import qt

    parent = qt.QWidget()
    parent.setLayout(qt.QVBoxLayout())
    widgets = {"near": qt.QCheckBox(), "radius": qt.QDoubleSpinBox(), "volume": slicer.qMRMLNodeComboBox()}
    for name, widget in widgets.items():
        widget.objectName = name
        widget.setProperty("SlicerParameterName", name)
        parent.layout().addWidget(widget)
    widgets["volume"].nodeTypes = ["vtkMRMLScalarVolumeNode"]
    widgets["volume"].noneEnabled = True
    widgets["volume"].setMRMLScene(slicer.mrmlScene)
    return slicer.util.childWidgetVariables(parent), parent


def test_widgets_and_parameters_follow_each_other(a_parameter_node, some_widgets):
    ui, _ = some_widgets
    p = a_parameter_node
    tag = p.connectGui(ui)
    p.near, p.radius = True, 33.0
    assert (ui.near.checked, ui.radius.value, ui.radius.maximum) == (True, 33.0, 50.0)

    ui.near.checked = False
    ui.radius.value = 12.0
    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    ui.volume.setCurrentNode(volume)
    assert (p.near, p.radius, p.volume) == (False, 12.0, volume)

    p.disconnectGui(tag)
    ui.radius.value = 40.0
    assert p.radius == 12.0
