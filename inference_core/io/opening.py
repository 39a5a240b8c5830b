"""What is checked of a path before anything is read from it: it can be reached, and is a plain file or a folder."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from inference_core.errors import VolumeError


def check_readable(path: Path) -> os.stat_result:
    """Refuse what cannot be read to its end: nothing there, no permission, a device, a pipe, an empty file.

    Raises:
        VolumeError: as said.
    """
    try:
        found = path.stat()
    except FileNotFoundError as error:
        raise VolumeError(f"There is no file or folder '{path}'; check the path.") from error
    except (OSError, ValueError) as error:  # no permission on a parent, a loop of links, a name too long, a NUL in it
        raise VolumeError(f"'{path}' cannot be reached ({why(error)}); check the path and its permissions.") from error
    if stat.S_ISDIR(found.st_mode):
        allowed = os.access(path, os.R_OK | os.X_OK)
    elif stat.S_ISREG(found.st_mode):
        allowed = os.access(path, os.R_OK)
    else:
        raise VolumeError(f"'{path}' is a device or a pipe, which has no end; copy it to a file first.")
    if not allowed:
        raise VolumeError(f"'{path}' may not be read by this user; change its permissions or copy it.")
    if stat.S_ISREG(found.st_mode) and found.st_size == 0:
        raise VolumeError(f"'{path.name}' is an empty file; copy it again.")
    return found


def is_regular_file(path: Path) -> bool:
    """Whether a path leads to a plain file; False too where it cannot be reached."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except (OSError, ValueError):
        return False


def why(error: Exception) -> str:
    """What an operating system's error says, without the path it may repeat.

    Of a library's own in its place (pydicom's has a traceback in its text) what the one before it says.
    """
    cause: BaseException | None = error
    while cause is not None:
        if words := getattr(cause, "strerror", None):
            return str(words)
        cause = cause.__cause__ or cause.__context__
    return str(error)
