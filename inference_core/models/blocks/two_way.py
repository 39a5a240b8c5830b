"""SAM's two-way transformer: prompt tokens and image voxels attend to each other (Kirillov et al. 2023, section A).

Legend: B prompt sets, T tokens, N image voxels in C order, C channels. Works for 2D and 3D, which differ only in N.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from inference_core.models.blocks.layers import Mlp


class ProjectedAttention(nn.Module):
    """Multi-head attention whose queries, keys and values are projected apart, to an internal width."""

    def __init__(self, channels: int, internal: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj = nn.Linear(channels, internal)
        self.k_proj = nn.Linear(channels, internal)
        self.v_proj = nn.Linear(channels, internal)
        self.out_proj = nn.Linear(internal, channels)

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """q (B, T, C), k and v (B, N, C) to (B, T, C)."""
        q, k, v = self._split(self.q_proj(q)), self._split(self.k_proj(k)), self._split(self.v_proj(v))
        y: Tensor = self.out_proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return y

    def _split(self, x: Tensor) -> Tensor:
        return x.reshape(*x.shape[:2], self.heads, -1).transpose(1, 2)


class TwoWayBlock(nn.Module):
    """Tokens attend to themselves and to the image, then the image attends to the tokens."""

    def __init__(self, channels: int, *, heads: int, hidden: int, first: bool) -> None:
        super().__init__()
        self.first = first
        self.self_attn = ProjectedAttention(channels, channels, heads)
        self.norm1 = nn.LayerNorm(channels)
        self.cross_attn_token_to_image = ProjectedAttention(channels, channels // 2, heads)
        self.norm2 = nn.LayerNorm(channels)
        self.mlp = Mlp(channels, hidden, nn.ReLU())
        self.norm3 = nn.LayerNorm(channels)
        self.norm4 = nn.LayerNorm(channels)
        self.cross_attn_image_to_token = ProjectedAttention(channels, channels // 2, heads)

    def forward(self, tokens: Tensor, image: Tensor, *, token_pe: Tensor, image_pe: Tensor) -> tuple[Tensor, Tensor]:
        """tokens (B, T, C), image (B, N, C) and their positional encodings; both are returned updated."""
        tokens = self.norm1(self.self_attended(tokens, token_pe))
        located = image + image_pe
        tokens = self.norm2(tokens + self.cross_attn_token_to_image(tokens + token_pe, located, image))
        tokens = self.norm3(tokens + self.mlp(tokens))
        return tokens, self.norm4(image + self.cross_attn_image_to_token(located, tokens + token_pe, tokens))

    def self_attended(self, tokens: Tensor, token_pe: Tensor) -> Tensor:
        """The tokens after attending to themselves, before `norm1`.

        In the first block they are still their own encoding: attention replaces them, without a residual.
        """
        if self.first:
            replaced: Tensor = self.self_attn(tokens, tokens, tokens)
            return replaced
        placed = tokens + token_pe
        attended: Tensor = self.self_attn(placed, placed, tokens)
        return tokens + attended


class ResidualTwoWayBlock(TwoWayBlock):
    """The two-way block of EfficientSAM, which Medical SAM Adapter took over: a residual in the first block too,

    and in the others the encoding is added to the tokens for good.
    """

    def self_attended(self, tokens: Tensor, token_pe: Tensor) -> Tensor:
        """The tokens after attending to themselves, before `norm1`."""
        placed = tokens if self.first else tokens + token_pe
        attended: Tensor = self.self_attn(placed, placed, placed)
        return placed + attended


class TwoWayTransformer(nn.Module):
    """A stack of two-way blocks, each a `block`, and a last look of the tokens at the image."""

    def __init__(
        self, channels: int, *, depth: int, heads: int, hidden: int, block: type[TwoWayBlock] = TwoWayBlock
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            [block(channels, heads=heads, hidden=hidden, first=index == 0) for index in range(depth)]
        )
        self.final_attn_token_to_image = ProjectedAttention(channels, channels // 2, heads)
        self.norm_final_attn = nn.LayerNorm(channels)

    def forward(self, tokens: Tensor, image: Tensor, image_pe: Tensor) -> tuple[Tensor, Tensor]:
        """tokens (B, T, C), which are also their own positional encoding; image (B, N, C) and its encoding."""
        token_pe = tokens
        for layer in self.layers:
            tokens, image = layer(tokens, image, token_pe=token_pe, image_pe=image_pe)
        looked = self.final_attn_token_to_image(tokens + token_pe, image + image_pe, image)
        return self.norm_final_attn(tokens + looked), image
