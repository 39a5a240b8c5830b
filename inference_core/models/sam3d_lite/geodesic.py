"""How easily the clicks reach each voxel through the image: distances along paths, not through the air.

A network of few layers sees that two voxels look alike, not whether a path of such voxels joins them. Growing from
seeds knows that and little else, so its evidence is given to the network as maps (geodesic prompt maps: Wang et al.
2018, DeepIGeoS, section 3.2).

Legend: B batch, d h w cells at half the window's resolution.
"""

from __future__ import annotations

import torch
from torch import Tensor

GEODESIC_CHANNELS = 6
_ROUNDS = 3
_STEP = 0.05
_CONTRAST = 0.5
_FALL = 2.0
_FAR = 40.0


def geodesic_maps(local: Tensor, deviation: Tensor, seeds: Tensor) -> Tensor:
    """Maps (B, GEODESIC_CHANNELS, d, h, w) of how easily the foreground and the background clicks reach each cell.

    `local` (B, 1, d, h, w) is the image in standard deviations; `deviation` (B, 2, d, h, w) its difference from the
    level at the nearest click of either sign, and `seeds` (B, 2, d, h, w) the cells of the clicks. Two kinds of path
    are measured: across as few edges, and through as few voxels unlike the click, as can be. Four maps fall from 1 at
    the clicks to 0; the last two say, for each kind, which sign reaches a cell first, from -1 to 1.
    """
    with torch.no_grad():
        through = _STEP + _CONTRAST * deviation.abs()
        of_signs = zip(through.split(1, dim=1), seeds.split(1, dim=1), strict=True)
        positive, negative = (_sign_distances(local, *of_sign) for of_sign in of_signs)
        distance = torch.stack([positive, negative], dim=2).flatten(1, 2)
        both = seeds.flatten(2).any(dim=2).all(dim=1)[:, None, None, None, None]
        first = (negative - positive) / (negative + positive + _STEP)
        return torch.cat([torch.exp(-distance / _FALL), first * both], dim=1)


def _sign_distances(local: Tensor, through: Tensor, seeds: Tensor) -> Tensor:
    """Distances (B, 2, d, h, w) from the clicks of one sign, by edges crossed and by voxels unlike the click."""
    start = torch.where(seeds, 0.0, _FAR).to(local).expand(-1, 2, -1, -1, -1)
    if not seeds.any():
        return start
    edges = torch.cat([local, torch.zeros_like(local)], dim=1)
    entering = torch.cat([torch.full_like(through, _STEP), through], dim=1)
    return _shortest(start, edges, entering)


def _shortest(distance: Tensor, edges: Tensor, entering: Tensor) -> Tensor:
    """Shortest path lengths (B, C, d, h, w) between face neighbors, by sweeps along each axis there and back.

    A step costs half of `entering` at either end, and the contrast of `edges` between them.
    """
    lengths = {axis: _lengths(edges, entering, axis) for axis in (2, 3, 4)}
    for _ in range(_ROUNDS):
        for axis, length in lengths.items():
            distance = _swept(distance, length, axis)
    return distance


def _lengths(edges: Tensor, entering: Tensor, axis: int) -> Tensor:
    """The length of the straight path along one axis from the image's face to each cell."""
    steps = 0.5 * (entering.narrow(axis, 1, entering.shape[axis] - 1) + _but_last(entering, axis))
    steps = steps + _CONTRAST * edges.diff(dim=axis).abs()
    return torch.cumsum(torch.cat([torch.zeros_like(entering.narrow(axis, 0, 1)), steps], dim=axis), dim=axis)


def _swept(distance: Tensor, length: Tensor, axis: int) -> Tensor:
    """The least of each cell and of those before and after it along one axis, plus the path between.

    min over j <= i of (d_j + l_i - l_j) is a running minimum of d minus l, plus l.
    """
    ahead = torch.cummin(distance - length, dim=axis).values + length
    back = torch.cummin((distance + length).flip(axis), dim=axis).values.flip(axis) - length
    return torch.minimum(ahead, back).clamp(min=0.0)


def _but_last(x: Tensor, axis: int) -> Tensor:
    return x.narrow(axis, 0, x.shape[axis] - 1)
