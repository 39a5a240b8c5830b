"""SAM3D lite: the small model that ships with the project. Late, dense prompts over a cached image encoding.

The encoder (a convolutional pyramid with a transformer at the bottom) sees the image alone and runs once a window. The
decoder sees maps of the prompts, drawn at half the window's resolution, beside the encoder's features, and is all that
runs for a further click. Evidence that a small network would spend depth on is given to it outright: how alike each
voxel is to the clicked ones, in intensity and in learned features.

Legend: B batch, N clicks, C channels, D H W window voxels, d h w half of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inference_core.geometry.grid import Float
from inference_core.models.blocks.conv3d import (
    DoublingConv3d,
    PlainConv3d,
    ResidualBlock,
    ScaledConv3d,
    TransformerBlock,
    channels_last,
    depth_to_space,
    fold_for_inference,
    space_to_depth,
)
from inference_core.models.blocks.precision import autocast_to, resolve_precision
from inference_core.models.interface import Decoded, Embedding, Float32, WindowImage
from inference_core.models.sam3d_lite.prompt_maps import (
    PROMPT_CHANNELS,
    DensePrompts,
    prompt_maps,
    similarity_to_clicks,
)
from inference_core.models.sam3d_lite.stroke_maps import STROKE_CHANNELS
from inference_core.models.sam3d_lite.widening import widened
from inference_core.models.spec import ModelSpec
from inference_core.prompts.encoding import WindowPrompts

IMAGE_CHANNELS = 2
_SNUG = 0.92


@dataclass(frozen=True)
class LiteConfig:
    """Sizes of the network; the defaults are the published weights'."""

    fine: int = 24
    middle: int = 64
    coarse: int = 160
    depth: int = 4
    heads: int = 5
    match: int = 16
    detail: int = 32


