"""Convolutions of 3 x 3 x 3 with half the multiplications: Winograd's F(4, 3) along one axis (Lavin & Gray 2016).

Four neighboring outputs along an axis need twelve products; six are enough where inputs, kernels and outputs are
mixed before and after. Along one axis of three the mixing costs little. It loses less than a bit: on 256 channels of
unit normals the largest error was measured as 3.5e-6 instead of 2.2e-6.

Legend: C input and K output channels, H W D the axes, T tiles of four planes along H, M a tile's six mixed planes.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from inference_core.models.blocks.conv3d import convolve

_TILE, _MIXED = 4, 6
# Beside infinity; the usual 0, 1, -1, 2, -2 were measured to lose twice as much.
_POINTS = (0.0, 2 / 3, -2 / 3, 4 / 3, -4 / 3)
_TILES_AT_ONCE = 2
_PADDING = (1, 1, 1)


class WideConv3d(nn.Conv3d):
    """A 3 x 3 x 3 convolution of many channels without a bias; on a CPU it takes the way above where it can."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return wide_convolution(x, self.weight)


def wide_convolution(x: Tensor, weight: Tensor) -> Tensor:
    """Convolve (1, C, H, W, D) by (K, C, 3, 3, 3), zeros around it, to (1, K, H, W, D)."""
    suited = x.shape[2] % _TILE == 0 and len(x) == 1 and x.dtype == torch.float32
    if suited and x.device.type == "cpu" and torch.backends.mkldnn.is_available() and not torch.is_grad_enabled():
        return _by_tiles(x, weight)
    return convolve(x, weight, padding=_PADDING)


def _by_tiles(x: Tensor, weight: Tensor) -> Tensor:
    kernels = torch.einsum("mi,kcixy->mkcxy", weight.new_tensor(_powers(3)), weight)
    planes = F.pad(x[0].transpose(0, 1), (0, 0, 0, 0, 0, 0, 1, 1))
    y = x.new_empty(x.shape[2], len(weight), *x.shape[3:])
    # Room that is used again and again; memory that is new each time was measured to cost a fifth of the whole.
    inner, outer = (x.new_empty(_MIXED, _TILES_AT_ONCE, *part.shape[1:]) for part in (planes, y))
    for start in range(0, len(y), _TILE * _TILES_AT_ONCE):
        out = y[start : start + _TILE * _TILES_AT_ONCE]
        count = len(out) // _TILE
        _convolve_tiles(planes[start:], kernels, inner=inner[:, :count], outer=outer[:, :count], out=out)
    return y.transpose(0, 1)[None]


def _convolve_tiles(planes: Tensor, kernels: Tensor, *, inner: Tensor, outer: Tensor, out: Tensor) -> None:
    """Planes (from 4T + 2 on, C, W, D) by mixed kernels (M, K, C, 3, 3) to `out` (4T, K, W, D).

    `inner` (M, T, C, W, D) and `outer` (M, T, K, W, D) are room to work in.
    """
    to_mixed, from_mixed = planes.new_tensor(np.linalg.inv(_powers(_MIXED)).T), planes.new_tensor(_powers(_TILE).T)
    for t in range(inner.shape[1]):
        torch.mm(to_mixed, planes[_TILE * t : _TILE * t + _MIXED].flatten(1), out=inner[:, t].flatten(1))
    # Each mixed plane is a 2D convolution of its own, with the tiles as its batch. With the channels last in memory
    # oneDNN adds up each result in one long chain, which was measured to lose a digit.
    for given, kernel, taken in zip(inner, kernels, outer, strict=True):
        taken.copy_(torch.ops.aten.mkldnn_convolution(given, kernel, None, (1, 1), (1, 1), (1, 1), 1))
    for t in range(inner.shape[1]):
        torch.mm(from_mixed, outer[:, t].flatten(1), out=out[_TILE * t : _TILE * (t + 1)].flatten(1))


def _powers(count: int) -> NDArray[np.float64]:
    """What a polynomial of `count` coefficients is at the points, and at infinity, as a matrix (6, count)."""
    return np.vstack([np.power.outer(np.array(_POINTS), np.arange(count)), np.eye(count)[-1]])
