"""Self-attention over rectangular token grids with SAM's decomposed relative positions, whole or in windows.

    logit = q . k / sqrt(c) + q(a, b) . Rh[a, a'] + q(a, b) . Rw[b, b'],    q unscaled in the last two terms,

with tables shared by the heads (Li et al. 2022, MViTv2, as in Kirillov et al. 2023). The bias is never held for more
than a part of the queries at a time.

Legend: N images, G grids, A W rows and columns of a grid, n = A * W tokens in row-major order, C channels, c channels
of a head.
"""

from __future__ import annotations

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
        """x (G, A, W, C), already normalised, to the same shape; every grid is attended over as a whole."""
        return linear(self.attend(linear(x, self.qkv)), self.proj)

    def in_windows(self, x: Tensor, side: int, padding: Tensor | None = None) -> Tensor:
        """x (N, A, W, C), already normalised, to the same shape, each window of side x side tokens by itself.

        Windows reach beyond the grid's last rows and columns; the tokens there are zeros, or `padding` (C,), and take
        part as keys.
        """
        beyond = self.qkv.bias if padding is None else self.qkv(padding)
        windows = self.attend(cut_windows(linear(x, self.qkv), side, beyond))
        return linear(joined_windows(windows, x.shape[1:3]), self.proj)

    def attend(self, qkv: Tensor) -> Tensor:
        """Queries, keys and values (G, A, W, 3C) to the heads' joined outputs (G, A, W, C), before `proj`."""
        grids, rows, columns, _ = qkv.shape
        parts = qkv.reshape(grids, rows * columns, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        if not self.placed:
            # Without a bias nothing needs to be copied first.
            plain: Tensor = F.scaled_dot_product_attention(*parts)
            return plain.transpose(1, 2).reshape(grids, rows, columns, -1)
        q, k, v = parts.flatten(1, 2).contiguous()
        attended: Tensor = placed_attention(q, k, v, self.tables(rows, columns)).unflatten(0, (grids, self.heads))
        return attended.transpose(1, 2).reshape(grids, rows, columns, -1)

    def tables(self, rows: int, columns: int) -> tuple[Tensor, Tensor]:
        """The relative positions of a grid's rows (A, A, c) and columns (W, W, c), query first."""
        return relative_table(self.rel_pos_h, rows, rows), relative_table(self.rel_pos_w, columns, columns)


def placed_attention(q: Tensor, k: Tensor, v: Tensor, tables: tuple[Tensor, Tensor]) -> Tensor:
    """Attention of q, k and v (G * heads, n, c) with relative positions; the bias is made a chunk at a time."""
    by_row, by_column = _bias_terms(q, tables)
    items, rows = _chunk(q)
    attended = torch.empty_like(q)
    for first in range(0, len(q), items):
        some = slice(first, first + items)
        for start in range(0, q.shape[1], rows):
            here = (some, slice(start, start + rows))
            bias = (by_row[here][..., :, None] + by_column[here][..., None, :]).flatten(2)
            attended[here] = _attention(q[here], k[some], v[some], bias)
    return attended


def _attention(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
    """Attention with four axes, without which PyTorch does not use its fused kernels."""
    return F.scaled_dot_product_attention(q[None], k[None], v[None], attn_mask=bias[None])[0]


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
    """A table (L, c) resampled linearly to `length` rows (half-pixel centres)."""
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
    """Windows of `cut_windows` back to a grid (N, A, W, C) of `shape` (A, W); what lies beyond it is dropped."""
    side, (rows, columns) = windows.shape[1], shape
    down, across = -(-rows // side), -(-columns // side)
    whole = windows.reshape(-1, down, across, side, side, windows.shape[-1]).transpose(2, 3)
    return whole.reshape(-1, down * side, across * side, windows.shape[-1])[:, :rows, :columns]


def _bias_terms(q: Tensor, tables: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """The two terms of the bias, over a key's row (G * heads, n, A) and over its column (G * heads, n, W)."""
    grid = q.unflatten(1, (len(tables[0]), len(tables[1])))
    by_row = torch.einsum("gabc,adc->gabd", grid, tables[0])
    return by_row.flatten(1, 2), torch.einsum("gabc,bdc->gabd", grid, tables[1]).flatten(1, 2)


def _chunk(q: Tensor) -> tuple[int, int]:
    """How many grids, and how many queries of each, fit into the room for logits."""
    room, tokens = _CPU_LOGITS if q.device.type == "cpu" else _DEVICE_LOGITS, q.shape[1]
    return max(1, room // tokens**2), max(1, min(tokens, room // tokens))
