"""Self-attention in cubes of a 3D token grid, in every other block shifted, with relative positions (3DSAM-adapter).

The shifted form is defined as: roll the grid by half a cube, cut it, let no token see one that the roll brought from
the other end, roll back. That is the same as cutting the grid where it lies, half a cube later, with half cubes left
over at the ends: no roll, no mask, and less to attend to.

The bias of query (h, w, d) on key (x, y, z) is lr * q . (H[h - x] + W[w - y] + D[d - z]) with q unscaled: for each
query, one number for each x, each y and each z. Appended to the query, and their places (as ones and zeros) to the
key, they are part of the dot product, so that no matrix of biases is ever made.

Legend: G cubes, n tokens of one, A heads, c channels of a head, C all channels, h w d a token's place in its cube.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inference_core.models.blocks.layers import linear

Tables = tuple[Tensor, Tensor, Tensor]
Run = tuple[int, int, int]
Slab = tuple[Run, Run, Run]


class ShiftedCubeAttention(nn.Module):
    """Attention within each of a batch of cubes, none larger than `side`. `rows` is the length of the stored tables."""

    def __init__(self, channels: int, *, heads: int, side: int, rows: int) -> None:
        super().__init__()
        self.heads, self.side = heads, side
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)
        self.lr = nn.Parameter(torch.ones(()))
        self.rel_pos_h = nn.Parameter(torch.zeros(rows, channels // heads))
        self.rel_pos_w = nn.Parameter(torch.zeros(rows, channels // heads))
        self.rel_pos_d = nn.Parameter(torch.zeros(rows, channels // heads))

    def forward(self, x: Tensor, tables: Tables) -> Tensor:
        """x (..., h, w, d, C), already normalized, with what `tables` gave, to the same shape."""
        shape, extent = x.shape, x.shape[-4:-1]
        qkv = linear(x.reshape(-1, extent.numel(), x.shape[-1]), self.qkv)
        q, k, v = qkv.unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        places = torch.cat(_places(extent, like=x), dim=1)
        queries = torch.cat([q * q.shape[-1] ** -0.5, self.lr * _biases(q.unflatten(2, extent), tables)], dim=-1)
        keys = torch.cat([k, places.expand(*k.shape[:2], -1, -1)], dim=-1)
        # Values as wide as keys are what the fused kernels take; the zeros' answers are cut off again.
        values = F.pad(v, (0, places.shape[1]))
        attended = F.scaled_dot_product_attention(queries, keys, values, scale=1.0)[..., : v.shape[-1]]
        return linear(attended.transpose(1, 2).flatten(2), self.proj).reshape(shape)

    def tables(self) -> Tables:
        """The relative-position tables (side query places, side key places, c), made once for many cubes."""
        h, w, d = (relative_positions(table, self.side) for table in (self.rel_pos_h, self.rel_pos_w, self.rel_pos_d))
        return h, w, d


def relative_positions(table: Tensor, side: int) -> Tensor:
    """A stored table (rows, c), interpolated to 2 side - 1 rows, as R[query - key] (side, side, c)."""
    if len(table) != 2 * side - 1:
        table = F.interpolate(table.T[None], size=2 * side - 1, mode="linear", align_corners=False)[0].T
    place = torch.arange(side, device=table.device)
    return table[place[:, None] - place[None, :] + side - 1]


def add_in_cubes(x: Tensor, change: Callable[[Tensor], Tensor], *, side: int, shifted: bool, at_once: int) -> Tensor:
    """x + change(x), cube by cube; `change` maps (..., h, w, d, C) to the same shape.

    x is (1, H, W, D, C). Without gradients it is changed in place, about `at_once` tokens at a time.
    """
    y = x.clone() if torch.is_grad_enabled() else x
    for slab in _slabs(x.shape[1:4], side=side, shifted=shifted):
        given, taken = _cubes(x[0], slab), _cubes(y[0], slab)
        whole = torch.is_grad_enabled() or given.shape[:-1].numel() <= at_once
        for row in [()] if whole else product(range(given.shape[0]), range(given.shape[1])):
            taken[row].add_(change(given[row]))
    return y


def shifted_regions(size: int, side: int) -> Tensor:
    """Which end of the roll each token of a rolled grid came from, 0..26 as int8 (size, size, size)."""
    along = torch.zeros(size, dtype=torch.int8)
    along[size - side : size - side // 2], along[size - side // 2 :] = 1, 2
    return 9 * along[:, None, None] + 3 * along[None, :, None] + along


def shifted_mask(size: int, side: int) -> Tensor:
    """The constant that official files keep for a shifted block: True where a pair is blocked, (G, n, n) bool."""
    labels = _regions_by_cube(size, side)
    return labels[:, :, None] != labels[:, None, :]


def is_shifted_mask(packed: Tensor, size: int, side: int) -> bool:
    """Whether the bits of a mask (G, n, n / 8), as numpy.packbits packs them, are those of `shifted_mask`."""
    labels = _regions_by_cube(size, side)
    if packed.shape != (*labels.shape, -(-labels.shape[1] // 8)):
        return False
    cubes = zip(packed, labels, strict=True)
    return all(torch.equal(cube, packed_bits(of[:, None] != of[None, :])) for cube, of in cubes)


def packed_bits(found: Tensor) -> Tensor:
    """Bools (..., n) as bits (..., n / 8), uint8."""
    return torch.from_numpy(np.packbits(found.numpy(), axis=-1))


def _regions_by_cube(size: int, side: int) -> Tensor:
    """Which end of the roll each token of each cube came from, (G, n) int8."""
    count = size // side
    regions = shifted_regions(size, side).view(count, side, count, side, count, side)
    return regions.permute(0, 2, 4, 1, 3, 5).reshape(count**3, side**3)


def _slabs(shape: tuple[int, ...], *, side: int, shifted: bool) -> Iterator[Slab]:
    """The grid as boxes of equal cubes: for each of the three axes where it starts, a cube's side and how many."""
    h, w, d = (_runs(size, side, shifted=shifted) for size in shape)
    yield from product(h, w, d)


