"""PySide6 that behaves as PythonQt does in Slicer: properties are attributes, signals are connected by their signature.

    widget.text = "a"; widget.checked            Qt properties read and written like attributes
    widget.name, widget.className(), delete()    what PythonQt adds to every QObject
    widget.connect("clicked(bool)", f)           in `signals.py`
    widget.tpyo = 1                              AttributeError, in PythonQt's words

PySide6's classes are changed in place, once a process. Code of the host therefore reads properties like attributes too.
"""

from __future__ import annotations

from PySide6 import QtCore, QtGui, QtPrintSupport, QtUiTools, QtWidgets

from Host.signals import connect, disconnect

QT_MODULES = (QtCore, QtGui, QtWidgets, QtUiTools, QtPrintSupport)
# PythonQt finds the static method of this name first, so that the property cannot be assigned.
METHODS_OF_THE_CLASS = ("singleShot",)
_originalGet = QtCore.QObject.__getattribute__
_patched: set[type] = set()


class _PropertyAttribute:
    """One Qt property as an attribute. On the class the original stays reachable (`QTimer.singleShot`)."""

    def __init__(self, cls, name):
        self._name = name
        self._beingRead = []
        self._original = getattr(cls, name, None)
        self._setter = getattr(cls, "set" + name[0].upper() + name[1:], None)

    def __get__(self, instance, owner=None):
        if instance is None:
            return self._original
        if instance in self._beingRead:  # PySide6 asks whether `sizeHint` is overridden while it reads it
            return self._original.__get__(instance, owner)
        self._beingRead.append(instance)
        try:
            return QtCore.QObject.property(instance, self._name)
        finally:
            self._beingRead.pop()

    def __set__(self, instance, value):
        if self._name in METHODS_OF_THE_CLASS:
            raise AttributeError(f"'{self._name}' is a method of {type(instance).__name__}; call its setter")
        if self._setter is not None:
            self._setter(instance, value)
        elif not QtCore.QObject.setProperty(instance, self._name, value):
            raise AttributeError(f"{type(instance).__name__}.{self._name} cannot be set to {value!r}")


def behaveAsPythonQt():
    """Change every class of PySide6 that has not been changed yet; call again when more of them were imported."""
    for cls in sorted(_subclasses(QtCore.QObject), key=lambda cls: len(cls.__mro__)):
        if cls.__module__.startswith("PySide6") and cls not in _patched:
            _patched.add(cls)
            _makePropertiesAttributes(cls)
            cls.__setattr__ = _set  # each class of PySide6 has one of its own
    if QtCore.QObject.__getattribute__ is not _get:
        _addWhatPythonQtAdds()


def _subclasses(cls):
    return {cls}.union(*(_subclasses(derived) for derived in cls.__subclasses__()))


def _makePropertiesAttributes(cls):
    meta = getattr(cls, "staticMetaObject", None)
    if meta is None:
        return
    for index in range(meta.propertyOffset(), meta.propertyCount()):
        name = meta.property(index).name()
        setattr(cls, name, _PropertyAttribute(cls, name))


def _addWhatPythonQtAdds():
    qObject = QtCore.QObject
    qObject.name = property(lambda self: self.objectName, lambda self, name: self.setObjectName(name))
    qObject.className = lambda self: self.metaObject().className()
    qObject.delete = lambda self: self.deleteLater()
    qObject.__getattribute__ = _get
    for cls in (QtWidgets.QDialog, QtWidgets.QMessageBox, QtWidgets.QMenu, QtWidgets.QApplication, QtCore.QEventLoop):
        cls.exec_ = cls.exec


def _get(self, name):
    """PySide6 finds `connect` in a look-up of its own, before any attribute of the class: it is caught here."""
    if name == "connect":
        return lambda *arguments: connect(self, _originalGet(self, "connect"), *arguments)
    if name == "disconnect":
        return lambda *arguments: disconnect(self, _originalGet(self, "disconnect"), *arguments)
    try:
        return _originalGet(self, name)
    except AttributeError:
        if not name.startswith("_") and name in _dynamicProperties(self):
            return QtCore.QObject.property(self, name)
        raise


def _set(self, name, value):
    attribute = next((vars(cls)[name] for cls in type(self).__mro__ if name in vars(cls)), None)
    if isinstance(attribute, QtCore.Property):
        attribute.fset(self, value)
    elif hasattr(type(attribute), "__set__"):
        attribute.__set__(self, value)
    elif name in _dynamicProperties(self):
        QtCore.QObject.setProperty(self, name, value)
    elif _takesAttribute(type(self), name) or isinstance(value, QtCore.SignalInstance):  # PySide6 keeps these itself
        self.__dict__[name] = value
    elif not (isinstance(value, QtCore.QObject) and value.objectName == name):  # PySide6's loader tries to
        raise AttributeError(
            f"'{name}' does not exist on {type(self).__name__} and creating new attributes on C++ objects "
            "is not allowed"
        )


def _takesAttribute(cls, name):
    """What is derived in Python takes everything; a stand-in takes its own private state and what its class lists."""
    if cls.__module__.startswith("PySide6."):
        return False
    return not cls.__module__.startswith("Host.") or name.startswith("_") or hasattr(cls, name)


def _dynamicProperties(self):
    return [bytes(name).decode() for name in QtCore.QObject.dynamicPropertyNames(self)]
