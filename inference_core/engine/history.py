"""What a session remembers: every answer's prompts and mask, packed, and the looks of the latest ones.

Masks are small once packed, so that a history is as long as the user likes. Looks hold logits, a megabyte and more
each; an old one is let go, and found again by looking again, since a look is a pure function of the prompts.
"""

from __future__ import annotations

import zlib
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference_core.engine.composing import MaskPatch
from inference_core.engine.looking import Look
from inference_core.geometry.grid import Grid
from inference_core.prompts.prompt_set import PromptSet


@dataclass(frozen=True, eq=False)
class PackedMask:
    """A mask patch in a fraction of its size."""

    start: tuple[int, int, int]
    shape: tuple[int, int, int]
    bits: bytes

    @classmethod
    def of(cls, patch: MaskPatch) -> PackedMask:
        """Pack a patch."""
        i, j, k = patch.array.shape
        bits = np.packbits(patch.array.ravel(order="F"))
        return cls(patch.start, (i, j, k), zlib.compress(bits.tobytes(), level=1))

    def patch(self) -> MaskPatch:
        """The patch again."""
        bits = np.frombuffer(zlib.decompress(self.bits), dtype=np.uint8)
        voxels = np.unpackbits(bits, count=int(np.prod(self.shape))).view(np.bool_)
        return MaskPatch(self.start, voxels.reshape(self.shape, order="F"))


@dataclass(frozen=True, eq=False)
class Step:
    """One entry of the history: what was asked, the mask, and through which window and how well it was seen."""

    prompts: PromptSet
    mask: PackedMask
    window: Grid | None = None
    quality: float | None = None


class KeptLooks:
    """The looks that lists of prompts led to, in the order they were looked at; the least recently used go first.

    The newest is always kept, whatever its size.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self._kept: OrderedDict[PromptSet, Look] = OrderedDict()

    def get(self, prompts: PromptSet) -> Look | None:
        """The look that these prompts led to in this order, or None; asking makes it the most recent."""
        if prompts in self._kept:
            self._kept.move_to_end(prompts)
        return self._kept.get(prompts)

    def put(self, prompts: PromptSet, look: Look) -> None:
        """Keep a look, letting the oldest go until the bound holds."""
        self._kept[prompts] = look
        self._kept.move_to_end(prompts)
        while len(self._kept) > 1 and self.nbytes > self.limit_bytes:
            self._kept.popitem(last=False)

    @property
    def nbytes(self) -> int:
        """Memory of the logits; what looks share counts once."""
        return sum({id(array): array.nbytes for look in self._kept.values() for array in _arrays(look)}.values())

    def __len__(self) -> int:
        return len(self._kept)


def _arrays(look: Look) -> Iterator[NDArray[np.float32]]:
    for part in look:
        for layer in (*part.layers, *part.scales):
            yield layer.logits
