"""Self-attention over rectangular token grids with SAM's decomposed relative positions, whole or in windows.

    logit = q . k / sqrt(c) + q(a, b) . Rh[a, a'] + q(a, b) . Rw[b, b'],    q unscaled in the last two terms,

with tables shared by the heads (Li et al. 2022, MViTv2, as in Kirillov et al. 2023). The bias is never held for more
than a part of the queries at a time.

Legend: N images, G grids, A W rows and columns of a grid, n = A * W tokens in row-major order, C channels, c channels
of a head.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inference_core.models.blocks.layers import linear

# 2**19 to 2**22 were measured alike on a CPU; below and above it is slower.
_CPU_LOGITS = 1 << 20
_DEVICE_LOGITS = 1 << 27


class GridAttention(nn.Module):
    """Attention among all tokens of each grid, or of each window of it.

    `side` is the side of the grid that the tables are for; None leaves relative positions out. A grid of another shape
    is served by resampled tables.
    """

    def __init__(self, width: int, *, heads: int, side: int | None) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.placed = side is not None
        if side is not None:
            self.rel_pos_h = nn.Parameter(torch.zeros(2 * side - 1, width // heads))
            self.rel_pos_w = nn.Parameter(torch.zeros(2 * side - 1, width // heads))

    def forward(self, x: Tensor) -> Tensor:
        """x (G, A, W, C), already normalized, to the same shape; every grid is attended over as a whole."""
        return linear(self.attend(linear(x, self.qkv)), self.proj)

    def in_windows(self, x: Tensor, side: int, padding: Tensor | None = None) -> Tensor:
        """x (N, A, W, C), already normalized, to the same shape, each window of side x side tokens by itself.

        Windows reach beyond the grid's last rows and columns; the tokens there are zeros, or `padding` (C,), and take
        part as keys.
        """
        beyond = self.qkv.bias if padding is None else self.qkv(padding)
        return linear(self.attend_in_windows(linear(x, self.qkv), side, beyond), self.proj)

    def attend_in_windows(self, qkv: Tensor, side: int, beyond: Tensor) -> Tensor:
        """Queries, keys and values (N, A, W, 3C), those beyond the grid (3C,), to (N, A, W, C), before `proj`."""
        attended = qkv.new_empty(*qkv.shape[:3], qkv.shape[3] // 3)
        for rows, columns in product(_runs(qkv.shape[1], side), _runs(qkv.shape[2], side)):
            held = (min(rows.stop - rows.start, side), min(columns.stop - columns.start, side))
            windows = self.attend(cut_windows(qkv[:, rows, columns], side, beyond), held)
            attended[:, rows, columns] = joined_windows(windows, qkv[:, rows, columns].shape[1:3])
        return attended

    def attend(self, qkv: Tensor, held: tuple[int, int] | None = None) -> Tensor:
        """Queries, keys and values (G, A, W, 3C) to the heads' joined outputs (G, A, W, C), before `proj`.

        `held` asks for those of each grid's first rows and columns only.
        """
        shape = qkv.shape[1:3]
        rows, columns = held or shape
        parts = qkv.unflatten(3, (3, self.heads, -1))
        q = parts[:, :rows, :columns, 0].flatten(1, 2).transpose(1, 2)
        k, v = parts[..., 1:, :, :].flatten(1, 2).permute(2, 0, 3, 1, 4)
        if not self.placed:
            attended = F.scaled_dot_product_attention(q, k, v).transpose(1, 2)
        else:
            by_row, by_column = self.tables(*shape)
            attended = placed_attention(q, k, v, (by_row[:rows], by_column[:columns]))
        return attended.reshape(len(qkv), rows, columns, -1)

    def tables(self, rows: int, columns: int) -> tuple[Tensor, Tensor]:
        """The relative positions of a grid's rows (A, A, c) and columns (W, W, c), query first."""
        return relative_table(self.rel_pos_h, rows, rows), relative_table(self.rel_pos_w, columns, columns)


