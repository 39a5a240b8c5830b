"""The network of Medical SAM Adapter (Wu et al., arXiv:2304.12620) in all its published generations.

It is SAM with three bottleneck adapters in each encoder block. Its peculiarities are kept, since the weights depend on
them; where they would pass for mistakes a comment says so. Parameter names are those of the official checkpoints.

Legend: N slices, g the side of the token grid, C channels, T grids or windows ("entries"), D entries in a row that
attend to each other through depth, laid out as A rows of W.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from torch import Tensor, nn

from inference_core.models.blocks.layers import linear
from inference_core.models.blocks.sam_attention import GridAttention, cut_windows, joined_windows
from inference_core.models.blocks.sam_image_encoder import EncoderBlock
from inference_core.models.blocks.sam_network import SamNetwork
from inference_core.models.blocks.sam_sizes import SamSizes
from inference_core.models.blocks.two_way import ResidualTwoWayBlock, TwoWayBlock
from inference_core.models.medical_sam_adapter.text import TextProjection
from inference_core.models.medical_sam_adapter.window_depth import attended_between_windows

MLP_ADAPTER_SCALE = 0.5

DepthOf = Callable[[int, int], int]
"""How many consecutive entries attend to each other through depth, of (slices, entries) in a block."""


@dataclass(frozen=True)
class AdaptedSizes:
    """Sizes of SAM, and what tells the generations apart.

    tables: the side of the grid that the global blocks' relative positions are stored for; None where there are none.
    residual: whether the decoder has the two-way blocks of EfficientSAM.
    text: numbers of a text's embedding; 0 where the network reads no texts.
    """

    sam: SamSizes
    tables: int | None
    residual: bool
    text: int = 0


class Adapter(nn.Module):
    """A bottleneck of a quarter of the width (arXiv:2304.12620, section 3.2), without a residual of its own."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.D_fc1 = nn.Linear(width, width // 4)
        self.D_fc2 = nn.Linear(width // 4, width)

    def forward(self, x: Tensor) -> Tensor:
        return linear(linear(x, self.D_fc1, gelu=True), self.D_fc2)

    def first_layer_after(self, projection: nn.Linear) -> nn.Linear:
        """`projection` and `D_fc1` after it as one layer, so that the full width between them is never made."""
        joined = nn.Linear(projection.in_features, self.D_fc1.out_features, device=projection.weight.device)
        weight = self.D_fc1.weight.double()
        bias = weight @ projection.bias.double() + self.D_fc1.bias.double()
        joined.weight.data = (weight @ projection.weight.double()).float()
        joined.bias.data = bias.float()
        return joined.requires_grad_(False)


class AdaptedBlock(EncoderBlock):
    """An encoder block with adapters after attention, beside the MLP and, with `depth`, on attention through depth."""

    def __init__(
        self,
        sizes: SamSizes,
        index: int,
        *,
        tables: int | None,
        depth: DepthOf | None = None,
        attention: type[GridAttention] = GridAttention,
    ) -> None:
        super().__init__(sizes, index, placed=tables is not None, attention=attention)
        if self.window is None and tables not in (None, sizes.grid):
            self.attn = attention(sizes.width, heads=sizes.heads, side=tables)
        self.depth = depth
        self.into_depth: nn.Linear | None = None
        self.MLP_Adapter = Adapter(sizes.width)
        self.Space_Adapter = Adapter(sizes.width)
        self.Depth_Adapter = Adapter(sizes.width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attended(x)
        normed = self.norm2(x)
        y: Tensor = x + self.mlp(normed) + MLP_ADAPTER_SCALE * self.MLP_Adapter(normed)
        return y

    def attended(self, x: Tensor) -> Tensor:
        """Attention in the plane and, if asked for, through depth, both adapted; x (N, g, g, C)."""
        qkv = linear(self.norm1(x), self.attn.qkv)
        space = linear(self._attended_in_plane(qkv), self.attn.proj)
        y: Tensor = space + self.Space_Adapter(space)
        if self.depth is not None:
            y = y + self._adapted_depth(self._attended_through_depth(qkv))
        return y

    def _adapted_depth(self, attended: Tensor) -> Tensor:
        if self.into_depth is None:
            adapted: Tensor = self.Depth_Adapter(linear(attended, self.attn.proj))
            return adapted
        return linear(linear(attended, self.into_depth, gelu=True), self.Depth_Adapter.D_fc2)

    def _attended_in_plane(self, qkv: Tensor) -> Tensor:
        """Queries, keys and values (N, g, g, 3C) to what their grids or windows attend to, (N, g, g, C)."""
        if self.window is None:
            return self.attn.attend(qkv)
        return self.attn.attend_in_windows(qkv, self.window, self._beyond())

    def _beyond(self) -> Tensor:
        """The query, key and value of a token beyond the grid (3C,).

        The authors pad before the norm, so that it is the norm's bias and not zero.
        """
        y: Tensor = self.attn.qkv(self.norm1.bias)
        return y

    def _attended_through_depth(self, qkv: Tensor) -> Tensor:
        """The tokens at one place of D consecutive grids or windows attend to each other; (N, g, g, 3C), (N, g, g, C).

        Consecutive windows are mostly of one slice, side by side: so the official weights were trained.
        """
        assert self.depth is not None
        if self.window is None:
            return self._through_entries(qkv, self.depth(len(qkv), len(qkv)))
        windows = -(-qkv.shape[1] // self.window) * -(-qkv.shape[2] // self.window)
        depth = self.depth(len(qkv), len(qkv) * windows)
        if depth % windows == 0 and not self.attn.placed:
            return attended_between_windows(
                qkv, slices=depth // windows, side=self.window, heads=self.attn.heads, beyond=self._beyond()
            )
        entries = cut_windows(qkv, self.window, self._beyond())
        return joined_windows(self._through_entries(entries, depth), qkv.shape[1:3])

    def _through_entries(self, entries: Tensor, depth: int) -> Tensor:
        """Entries (T, h, w, 3C), D in a row, to (T, h, w, C)."""
        rows, columns = depth_layout(depth)
        groups = entries.unflatten(0, (-1, depth)).permute(0, 2, 3, 1, 4)
        attended = self.attn.attend(groups.reshape(-1, rows, columns, groups.shape[-1]))
        return attended.reshape(*groups.shape[:4], -1).permute(0, 3, 1, 2, 4).flatten(0, 1)


def fold_for_inference(encoder: nn.Module) -> None:
    """Join layers once that otherwise would be at every call; the encoder must not be trained or saved afterwards."""
    for block in encoder.modules():
        if isinstance(block, AdaptedBlock) and block.depth is not None:
            block.into_depth = block.Depth_Adapter.first_layer_after(block.attn.proj)


def depth_layout(depth: int) -> tuple[int, int]:
    """Rows and columns that a depth of so many tokens is laid out in, never more rows than columns.

    A square is not cut evenly (4 is 1 x 4, 16 is 2 x 8), as in the official code; that code never returns for a depth
    of 1, which is 1 x 1 here.
    """
    rows, columns = math.isqrt(depth), math.isqrt(depth) + 1
    while rows * columns != depth and rows > 1:
        if rows * columns < depth:
            columns += 1
        else:
            rows -= 1
    return (rows, columns) if rows > 1 else (1, depth)


def as_many_as_slices(slices: int, entries: int) -> int:
    """The depth of a chunk that is encoded alone: `-chunk` of the official scripts set to its number of slices."""
    return slices


def adapted_network(sizes: AdaptedSizes, *, depth: DepthOf | None = None) -> SamNetwork:
    """SAM with adapters; `depth` turns the branch through depth on (`-thd`)."""
    network = SamNetwork(
        sizes.sam,
        encoder_block=partial(AdaptedBlock, tables=sizes.tables, depth=depth),
        decoder_block=ResidualTwoWayBlock if sizes.residual else TwoWayBlock,
    )
    if sizes.text:
        network.text_projection = TextProjection(sizes.text, sizes.sam.prompt_width)
    return network
