"""The network of 3DSAM-adapter (arXiv:2306.13465), as its official weights were trained.

A 2D SAM encoder made to see 3D: voxels become tokens by SAM's patches and a convolution across slices, every block
attends in cubes and starts with a convolutional adapter. Clicks reach only the last of four feature maps, by way of
what that map holds at the clicked places; there are no labels, so a click can only say "like this". Peculiarities are
kept, since the weights depend on them. Parameter names are those of the official checkpoints.

Legend: C channels, D H W the crop's voxels, h w d the token grid (a quarter of them, in this order), N points, T image
tokens (d fastest), k the two classes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inference_core.models.blocks.conv3d import PlainConv3d
from inference_core.models.blocks.layers import ChannelNorm, Mlp, linear
from inference_core.models.blocks.two_way import ProjectedAttention
from inference_core.models.sam3d_adapter.patch_stem import patch_tokens
from inference_core.models.sam3d_adapter.shifted_cube_attention import ShiftedCubeAttention, add_in_cubes
from inference_core.models.sam3d_adapter.winograd import WideConv3d, wide_convolution

VOXELS_PER_TOKEN = 4
# Temporaries of this many tokens stay in a CPU's cache and in memory that is used again.
_TOKENS_AT_ONCE = 2048


@dataclass(frozen=True)
class Sam3DAdapterConfig:
    """Sizes of the network; the defaults are the official ones."""

    grid: int = 32
    width: int = 768
    depth: int = 12
    heads: int = 12
    cube: int = 8
    patch: int = 16
    slices: int = 16
    rows: tuple[int, ...] = 4 * (27, 27, 127)
    out: int = 256
    prompt_depth: int = 2
    prompt_heads: int = 8
    prompt_hidden: int = 2048
    queries: int = 10
    head: int = 128

    @property
    def image_size(self) -> int:
        """Voxels a side of a crop."""
        return VOXELS_PER_TOKEN * self.grid


class Adapter(nn.Module):
    """What a block does first: to half the width, a depth-wise convolution over the grid, and back; ReLU after each."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear1 = nn.Linear(width, width // 2)
        self.conv = PlainConv3d(width // 2, width // 2, 3, padding=1, groups=width // 2)
        self.linear2 = nn.Linear(width // 2, width)

    def inner(self, x: Tensor) -> Tensor:
        """Tokens (1, h, w, d, C) to half as many channels, each knowing its neighbors."""
        inner = F.relu(linear(x, self.linear1)).movedim(-1, 1).to(x.dtype)
        return F.relu(self.conv(inner)).movedim(1, -1)

    def outer(self, inner: Tensor) -> Tensor:
        """What `inner` gave, token by token, to what is added to them, nowhere below zero."""
        return F.relu(linear(inner, self.linear2))


class EncoderBlock(nn.Module):
    """An adapter, then a pre-norm transformer block in cubes, half a cube shifted in every other block."""

    def __init__(self, config: Sam3DAdapterConfig, index: int) -> None:
        super().__init__()
        width = config.width
        self.shifted, self.side = index % 2 == 0, config.cube
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = ShiftedCubeAttention(width, heads=config.heads, side=config.cube, rows=config.rows[index])
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = Mlp(width, 4 * width, nn.GELU())
        self.adapter = Adapter(width)

    def forward(self, x: Tensor) -> Tensor:
        """x (1, h, w, d, C) to the same shape; without gradients x itself is used up."""
        at_once = _TOKENS_AT_ONCE if x.device.type == "cpu" else x.shape[:-1].numel()
        x = _add_in_parts(x, self.adapter.inner(x), self.adapter.outer, at_once=at_once)
        tables = self.attn.tables()
        x = add_in_cubes(
            x, lambda cube: self.attn(self.norm1(cube), tables), side=self.side, shifted=self.shifted, at_once=at_once
        )
        return _add_in_parts(x, x, lambda tokens: self.mlp(self.norm2(tokens)), at_once=at_once)


class PatchEmbedding(nn.Module):
    """SAM's patch convolution; it is applied as part of `blocks.patch_stem`."""

    def __init__(self, config: Sam3DAdapterConfig) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, config.width, config.patch, stride=config.patch)


class ImageEncoder(nn.Module):
    """A normalized crop (1, 1, D, H, W) to four feature maps (1, C, h, w, d), one after every third block."""

    def __init__(self, config: Sam3DAdapterConfig) -> None:
        super().__init__()
        width, out, grid = config.width, config.out, config.grid
        self.pos_embed = nn.Parameter(torch.zeros(1, 2 * grid, 2 * grid, width))
        self.depth_embed = nn.Parameter(torch.ones(1, grid, width))
        self.patch_embed = PatchEmbedding(config)
        through = (1, 1, config.slices)
        self.slice_embed = nn.Conv3d(width, width, through, stride=through, groups=width)
        self.blocks = nn.ModuleList([EncoderBlock(config, index) for index in range(config.depth)])
        self.neck_3d = nn.ModuleList(
            [
                nn.Sequential(
                    PlainConv3d(width, out, 1, bias=False),
                    ChannelNorm(out),
                    WideConv3d(out, out),
                    ChannelNorm(out),
                )
                for _ in range(config.depth // 3)
            ]
        )

    def forward(self, image: Tensor) -> list[Tensor]:
        x = self.tokens(image)
        maps = []
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index % 3 == 2:
                maps.append(self.neck_3d[index // 3](x.movedim(-1, 1)))
        return maps

    def tokens(self, image: Tensor) -> Tensor:
        """What the first block is given, (1, h, w, d, C). A smaller crop has the positions of the middle."""
        x = patch_tokens(image, self.patch_embed.proj, self.slice_embed)
        in_plane = F.avg_pool2d(self.pos_embed.movedim(-1, 1), 2).movedim(1, -1)[:, :, :, None]
        h, w, d = x.shape[1:4]
        along = _middle(self.depth_embed[:, None, None], torch.Size((1, 1, d)))
        return x + (_middle(in_plane, torch.Size((h, w, 1))) + along)


class PromptLayer(nn.Module):
    """Queries of its own and the points talk to each other; then every image token looks at the queries alone."""

    def __init__(self, config: Sam3DAdapterConfig) -> None:
        super().__init__()
        width = config.out
        self.global_query = nn.Parameter(torch.empty(1, config.queries, width))
        nn.init.normal_(self.global_query, std=0.1)
        self.self_attn = ProjectedAttention(width, width, config.prompt_heads)
        self.cross_attn_image_to_token = ProjectedAttention(width, width // 2, config.prompt_heads)
        self.mlp = Mlp(width, config.prompt_hidden, nn.ReLU())
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.norm3, self.norm4 = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, image: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
        """image (1, T, C) and points (1, N, C), both returned updated."""
        tokens = torch.cat([self.global_query, points], dim=1)
        tokens = self.norm2(tokens + self.norm1(self.self_attn(tokens, tokens, tokens)))
        queries, points = tokens.split([self.global_query.shape[1], points.shape[1]], dim=1)
        queries = self.norm3(queries + self.mlp(queries))
        return self.norm4(image + self.cross_attn_image_to_token(image, queries, queries)), points


class PromptLayers(nn.Module):
    """The layers under their official name."""

    def __init__(self, config: Sam3DAdapterConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList([PromptLayer(config) for _ in range(config.prompt_depth)])


class PromptEncoder(nn.Module):
    """Writes the clicks into the deepest feature map. Official files hold four; only the last one was ever used."""

    def __init__(self, config: Sam3DAdapterConfig) -> None:
        super().__init__()
        self.transformer = PromptLayers(config)

    def forward(self, features: Tensor, points: Tensor) -> Tensor:
        """features (1, C, h, w, d), points (N, 3) in crop voxels (d, h, w), to a map like `features`."""
        image, samples = features.flatten(2).transpose(1, 2), sampled_at(features, points)
        for layer in self.transformer.layers:
            image, samples = layer(image, samples)
        return image.transpose(1, 2).reshape(features.shape)


class MaskDecoder(nn.Module):
    """Four feature maps and the crop to the logits of two classes (1, k, D, H, W).

    Its widest convolution reads the maps side by side. As it is linear, what it makes of the first three and of the
    crop is a sum of its own, `fixed`, which a click does not change.
    """

    def __init__(self, config: Sam3DAdapterConfig) -> None:
        super().__init__()
        width = config.head
        self.mlahead = Heads(config)
        self.cls = nn.Sequential(*_normed(4 * width + 1, width), PlainConv3d(width, 2, 3, padding=1, bias=False))

    def forward(self, maps: list[Tensor], image: Tensor) -> Tensor:
        """maps in the encoder's order, the last one with the clicks in it; image (1, 1, D, H, W)."""
        return self.prompted(self.fixed(maps[:-1], image), maps[-1])

    def fixed(self, maps: list[Tensor], image: Tensor) -> Tensor:
        """What the first three maps and the crop add up to, (1, C, 2h, 2w, 2d)."""
        halved = F.interpolate(image.permute(0, 1, 3, 4, 2), scale_factor=0.5, mode="trilinear", align_corners=False)
        total = self._weighed(halved, len(self.mlahead.heads))
        for n, features in enumerate(maps):
            total += self._read(n, features)
        return total

    def prompted(self, fixed: Tensor, features: Tensor) -> Tensor:
        """The logits (1, k, D, H, W) of the last map beside what `fixed` gave."""
        total = self._read(len(self.mlahead.heads) - 1, features)
        total += fixed
        return _doubled(self.cls[1:](total)).permute(0, 1, 4, 2, 3)

    def _read(self, n: int, features: Tensor) -> Tensor:
        """What map number n adds to the widest convolution's sum."""
        return self._weighed(_doubled(self.mlahead.heads[n](features)), n)

    def _weighed(self, x: Tensor, n: int) -> Tensor:
        """The share of the widest convolution that reads the n-th group of channels."""
        widest = self.cls[0]
        assert isinstance(widest, nn.Conv3d)
        start = n * widest.out_channels
        return wide_convolution(x, widest.weight[:, start : start + x.shape[1]].contiguous())


class Heads(nn.Module):
    """The four maps' own convolutions, numbered from 2 as in the official files."""

    def __init__(self, config: Sam3DAdapterConfig) -> None:
        super().__init__()
        for n in range(2, 6):
            layers = (*_normed(config.out, config.head), *_normed(config.head, config.head))
            self.add_module(f"head{n}", nn.Sequential(*layers))

    @property
    def heads(self) -> tuple[nn.Module, ...]:
        """The first map's head first."""
        return tuple(self.children())


class Sam3DAdapterNetwork(nn.Module):
    """The three parts, under the names of the dictionaries in an official file."""

    def __init__(self, config: Sam3DAdapterConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = ImageEncoder(config)
        self.prompt_encoder = PromptEncoder(config)
        self.decoder = MaskDecoder(config)

    def forward(self, image: Tensor, points: Tensor) -> Tensor:
        """A normalized crop (1, 1, D, H, W) and points (N, 3) in its voxels (d, h, w) to logits (1, k, D, H, W)."""
        maps = self.encoder(image)
        logits: Tensor = self.decoder([*maps[:-1], self.prompt_encoder(maps[-1], points)], image)
        return logits


def _add_in_parts(x: Tensor, given: Tensor, change: Callable[[Tensor], Tensor], *, at_once: int) -> Tensor:
    """x + change(given), token by token; without gradients in place, so many tokens at once."""
    if torch.is_grad_enabled():
        return x + change(given)
    rows = x.view(-1, x.shape[-1])
    for taken, part in zip(rows.split(at_once), given.reshape(len(rows), -1).split(at_once), strict=True):
        taken.add_(change(part))
    return x


def sampled_at(features: Tensor, points: Tensor) -> Tensor:
    """What a map (1, C, h, w, d) holds at points (N, 3) in crop voxels (d, h, w), (1, N, C); zero beyond the map."""
    sizes = VOXELS_PER_TOKEN * points.new_tensor([features.shape[4], features.shape[2], features.shape[3]])
    places = (points + 0.5) * 2 / sizes - 1
    # grid_sample names a map's axes from the last one on: d, w, h.
    grid = places[:, [0, 2, 1]].view(1, 1, 1, -1, 3)
    return F.grid_sample(features, grid, padding_mode="zeros", align_corners=False)[0, :, 0, 0].T[None]


def _normed(inputs: int, outputs: int) -> tuple[nn.Module, ...]:
    """A convolution, and a normalization over the whole map that keeps no statistics and has no parameters."""
    return WideConv3d(inputs, outputs), nn.InstanceNorm3d(outputs), nn.ReLU(inplace=True)


def _doubled(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="trilinear", align_corners=True)


def _middle(x: Tensor, shape: torch.Size) -> Tensor:
    """The middle of (1, h, w, d, C), of this shape (h, w, d)."""
    starts = [(size - wanted) // 2 for size, wanted in zip(x.shape[1:4], shape, strict=True)]
    return x[(slice(None), *[slice(start, start + size) for start, size in zip(starts, shape, strict=True)])]
