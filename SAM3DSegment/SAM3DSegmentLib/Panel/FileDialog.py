"""What file dialogs answer."""

from typing import Any


def pathOf(answer: Any) -> str:
    """The path out of a file dialog's answer, a string in PythonQt and a pair in other bindings; "" if given up."""
    return str(answer[0] if isinstance(answer, tuple) else answer)
