"""SAM's image encoder in its plain form, written as it is defined: what the blocks are measured against.

The plain form pads the normalized tokens to whole windows, projects padding and all, and holds the logits and both
terms of the bias of all heads at a time.
"""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inference_core.benchmark.comparison import EncoderForms, compare_apart, randomly_drawn
from inference_core.models.blocks.layers import Mlp
from inference_core.models.blocks.sam_attention import GridAttention, cut_windows, joined_windows
from inference_core.models.blocks.sam_image_encoder import EncoderBlock, ImageEncoder
from inference_core.models.blocks.sam_sizes import SamSizes


class PlainAttention(GridAttention):
    """The same function of the same parameters as `GridAttention`, in so many words."""

    def forward(self, x: Tensor) -> Tensor:
        """x (G, A, W, C), already normalized, to the same shape."""
        grids, rows, columns, _ = x.shape
        qkv = self.qkv(x).reshape(grids, rows * columns, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.flatten(1, 2)
        by_row, by_column = self.tables(rows, columns)
        placed = q.unflatten(1, (rows, columns))
        logits = ((q * q.shape[-1] ** -0.5) @ k.transpose(1, 2)).unflatten(2, (rows, columns))
        logits = logits.unflatten(1, (rows, columns))
        logits = logits + torch.einsum("gabc,adc->gabd", placed, by_row)[..., None]
        logits = logits + torch.einsum("gabc,bdc->gabd", placed, by_column)[..., None, :]
        attended = logits.flatten(3, 4).flatten(1, 2).softmax(dim=-1) @ v
        joined = attended.unflatten(0, (grids, self.heads)).transpose(1, 2).reshape(x.shape)
        y: Tensor = self.proj(joined)
        return y

    def in_windows(self, x: Tensor, side: int, padding: Tensor | None = None) -> Tensor:
        """x (N, A, W, C), already normalized, to the same shape, each window of side x side tokens by itself."""
        return joined_windows(self.forward(cut_windows(x, side, padding)), x.shape[1:3])


class PlainMlp(Mlp):
    """Two linear layers around the exact GELU, one after the other."""

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.lin2(F.gelu(self.lin1(x)))
        return y


class PlainBlock(EncoderBlock):
    """The same function of the same parameters as `EncoderBlock`, in so many words."""

    def __init__(self, sizes: SamSizes, index: int) -> None:
        super().__init__(sizes, index, attention=PlainAttention)
        self.mlp = PlainMlp(sizes.width, 4 * sizes.width, nn.GELU())


def plain_encoder(encoder: ImageEncoder, sizes: SamSizes) -> ImageEncoder:
    """The plain form of an encoder, sharing its parameters."""
    with torch.device("meta"):
        plain = ImageEncoder(sizes, PlainBlock)
    plain.load_state_dict(encoder.state_dict(), assign=True)
    return plain


def random_encoder(sizes: SamSizes, *, seed: int = 0) -> ImageEncoder:
    """An encoder with random weights, the position tables and biases included, so that no term of it is idle."""
    return randomly_drawn(lambda: ImageEncoder(sizes), seed=seed)


def compare_forms(sizes: SamSizes | None = None, *, repeats: int = 2) -> EncoderForms:
    """Encode one random picture in each form, each in a process of its own on one thread; ViT-B where not told.

    Raises:
        DeviceError: a process was stopped, as it is when the memory runs out.
    """
    return compare_apart(partial(_prepared, sizes=sizes or SamSizes()), repeats=repeats)


def _prepared(form: str, *, sizes: SamSizes) -> tuple[ImageEncoder, Tensor]:
    encoder = random_encoder(sizes)
    picture = torch.randn(1, 3, *[sizes.image_size] * 2, generator=torch.Generator().manual_seed(1))
    return encoder if form == "fast" else plain_encoder(encoder, sizes), picture
