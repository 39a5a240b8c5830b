"""Prompts drawn as dense maps at half the window's resolution, for decoders that take them late.

Legend: B batch, N clicks (padded, label -1 is none), D H W window voxels, d h w half of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from inference_core.geometry.grid import Float
from inference_core.models.interface import Float32
from inference_core.models.sam3d_lite.geodesic import GEODESIC_CHANNELS, geodesic_maps
from inference_core.models.sam3d_lite.stroke_maps import draw_strokes, stroke_seeds
from inference_core.prompts.encoding import WindowPrompts
from inference_core.prompts.strokes import stroke_points

PROMPT_CHANNELS = 10 + GEODESIC_CHANNELS
_STAMP_VOXELS = 2.0
_REACH_VOXELS = 12.0


@dataclass(frozen=True, eq=False)
class DensePrompts:
    """points (B, N, 3) in window voxels; labels (B, N) 1, 0 or -1 (none); box (B, 1, d, h, w) 1 in, -1 out, 0 no box;

    box_center (B, 1, 3) where intensity is read when there is no positive click; prior (B, 1, d, h, w) bounded logits;
    strokes (B, STROKE_CHANNELS, d, h, w) of `stroke_maps`, None where there is none. The points that stand for a stroke
    are among `points`.
    """

    points: Tensor
    labels: Tensor
    box: Tensor
    box_center: Tensor
    prior: Tensor
    strokes: Tensor | None = None

    @classmethod
    def from_window(
        cls, prompts: WindowPrompts, prior: Float32 | None, *, shape: tuple[int, int, int], device: str
    ) -> DensePrompts:
        """Draw one window's prompts; `shape` is the window's."""
        half = tuple(n // 2 for n in shape)
        told, signs = _with_stroke_points(prompts)
        points = torch.from_numpy(told).float()[None].to(device)
        labels = torch.from_numpy(signs).long()[None].to(device)
        corners = torch.from_numpy(prompts.boxes).float().to(device)
        box, center = draw_boxes(corners, half)
        earlier = torch.zeros(1, 1, *half, device=device)
        if prior is not None:
            earlier = bounded_prior(torch.from_numpy(prior).to(device)[None, None])
        strokes = draw_strokes(prompts.strokes, half)[None].to(device) if prompts.strokes else None
        return cls(points, labels, box[None, None], center[None, None], earlier, strokes)


def _with_stroke_points(prompts: WindowPrompts) -> tuple[Float, NDArray[np.int64]]:
    """The clicks and the points that stand for the strokes (N, 3), and their labels (N,)."""
    told = [stroke_points(stroke.kind, stroke.points) for stroke in prompts.strokes]
    signs = [np.full(len(points), int(stroke.positive)) for points, stroke in zip(told, prompts.strokes, strict=True)]
    return np.concatenate([prompts.points, *told]), np.concatenate([prompts.labels, *signs])


def bounded_prior(logits: Tensor) -> Tensor:
    """Earlier logits (B, 1, D, H, W) as a map in -1..1 at half resolution."""
    return torch.tanh(F.avg_pool3d(logits, 2) / 4)


def cell_centers(half: tuple[int, ...], like: Tensor) -> Tensor:
    """Window coordinates of the half-resolution cells, (d, h, w, 3)."""
    return torch.stack(torch.meshgrid(*cell_axes(half, like), indexing="ij"), dim=-1)


def cell_axes(half: tuple[int, ...], like: Tensor) -> list[Tensor]:
    """Window coordinates of the half-resolution cells along each axis."""
    return [2 * torch.arange(n, device=like.device, dtype=like.dtype) + 0.5 for n in half]


def draw_boxes(corners: Tensor, half: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Oriented boxes (M, 8, 3), corner bit n along edge n, to a map (d, h, w) of 1 in and -1 out (0 when M is 0).

    Also the center of the last box (3,), the window's center when there is none.
    """
    if len(corners) == 0:
        return torch.zeros(half, device=corners.device), torch.tensor([n - 0.5 for n in half], device=corners.device)
    cells = cell_centers(half, corners)
    inside = torch.zeros(half, dtype=torch.bool, device=corners.device)
    for box in corners:
        edges = torch.stack([box[1] - box[0], box[2] - box[0], box[4] - box[0]], dim=1)
        local = (cells - box.mean(dim=0)) @ torch.linalg.inv(edges).T
        inside |= (local.abs() <= 0.5).all(dim=-1)
    return torch.where(inside, 1.0, -1.0), corners[-1].mean(dim=0)


def prompt_maps(image: Tensor, prompts: DensePrompts) -> Tensor:
    """All prompts as (B, PROMPT_CHANNELS, d, h, w); `image` (B, 2, D, H, W), its second channel the local contrast."""
    half = prompts.prior.shape[2:]
    local = F.avg_pool3d(image[:, 1:2], 2)
    near = [_distance_maps(prompts, half, label) for label in (1, 0)]
    alike = [
        _intensity_maps(local, prompts, distance, label) for (distance, _), label in zip(near, (1, 0), strict=True)
    ]
    stamps = [stamp for _, stamp in near]
    deviation = torch.cat([maps[:, :1] for maps in alike], dim=1)
    seeds = _clicked_cells(prompts, half)
    if prompts.strokes is not None:
        seeds = seeds | stroke_seeds(prompts.strokes)
    reach = geodesic_maps(local, deviation, seeds)
    return torch.cat([*stamps, *alike, prompts.box, prompts.prior, reach], dim=1)


