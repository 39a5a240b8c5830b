"""Self-attention in cubes of a 3D token grid, with SAM-Med3D's relative-position bias, computed without the padding.

The official encoder cuts an 8x8x8 grid into 14x14x14 windows: it appends 2232 zero tokens to the 512 real ones, does
not mask them, and throws their outputs away. All of them share one key and one value (the biases of the qkv layer), so
here they are one extra key, whose logit is the log-sum-exp of theirs: the same result for a fraction of the work.

The bias meets the last key axis with all three tables. That is a slip of the original's broadcasting, not of ours, and
the official weights were trained with it: for query (d, h, w) and key (x, y, z), with q unscaled,

    bias = q(d, h, w) . D[d, z] + q(d, h, x) . H[h, z] + q(d, h, y) . W[y, z]

Legend: B batch, n the cube's side, A = B * heads, c channels of a head, d h w a query's place in the cube, x y z a
key's.
"""

from __future__ import annotations

from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class CubeAttention(nn.Module):
    """Attention over cubes of `side` tokens of a grid (B, D, H, W, C); the grid is zero-padded at its ends to fit."""

    def __init__(self, channels: int, *, heads: int, side: int) -> None:
        super().__init__()
        self.heads, self.side = heads, side
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)
        self.rel_pos_d = nn.Parameter(torch.zeros(2 * side - 1, channels // heads))
        self.rel_pos_h = nn.Parameter(torch.zeros(2 * side - 1, channels // heads))
        self.rel_pos_w = nn.Parameter(torch.zeros(2 * side - 1, channels // heads))

    def forward(self, x: Tensor) -> Tensor:
        """x (B, D, H, W, C), already normalized, to the same shape."""
        qkv = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(4, 0, 5, 1, 2, 3, 6).flatten(1, 2)
        attended = torch.empty_like(qkv[0])
        for starts in product(*[range(0, size, self.side) for size in x.shape[1:4]]):
            cube = (slice(None), *[slice(start, start + self.side) for start in starts])
            attended[cube] = self._attend(*qkv[(slice(None), *cube)])
        y: Tensor = self.proj(attended.unflatten(0, (-1, self.heads)).movedim(1, -2).flatten(-2))
        return y

    def tables(self) -> tuple[Tensor, Tensor, Tensor]:
        """The three relative-position tables, each (n query places, n key places, c)."""
        place = torch.arange(self.side, device=self.rel_pos_d.device)
        offset = place[:, None] - place[None, :] + self.side - 1
        return self.rel_pos_d[offset], self.rel_pos_h[offset], self.rel_pos_w[offset]

    def _attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """The real tokens (A, d, h, w, c) of one cube, in the company of its padding."""
        shape, (depth, height, width) = q.shape, q.shape[1:4]
        own, across, down = self._bias_terms(q)
        bias = own[..., None, None, :width] + across[:, :, :, None, :depth, None, :width]
        bias = bias + down[:, :, :, None, None, :height, :width]
        bias = bias.reshape(len(q), depth * height * width, -1)
        q, k, v = q.flatten(1, 3), k.flatten(1, 3), v.flatten(1, 3)
        if min(shape[1:4]) < self.side:
            extra = _padding_logit(own, across, down, shape=(depth, height, width)).flatten(1)
            bias = torch.cat([bias, extra[..., None]], dim=2)
            k, v = (torch.cat([real, pad], dim=1) for real, pad in zip((k, v), self._padding_token(q)[1:], strict=True))
        return F.scaled_dot_product_attention(q, k, v, attn_mask=bias).reshape(shape)

    def _bias_terms(self, q: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The three terms (A, d, h, ., z): over the query's w, the key's x and the key's y, padding included."""
        table_d, table_h, table_w = self.tables()
        row = q
        if q.shape[3] < self.side:
            padded = self._padding_token(q)[0][:, None, None].expand(*q.shape[:3], self.side - q.shape[3], -1)
            row = torch.cat([q, padded], dim=3)
        own = torch.einsum("adhwc,dzc->adhwz", q, table_d[: q.shape[1]])
        across = torch.einsum("adhxc,hzc->adhxz", row, table_h[: q.shape[2]])
        return own, across, torch.einsum("adhyc,yzc->adhyz", row, table_w)

    def _padding_token(self, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Query, key and value (A, 1, c) of a token that is all zeros before the qkv layer."""
        assert self.qkv.bias is not None
        parts = self.qkv.bias.to(like.dtype).reshape(3, 1, self.heads, 1, -1)
        q, k, v = parts.expand(-1, len(like) // self.heads, -1, -1, -1).flatten(1, 2)
        return q, k, v


def _padding_logit(own: Tensor, across: Tensor, down: Tensor, *, shape: tuple[int, int, int]) -> Tensor:
    """Log-sum-exp of the bias over all padding keys, (A, d, h, w).

    At one z the keys (x, y) are a product of sums: all of them beyond the real z, and all but real-by-real before it.
    """
    depth, height, width = shape
    parts = []
    if width < own.shape[-1]:
        parts.append((across.logsumexp(dim=3) + down.logsumexp(dim=3))[..., width:])
    if depth < own.shape[-1] or height < own.shape[-1]:
        across, down = across[..., :width], down[..., :width]
        beyond_x = across[:, :, :, depth:].logsumexp(dim=3) + down.logsumexp(dim=3)
        beyond_y = across[:, :, :, :depth].logsumexp(dim=3) + down[:, :, :, height:].logsumexp(dim=3)
        parts.insert(0, torch.logaddexp(beyond_x, beyond_y))
        return (own + torch.cat(parts, dim=-1)[:, :, :, None]).logsumexp(dim=-1)
    return (own[..., width:] + parts[0][:, :, :, None]).logsumexp(dim=-1)
