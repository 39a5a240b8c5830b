"""Ties widgets to parameters, both ways."""

import weakref
from typing import NamedTuple

import qt
import vtk


class _Form(NamedTuple):
    """How a kind of widget shows a value: the C++ signal, and what reads and sets it."""

    className: str
    signal: str
    read: object
    write: object


FORMS = (
    _Form(
        "qMRMLNodeComboBox",
        "currentNodeChanged(vtkMRMLNode*)",
        lambda w: w.currentNode(),
        lambda w, v: w.setCurrentNode(v),
    ),
    _Form("QAbstractButton", "toggled(bool)", lambda w: w.checked, lambda w, v: w.setChecked(v)),
    _Form("QSpinBox", "valueChanged(int)", lambda w: w.value, lambda w, v: w.setValue(v)),
    _Form("QDoubleSpinBox", "valueChanged(double)", lambda w: w.value, lambda w, v: w.setValue(v)),
    _Form("QSlider", "valueChanged(int)", lambda w: w.value, lambda w, v: w.setValue(v)),
    _Form("QComboBox", "currentTextChanged(QString)", lambda w: w.currentText, lambda w, v: w.setCurrentText(v)),
    _Form("QLineEdit", "textChanged(QString)", lambda w: w.text, lambda w, v: w.setText(v)),
)


def pairsOf(gui):
    """{parameter name: widget} of a widget's children, or of the variables of `slicer.util.childWidgetVariables`."""
    widgets = gui.findChildren(qt.QWidget) if isinstance(gui, qt.QObject) else vars(gui).values()
    named = ((widget.property("SlicerParameterName"), widget) for widget in widgets if isinstance(widget, qt.QWidget))
    return {name: widget for name, widget in named if name}


class Connection:
    """Between one parameter node and [(parameter, widget)]; the widgets show the node's values at once."""

    def __init__(self, node, pairs):
        self._node = node
        self._isShowing = False
        self._ties = [self._tie(parameter, widget) for parameter, widget in pairs]
        self._show()
        this = weakref.ref(self)
        self._tag = node.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: this() and this()._show())

    def close(self):
        self._node.RemoveObserver(self._tag)
        for _, widget, form, store in self._ties:
            widget.disconnect(form.signal, store)

    def _tie(self, parameter, widget):
        form = next((form for form in FORMS if widget.inherits(form.className)), None)
        if form is None:
            raise RuntimeError(f"no connection is known for {widget.className()} ({widget.name})")
        _prepare(parameter, widget)

        def store():
            if not self._isShowing:
                parameter.write(self._node, _valueOf(parameter, form.read(widget)))

        widget.connect(form.signal, store)
        return parameter, widget, form, store

    def _show(self):
        self._isShowing = True
        try:
            for parameter, widget, form, _ in self._ties:
                value = parameter.read(self._node)
                form.write(widget, value.name if parameter.isEnum else value)
        finally:
            self._isShowing = False


def _prepare(parameter, widget):
    """A widget takes over the range or the choices of its parameter."""
    if parameter.range is not None and hasattr(widget, "setRange"):
        widget.setRange(parameter.range.minimum, parameter.range.maximum)
    if parameter.isEnum and widget.inherits("QComboBox"):
        widget.addItems([member.name for member in parameter.type])


def _valueOf(parameter, shown):
    if parameter.isNode:
        return shown
    return parameter.type[shown] if parameter.isEnum else parameter.type(shown)
