"""`connect` and `disconnect` as PythonQt has them: by the signal's signature, arguments cut to what the callable takes.

PythonQt prints a message and returns False where a signal does not exist; here it is a `ValueError`, for tests to see.
"""

from __future__ import annotations

import re
import types
from typing import NamedTuple

import shiboken6
from PySide6 import QtCore

_SIGNATURE = re.compile(r"\s*(\w+)\s*\((.*)\)\s*")
_BASIC_TYPES = {"bool": bool, "int": int, "double": float, "QString": str}


class _Connection(NamedTuple):
    signature: str
    function: object
    signal: QtCore.SignalInstance
    slot: object


# By the address of the sender's C++ object: as in PythonQt, a connection lives as long as that, and no longer.
_connections: dict[int, list[_Connection]] = {}


def connect(sender, original, *arguments):
    """`sender.connect("clicked(bool)", function)`; PySide6's own forms go to `original`."""
    if not _isPythonQtForm(arguments):
        return original(*arguments)
    signature, function = arguments
    signal, count = _signalOf(sender, signature)
    slot = _slotFor(function, count)
    signal.connect(slot)
    _connectionsOf(sender).append(_Connection(_normal(signature), function, signal, slot))
    return True


def disconnect(sender, original, *arguments):
    """Undo one `connect` of the same signature and function; False where there was none."""
    if not _isPythonQtForm(arguments):
        return original(*arguments)
    signature, function = _normal(arguments[0]), arguments[1]
    for connection in list(_connectionsOf(sender)):
        if connection.signature == signature and connection.function == function:
            connection.signal.disconnect(connection.slot)
            _connectionsOf(sender).remove(connection)
            return True
    return False


def _connectionsOf(sender):
    address = shiboken6.getCppPointer(sender)[0]
    if address not in _connections:
        _connections[address] = []
        sender.destroyed.connect(lambda: _connections.pop(address, None))
    return _connections[address]


def _isPythonQtForm(arguments):
    """`SIGNAL()` strings, which begin with 1 or 2, are PySide6's."""
    if len(arguments) != 2 or not isinstance(arguments[0], str) or not callable(arguments[1]):
        return False
    return arguments[0][:1] not in ("1", "2")


def _normal(signature):
    return bytes(QtCore.QMetaObject.normalizedSignature(signature)).decode()


def _signalOf(sender, signature):
    """(the signal, how many arguments it carries); ValueError where the sender has no such signal."""
    normal = _normal(signature)
    match = _SIGNATURE.fullmatch(normal)
    if match is None:
        raise ValueError(f"'{signature}' is not a signal's signature such as 'clicked(bool)'")
    name, types_ = match.group(1), [part for part in match.group(2).split(",") if part]
    declared = _declaredName(sender, normal)
    if declared is None and sender.metaObject().indexOfSignal(normal) < 0:
        raise ValueError(f"there is no signal {normal} on {sender.className()}")
    signal = getattr(sender, declared or name)
    return (signal if declared else _overload(signal, types_)), len(types_)


def _declaredName(sender, normal):
    """A stand-in names its signals as the C++ class does, with types that Python lacks (`vtkMRMLNode*`)."""
    return next((cls.SIGNALS[normal] for cls in type(sender).__mro__ if normal in vars(cls).get("SIGNALS", ())), None)


def _overload(signal, types_):
    key = tuple(_BASIC_TYPES.get(name, name) for name in types_)
    if not key:
        return signal
    try:
        return signal[key[0] if len(key) == 1 else key]
    except (KeyError, IndexError, TypeError):
        return signal  # there is only one


def _slotFor(function, count):
    accepted = _acceptedArguments(function)

    def slot(*values):
        function(*values[: count if accepted is None else min(count, accepted)])

    return slot


def _acceptedArguments(function):
    """How many arguments PythonQt hands over: it looks into plain functions and methods, not into other callables."""
    bound = isinstance(function, types.MethodType)
    plain = function.__func__ if bound else function
    if not isinstance(plain, types.FunctionType) or plain.__code__.co_flags & 0x04:  # 0x04: takes *args
        return None
    return plain.__code__.co_argcount - bound
