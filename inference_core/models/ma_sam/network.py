"""The network of MA-SAM (arXiv:2309.08842): SAM with an adapter across slices before and after each attention.

The factor-tuned (FacT) parts of its attention are linear in the same input as SAM's own, and are added into those
weights when a file is loaded; what stays is SAM's encoder with two adapters a block, and a decoder that upsamples
sixteen times, to one mask token a class and one for the background.

Legend: N images, that is b stacks of n slices each, slice fastest; g the side of the token grid; C channels, c those of
an adapter; T classes with the background; S the side of the input.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inference_core.models.blocks.layers import add_to, linear
from inference_core.models.blocks.precision import autocast_to
from inference_core.models.blocks.sam_image_encoder import EncoderBlock
from inference_core.models.blocks.sam_network import SamNetwork
from inference_core.models.blocks.sam_sizes import SamSizes

SLICES = 5


@dataclass(frozen=True)
class MaSamSizes:
    """Sizes of the network: those of the SAM under it, the width of the adapters, and the slices of a stack."""

    sam: SamSizes
    adapter_width: int
    slices: int = SLICES

    @property
    def classes(self) -> int:
        """How many classes there are besides the background."""
        return self.sam.mask_tokens - 1


class SliceAdapter(nn.Module):
    """A bottleneck in which each token meets its neighbors in the slices before and after, zeros beyond the stack.

    `before`, `here` and `after` are the three taps of the authors' convolution (3, 1, 1), as (c, c) matrices.
    """

    def __init__(self, width: int, hidden: int, slices: int) -> None:
        super().__init__()
        self.slices = slices
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.down = nn.Linear(width, hidden, bias=False)
        self.before = nn.Parameter(torch.empty(hidden, hidden))
        self.here = nn.Linear(hidden, hidden)
        self.after = nn.Parameter(torch.empty(hidden, hidden))
        self.up = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """x (N, g, g, C) to what is added to it."""
        return linear(F.gelu(self.mixed(linear(self.norm(x), self.down))), self.up)

    def mixed(self, x: Tensor) -> Tensor:
        """Tokens (N, g, g, c) with their neighbors across the slices, before the activation."""
        stacks = x.reshape(-1, self.slices * x.shape[1] * x.shape[2], x.shape[3])
        step = x.shape[1] * x.shape[2]
        mixed = linear(stacks, self.here)
        # In place, so that autocast does not see it: the precision is that of the tokens.
        before, after = (tap.T.to(mixed.dtype).expand(len(stacks), -1, -1) for tap in (self.before, self.after))
        mixed[:, step:].baddbmm_(stacks[:, :-step], before)
        mixed[:, :-step].baddbmm_(stacks[:, step:], after)
        return mixed.reshape(x.shape)


class MaSamBlock(EncoderBlock):
    """SAM's block with an adapter before attention and one after it; both see the whole grid."""

    def __init__(self, sizes: SamSizes, index: int, *, adapter_width: int, slices: int) -> None:
        super().__init__(sizes, index)
        self.adapters = nn.ModuleList([SliceAdapter(sizes.width, adapter_width, slices) for _ in range(2)])

    def forward(self, x: Tensor) -> Tensor:
        x = self._adding(x + self.adapters[0](x), self.attended)
        return self._adding(add_to(x, self.adapters[1](x)), lambda some: self.mlp(self.norm2(some)))

    @staticmethod
    def _adding(x: Tensor, layers: Callable[[Tensor], Tensor]) -> Tensor:
        """x + layers(x); on a CPU an image at a time, which stays in the processor's cache, and in the memory of x."""
        if x.device.type != "cpu" or torch.is_grad_enabled():
            return x + layers(x)
        for image in x.split(1):
            image.add_(layers(image))
        return x


class MaSamNetwork(SamNetwork):
    """Image encoder, prompt encoder and mask decoder; the quality head is there but was never trained."""

    def __init__(self, sizes: MaSamSizes) -> None:
        block = partial(MaSamBlock, adapter_width=sizes.adapter_width, slices=sizes.slices)
        super().__init__(sizes.sam, encoder_block=block)
        self.all_sizes = sizes
        self.precision = "float32"

    def embed(self, tokens: Tensor) -> Tensor:
        """Patch embeddings (N, g, g, C) to image embeddings (N, prompt width, g, g), in `precision`."""
        with autocast_to(self.precision, str(tokens.device)):
            return self.image_encoder.from_tokens(tokens).float()

    def decode(self, embeddings: Tensor, boxes: Tensor | None = None) -> Tensor:
        """Logits (N, T, S, S) of image embeddings (N, prompt width, g, g), with a box (N, 4) for each or none.

        Boxes are x0, y0, x1, y1 in pixels of the input.
        """
        sparse, dense = self.prompt_encoder(boxes=boxes)
        logits, _ = self.mask_decoder(embeddings, self.prompt_encoder.dense_pe(), sparse=sparse, dense=dense)
        return torch.as_tensor(logits)
