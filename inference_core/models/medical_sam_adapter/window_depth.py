"""Attention between the tokens at one place of all windows of some slices, none computed beyond the grid.

In the published network windows reach beyond the grid, and the tokens there take part. All of them have one key and
one value, so that they are one key here, whose logit is greater by the logarithm of their number; their own outputs,
which are dropped, are not computed.

Legend: N slices, g the side of the token grid, C channels, a b a window's row and column among those of a slice, r c a
place's row and column in its window, K keys.
"""

from __future__ import annotations

import math
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor


def attended_between_windows(qkv: Tensor, *, slices: int, side: int, heads: int, beyond: Tensor) -> Tensor:
    """Queries, keys and values (N, g, g, 3C) to what each token attends to, (N, g, g, C).

    The tokens at one place of all windows of `slices` consecutive slices attend to each other; `beyond` (3C,) are the
    query, key and value beyond the grid.
    """
    attended = qkv.new_empty(*qkv.shape[:3], qkv.shape[3] // 3)
    whole = slices * -(-qkv.shape[1] // side) * -(-qkv.shape[2] // side)
    for (down, rows), (across, columns) in product(_held(qkv.shape[1], side), _held(qkv.shape[2], side)):
        parts = [
            (
                slice(a * side + rows.start, a * side + rows.stop),
                slice(b * side + columns.start, b * side + columns.stop),
            )
            for a, b in product(range(down), range(across))
        ]
        # (N, ab, r, c, 3C) to (groups, r, c, slices and windows, 3C)
        tokens = torch.stack([qkv[:, at_rows, at_columns] for at_rows, at_columns in parts], dim=1)
        groups = tokens.unflatten(0, (-1, slices)).flatten(1, 2).permute(0, 2, 3, 1, 4)
        found = _attended(groups.flatten(0, 2), heads, beyond, absent=whole - slices * len(parts))
        found = found.unflatten(0, groups.shape[:3]).permute(0, 3, 1, 2, 4).unflatten(1, (slices, -1)).flatten(0, 1)
        for n, (at_rows, at_columns) in enumerate(parts):
            attended[:, at_rows, at_columns] = found[:, n]
    return attended


def _attended(tokens: Tensor, heads: int, beyond: Tensor, *, absent: int) -> Tensor:
    """Tokens (P, K, 3C) that attend to each other and to so many absent ones, to (P, K, C)."""
    q, k, v = tokens.unflatten(2, (3, heads, -1)).permute(2, 0, 3, 1, 4)
    if not absent:
        return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
    _, key, value = beyond.to(tokens.dtype).view(3, 1, heads, 1, -1).expand(-1, len(tokens), -1, -1, -1)
    bias = q.new_zeros(1, 1, 1, k.shape[2] + 1)
    bias[..., -1] = math.log(absent)
    keys, values = torch.cat([k, key], dim=2), torch.cat([v, value], dim=2)
    return F.scaled_dot_product_attention(q, keys, values, attn_mask=bias).transpose(1, 2).flatten(2)


def _held(size: int, side: int) -> list[tuple[int, slice]]:
    """Along an axis of the grid: by how many windows, from the first on, which places in a window are held."""
    windows = -(-size // side)
    last = size - (windows - 1) * side
    runs = [(windows, slice(0, last)), (windows - 1, slice(last, side))]
    return [(count, places) for count, places in runs if count and places.stop > places.start]
