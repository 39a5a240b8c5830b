"""Convolution blocks without activation statistics: fast in channels-last on a CPU, the same at any batch size."""

from __future__ import annotations

from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Network = TypeVar("Network", bound=nn.Module)
# 1/std of silu of a unit normal: the activation keeps unit variance.
_SILU_GAIN = 1.79


class ScaledConv3d(nn.Conv3d):
    """A convolution whose kernels are standardized and scaled by a learned gain (Brock et al. 2021, NFNets, eq. 1).

    It keeps activations at unit variance, so no normalization layer has to read them.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, *, stride: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride=stride, padding=(kernel - 1) // 2)
        self.gain = nn.Parameter(torch.ones(outputs, 1, 1, 1, 1))
        self.fan_in = inputs * kernel**3
        self.folded: tuple[Tensor, Tensor | None] | None = None

    def standardized(self) -> Tensor:
        """The kernels as they are applied."""
        variance, mean = torch.var_mean(self.weight, dim=(1, 2, 3, 4), keepdim=True, unbiased=False)
        return (self.weight - mean) * (self.gain * torch.rsqrt(variance * self.fan_in + 1e-4))

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = (self.standardized(), self.bias) if self.folded is None else self.folded
        return conv3d(x, weight, bias, self)

    def fold(self, gain: Tensor | float = 1.0, *, scale: Tensor | None = None) -> None:
        """Standardize the kernels once and for all: those of `scale` * convolution(`gain` * x), per output channel."""
        rows = torch.ones(self.out_channels) if scale is None else scale.detach().flatten()
        weight = self.standardized().detach() * gain * rows.to(self.weight)[:, None, None, None, None]
        bias = None if self.bias is None else self.bias.detach() * rows.to(self.weight)
        self.folded = weight.contiguous(memory_format=torch.channels_last_3d), bias


class PlainConv3d(nn.Conv3d):
    """A convolution as it is, except that a batch of one is as fast on a CPU as a batch of many."""

    def forward(self, x: Tensor) -> Tensor:
        return conv3d(x, self.weight, self.bias, self)


def conv3d(x: Tensor, weight: Tensor, bias: Tensor | None, layer: nn.Conv3d) -> Tensor:
    """Convolve as a layer does, with a weight and a bias that need not be its own."""
    assert not isinstance(layer.padding, str)
    return convolve(
        x, weight, bias, stride=layer.stride, padding=layer.padding, dilation=layer.dilation, groups=layer.groups
    )


def convolve(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    stride: tuple[int, ...] = (1, 1, 1),
    padding: tuple[int, ...] = (0, 0, 0),
    dilation: tuple[int, ...] = (1, 1, 1),
    groups: int = 1,
) -> Tensor:
    """Convolve by oneDNN whenever it is there.

    PyTorch sends small 3D convolutions of batch 1 to a plain loop that was measured ten times slower than oneDNN. Under
    autocast the plain call is made, since only that is cast.
    """
    plain = torch.is_grad_enabled() or torch.is_autocast_enabled("cpu")
    if x.device.type == "cpu" and not plain and torch.backends.mkldnn.is_available():
        result: Tensor = torch.ops.aten.mkldnn_convolution(x, weight, bias, padding, stride, dilation, groups)
        return result
    return F.conv3d(x, weight, bias, stride, padding, dilation, groups)


def channels_last(network: Network) -> Network:
    """Lay 5D weights out channels-last in place, the layout in which oneDNN was measured twice as fast."""
    for parameter in network.parameters():
        if parameter.ndim == 5:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last_3d)
    return network


class DoublingConv3d(nn.ConvTranspose3d):
    """A transposed convolution of kernel and stride 2: each voxel becomes a 2x2x2 cube, by one matrix product.

    Its result is channels-last, as what follows wants it; PyTorch's own is not.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 2, stride=2)

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        b, _, d, h, w = x.shape
        kernels = self.weight.permute(0, 2, 3, 4, 1).reshape(self.in_channels, -1)
        cubes = (x.permute(0, 2, 3, 4, 1) @ kernels).reshape(b, d, h, w, 2, 2, 2, self.out_channels)
        doubled = cubes.permute(0, 1, 4, 2, 5, 3, 6, 7).reshape(b, 2 * d, 2 * h, 2 * w, self.out_channels)
        return (doubled if self.bias is None else doubled + self.bias).permute(0, 4, 1, 2, 3)


class ResidualBlock(nn.Module):
    """x + a * conv(silu(conv(silu(x)))), with a learned per-channel `a` that starts small."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = ScaledConv3d(channels, channels, 3)
        self.second = ScaledConv3d(channels, channels, 3)
        self.scale = nn.Parameter(torch.full((1, channels, 1, 1, 1), 0.3))

    def forward(self, x: Tensor) -> Tensor:
        if self.first.folded is not None:
            answer: Tensor = self.second(F.silu(self.first(F.silu(x)), inplace=True)).add_(x)
            return answer
        inner: Tensor = self.second(_SILU_GAIN * F.silu(self.first(_SILU_GAIN * F.silu(x))))
        return x + self.scale * inner

    def fold(self) -> None:
        """Put all factors into the kernels, as `ScaledConv3d.fold`."""
        self.first.fold(_SILU_GAIN)
        self.second.fold(_SILU_GAIN, scale=self.scale)


def fold_for_inference(network: nn.Module) -> None:
    """Make all kernels once, in place of at every call; the network must not be trained afterwards."""
    blocks = [layer for layer in network.modules() if isinstance(layer, ResidualBlock)]
    inner = {id(layer) for block in blocks for layer in (block.first, block.second)}
    for layer in network.modules():
        if isinstance(layer, ResidualBlock) or (isinstance(layer, ScaledConv3d) and id(layer) not in inner):
            layer.fold()


class TransformerBlock(nn.Module):
    """A pre-norm transformer block over tokens (B, N, C)."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.project = nn.Linear(channels, channels)
        self.mlp = nn.Sequential(nn.Linear(channels, 4 * channels), nn.GELU(), nn.Linear(4 * channels, channels))

    def forward(self, tokens: Tensor) -> Tensor:
        batch, count, channels = tokens.shape
        qkv = self.qkv(self.norm1(tokens)).reshape(batch, count, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(qkv[0], qkv[1], qkv[2])
        tokens = tokens + self.project(attended.transpose(1, 2).reshape(batch, count, channels))
        mixed: Tensor = self.mlp(self.norm2(tokens))
        return tokens + mixed


def space_to_depth(x: Tensor) -> Tensor:
    """(B, C, D, H, W) to (B, 8C, D/2, H/2, W/2): each 2x2x2 cube becomes channels."""
    b, c, d, h, w = x.shape
    cubes = x.reshape(b, c, d // 2, 2, h // 2, 2, w // 2, 2).permute(0, 1, 3, 5, 7, 2, 4, 6)
    return cubes.reshape(b, 8 * c, d // 2, h // 2, w // 2).contiguous(memory_format=torch.channels_last_3d)


def depth_to_space(x: Tensor) -> Tensor:
    """(B, 8C, d, h, w) to (B, C, 2d, 2h, 2w): the inverse of `space_to_depth`."""
    b, c, d, h, w = x.shape
    cubes = x.reshape(b, c // 8, 2, 2, 2, d, h, w).permute(0, 1, 5, 2, 6, 3, 7, 4)
    return cubes.reshape(b, c // 8, 2 * d, 2 * h, 2 * w)
