"""Keeps Python's cyclic garbage collector out of worker threads.

The collector runs in whichever thread happens to allocate. In one that computes it would free widgets and VTK objects
of closed panels there, which crashes Slicer. While a worker computes, the main thread collects garbage when it polls.
"""

import gc

_holders: set[int] = set()
_wasEnabled = True


def hold(owner: object) -> None:
    """From now on threads may compute for `owner`. Main thread only, as are the others."""
    global _wasEnabled  # noqa: PLW0603
    if not _holders:
        _wasEnabled = gc.isenabled()
        gc.disable()
    _holders.add(id(owner))


def release(owner: object) -> None:
    """No thread computes for `owner` any more."""
    if id(owner) in _holders:
        _holders.discard(id(owner))
        if not _holders and _wasEnabled:
            gc.enable()


def collect() -> None:
    """Collect the newest garbage, if the collector would not by itself."""
    if _holders:
        gc.collect(0)
