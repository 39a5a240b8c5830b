"""Stopping a computation between two of torch's operations, for work that must give way at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch.overrides import TorchFunctionMode


@contextmanager
def interruptible(check: Callable[[], None]) -> Iterator[None]:
    """Call check() in this thread before each of torch's operations within; what it raises stops the work."""
    with _Checked(check):
        yield


class _Checked(TorchFunctionMode):
    def __init__(self, check: Callable[[], None]) -> None:
        super().__init__()
        self._check = check

    def __torch_function__(self, func: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self._check()
        return func(*args, **(kwargs or {}))
