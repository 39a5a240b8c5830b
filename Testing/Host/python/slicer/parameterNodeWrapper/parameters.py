"""One parameter: its type, its limits and how it is written as text into the node."""

import enum
import typing

import vtk


class WithinRange:
    def __init__(self, minimum, maximum):
        self.minimum, self.maximum = minimum, maximum

    def check(self, value):
        if not self.minimum <= value <= self.maximum:
            raise ValueError(f"{value} is not within [{self.minimum}, {self.maximum}]")


class Minimum(WithinRange):
    def __init__(self, minimum):
        super().__init__(minimum, float("inf"))


class Maximum(WithinRange):
    def __init__(self, maximum):
        super().__init__(float("-inf"), maximum)


class Choice:
    def __init__(self, choices):
        self.choices = choices

    def check(self, value):
        if value not in self.choices:
            raise ValueError(f"{value} is not one of {self.choices}")


class Default:
    def __init__(self, value):
        self.value = value


class Parameter:
    """Reads and writes one annotated attribute of the class; `default` is what the class gives it, or `...`."""

    def __init__(self, name, hint, default):
        self.name = name
        self.notes = typing.get_args(hint)[1:] if typing.get_origin(hint) is typing.Annotated else ()
        self.type = _plainType(typing.get_args(hint)[0] if self.notes else hint)
        self.default = self._defaultOf(default)

    @property
    def isNode(self):
        return issubclass(self.type, vtk.vtkObject)

    @property
    def isEnum(self):
        return issubclass(self.type, enum.Enum)

    @property
    def range(self):
        """The limits of the number, or None."""
        return next((note for note in self.notes if isinstance(note, WithinRange)), None)

    def read(self, node):
        if self.isNode:
            return node.GetNodeReference(self.name)
        text = node.GetParameter(self.name)
        if text is None or (text == "" and self.type is not str):
            return self.default
        if self.isEnum:
            return self.type[text]
        return text == "True" if self.type is bool else self.type(text)

    def write(self, node, value):
        value = self._checked(value)
        if self.isNode:
            node.SetNodeReferenceID(self.name, value.GetID() if value is not None else None)
        else:
            node.SetParameter(self.name, value.name if self.isEnum else str(value))

    def writeDefault(self, node):
        if not self.isNode and self.name not in node.GetParameterNames():
            self.write(node, self.default)

    def _checked(self, value):
        if self.isNode and value is None:
            return None
        if self.type is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if not isinstance(value, self.type):
            raise TypeError(f"{self.name}: {value!r} is not a {self.type.__name__}")
        for note in self.notes:
            if hasattr(note, "check"):
                note.check(value)
        return value

    def _defaultOf(self, default):
        noted = next((note.value for note in self.notes if isinstance(note, Default)), default)
        if noted is not ...:
            return noted.value if isinstance(noted, Default) else noted
        if self.isNode:
            return None
        return next(iter(self.type)) if self.isEnum else self.type()


def _plainType(hint):
    """`Node | None` is Node."""
    others = [part for part in typing.get_args(hint) if part is not type(None)]
    return others[0] if others else hint