def _runs(size: int, side: int, *, shifted: bool) -> list[Run]:
    if not shifted:
        return [(0, side, size // side)]
    half = side // 2
    runs = [(0, half, 1), (half, side, size // side - 1), (size - half, half, 1)]
    return [run for run in runs if run[2] > 0]


def _cubes(x: Tensor, slab: Slab) -> Tensor:
    """A view of part of (H, W, D, C) as (cubes along H, along W, along D, h, w, d, C)."""
    (h0, h, nh), (w0, w, nw), (d0, d, nd) = slab
    part = x[h0 : h0 + h * nh, w0 : w0 + w * nw, d0 : d0 + d * nd]
    cubes: Tensor = part.unflatten(2, (nd, d)).unflatten(1, (nw, w)).unflatten(0, (nh, h)).permute(0, 2, 4, 1, 3, 5, 6)
    return cubes


def _places(extent: torch.Size, *, like: Tensor) -> list[Tensor]:
    """For each axis of a cube, where each of its tokens lies along it, as ones and zeros (n, size of the axis)."""
    count = extent.numel()
    grids = torch.meshgrid(*[torch.arange(size, device=like.device) for size in extent], indexing="ij")
    return [F.one_hot(grid.reshape(count), size).to(like.dtype) for grid, size in zip(grids, extent, strict=True)]


def _biases(q: Tensor, tables: Tables) -> Tensor:
    """q (G, A, h, w, d, c), unscaled, to its bias on every key's x, y and z (G, A, n, h + w + d)."""
    (h, w, d), (table_h, table_w, table_d) = q.shape[2:5], tables
    along_h = torch.einsum("gahwdc,hxc->gahwdx", q, table_h[:h, :h])
    along_w = torch.einsum("gahwdc,wyc->gahwdy", q, table_w[:w, :w])
    along_d = torch.einsum("gahwdc,dzc->gahwdz", q, table_d[:d, :d])
    return torch.cat([along_h, along_w, along_d], dim=-1).flatten(2, 4)