def _clicked_cells(prompts: DensePrompts, half: torch.Size) -> Tensor:
    """The cells (B, 2, d, h, w) of the foreground and the background clicks; a box stands in for no foreground."""
    points, labels = _with_center(prompts)
    most = torch.tensor(half, device=points.device) - 1
    i, j, k = torch.minimum(((points - 0.5) / 2).round().long().clamp(min=0), most).unbind(dim=-1)
    seeds = torch.zeros(len(points), 3, *half, dtype=torch.bool, device=points.device)
    batch = torch.arange(len(points), device=points.device)[:, None].expand_as(labels)
    # A padded click (label -1) falls into the third map, which is left out.
    seeds[batch, torch.where(labels < 0, 2, 1 - labels), i, j, k] = True
    return seeds[:, :2]


def _with_center(prompts: DensePrompts) -> tuple[Tensor, Tensor]:
    """Points (B, N + 1, 3) and labels (B, N + 1) with the box's center as a foreground click where there is none."""
    missing = (prompts.labels == 1).sum(dim=1, keepdim=True) == 0
    points = torch.cat([prompts.points, prompts.box_center], dim=1)
    return points, torch.cat([prompts.labels, torch.where(missing, 1, -1)], dim=1)


def _distance_maps(prompts: DensePrompts, half: torch.Size, label: int) -> tuple[Tensor, Tensor]:
    """Distance to each click of one sign (B, N, d, h, w), and its maps (B, 2, d, h, w): stamp and long reach."""
    batch, count = prompts.labels.shape
    if count == 0:
        none = prompts.points.new_zeros(batch, 2, *half)
        return prompts.points.new_full((batch, 1, *half), torch.inf), none
    axes = cell_axes(tuple(half), prompts.points)
    squares = [(axis - prompts.points[:, :, n, None]).square() for n, axis in enumerate(axes)]
    distance = (squares[0][..., :, None, None] + squares[1][..., None, :, None] + squares[2][..., None, None, :]).sqrt()
    distance = distance.masked_fill((prompts.labels != label)[:, :, None, None, None], torch.inf)
    nearest = distance.min(dim=1, keepdim=True).values
    stamp = torch.exp(-0.5 * (nearest / _STAMP_VOXELS) ** 2)
    return distance, torch.cat([stamp, torch.exp(-nearest / _REACH_VOXELS)], dim=1)


def _intensity_maps(local: Tensor, prompts: DensePrompts, distance: Tensor, label: int) -> Tensor:
    """Difference of the local contrast from that at the nearest click of one sign, signed and as a likeness."""
    batch = len(local)
    if label == 1:
        # Without a positive click the box's center says what the target looks like.
        missing = (prompts.labels == 1).sum(dim=1) == 0
        points = torch.cat([prompts.points, prompts.box_center], dim=1)
        lone = torch.full_like(distance[:, :1], torch.inf).masked_fill(missing[:, None, None, None, None], 0.0)
        distance = torch.cat([distance[:, : prompts.points.shape[1]], lone], dim=1)
    elif prompts.points.shape[1] == 0:
        return local.new_zeros(batch, 2, *local.shape[2:])
    else:
        points = prompts.points
    levels = sample_at(local, points, stride=2)[:, 0]
    nearest, level = distance[:, :1], levels[:, :1, None, None, None].expand_as(distance[:, :1])
    for n in range(1, points.shape[1]):
        level = torch.where(distance[:, n : n + 1] < nearest, levels[:, n : n + 1, None, None, None], level)
        nearest = torch.minimum(nearest, distance[:, n : n + 1])
    present = torch.isfinite(nearest)
    signed = local - level
    likeness = torch.exp(-0.5 * (signed / 0.4) ** 2)
    return torch.cat([signed.clamp(-3, 3), likeness], dim=1) * present


def similarity_to_clicks(keys: Tensor, prompts: DensePrompts, *, stride: int) -> Tensor:
    """Best cosine likeness of each cell to the positive and to the negative clicks, (B, 2, ...); 0 where there is none.

    `keys` (B, C, ...) are unit vectors on a grid `stride` window voxels apart.
    """
    points, labels = _with_center(prompts)
    clicked = sample_at(keys, points, stride=stride)
    likeness = torch.einsum("bcn,bcv->bnv", clicked, keys.flatten(2))
    maps = []
    for label in (1, 0):
        chosen = likeness.masked_fill((labels != label)[:, :, None], -2.0).max(dim=1).values
        maps.append(chosen.masked_fill(chosen < -1.5, 0.0))
    return torch.stack(maps, dim=1).reshape(len(keys), 2, *keys.shape[2:])


def sample_at(grid: Tensor, points: Tensor, *, stride: int) -> Tensor:
    """Trilinear values (B, C, N) of a map (B, C, ...) at window coordinates (B, N, 3), edges clamped."""
    size = torch.tensor(grid.shape[2:], device=grid.device, dtype=points.dtype)
    unit = (2 * ((points + 0.5) / stride) / size - 1).flip(-1)
    values = F.grid_sample(
        grid.contiguous(),
        unit[:, :, None, None].to(grid.dtype),
        mode="bilinear",
        padding_mode="border",
        align_corners=False,
    )
    return values[:, :, :, 0, 0]
