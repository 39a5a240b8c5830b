"""The network of SAM-Med3D (arXiv:2310.15161), as its official weights were trained.

Its peculiarities are kept, since the weights depend on them; where they would pass for mistakes a comment says so.
Parameter names are those of the official checkpoints.

Legend: B prompt sets, N points, T tokens, C channels, D H W window voxels, g the side of the token grid (D/16),
d h w the mask's resolution (4g a side).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from inference_core.models.blocks.layers import ChannelNorm, HeadMlp, Mlp
from inference_core.models.blocks.sam_sizes import SIZE_ERRORS, common_sizes, count_numbered
from inference_core.models.blocks.two_way import TwoWayTransformer
from inference_core.models.sam_med3d.cube_attention import CubeAttention


@dataclass(frozen=True)
class SamMed3DConfig:
    """Sizes of the network; the defaults are the official ones (`vit_b_ori`)."""

    image_size: int = 128
    patch_size: int = 16
    width: int = 768
    depth: int = 12
    heads: int = 12
    window: int = 14
    global_blocks: tuple[int, ...] = (2, 5, 8, 11)
    prompt_width: int = 384
    mask_channels: int = 16
    point_kinds: int = 2
    decoder_depth: int = 2
    decoder_heads: int = 8
    decoder_hidden: int = 2048
    mask_tokens: int = 4
    quality_hidden: int = 256

    @property
    def grid(self) -> int:
        """Side of the token grid."""
        return self.image_size // self.patch_size

    @classmethod
    def of(cls, state: dict[str, Tensor]) -> SamMed3DConfig:
        """Read the sizes off a checkpoint's shapes; the official sizes where it does not look like this family.

        The number of the decoder's heads leaves no trace in the shapes and keeps its default.
        """
        try:
            return _read_config(state)
        except SIZE_ERRORS:
            # Loading names what is missing: strictly, and in terms of the official file.
            return cls()


class EncoderBlock(nn.Module):
    """A pre-norm transformer block over a token grid (B, g, g, g, C)."""

    def __init__(self, width: int, attention: nn.Module) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = attention
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = Mlp(width, 4 * width, nn.GELU())

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        y: Tensor = x + self.mlp(self.norm2(x))
        return y


class PatchEmbedding(nn.Module):
    """Cubes of voxels to tokens: (B, 1, D, H, W) to (B, g, g, g, C)."""

    def __init__(self, width: int, patch_size: int) -> None:
        super().__init__()
        self.proj = nn.Conv3d(1, width, patch_size, stride=patch_size)

    def forward(self, x: Tensor) -> Tensor:
        tokens: Tensor = self.proj(x)
        return tokens.movedim(1, -1)


class ImageEncoder3D(nn.Module):
    """(B, 1, D, H, W), normalized, to the image embedding (B, C, g, g, g).

    `attention` makes a block's attention; benchmarks exchange it for the plain form of the same function.
    """

    def __init__(self, config: SamMed3DConfig, attention: Callable[..., nn.Module] = CubeAttention) -> None:
        super().__init__()
        width, out, grid = config.width, config.prompt_width, config.grid
        self.patch_embed = PatchEmbedding(width, config.patch_size)
        self.pos_embed = nn.Parameter(torch.zeros(1, grid, grid, grid, width))
        sides = [grid if index in config.global_blocks else config.window for index in range(config.depth)]
        self.blocks = nn.ModuleList(
            [EncoderBlock(width, attention(width, heads=config.heads, side=side)) for side in sides]
        )
        self.neck = nn.Sequential(
            nn.Conv3d(width, out, 1, bias=False),
            ChannelNorm(out),
            nn.Conv3d(out, out, 3, padding=1, bias=False),
            ChannelNorm(out),
        )

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patch_embed(x) + self.pos_embed
        for block in self.blocks:
            tokens = block(tokens)
        embedding: Tensor = self.neck(tokens.movedim(-1, 1))
        return embedding


class RandomPositions(nn.Module):
    """Places in the unit cube as sines and cosines of random projections (Tancik et al. 2020)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("positional_encoding_gaussian_matrix", torch.randn(3, channels // 3))

    def forward(self, unit: Tensor) -> Tensor:
        """unit (..., 3) in 0..1 to (..., C)."""
        phase = 2 * math.pi * ((2 * unit - 1) @ self.get_buffer("positional_encoding_gaussian_matrix"))
        # The sine twice: three times C/3 channels fill C, and the official weights expect this third.
        return torch.cat([phase.sin(), phase.cos(), phase.sin()], dim=-1)


class PromptEncoder3D(nn.Module):
    """Points and an earlier mask to the sparse and dense embeddings that the decoder reads."""

    def __init__(self, config: SamMed3DConfig) -> None:
        super().__init__()
        width, hidden = config.prompt_width, config.mask_channels
        self.image_size, self.grid = config.image_size, config.grid
        self.pe_layer = RandomPositions(width)
        # Negative, positive; files of the CVPR 2025 branch carry two more, for box corners, which it never trained.
        self.point_embeddings = nn.ModuleList([nn.Embedding(1, width) for _ in range(config.point_kinds)])
        self.not_a_point_embed = nn.Embedding(1, width)
        self.no_mask_embed = nn.Embedding(1, width)
        self.mask_downscaling = nn.Sequential(
            nn.Conv3d(1, hidden // 4, 2, stride=2),
            ChannelNorm(hidden // 4),
            nn.GELU(),
            nn.Conv3d(hidden // 4, hidden, 2, stride=2),
            ChannelNorm(hidden),
            nn.GELU(),
            nn.Conv3d(hidden, width, 1),
        )

    def forward(self, points: Tensor | None, labels: Tensor | None, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """points (B, N, 3) in window voxels, labels (B, N) 1, 0 or -1 (none), mask logits (B, 1, d, h, w).

        Returns the sparse embeddings (B, N + 1, C), (B, 0, C) without points, and the dense ones (B, C, g, g, g).
        """
        sparse = self._embed_points(points, labels) if points is not None and labels is not None else None
        batch = len(sparse) if sparse is not None else 1 if mask is None else len(mask)
        if sparse is None:
            sparse = self.no_mask_embed.weight.new_zeros(batch, 0, self.no_mask_embed.embedding_dim)
        if mask is not None:
            return sparse, self.mask_downscaling(mask)
        return sparse, self.no_mask_embed.weight[:, :, None, None, None].expand(batch, -1, *[self.grid] * 3)

    def dense_pe(self) -> Tensor:
        """The positional encoding of the token grid, (1, C, g, g, g)."""
        centers = (torch.arange(self.grid, device=self.no_mask_embed.weight.device) + 0.5) / self.grid
        i, j, k = torch.meshgrid(centers, centers, centers, indexing="ij")
        # The first two axes are exchanged here and not for points: so the official weights were trained.
        encoded: Tensor = self.pe_layer(torch.stack([j, i, k], dim=-1))
        return encoded.movedim(-1, 0)[None]

    def _embed_points(self, points: Tensor, labels: Tensor) -> Tensor:
        labels = torch.cat([labels, labels.new_full((len(labels), 1), -1)], dim=1)[..., None]
        points = torch.cat([points + 0.5, points.new_zeros(len(points), 1, 3)], dim=1)
        encoded: Tensor = self.pe_layer(points / self.image_size)
        encoded = torch.where(labels == -1, self.not_a_point_embed.weight, encoded)
        for kind, embedding in enumerate(self.point_embeddings.parameters()):
            encoded = encoded + (labels == kind) * embedding
        return encoded


class MaskDecoder3D(nn.Module):
    """Image and prompt embeddings to mask logits (B, 4, d, h, w) and quality scores (B, 4).

    Only the first mask is trained: the official training never uses the three others or the quality head.
    """

    def __init__(self, config: SamMed3DConfig) -> None:
        super().__init__()
        width, masks = config.prompt_width, config.mask_tokens
        self.transformer = TwoWayTransformer(
            width, depth=config.decoder_depth, heads=config.decoder_heads, hidden=config.decoder_hidden
        )
        self.iou_token = nn.Embedding(1, width)
        self.mask_tokens = nn.Embedding(masks, width)
        self.output_upscaling = nn.Sequential(
            nn.ConvTranspose3d(width, width // 4, 2, stride=2),
            ChannelNorm(width // 4),
            nn.GELU(),
            nn.ConvTranspose3d(width // 4, width // 8, 2, stride=2),
            nn.GELU(),
        )
        self.output_hypernetworks_mlps = nn.ModuleList([HeadMlp(width, width, width // 8) for _ in range(masks)])
        self.iou_prediction_head = HeadMlp(width, config.quality_hidden, masks)

    def forward(self, image: Tensor, dense_pe: Tensor, *, sparse: Tensor, dense: Tensor) -> tuple[Tensor, Tensor]:
        """image and dense_pe (1, C, g, g, g), sparse (B, T, C), dense (B, C, g, g, g)."""
        own = torch.cat([self.iou_token.weight, self.mask_tokens.weight])
        tokens = torch.cat([own.expand(len(sparse), -1, -1), sparse], dim=1)
        source = (image + dense).expand(len(sparse), -1, -1, -1, -1)
        tokens, voxels = self.transformer(tokens, _flat(source), _flat(dense_pe))
        upscaled = self.output_upscaling(voxels.transpose(1, 2).reshape(source.shape))
        weights = torch.stack([head(tokens[:, 1 + n]) for n, head in enumerate(self.output_hypernetworks_mlps)], dim=1)
        return torch.einsum("bmc,bcdhw->bmdhw", weights, upscaled), self.iou_prediction_head(tokens[:, 0])


class SamMed3DNetwork(nn.Module):
    """The three parts under their official names."""

    def __init__(self, config: SamMed3DConfig) -> None:
        super().__init__()
        self.config = config
        self.image_encoder = ImageEncoder3D(config)
        self.prompt_encoder = PromptEncoder3D(config)
        self.mask_decoder = MaskDecoder3D(config)


def _flat(grid: Tensor) -> Tensor:
    """(B, C, g, g, g) to (B, g*g*g, C)."""
    return grid.flatten(2).transpose(1, 2)


def _read_config(state: dict[str, Tensor]) -> SamMed3DConfig:
    kinds = count_numbered(state, "prompt_encoder.point_embeddings.{}.weight")
    return SamMed3DConfig(**common_sizes(state, axes=3, table="rel_pos_d"), point_kinds=kinds)
