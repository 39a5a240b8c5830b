"""Medical SAM Adapter's encoder in its plain form, written as it is defined: what the network's shortcuts are held to.

The plain form pads to whole windows before the norm, projects padding and all, adds the relative positions even where
their tables are zero, and computes attention through depth from the tokens anew.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from inference_core.benchmark.comparison import EncoderForms, compare_apart, randomly_drawn
from inference_core.benchmark.reference_sam import PlainAttention
from inference_core.models.blocks.sam_attention import cut_windows, joined_windows
from inference_core.models.blocks.sam_image_encoder import ImageEncoder
from inference_core.models.medical_sam_adapter.network import (
    MLP_ADAPTER_SCALE,
    AdaptedBlock,
    AdaptedSizes,
    Adapter,
    DepthOf,
    adapted_network,
    as_many_as_slices,
    depth_layout,
    fold_for_inference,
)


class PlainAdaptedBlock(AdaptedBlock):
    """The same function of the same parameters as `AdaptedBlock`, in so many words."""

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attended(x)
        normed = self.norm2(x)
        deep = self.mlp.lin2(nn.functional.gelu(self.mlp.lin1(normed)))
        y: Tensor = x + deep + MLP_ADAPTER_SCALE * _adapted(self.MLP_Adapter, normed)
        return y

    def attended(self, x: Tensor) -> Tensor:
        """Attention in the plane and, if asked for, through depth, both adapted; x (N, g, g, C)."""
        tokens = self.norm1(x if self.window is None else cut_windows(x, self.window))
        space = self.attn(tokens)
        y: Tensor = space + _adapted(self.Space_Adapter, space)
        if self.depth is not None:
            y = y + self._through_depth(tokens, self.depth(len(x), len(tokens)))
        return y if self.window is None else joined_windows(y, x.shape[1:3])

    def _through_depth(self, tokens: Tensor, depth: int) -> Tensor:
        rows, columns = depth_layout(depth)
        groups = tokens.unflatten(0, (-1, depth)).permute(0, 2, 3, 1, 4)
        attended = _adapted(self.Depth_Adapter, self.attn(groups.reshape(-1, rows, columns, groups.shape[-1])))
        return attended.reshape(groups.shape).permute(0, 3, 1, 2, 4).flatten(0, 1)


def plain_encoder(encoder: ImageEncoder, sizes: AdaptedSizes, *, depth: DepthOf | None = None) -> ImageEncoder:
    """The plain form of an encoder, sharing its parameters; tables of zeros where the encoder has none."""
    block = partial(PlainAdaptedBlock, tables=sizes.tables or sizes.sam.grid, depth=depth, attention=PlainAttention)
    with torch.device("meta"):
        plain = ImageEncoder(sizes.sam, block)
    tables = {key: torch.zeros(value.shape) for key, value in plain.state_dict().items() if "rel_pos" in key}
    own = {key: value for key, value in encoder.state_dict().items() if "into_depth" not in key}
    plain.load_state_dict({**tables, **own}, assign=True)
    return plain


def random_encoder(sizes: AdaptedSizes, *, depth: DepthOf | None = None, seed: int = 0) -> ImageEncoder:
    """An encoder with random weights, position tables and biases included, so that no term of it is idle."""
    encoder = randomly_drawn(lambda: adapted_network(sizes, depth=depth).image_encoder, seed=seed)
    fold_for_inference(encoder)
    return encoder


def compare_forms(sizes: AdaptedSizes, *, slices: int, repeats: int = 2) -> EncoderForms:
    """Encode random slices in each form, each in a process of its own; several are a chunk, attended to through depth.

    Raises:
        DeviceError: a process was stopped, as it is when the memory runs out.
    """
    return compare_apart(partial(prepared, sizes=sizes, slices=slices), repeats=repeats)


def prepared(form: str, *, sizes: AdaptedSizes, slices: int) -> tuple[ImageEncoder, Tensor]:
    """A form, "fast" or "plain", and slices for it."""
    depth = as_many_as_slices if slices > 1 else None
    encoder = random_encoder(sizes, depth=depth)
    images = torch.rand(slices, 3, *[sizes.sam.image_size] * 2, generator=torch.Generator().manual_seed(1))
    return encoder if form == "fast" else plain_encoder(encoder, sizes, depth=depth), images


def _adapted(adapter: Adapter, x: Tensor) -> Tensor:
    y: Tensor = adapter.D_fc2(nn.functional.gelu(adapter.D_fc1(x)))
    return y