def placed_attention(q: Tensor, k: Tensor, v: Tensor, tables: tuple[Tensor, Tensor]) -> Tensor:
    """Attention of q (G, heads, m, c) to k and v (G, heads, n, c) with relative positions, to (G, m, heads, c).

    The tables are those of the queries' rows and columns. The bias is made a chunk at a time.
    """
    by_row, by_column = _bias_terms(q, tables)
    attended = q.new_empty(q.shape[0], q.shape[2], q.shape[1], q.shape[3])
    room = _room(q) // k.shape[2]
    if room < q.shape[2]:
        # What several chunks of queries read is worth to be laid out for it.
        k, v = k.contiguous(), v.contiguous()
    for grids, heads, queries in _chunks(q.shape[0], q.shape[1], q.shape[2], room=room):
        here = (grids, heads, queries)
        bias = (by_row[here][..., :, None] + by_column[here][..., None, :]).flatten(3)
        found = F.scaled_dot_product_attention(q[here], k[grids, heads], v[grids, heads], attn_mask=bias)
        attended[grids, queries, heads] = found.transpose(1, 2)
    return attended


def relative_table(stored: Tensor, queries: int, keys: int) -> Tensor:
    """The vectors for each pair of a query's and a key's place, (queries, keys, c), from a table (L, c) of offsets.

    A table of another length than 2 * max(queries, keys) - 1 is resampled linearly; places along the shorter of the
    two sides are spread over the longer one.
    """
    table = resized_table(stored, 2 * max(queries, keys) - 1)
    query_step, key_step = max(keys / queries, 1.0), max(queries / keys, 1.0)
    query = torch.arange(queries, device=stored.device)[:, None] * query_step
    key = torch.arange(keys, device=stored.device)[None, :] * key_step
    return table[(query - key + (keys - 1) * key_step).long()]


def resized_table(table: Tensor, length: int) -> Tensor:
    """A table (L, c) resampled linearly to `length` rows (half-pixel centers)."""
    if len(table) == length:
        return table
    return F.interpolate(table.T[None], size=length, mode="linear")[0].T


def cut_windows(x: Tensor, side: int, padding: Tensor | None = None) -> Tensor:
    """x (N, A, W, C) to windows (N * windows, side, side, C), the windows of an image in row-major order.

    What lies beyond the grid is zero, or the token `padding` (C,).
    """
    images, rows, columns, channels = x.shape
    down, across = -(-rows // side), -(-columns // side)
    windows = x.new_empty(images, down, across, side, side, channels)
    beyond = 0 if padding is None else padding
    for row, column in product(range(down), range(across)):
        window = windows[:, row, column]
        held = x[:, row * side : (row + 1) * side, column * side : (column + 1) * side]
        window[:, : held.shape[1], : held.shape[2]] = held
        window[:, held.shape[1] :] = beyond
        window[:, : held.shape[1], held.shape[2] :] = beyond
    return windows.flatten(0, 2)


def joined_windows(windows: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Windows of `cut_windows` back to a grid (N, A, W, C) of `shape` (A, W); what lies beyond it is dropped.

    Windows may also be given without what lies beyond the grid, if they all hold as much of it.
    """
    (high, wide), (rows, columns) = windows.shape[1:3], shape
    down, across = -(-rows // high), -(-columns // wide)
    whole = windows.reshape(-1, down, across, high, wide, windows.shape[-1]).transpose(2, 3)
    return whole.reshape(-1, down * high, across * wide, windows.shape[-1])[:, :rows, :columns]


def _runs(size: int, side: int) -> list[slice]:
    """The part of an axis that whole windows hold, and the part of the one that reaches beyond its end."""
    whole = size // side * side
    return [run for run in (slice(0, whole), slice(whole, size)) if run.stop > run.start]


def _bias_terms(q: Tensor, tables: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """The two terms of the bias, over a key's row (G, heads, m, A) and over its column (G, heads, m, W)."""
    grid = q.unflatten(2, (len(tables[0]), len(tables[1])))
    by_row = torch.einsum("ghabc,adc->ghabd", grid, tables[0])
    return by_row.flatten(2, 3), torch.einsum("ghabc,bdc->ghabd", grid, tables[1]).flatten(2, 3)


def _chunks(grids: int, heads: int, queries: int, *, room: int) -> Iterator[tuple[slice, slice, slice]]:
    """Slices of grids, heads and queries, of as many queries in all as there is room for, but of one at least."""
    at_once = (max(1, room // (heads * queries)), max(1, room // queries), max(1, room))
    steps = [range(0, size, step) for size, step in zip((grids, heads, queries), at_once, strict=True)]
    for starts in product(*steps):
        grid, head, query = (slice(start, start + step) for start, step in zip(starts, at_once, strict=True))
        yield grid, head, query


def _room(x: Tensor) -> int:
    """How many logits may be held at a time."""
    return _CPU_LOGITS if x.device.type == "cpu" else _DEVICE_LOGITS
