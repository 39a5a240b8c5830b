"""MA-SAM's patch embeddings: once for each slice of a volume, whichever stacks the slice is part of.

Legend: N slices of a stack, g the side of the token grid, C channels, X Y a slice's voxels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from inference_core.models.interface import Float32
from inference_core.models.ma_sam.network import MaSamNetwork
from inference_core.models.ma_sam.preprocess import GrayRule, network_slice


@dataclass(frozen=True, eq=False)
class SlicePatches:
    """A windowed slice's least and greatest value, and its patch embeddings (g * g, C) before any stretch or bias."""

    low: float
    high: float
    tokens: Tensor


class PatchEmbedder:
    """Patch embeddings of slices, and of stacks made of them.

    The stretch of a stack's gray values is a line, and so is the embedding: each slice is embedded once, whichever
    stacks it is part of. It is done on the CPU in double precision, so that no stretch, however steep, costs any.
    """

    def __init__(self, network: MaSamNetwork) -> None:
        self.size, self.side = network.sizes.image_size, network.sizes.patch_size
        with torch.no_grad():
            # The authors repeat gray slices to three channels.
            weights = network.image_encoder.patch_embed.proj.weight.double().sum(dim=1).flatten(1)
            self.weights, self.ones = weights.cpu(), weights.sum(dim=1).cpu()
            self.bias = torch.as_tensor(network.image_encoder.patch_embed.proj.bias).double().cpu()

    @torch.inference_mode()
    def of_slice(self, windowed: Float32) -> SlicePatches:
        """Embed one windowed slice (X, Y)."""
        pixels = network_slice(windowed, self.size)
        grid = self.size // self.side
        patches = torch.from_numpy(pixels).double().view(grid, self.side, grid, self.side).transpose(1, 2)
        tokens = patches.reshape(grid * grid, -1) @ self.weights.T
        return SlicePatches(float(pixels.min()), float(pixels.max()), tokens)

    @torch.inference_mode()
    def of_stack(self, slices: Sequence[SlicePatches], rule: GrayRule) -> Tensor:
        """The patch embeddings (N, g, g, C) of a stack, stretched to 0..1 as a whole, on the CPU."""
        low, high = min(part.low for part in slices), max(part.high for part in slices)
        gain, offset = rule.stretch_of(low, high)
        stretched = [(part.tokens * gain + (self.ones * offset + self.bias)).float() for part in slices]
        grid = self.size // self.side
        return torch.stack(stretched).view(len(slices), grid, grid, -1)
