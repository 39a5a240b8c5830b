"""How stand-ins for C++ widgets are declared: Qt properties with Qt setters, and a table of the classes by name.

class ctkThing(QWidget):
    collapsed = qtProperty(bool, False, "_onCollapsed")     # also makes setCollapsed
    SIGNALS = {"nodeAdded(vtkMRMLNode*)": "nodeAdded"}      # C++ signature -> Python signal
"""

from __future__ import annotations

from PySide6 import QtCore

CLASSES: dict[str, type] = {}  # what a .ui file may name


def qtProperty(qtType, default, onChange=None):
    """A property that remembers its value; `onChange` names a method that is called with each new one."""

    def read(self):
        return self.__dict__.get(key(), default)

    def write(self, value):
        if read(self) == value:
            return
        self.__dict__[key()] = value
        if onChange is not None:
            getattr(self, onChange)(value)

    def key():
        return f"_property_{id(result)}"

    result = QtCore.Property(qtType, read, write)
    return result


def standIn(namespace):
    """Class decorator: give every property its setter and put the class into `namespace` (`slicer` or `ctk`)."""

    def register(cls):
        for name, value in list(vars(cls).items()):
            setter = "set" + name[0].upper() + name[1:]
            if isinstance(value, QtCore.Property) and not hasattr(cls, setter):
                setattr(cls, setter, lambda self, value, name=name: setattr(self, name, value))
        CLASSES[cls.__name__] = cls
        setattr(namespace, cls.__name__, cls)
        return cls

    return register
