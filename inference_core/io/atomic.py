"""Writing a file whole or not at all: a failed or stopped run leaves the old file, or none, and no litter."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from inference_core.errors import OutputError
from inference_core.io.opening import why

# The names that temporary ones stand for, so that a writer within a writer tells the user's.
_STANDS_FOR: dict[Path, str | os.PathLike[str]] = {}


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it becomes `path`, on any failure it is removed.

    The temporary name ends like the real one, for writers that go by the suffix. A symbolic link is written through,
    and a file that is replaced hands on its permissions.

    Raises:
        OutputError: the folder is absent or cannot be written, or the disk refuses the data.
    """
    check_writable(path)
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".{secrets.token_hex(4)}-{target.name[-60:]}")
    _STANDS_FOR[temporary] = _STANDS_FOR.get(Path(path), path)
    try:
        yield temporary
        if target.exists():
            shutil.copymode(target, temporary)
        temporary.replace(target)
    except OSError as error:
        wanted = _STANDS_FOR.get(Path(path), path)
        raise OutputError(
            f"'{wanted}' could not be written ({why(error)}); free space or change the folder."
        ) from error
    finally:
        _STANDS_FOR.pop(temporary, None)
        temporary.unlink(missing_ok=True)


def make_folder(path: str | os.PathLike[str]) -> Path:
    """Make a folder, and those above it, where it is not there yet.

    Raises:
        OutputError: it cannot be made, or something else has its name.
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise OutputError(f"The folder '{path}' cannot be made ({why(error)}); choose another one.") from error
    return folder


def check_writable(path: str | os.PathLike[str]) -> None:
    """Refuse early what `replacing` would refuse after the work is done.

    Raises:
        OutputError: the folder does not exist or cannot be written, the name cannot be, or `path` is a folder, a device
            or read-only.
    """
    try:
        target = Path(os.path.realpath(path))
        _check_place(target, path)
        _try_out(target)
    except (OSError, ValueError) as error:  # a name too long, a loop of links, a NUL in the name, no permission
        raise OutputError(f"'{path}' cannot be written ({why(error)}); choose another name or folder.") from error


def _check_place(target: Path, path: str | os.PathLike[str]) -> None:
    if target.is_dir():
        raise OutputError(f"'{path}' is a folder; give the name of a file in it.")
    if not target.parent.is_dir():
        raise OutputError(f"The folder '{Path(path).parent}' does not exist; create it or choose another one.")
    if os.path.lexists(target) and not (target.is_file() and os.access(target, os.W_OK)):
        raise OutputError(f"'{path}' exists and cannot be overwritten; choose another name.")


def _try_out(target: Path) -> None:
    """Create a file there: permission bits tell neither of read-only disks nor of names that a disk refuses."""
    if not target.exists():
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        target.unlink()
    with tempfile.TemporaryFile(dir=target.parent):
        pass
