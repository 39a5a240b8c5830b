"""Writing a file whole or not at all: a failed or stopped run leaves the old file, or none, and no litter."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from inference_core.errors import OutputError


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it becomes `path`, on any failure it is removed.

    The temporary name ends like the real one, for writers that go by the suffix. A symbolic link is written through.

    Raises:
        OutputError: the folder is absent or cannot be written, or the disk refuses the data.
    """
    check_writable(path)
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".{secrets.token_hex(4)}-{target.name[-60:]}")
    try:
        yield temporary
        temporary.replace(target)
    except OSError as error:
        raise OutputError(
            f"'{path}' could not be written ({error.strerror or error}); free space or change the folder."
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def check_writable(path: str | os.PathLike[str]) -> None:
    """Refuse early what `replacing` would refuse after the work is done.

    Raises:
        OutputError: the folder does not exist or cannot be written, or `path` is a folder, a device or read-only.
    """
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise OutputError(f"'{path}' is a folder; give the name of a file in it.")
    if not target.parent.is_dir():
        raise OutputError(f"The folder '{Path(path).parent}' does not exist; create it or choose another one.")
    if target.exists() and not (target.is_file() and os.access(target, os.W_OK)):
        raise OutputError(f"'{path}' exists and cannot be overwritten; choose another name.")
    try:
        # Permission bits do not tell of read-only disks and network shares; only creating a file does.
        with tempfile.TemporaryFile(dir=target.parent):
            pass
    except OSError as error:
        raise OutputError(
            f"The folder '{Path(path).parent}' cannot be written ({error.strerror}); choose another one."
        ) from error
