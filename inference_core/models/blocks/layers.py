"""Small layers that the SAM families share; parameter names are those of their official checkpoints.

Legend: B batch, C channels, ... the spatial axes (two or three).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_TOKENS = 1024
_HAS_ONE_DNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


class ChannelNorm(nn.LayerNorm):
    """Layer normalization over the channels of (B, C, ...), each voxel on its own (SAM's LayerNorm2d)."""

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
        if not by_one_dnn(x):
            y: Tensor = self.lin2(self.activation(self.lin1(x)))
            return y
        # A part at a time stays in the processor's cache.
        parts = [linear(self._hidden(part), self.lin2) for part in x.reshape(-1, x.shape[-1]).split(_TOKENS)]
        whole = parts[0] if len(parts) == 1 else torch.cat(parts)
        return whole.view(*x.shape[:-1], -1)

    def _hidden(self, x: Tensor) -> Tensor:
        if isinstance(self.activation, nn.GELU) and self.activation.approximate == "none":
            return linear(x, self.lin1, gelu=True)
        y: Tensor = self.activation(linear(x, self.lin1))
        return y


def linear(x: Tensor, layer: nn.Linear, *, gelu: bool = False) -> Tensor:
    """A linear layer, and the exact GELU after it in the same pass, by oneDNN where that is at hand.

    On a CPU PyTorch leaves linear layers to MKL, which was measured a tenth slower on an AMD processor, and reads the
    result once more for the activation.
    """
    if by_one_dnn(x):
        after = "gelu" if gelu else "none"
        result: Tensor = torch.ops.mkldnn._linear_pointwise(x, layer.weight, layer.bias, after, [], "none")
        return result
    y: Tensor = layer(x)
    return F.gelu(y) if gelu else y


def by_one_dnn(x: Tensor) -> bool:
    """Whether `linear` takes oneDNN: on a CPU, in single precision, and without gradients, which that does not give."""
    plain = x.device.type == "cpu" and x.dtype == torch.float32 and not torch.is_grad_enabled()
    return plain and _HAS_ONE_DNN and not torch.is_autocast_enabled("cpu")


def add_to(x: Tensor, more: Tensor) -> Tensor:
    """x + more, in the memory of x where no gradient will ask for the old x: a new one was measured to cost more."""
    return x + more if torch.is_grad_enabled() else x.add_(more)


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
