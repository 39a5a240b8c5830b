"""SAM's prompt encoder for slices: points, boxes and an earlier mask (Kirillov et al. 2023, section A).

Parameter names are those of the official checkpoints.

Legend: B prompt sets, N points, C channels, g the side of the token grid; x runs along an image's columns, y its rows.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from inference_core.models.blocks.layers import ChannelNorm
from inference_core.models.blocks.sam_sizes import SamSizes

_BACKGROUND, _FOREGROUND, _FIRST_CORNER, _LAST_CORNER = range(4)
_NO_POINT = -1


class RandomPositions(nn.Module):
    """Places in the unit square as sines and cosines of random projections (Tancik et al. 2020)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("positional_encoding_gaussian_matrix", torch.randn(2, channels // 2))

    def forward(self, unit: Tensor) -> Tensor:
        """unit (..., 2), x then y in 0..1, to (..., C)."""
        phase = 2 * math.pi * ((2 * unit - 1) @ self.get_buffer("positional_encoding_gaussian_matrix"))
        return torch.cat([phase.sin(), phase.cos()], dim=-1)


class PromptEncoder(nn.Module):
    """Points, boxes and mask logits to the sparse and dense embeddings that the decoder reads."""

    def __init__(self, sizes: SamSizes) -> None:
        super().__init__()
        width, hidden = sizes.prompt_width, sizes.mask_channels
        self.image_size, self.grid = sizes.image_size, sizes.grid
        self.pe_layer = RandomPositions(width)
        self.point_embeddings = nn.ModuleList([nn.Embedding(1, width) for _ in range(4)])
        self.not_a_point_embed = nn.Embedding(1, width)
        self.no_mask_embed = nn.Embedding(1, width)
        self.mask_downscaling = nn.Sequential(
            nn.Conv2d(1, hidden // 4, 2, stride=2),
            ChannelNorm(hidden // 4),
            nn.GELU(),
            nn.Conv2d(hidden // 4, hidden, 2, stride=2),
            ChannelNorm(hidden),
            nn.GELU(),
            nn.Conv2d(hidden, width, 1),
        )

    def forward(
        self,
        points: tuple[Tensor, Tensor] | None = None,
        boxes: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Embed the prompts of B sets.

        points: (x, y) pixels of the network's input (B, N, 2) and labels (B, N) 1, 0 or -1 (none). boxes (B, 4) as
        x0, y0, x1, y1 in the same pixels. mask: logits of an earlier answer (B, 1, 4g, 4g).

        Returns the sparse embeddings (B, tokens, C), without tokens where there is neither point nor box, and the dense
        ones (B, C, g, g); B is 1 where there is no prompt at all.
        """
        batch = next((len(given) for given in (points and points[0], boxes, mask) if given is not None), 1)
        sparse = [self.no_mask_embed.weight.new_zeros(batch, 0, self.no_mask_embed.embedding_dim)]
        if points is not None:
            sparse.append(self._embed_points(*points, padded=boxes is None))
        if boxes is not None:
            sparse.append(self._embed_boxes(boxes))
        dense = self.mask_downscaling(mask) if mask is not None else self._without_mask(batch)
        return torch.cat(sparse, dim=1), dense

    def dense_pe(self) -> Tensor:
        """The positional encoding of the token grid, (1, C, g, g)."""
        centers = (torch.arange(self.grid, device=self.no_mask_embed.weight.device) + 0.5) / self.grid
        y, x = torch.meshgrid(centers, centers, indexing="ij")
        encoded: Tensor = self.pe_layer(torch.stack([x, y], dim=-1))
        return encoded.movedim(-1, 0)[None]

    def _without_mask(self, batch: int) -> Tensor:
        return self.no_mask_embed.weight[:, :, None, None].expand(batch, -1, self.grid, self.grid)

    def _embed_points(self, points: Tensor, labels: Tensor, *, padded: bool) -> Tensor:
        """Points without a box are followed by one that is none, as in training."""
        places, labels = points + 0.5, labels[..., None]
        if padded:
            places = torch.cat([places, places.new_zeros(len(places), 1, 2)], dim=1)
            labels = torch.cat([labels, labels.new_full((len(labels), 1, 1), _NO_POINT)], dim=1)
        encoded: Tensor = self.pe_layer(places / self.image_size)
        encoded = torch.where(labels == _NO_POINT, self.not_a_point_embed.weight, encoded)
        embeddings = list(self.point_embeddings.parameters())
        for kind in (_BACKGROUND, _FOREGROUND):
            encoded = encoded + (labels == kind) * embeddings[kind]
        return encoded

    def _embed_boxes(self, boxes: Tensor) -> Tensor:
        encoded: Tensor = self.pe_layer((boxes.reshape(-1, 2, 2) + 0.5) / self.image_size)
        embeddings = list(self.point_embeddings.parameters())
        return encoded + torch.cat([embeddings[_FIRST_CORNER], embeddings[_LAST_CORNER]])
