"""SAM's mask decoder for slices: tokens look at the image and turn into masks (Kirillov et al. 2023, section A).

Parameter names are those of the official checkpoints.

Legend: B answers, N images, T prompt tokens, M mask tokens, C channels, g the side of the token grid, h w the masks'
resolution (4g a side in SAM itself).
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from inference_core.models.blocks.layers import ChannelNorm, HeadMlp
from inference_core.models.blocks.sam_sizes import SamSizes
from inference_core.models.blocks.two_way import TwoWayBlock, TwoWayTransformer


class MaskDecoder(nn.Module):
    """Image and prompt embeddings to the logits of every mask token (B, M, h, w) and predicted IoUs (B, M).

    `block` is the two-way block that the transformer is made of.
    """

    def __init__(self, sizes: SamSizes, *, block: type[TwoWayBlock] = TwoWayBlock) -> None:
        super().__init__()
        width, masks = sizes.prompt_width, sizes.mask_tokens
        self.transformer = TwoWayTransformer(
            width, depth=sizes.decoder_depth, heads=sizes.decoder_heads, hidden=sizes.decoder_hidden, block=block
        )
        self.iou_token = nn.Embedding(1, width)
        self.mask_tokens = nn.Embedding(masks, width)
        self.output_upscaling = upscaling((width, *sizes.upscaled))
        self.output_hypernetworks_mlps = nn.ModuleList(
            [HeadMlp(width, width, sizes.upscaled[-1]) for _ in range(masks)]
        )
        self.iou_prediction_head = HeadMlp(width, sizes.quality_hidden, masks)

    def forward(self, image: Tensor, dense_pe: Tensor, *, sparse: Tensor, dense: Tensor) -> tuple[Tensor, Tensor]:
        """image (N, C, g, g), dense_pe (1, C, g, g), sparse (B, T, C), dense (B, C, g, g).

        One image meets all prompt sets, one prompt set all images; as many of both are paired.
        """
        batch = max(len(image), len(sparse))
        own = torch.cat([self.iou_token.weight, self.mask_tokens.weight])
        tokens = torch.cat([own.expand(batch, -1, -1), sparse.expand(batch, -1, -1)], dim=1)
        source = (image + dense).expand(batch, -1, -1, -1)
        tokens, pixels = self.transformer(tokens, _flat(source), _flat(dense_pe))
        upscaled = self.output_upscaling(pixels.transpose(1, 2).reshape(source.shape))
        weights = torch.stack([head(tokens[:, 1 + n]) for n, head in enumerate(self.output_hypernetworks_mlps)], dim=1)
        masks = (weights @ upscaled.flatten(2)).unflatten(2, upscaled.shape[2:])
        return masks, self.iou_prediction_head(tokens[:, 0])


def upscaling(channels: tuple[int, ...]) -> nn.Sequential:
    """Transposed convolutions that double the resolution once for each change of channels; all but the last normed."""
    layers: list[nn.Module] = []
    for stage, (inputs, outputs) in enumerate(pairwise(channels)):
        layers.append(nn.ConvTranspose2d(inputs, outputs, 2, stride=2))
        if stage < len(channels) - 2:
            layers.append(ChannelNorm(outputs))
        layers.append(nn.GELU())
    return nn.Sequential(*layers)


def _flat(grid: Tensor) -> Tensor:
    """(B, C, g, g) to (B, g * g, C)."""
    return grid.flatten(2).transpose(1, 2)