class ImageEncoder(nn.Module):
    """(B, 2, D, H, W) to features `fine` at 1/2 and `middle` at 1/4 (it has the context of 1/8), and match keys."""

    def __init__(self, config: LiteConfig) -> None:
        super().__init__()
        fine, middle, coarse = config.fine, config.middle, config.coarse
        self.stem = ScaledConv3d(8 * IMAGE_CHANNELS, fine, 3)
        self.fine = ResidualBlock(fine)
        self.to_middle = ScaledConv3d(fine, middle, 2, stride=2)
        self.middle = nn.Sequential(ResidualBlock(middle), ResidualBlock(middle))
        self.to_coarse = ScaledConv3d(middle, coarse, 2, stride=2)
        self.place = PlainConv3d(coarse, coarse, 3, padding=1, groups=coarse)
        self.context = nn.Sequential(*[TransformerBlock(coarse, config.heads) for _ in range(config.depth)])
        self.from_coarse = PlainConv3d(coarse, middle, 1)
        self.fuse = ResidualBlock(middle)
        self.fine_key = PlainConv3d(fine, config.match // 2, 1)
        self.middle_key = PlainConv3d(middle, config.match, 1)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        fine = self.fine(F.silu(self.stem(space_to_depth(image))))
        middle = self.middle(F.silu(self.to_middle(fine)))
        coarse = self.to_coarse(middle)
        coarse = coarse + self.place(coarse)
        tokens = self.context(coarse.flatten(2).transpose(1, 2))
        coarse = tokens.transpose(1, 2).reshape(coarse.shape)
        context = F.interpolate(self.from_coarse(coarse), scale_factor=2.0, mode="trilinear")
        middle = self.fuse(middle + context)
        return {
            "fine": fine,
            "middle": middle,
            "fine_key": F.normalize(self.fine_key(fine), dim=1),
            "middle_key": F.normalize(self.middle_key(middle), dim=1),
        }


class MaskDecoder(nn.Module):
    """Features and prompt maps to logits (B, 1, D, H, W) and a quality logit (B,), the predicted IoU."""

    def __init__(self, config: LiteConfig) -> None:
        super().__init__()
        fine, middle = config.fine, config.middle
        self.prompt = ScaledConv3d(PROMPT_CHANNELS + 2 + STROKE_CHANNELS, fine, 3)
        self.prompt_down = ScaledConv3d(fine, middle, 2, stride=2)
        self.match = PlainConv3d(2, middle, 1)
        self.middle = nn.Sequential(ResidualBlock(middle), ResidualBlock(middle))
        self.summary = nn.Linear(middle, middle)
        self.up = DoublingConv3d(middle, fine)
        self.fine = ResidualBlock(fine)
        self.detail = ScaledConv3d(fine + 8 * IMAGE_CHANNELS, config.detail, 3)
        self.head = PlainConv3d(config.detail, 8, 1)
        self.quality = nn.Sequential(nn.Linear(2 * middle + 2, middle), nn.SiLU(), nn.Linear(middle, 1))

    def forward(self, features: dict[str, Tensor], image: Tensor, prompts: DensePrompts) -> tuple[Tensor, Tensor]:
        fine_match = similarity_to_clicks(features["fine_key"], prompts, stride=2)
        middle_match = similarity_to_clicks(features["middle_key"], prompts, stride=4)
        maps = prompt_maps(image, prompts)
        strokes = prompts.strokes
        if strokes is None:
            strokes = maps.new_zeros(len(maps), STROKE_CHANNELS, *maps.shape[2:])
        drawn = F.silu(self.prompt(torch.cat([maps, fine_match, strokes], dim=1)))
        middle = features["middle"] + F.silu(self.prompt_down(drawn)) + self.match(middle_match)
        middle = self.middle(middle)
        middle = middle + self.summary(middle.mean(dim=(2, 3, 4)))[:, :, None, None, None]
        fine = self.fine(self.up(middle) + features["fine"] + drawn)
        detail = F.silu(self.detail(torch.cat([fine, space_to_depth(image)], dim=1)))
        logits = depth_to_space(self.head(detail))
        return logits, self._quality(middle, logits)

    def _quality(self, middle: Tensor, logits: Tensor) -> Tensor:
        with torch.no_grad():
            inside = torch.sigmoid(F.avg_pool3d(logits, 4))
            share = inside.mean(dim=(2, 3, 4))
            doubt = (1 - (2 * inside - 1).abs()).mean(dim=(2, 3, 4)) / (share + 1e-3)
        within = (middle * inside).mean(dim=(2, 3, 4)) / (share + 1e-3)
        quality: Tensor = self.quality(torch.cat([within, middle.mean(dim=(2, 3, 4)), share, doubt], dim=1))
        return quality[:, 0]


class LiteNetwork(nn.Module):
    """Encoder and decoder; `forward` is used in training only."""

    def __init__(self, config: LiteConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = ImageEncoder(config)
        self.decoder = MaskDecoder(config)

    def forward(self, image: Tensor, prompts: DensePrompts) -> tuple[Tensor, Tensor]:
        answer: tuple[Tensor, Tensor] = self.decoder(self.encoder(image), image, prompts)
        return answer


def normalize(window: Tensor) -> Tensor:
    """Raw voxels (B, D, H, W) to (B, 2, D, H, W): the whole window's contrast, and that of its inner third.

    The first channel is a z-score between robust percentiles. The second is a z-score by the statistics of the inner
    third, clipped: on a CT it turns a 40 HU lesion beside air and bone into one standard deviation.
    """
    flat = window.flatten(1)[:, ::7]
    low, high = torch.quantile(flat, torch.tensor([0.005, 0.995]).to(flat), dim=1)
    clipped = window.clamp(min=low[:, None, None, None], max=high[:, None, None, None])
    mean, std = clipped.mean(dim=(1, 2, 3)), clipped.std(dim=(1, 2, 3)) + 1e-6
    inner = clipped[(slice(None), *[slice(n // 3, n - n // 3) for n in window.shape[1:]])]
    inner_mean, inner_std = inner.mean(dim=(1, 2, 3)), inner.std(dim=(1, 2, 3)) + 0.02 * std
    broad = (clipped - mean[:, None, None, None]) / std[:, None, None, None]
    local = (clipped - inner_mean[:, None, None, None]) / inner_std[:, None, None, None]
    return torch.stack([broad.clamp(-5, 5), local.clamp(-3, 3)], dim=1)


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
    load_strict(network, widened(load_state_dict(weights), STROKE_CHANNELS))
    chosen = "float32" if precision == "auto" else resolve_precision(precision, device)
    return LiteModel(spec, network, device, precision=chosen)
