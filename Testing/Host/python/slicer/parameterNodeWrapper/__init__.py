"""`@parameterNodeWrapper`: typed attributes over a MRML parameter node, as its documentation describes it (own code).

Knows int, float, bool, str, enums and MRML nodes; ranges, choices and defaults; and Qt widgets that have a
`SlicerParameterName`.
"""

import typing

from .gui import Connection, pairsOf
from .parameters import Choice, Default, Maximum, Minimum, Parameter, WithinRange

__all__ = ["Choice", "Default", "Maximum", "Minimum", "WithinRange", "parameterNodeWrapper"]


def parameterNodeWrapper(cls):
    """Class decorator: every annotated attribute becomes a parameter of the node that the class is called with."""
    hints = typing.get_type_hints(cls, include_extras=True)
    parameters = {name: Parameter(name, hint, vars(cls).get(name, ...)) for name, hint in hints.items()}
    body = {name: value for name, value in vars(cls).items() if name not in (*parameters, "__dict__", "__weakref__")}
    body.update({name: _attribute(parameter) for name, parameter in parameters.items()})
    return type(cls.__name__, (_Wrapper,), {**body, "allParameters": parameters})


def _attribute(parameter):
    return property(
        lambda self: parameter.read(self.parameterNode),
        lambda self, value: parameter.write(self.parameterNode, value),
    )


class _Wrapper:
    """What the node itself can do (`AddObserver`, `StartModify`, ...) is passed on to it."""

    allParameters: typing.ClassVar[dict] = {}

    def __init__(self, parameterNode):
        self.__dict__.update(parameterNode=parameterNode, _connections={})
        for parameter in self.allParameters.values():
            parameter.writeDefault(parameterNode)

    def __getattr__(self, name):
        return getattr(self.__dict__["parameterNode"], name)

    def __setattr__(self, name, value):
        if name not in self.allParameters:
            raise AttributeError(f"{type(self).__name__} has no parameter '{name}'")
        super().__setattr__(name, value)

    def getValue(self, name):
        return getattr(self, name)

    def setValue(self, name, value):
        setattr(self, name, value)

    def dataType(self, name):
        return self.allParameters[name].type

    def default(self, name):
        return Default(self.allParameters[name].default)

    def isCached(self, _name):
        return False

    def connectGui(self, gui):
        """Tie every widget of `gui` with a SlicerParameterName to its parameter; returns a tag for disconnectGui."""
        return self.connectParametersToGui(pairsOf(gui))

    def connectParametersToGui(self, mapping):
        tag = 1 + max(self._connections, default=0)
        pairs = [(self.allParameters[name], widget) for name, widget in mapping.items()]
        self._connections[tag] = Connection(self.parameterNode, pairs)
        return tag

    def disconnectGui(self, tag):
        self._connections.pop(tag).close()
