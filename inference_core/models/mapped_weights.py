"""Taking tensors out of a mapped weights file one at a time, so that no more than one copy of them is ever held.

A tensor that is merely copied leaves behind the pages of the file that it was read through, which count as this
program's memory for as long as the file is mapped. Where the system tells what is mapped where (Linux), a tensor is
read from the file into its place instead, and the mapping is never touched.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from inference_core.errors import CheckpointError

_MAPS = Path("/proc/self/maps")


@dataclass(frozen=True)
class _Mapping:
    """Addresses from `start` up to `end` show the file from `offset` on."""

    start: int
    end: int
    offset: int


class MappedWeights:
    """A weights file from which tensors are taken. `told`: whether the system tells what of it is mapped where."""

    def __init__(self, file: int, mappings: list[_Mapping], *, told: bool, name: str) -> None:
        self._file, self._mappings, self._told, self._name = file, mappings, told, name

    def taken(self, value: Tensor) -> Tensor:
        """A tensor's values in memory of their own; the tensor itself where it has such already.

        Raises:
            CheckpointError: the file was cut off meanwhile.
        """
        value = value.detach()
        place = self._place(value)
        if place is not None and value.is_contiguous():
            return self._read(torch.empty_like(value), place)
        return value.clone(memory_format=torch.contiguous_format) if place is not None or not self._told else value

    def _place(self, value: Tensor) -> int | None:
        """Where in the file a tensor lies, None if it does not."""
        first = value.data_ptr()
        for mapping in self._mappings:
            if mapping.start <= first < mapping.end:
                return first - mapping.start + mapping.offset
        return None

    def _read(self, own: Tensor, place: int) -> Tensor:
        buffer = memoryview(own.reshape(-1).view(torch.uint8).numpy().data)
        while buffer:
            count = os.preadv(self._file, [buffer], place)
            if count == 0:
                raise CheckpointError(f"'{self._name}' became shorter while it was read; download it again.")
            buffer, place = buffer[count:], place + count
        return own


@contextmanager
def mapped_weights(path: Path) -> Iterator[MappedWeights]:
    """A weights file of which some tensors may be mapped, while they are taken out of it."""
    with path.open("rb") as file:
        number = file.fileno()
        mappings = _mappings_of(os.fstat(number).st_ino, path)
        yield MappedWeights(number, mappings, told=_MAPS.is_file(), name=path.name)


def _mappings_of(inode: int, path: Path) -> list[_Mapping]:
    """The parts of a file that are mapped; none where the system does not tell, or the file was exchanged since."""
    if not _MAPS.is_file():
        return []
    found, wanted = [], str(path.resolve())
    for line in os.fsdecode(_MAPS.read_bytes()).splitlines():
        # address, permissions, offset, device, inode, path
        fields = line.split(maxsplit=5)
        if len(fields) == 6 and fields[4] == str(inode) and fields[5] == wanted:
            start, end = (int(edge, 16) for edge in fields[0].split("-"))
            found.append(_Mapping(start, end, int(fields[2], 16)))
    return found
