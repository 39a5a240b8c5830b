"""SAM3D lite: the small model that ships with the project. Late, dense prompts over a cached image encoding.

The network is in `network`, how prompts are drawn for it in `prompt_maps`; here are its intensities and its prompting.

Legend: B batch, D H W window voxels.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from inference_core.geometry.grid import Float
from inference_core.models.blocks.conv3d import (
    channels_last,
    fold_for_inference,
)
from inference_core.models.blocks.precision import autocast_to, resolve_precision
from inference_core.models.interface import Decoded, Embedding, Float32, WindowImage
from inference_core.models.sam3d_lite.network import LiteConfig, LiteNetwork
from inference_core.models.sam3d_lite.prompt_maps import (
    DensePrompts,
)
from inference_core.models.sam3d_lite.stroke_maps import STROKE_CHANNELS
from inference_core.models.sam3d_lite.widening import widened
from inference_core.models.spec import ModelSpec
from inference_core.prompts.encoding import WindowPrompts

_SNUG = 0.92


def normalize(window: Tensor) -> Tensor:
    """Raw voxels (B, D, H, W) to (B, 2, D, H, W): the whole window's contrast, and that of its inner third.

    The first channel is a z-score between robust percentiles. The second is a z-score by the statistics of the inner
    third, clipped: on a CT it turns a 40 HU lesion beside air and bone into one standard deviation.
    """
    window = _without_unit(window)
    flat = window.flatten(1)[:, ::7]
    low, high = torch.quantile(flat, torch.tensor([0.005, 0.995]).to(flat), dim=1)
    clipped = window.clamp(min=low[:, None, None, None], max=high[:, None, None, None])
    mean, std = clipped.mean(dim=(1, 2, 3)), clipped.std(dim=(1, 2, 3))
    # Of one value, only rounding is left of its deviation: nothing is to be seen there.
    std = torch.where(clipped.amax(dim=(1, 2, 3)) > clipped.amin(dim=(1, 2, 3)), std, torch.inf)
    inner = clipped[(slice(None), *[slice(n // 3, n - n // 3) for n in window.shape[1:]])]
    inner_mean, inner_std = inner.mean(dim=(1, 2, 3)), inner.std(dim=(1, 2, 3)) + 0.02 * std
    broad = (clipped - mean[:, None, None, None]) / std[:, None, None, None]
    local = (clipped - inner_mean[:, None, None, None]) / inner_std[:, None, None, None]
    return torch.stack([broad.clamp(-5, 5), local.clamp(-3, 3)], dim=1)


def _without_unit(window: Tensor) -> Tensor:
    """Each window of a batch, times the power of two by which its values are at most one: that changes no digit."""
    largest = window.abs().amax(dim=(1, 2, 3), keepdim=True)
    _, exponent = torch.frexp(largest.cpu())  # not every device knows it
    return torch.ldexp(window, -exponent.to(window.device))


class LiteModel:
    """SAM3D lite as a promptable model. Low-res logits have the window's own shape."""

    def __init__(self, spec: ModelSpec, network: LiteNetwork, device: str, *, precision: str = "float32") -> None:
        self.spec = spec
        self.device, self.precision = device, precision
        self.network = channels_last(network).to(device).eval()
        fold_for_inference(self.network)

    @torch.inference_mode()
    def encode(self, window: WindowImage) -> Embedding:
        raw = torch.from_numpy(np.ascontiguousarray(window.array))[None].to(self.device)
        image = normalize(raw)
        with autocast_to(self.precision, self.device):
            tensors = self.network.encoder(image.contiguous(memory_format=torch.channels_last_3d))
        floats = {name: tensor.float() for name, tensor in tensors.items()}
        return Embedding({"image": image, **floats}, window.grid)

    @torch.inference_mode()
    def decode(self, embedding: Embedding, prompts: WindowPrompts, prior: Float32 | None) -> Decoded:
        image = embedding.tensors["image"]
        snug = replace(prompts, boxes=_shrink_boxes(prompts.boxes))
        dense = DensePrompts.from_window(snug, prior, shape=embedding.grid.shape, device=self.device)
        logits, quality = self.network.decoder(embedding.tensors, image, dense)
        return Decoded(logits[0, 0].float().cpu().numpy(), float(torch.sigmoid(quality)[0]))


def _shrink_boxes(boxes: Float) -> Float:
    """Boxes (M, 8, 3) drawn in: users leave more room than training did, and the network fills what it is given."""
    centers = boxes.mean(axis=1, keepdims=True)
    return np.asarray(centers + _SNUG * (boxes - centers))


def build(
    spec: ModelSpec, weights: Path, device: str, *, precision: str = "auto", config: LiteConfig | None = None
) -> LiteModel:
    """Build SAM3D lite, of the published sizes or others, from its safetensors file (fp16 storage).

    "auto" computes it in float32 everywhere: it is light enough.

    Raises:
        CheckpointError: the file is damaged, or of another model or size.
    """
    from inference_core.models.weights import load_state_dict, load_strict

    network = LiteNetwork(config or LiteConfig())
    load_strict(network, widened(load_state_dict(weights), STROKE_CHANNELS), name=weights.name)
    chosen = "float32" if precision == "auto" else resolve_precision(precision, device)
    return LiteModel(spec, network, device, precision=chosen)
