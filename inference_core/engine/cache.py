"""Embeddings kept for the windows looked through lately, bounded in bytes."""

from __future__ import annotations

from collections import OrderedDict

from inference_core.geometry.grid import Grid
from inference_core.models.interface import Embedding


class EmbeddingCache:
    """Least recently used embeddings by window; one larger than the bound is handed out but not kept."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self._kept: OrderedDict[Grid, Embedding] = OrderedDict()

    def get(self, window: Grid) -> Embedding | None:
        """The embedding of a window, or None; asking makes it the most recent."""
        if window in self._kept:
            self._kept.move_to_end(window)
        return self._kept.get(window)

    def put(self, embedding: Embedding) -> None:
        """Keep an embedding, letting the oldest go until the bound holds."""
        self._kept[embedding.grid] = embedding
        self._kept.move_to_end(embedding.grid)
        while self._kept and self.nbytes > self.limit_bytes:
            self._kept.popitem(last=False)

    @property
    def nbytes(self) -> int:
        """Memory held by the kept embeddings."""
        return sum(embedding.nbytes for embedding in self._kept.values())

    def __len__(self) -> int:
        return len(self._kept)
