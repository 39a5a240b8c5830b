"""SAM's image encoder: a plain vision transformer, most of whose blocks attend in windows (Kirillov et al. 2023).

Families that adapt it pass a block of their own; parameter names are those of the official checkpoints.

Legend: N images, g the side of the token grid, C channels.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inference_core.models.blocks.layers import ChannelNorm, Mlp, add_to
from inference_core.models.blocks.sam_attention import GridAttention
from inference_core.models.blocks.sam_sizes import SamSizes


class EncoderBlock(nn.Module):
    """A pre-norm transformer block over token grids (N, g, g, C).

    `window` is the side of the windows it attends in, None where it attends over the whole grid. `placed` says whether
    attention knows relative positions. `attention` makes it; benchmarks exchange it for the plain form of the same
    function.
    """

    def __init__(
        self, sizes: SamSizes, index: int, *, placed: bool = True, attention: type[GridAttention] = GridAttention
    ) -> None:
        super().__init__()
        self.window = None if index in sizes.global_blocks else sizes.window
        side = sizes.grid if self.window is None else self.window
        self.norm1 = nn.LayerNorm(sizes.width, eps=1e-6)
        self.attn = attention(sizes.width, heads=sizes.heads, side=side if placed else None)
        self.norm2 = nn.LayerNorm(sizes.width, eps=1e-6)
        self.mlp = Mlp(sizes.width, 4 * sizes.width, nn.GELU())

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attended(x)
        return add_to(x, self.mlp(self.norm2(x)))

    def attended(self, x: Tensor) -> Tensor:
        """Attention of the normalized tokens, without the residual; beyond the grid windows see zeros."""
        normed = self.norm1(x)
        y: Tensor = self.attn(normed) if self.window is None else self.attn.in_windows(normed, self.window)
        return y


class PatchEmbedding(nn.Module):
    """Squares of pixels to tokens: (N, 3, H, W) to (N, g, g, C)."""

    def __init__(self, width: int, patch_size: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, patch_size, stride=patch_size)

    def forward(self, x: Tensor) -> Tensor:
        tokens: Tensor = self.proj(x)
        # The layout in which every later layer reads them; without it all of those would copy.
        return tokens.movedim(1, -1).contiguous()


class ImageEncoder(nn.Module):
    """(N, 3, H, W), normalized and padded, to the image embedding (N, prompt width, g, g).

    `block` makes the transformer block of an index. The position table must be as large as the token grid; one of
    another size is resized when it is loaded (`resized_positions`).
    """

    def __init__(self, sizes: SamSizes, block: Callable[[SamSizes, int], nn.Module] = EncoderBlock) -> None:
        super().__init__()
        self.patch_embed = PatchEmbedding(sizes.width, sizes.patch_size)
        self.pos_embed = nn.Parameter(torch.zeros(1, sizes.grid, sizes.grid, sizes.width))
        self.blocks = nn.ModuleList([block(sizes, index) for index in range(sizes.depth)])
        self.neck = nn.Sequential(
            nn.Conv2d(sizes.width, sizes.prompt_width, 1, bias=False),
            ChannelNorm(sizes.prompt_width),
            nn.Conv2d(sizes.prompt_width, sizes.prompt_width, 3, padding=1, bias=False),
            ChannelNorm(sizes.prompt_width),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.from_tokens(self.patch_embed(x))

    def from_tokens(self, tokens: Tensor) -> Tensor:
        """Patch embeddings (N, g, g, C), without their positions, to the image embedding."""
        tokens = tokens + self.pos_embed
        for block in self.blocks:
            tokens = block(tokens)
        embedding: Tensor = self.neck(tokens.movedim(-1, 1))
        return embedding


def resized_positions(positions: Tensor, grid: int, *, mode: str) -> Tensor:
    """A position table (1, g, g, C) resized to another grid; `mode` is torch's "bilinear" or "bicubic".

    Half-pixel centers and no antialiasing, as the adaptations of SAM do it.
    """
    if positions.shape[1:3] == (grid, grid):
        return positions
    resized = F.interpolate(positions.movedim(-1, 1), size=(grid, grid), mode=mode, align_corners=False)
    return resized.movedim(1, -1)
