"""Small layers that the SAM families share; parameter names are those of their official checkpoints.

Legend: B batch, C channels, ... the spatial axes (two or three).
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class ChannelNorm(nn.LayerNorm):
    """Layer normalisation over the channels of (B, C, ...), each voxel on its own (SAM's LayerNorm2d)."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        last = x.movedim(1, -1)
        return F.layer_norm(last, self.normalized_shape, self.weight, self.bias, self.eps).movedim(-1, 1)


class Mlp(nn.Module):
    """Two linear layers around an activation, over the last axis."""

    def __init__(self, channels: int, hidden: int, activation: nn.Module) -> None:
        super().__init__()
        self.lin1 = nn.Linear(channels, hidden)
        self.lin2 = nn.Linear(hidden, channels)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.lin2(self.activation(self.lin1(x)))
        return y


class HeadMlp(nn.Module):
    """The three linear layers, ReLU between them, with which SAM reads a token."""

    def __init__(self, inputs: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(inputs, hidden), nn.Linear(hidden, hidden), nn.Linear(hidden, outputs)])

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers[:-1]:
            x = F.relu(layer(x))
        y: Tensor = self.layers[-1](x)
        return y
