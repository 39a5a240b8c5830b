"""One fetch of a file at a time, among all processes and threads of this computer.

The lock is the operating system's, on a file beside the one fetched: it ends with the process that holds it, however
that ends, so that none is ever stale.
"""

from __future__ import annotations

import errno
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_LOG = logging.getLogger(__name__)
_POLL_S = 0.2
_HELD = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)


@contextmanager
def alone(target: Path, waiting: Callable[[], None]) -> Iterator[bool]:
    """Hold the lock on a file; yields whether another held it before, and `waiting` was called meanwhile.

    What `waiting` raises ends the wait. Where the disk knows no locks, no one is waited for.

    Raises:
        OSError: the folder cannot be written.
    """
    path = target.with_name(target.name + ".lock")
    waited = False
    while (handle := _locked(path)) is None:
        if not waited:
            _LOG.info("Another download of '%s' is under way; waiting for it.", target.name)
        waited = True
        waiting()
        time.sleep(_POLL_S)
    try:
        yield waited
    finally:
        # Removed while it is held: whoever waits for it finds that out and makes a new one.
        with suppress(OSError):
            path.unlink()
        os.close(handle)


def _locked(path: Path) -> int | None:
    """The open lock file, or None where another has it, or has just let go of it."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except PermissionError:
        if sys.platform == "win32" and path.exists():  # a removed file that another still has open
            return None
        raise
    try:
        _lock(handle)
        if os.path.samestat(os.fstat(handle), path.stat()):
            return handle
    except FileNotFoundError:
        pass
    except OSError as error:
        if error.errno not in _HELD:
            return handle
    os.close(handle)
    return None


if sys.platform == "win32":
    import msvcrt

    def _lock(handle: int) -> None:
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
