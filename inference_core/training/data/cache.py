"""Preprocessed arrays kept on disk: memory-mapped, keyed by what they were made from, bounded, safe to delete.

An entry is one .npy file. Its name is a digest of the content of the files and of every parameter that made it, so a
changed file or parameter is another entry, and no entry is ever out of date. Several processes may share a folder: a
file gets its name once it is whole, and what another one deletes is made again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference_core.errors import OutputError
from inference_core.io.atomic import make_folder, replacing
from inference_core.io.opening import check_readable

_log = logging.getLogger(__name__)

_ENTRY = re.compile(r"[0-9a-f]{64}\.npy")
_LEFT_OVER = re.compile(r"\.[0-9a-f]{8}-[0-9a-f]+\.npy")
_TAG = (
    "Signature: 8a477f597d28d172789f06886806bc55\n# Made by SAM3DSegment; it may be deleted.\n"  # bford.info/cachedir
)
_CHUNK = 1 << 20


class PreprocessingCache:
    """Arrays in a folder of the caller's, at most `most_bytes` of them; those used longest ago go first.

    Raises:
        OutputError: the folder cannot be made.
    """

    def __init__(self, folder: str | os.PathLike[str], *, most_bytes: int | None = None) -> None:
        self.folder = make_folder(folder)
        self.most_bytes = most_bytes
        try:
            tag = self.folder / "CACHEDIR.TAG"
            if not tag.exists():
                tag.write_text(_TAG, encoding="utf-8")
        except OSError as error:
            raise OutputError(
                f"The cache '{folder}' cannot be made ({error.strerror or error}); choose another folder."
            ) from error

    def get(
        self, files: Iterable[Path], parameters: Mapping[str, Any], make: Callable[[], NDArray[Any]]
    ) -> NDArray[Any]:
        """The array that `make` makes of the files with the parameters: read-only, mapped from disk where it is there.

        `parameters` (plain values) must hold all that the array depends on beside the files' content. Where the disk
        refuses the array, it is returned from memory, and a line is logged.

        Raises:
            VolumeError: a file cannot be read.
        """
        path = self.folder / f"{key_of(files, parameters)}.npy"
        found = _mapped(path)
        return self._put(path, make()) if found is None else found

    def get_arrays(
        self,
        files: Iterable[Path],
        parameters: Mapping[str, Any],
        names: Sequence[str],
        make: Callable[[], Mapping[str, NDArray[Any]]],
    ) -> dict[str, NDArray[Any]]:
        """As `get`, of several arrays that are made together, such as a case's image and labels: an entry each.

        Raises:
            VolumeError: a file cannot be read.
        """
        key = key_of(files, parameters)
        paths = {name: self.folder / f"{hashlib.sha256(f'{key} {name}'.encode()).hexdigest()}.npy" for name in names}
        found = {name: _mapped(path) for name, path in paths.items()}
        there = {name: array for name, array in found.items() if array is not None}
        if len(there) == len(names):
            return there
        made = make()
        return there | {name: self._put(paths[name], made[name]) for name in names if name not in there}

    def _put(self, path: Path, made: NDArray[Any]) -> NDArray[Any]:
        """Write an array and return it mapped; from memory where the disk refuses it."""
        array = np.ascontiguousarray(made)
        try:
            with replacing(path) as temporary, temporary.open("wb") as stream:
                np.save(stream, array, allow_pickle=False)
        except OutputError as error:
            _log.warning("The cache takes no more (%s); training goes on without it, more slowly.", error)
            return array
        self._evict(keep=path)
        found = _mapped(path)
        return array if found is None else found  # None where another process needed the room

    def size_bytes(self) -> int:
        """How much room the entries take."""
        return sum(size for _, size, _ in self._entries())

    def clear(self) -> None:
        """Delete every entry, and what a killed process left half-written; other files in the folder stay."""
        left_over = [path for path in self.folder.iterdir() if _LEFT_OVER.fullmatch(path.name)]
        for path in [*(path for path, _, _ in self._entries()), *left_over]:
            _delete(path)

    def _evict(self, *, keep: Path) -> None:
        if self.most_bytes is None:
            return
        entries = sorted(self._entries(), key=lambda entry: entry[2])
        total = sum(size for _, size, _ in entries)
        for path, size, _ in entries:
            if total <= self.most_bytes:
                return
            if path != keep and _delete(path):
                total -= size

    def _entries(self) -> list[tuple[Path, int, int]]:
        """Path, bytes and time of last use in nanoseconds of each entry that no other process has deleted."""
        found = []
        for path in self.folder.iterdir():
            if _ENTRY.fullmatch(path.name):
                try:
                    state = path.stat()
                except FileNotFoundError:
                    continue
                found.append((path, state.st_size, state.st_mtime_ns))
        return found


def key_of(files: Iterable[Path], parameters: Mapping[str, Any]) -> str:
    """A digest of the content of files, in their order, and of the parameters; a folder counts with all files in it.

    Raises:
        VolumeError: a file cannot be read.
    """
    digest = hashlib.sha256(json.dumps(parameters, sort_keys=True, default=str).encode())
    for path in files:
        inside = sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]
        for one in inside:
            state = check_readable(one)
            digest.update(_content(one, state.st_size, state.st_mtime_ns))
        digest.update(b"|")
    return digest.hexdigest()


@lru_cache(maxsize=100_000)
def _content(path: Path, size: int, changed_ns: int) -> bytes:
    """A digest of a file's content; read again only where its size or time of change is another."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.digest()


def _mapped(path: Path) -> NDArray[Any] | None:
    """An entry, whose time of use becomes now; None where it is not there or damaged."""
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
        os.utime(path)
    except FileNotFoundError:
        return None
    except (ValueError, EOFError, OSError):
        _delete(path)
        return None
    return array


def _delete(path: Path) -> bool:
    try:
        path.unlink(missing_ok=True)
    except OSError:  # Windows keeps what a process has mapped
        return False
    return True
