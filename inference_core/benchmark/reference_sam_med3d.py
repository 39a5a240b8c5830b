"""SAM-Med3D's encoder in its plain form, padding and all: what the shortcut in `cube_attention` is measured against.

The plain form follows the definition: pad the grid to whole cubes, attend among all their tokens, crop.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from inference_core.benchmark.comparison import EncoderForms, compare, randomly_drawn
from inference_core.models.sam_med3d.cube_attention import CubeAttention
from inference_core.models.sam_med3d.network import ImageEncoder3D, SamMed3DConfig


class PlainCubeAttention(CubeAttention):
    """The same function of the same parameters as `CubeAttention`, padding tokens computed one by one."""

    def forward(self, x: Tensor) -> Tensor:
        """x (B, D, H, W, C), already normalized, to the same shape."""
        padding = [-size % self.side for size in x.shape[1:4]]
        padded = nn.functional.pad(x, (0, 0, 0, padding[2], 0, padding[1], 0, padding[0]))
        counts = [size // self.side for size in padded.shape[1:4]]
        cubes = padded
        for axis, count in zip((1, 3, 5), counts, strict=True):
            cubes = cubes.unflatten(axis, (count, self.side))
        order = (0, 1, 3, 5, 2, 4, 6, 7)
        attended = self._attend_padded(cubes.permute(order).flatten(0, 3))
        whole = attended.unflatten(0, (len(x), *counts)).permute(0, 1, 4, 2, 5, 3, 6, 7).reshape(padded.shape)
        cropped: Tensor = whole[:, : x.shape[1], : x.shape[2], : x.shape[3]]
        return cropped

    def _attend_padded(self, x: Tensor) -> Tensor:
        """Cubes (B, n, n, n, C), every token a query and a key."""
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(4, 0, 5, 1, 2, 3, 6).flatten(1, 2)
        own, across, down = self._bias_terms(q)
        logits = (q.flatten(1, 3) * q.shape[-1] ** -0.5) @ k.flatten(1, 3).transpose(1, 2)
        # As the authors add it: a new tensor a term.
        logits = logits.view(len(q), *[self.side] * 6) + own[..., None, None, :]
        logits = logits + across[:, :, :, None, :, None, :]
        logits = logits + down[:, :, :, None, None]
        attended = logits.view(len(q), self.side**3, -1).softmax(dim=-1) @ v.flatten(1, 3)
        y: Tensor = self.proj(attended.reshape(q.shape).unflatten(0, (-1, self.heads)).movedim(1, -2).flatten(-2))
        return y


def plain_encoder(encoder: ImageEncoder3D, config: SamMed3DConfig) -> ImageEncoder3D:
    """The plain form of an encoder, sharing its parameters."""
    with torch.device("meta"):
        plain = ImageEncoder3D(config, PlainCubeAttention)
    plain.load_state_dict(encoder.state_dict(), assign=True)
    return plain


def random_encoder(config: SamMed3DConfig, *, seed: int = 0) -> ImageEncoder3D:
    """An encoder with random weights, the position tables and biases included, so that no term of it is idle."""
    return randomly_drawn(lambda: ImageEncoder3D(config), seed=seed)


def compare_forms(*, repeats: int = 2) -> EncoderForms:
    """Encode one random window in both forms in this process."""
    config = SamMed3DConfig()
    encoder = random_encoder(config)
    image = torch.randn(1, 1, *[config.image_size] * 3)
    return compare(encoder, plain_encoder(encoder, config), image, repeats=repeats)
