"""`qt` behaves as PythonQt, and the stand-ins as the widgets whose names they bear."""

import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core exists for Python 3.11 on 64-bit Linux")
QtWidgets = pytest.importorskip("PySide6.QtWidgets")


@pytest.fixture
def qt(a_host):
    import qt

    return qt


def test_a_property_is_read_and_written_as_an_attribute(qt):
    button = qt.QPushButton("Foreground")
    button.checkable = True
    button.checked = True
    button.objectName = "tool"

    assert (button.text, button.checked, button.name, button.isChecked()) == ("Foreground", True, "tool", True)
    assert button.className() == "QPushButton"


def test_an_attribute_that_does_not_exist_is_refused_in_pythonqts_words(qt):
    with pytest.raises(AttributeError, match="'txet' does not exist on QLabel and creating new attributes"):
        qt.QLabel().txet = "a"


def test_a_dynamic_property_is_an_attribute_once_it_is_set(qt):
    label = qt.QLabel()
    label.setProperty("SlicerParameterName", "volume")

    assert label.SlicerParameterName == "volume"
    label.SlicerParameterName = "model"
    assert label.property("SlicerParameterName") == "model"


def test_a_class_derived_in_python_takes_attributes(qt):
    class Mine(qt.QLabel):
        pass

    label = Mine()
    label.anything = 3

    assert label.anything == 3


@pytest.mark.parametrize(("signature", "expected"), [("clicked(bool)", (True,)), ("clicked()", ())])
def test_a_slot_gets_the_arguments_of_the_signature(qt, signature, expected):
    button = qt.QPushButton()
    button.checkable = True
    seen = []
    button.connect(signature, lambda *values: seen.append(values))

    button.click()

    assert seen == [expected]


def test_a_function_gets_no_more_arguments_than_it_takes(qt):
    box, seen = qt.QSpinBox(), []
    box.connect("valueChanged(int)", lambda: seen.append("none"))
    box.connect("valueChanged(int)", seen.append)
    box.value = 7

    assert seen == ["none", 7]


def test_a_disconnected_function_is_not_called(qt):
    button, seen = qt.QPushButton(), []

    def slot():
        seen.append(1)

    button.connect("clicked()", slot)

    assert button.disconnect("clicked()", slot)
    assert not button.disconnect("clicked()", slot)
    button.click()
    assert seen == []


@pytest.mark.parametrize("signature", ["clickd(bool)", "clicked(QString)", "clicked", "currentNodeChanged(int)"])
def test_an_unknown_signal_is_refused(qt, signature):
    widget = slicer.qMRMLNodeComboBox() if "Node" in signature else qt.QPushButton()
    with pytest.raises(ValueError, match=signature.partition("(")[0]):
        widget.connect(signature, print)


def test_a_timer_ticks_by_pythonqts_names(a_host, qt):
    timer, seen = qt.QTimer(), []
    timer.interval = 1
    timer.setSingleShot(False)
    with pytest.raises(AttributeError):
        timer.singleShot = False
    timer.connect("timeout()", lambda: seen.append(1))
    timer.start()

    assert a_host.waitUntil(lambda: len(seen) > 2, seconds=2)
    timer.stop()


@pytest.fixture
def a_selector(a_host):
    selector = slicer.qMRMLNodeComboBox()
    selector.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    selector.addEnabled = False
    selector.setMRMLScene(slicer.mrmlScene)
    return selector


def add_volume(name):
    return slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)


def test_a_selector_takes_the_first_node_by_itself(a_selector):
    volume = add_volume("CT")

    assert a_selector.currentNode() is volume


def test_a_selector_that_may_be_empty_stays_empty(a_selector):
    a_selector.noneEnabled = True
    add_volume("CT")

    assert a_selector.currentNode() is None


def test_a_selector_tells_of_a_removed_node(a_selector):
    a_selector.noneEnabled = True
    volume = add_volume("CT")
    seen = []
    a_selector.connect("currentNodeChanged(vtkMRMLNode*)", seen.append)
    a_selector.setCurrentNode(volume)
    slicer.mrmlScene.RemoveNode(volume)

    assert seen == [volume, None]


def test_a_selector_shows_neither_hidden_nodes_nor_other_classes(a_selector):
    add_volume("shown")
    hidden = slicer.vtkMRMLScalarVolumeNode()
    hidden.SetHideFromEditors(True)
    slicer.mrmlScene.AddNode(hidden)
    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLModelNode", "model")

    assert a_selector.nodeCount() == 1


def test_a_selector_follows_a_new_name(a_selector):
    add_volume("CT").SetName("MR")

    assert a_selector.findChild(QtWidgets.QComboBox).currentText == "MR"


def test_a_closed_scene_empties_a_selector(a_selector):
    add_volume("CT")
    slicer.mrmlScene.Clear(False)

    assert a_selector.currentNode() is None


def test_a_section_folds_its_contents_away(a_host, qt):
    import ctk

    section = ctk.ctkCollapsibleButton()
    section.setLayout(qt.QVBoxLayout())
    inside, hidden = qt.QLabel("inside"), qt.QLabel("hidden before")
    for label in (inside, hidden):
        section.layout().addWidget(label)
    hidden.visible = False
    seen = []
    section.connect("contentsCollapsed(bool)", seen.append)
    section.show()

    section.collapsed = True
    assert not inside.visible
    section.click()

    assert inside.visible
    assert not hidden.visible
    assert seen == [True, False]
    section.close()
